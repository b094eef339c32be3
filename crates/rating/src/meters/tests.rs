use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use sutler_model::{DiskId, ImageId, ServerId, ServerState, Wanted, time::DAY_MS};

fn cause() -> Cause {
    Cause::system("test")
}

fn server(state: ServerState, cpu: u32, memory_mib: u64, state_since: Timestamp) -> Server {
    Server {
        id: ServerId::new(1, [1; 10]),
        version: 1,
        name: "web-1".to_owned(),
        customer_id: CustomerId::new(1, [2; 10]),
        billing_entity_id: BillingEntityId::new(1, [3; 10]),
        cpu,
        memory_mib,
        image_id: ImageId::new(1, [4; 10]),
        node_id: None,
        nics: Vec::new(),
        state,
        state_since,
        state_reason: None,
        wanted: Wanted::Running,
        job_id: None,
        user_data: None,
        ssh_keys: Vec::new(),
        keys: Vec::new(),
        provider_values: BTreeMap::new(),
        metadata: None,
        runtime_metadata: None,
        created_at: Timestamp(0),
    }
}

fn disk(state: DiskState, size_gib: u64) -> Disk {
    Disk {
        id: DiskId::new(1, [5; 10]),
        version: 1,
        name: "web-1".to_owned(),
        customer_id: CustomerId::new(1, [2; 10]),
        billing_entity_id: BillingEntityId::new(1, [3; 10]),
        server_id: ServerId::new(1, [1; 10]),
        index: 0,
        size_gib,
        image_id: None,
        node_id: None,
        state,
        delete_requested_at: None,
        keys: Vec::new(),
        created_at: Timestamp(0),
    }
}

fn opened(start: Timestamp) -> Interval {
    let running = server(ServerState::Running, 2, 1024, start);
    on_server_change(None, Some(&running), start, Evidence::Seen, &[], &cause()).opened.remove(0)
}

#[test]
fn a_server_is_metered_from_running_to_stopped_through_stopping() {
    let t = Timestamp(1_000_000);
    let (starting, running) = (server(ServerState::Starting, 2, 1024, t), server(ServerState::Running, 2, 1024, t));
    let begun = on_server_change(Some(&starting), Some(&running), t.plus_ms(10), Evidence::Seen, &[], &cause());
    let quantities: Vec<(Meter, u64)> = begun.opened.iter().map(|i| (i.key.meter, i.quantity)).collect();
    assert_eq!(quantities, [(Meter::Cpu, 2), (Meter::Memory, 1024)]);
    assert!(begun.closed.is_empty() && begun.opened.iter().all(|i| i.key.start == t.plus_ms(10) && i.end.is_none()));

    let stopping = server(ServerState::Stopping, 2, 1024, t.plus_ms(20));
    let on = on_server_change(Some(&running), Some(&stopping), t.plus_ms(20), Evidence::Seen, &begun.opened, &cause());
    assert_eq!(on, Turn::default());

    let stopped = server(ServerState::Stopped, 2, 1024, t.plus_ms(30));
    let seen = Evidence::LastSeenAlive;
    let ended = on_server_change(Some(&stopping), Some(&stopped), t.plus_ms(30), seen, &begun.opened, &cause());
    assert!(ended.opened.is_empty());
    for (old, pieces) in &ended.closed {
        assert_eq!(pieces.len(), 1);
        assert_eq!((pieces[0].key, pieces[0].end), (old.key, Some(t.plus_ms(30))));
        assert_eq!(pieces[0].evidence, Some(seen));
    }
    let gone = on_server_change(Some(&stopping), None, t.plus_ms(30), seen, &begun.opened, &cause());
    assert_eq!(gone, ended);
}

#[test]
fn a_disk_is_metered_while_ready_and_a_new_size_begins_a_new_interval() {
    let t = Timestamp(1_000_000);
    let change = |old: &Disk, new: &Disk, at, open: &[Interval]| {
        on_disk_change(Some(old), Some(new), at, Evidence::Seen, open, &cause())
    };
    let (creating, ready) = (disk(DiskState::Creating, 10), disk(DiskState::Ready, 10));
    assert_eq!(on_disk_change(None, Some(&creating), t, Evidence::Seen, &[], &cause()), Turn::default());
    let begun = change(&creating, &ready, t, &[]);
    assert_eq!((begun.opened.len(), begun.opened[0].quantity), (1, 10));

    let grown = change(&ready, &disk(DiskState::Ready, 20), t.plus_ms(5), &begun.opened);
    assert_eq!(grown.closed[0].1[0].end, Some(t.plus_ms(5)));
    assert_eq!((grown.opened[0].key.start, grown.opened[0].quantity), (t.plus_ms(5), 20));

    let gone = change(&ready, &disk(DiskState::Deleting, 20), t.plus_ms(9), &grown.opened);
    assert_eq!((gone.opened.len(), gone.closed.len()), (0, 1));
}

#[test]
fn a_change_before_anything_was_counted_takes_the_old_ones_place() {
    let t = Timestamp(1_000_000);
    let (small, large) = (disk(DiskState::Ready, 10), disk(DiskState::Ready, 20));
    let open = on_disk_change(None, Some(&small), t, Evidence::Seen, &[], &cause()).opened;
    for at in [t, t.plus_ms(-50)] {
        let turn = on_disk_change(Some(&small), Some(&large), at, Evidence::Seen, &open, &cause());
        assert!(turn.opened.is_empty());
        let (old, new) = &turn.closed[0];
        assert_eq!((new.len(), new[0].key, new[0].quantity, new[0].end), (1, old.key, 20, None));
    }
}

#[test]
fn an_interval_is_cut_at_midnights_and_keeps_its_first_key() {
    let start: Timestamp = "2026-11-30T22:00:00Z".parse().unwrap();
    let open = opened(start);
    let pieces = close(&open, start.plus_ms(27 * 3_600_000), Evidence::LastSeenAlive, &cause());
    let ends: Vec<String> = pieces.iter().filter_map(|p| p.end).map(|t| t.to_string()).collect();
    assert_eq!(ends, ["2026-12-01T00:00:00.000Z", "2026-12-02T00:00:00.000Z", "2026-12-02T01:00:00.000Z"]);
    assert_eq!(pieces[0].key, open.key);
    let evidence: Vec<Evidence> = pieces.iter().filter_map(|p| p.evidence).collect();
    assert_eq!(evidence, [Evidence::Cut, Evidence::Cut, Evidence::LastSeenAlive]);

    let at_midnight = close(&open, start.next_midnight(), Evidence::Seen, &cause());
    assert_eq!(at_midnight.len(), 1, "a piece of no length is dropped");
}

#[test]
fn an_end_before_the_start_closes_at_the_start() {
    let start = Timestamp(5 * DAY_MS);
    for at in [start, start.plus_ms(-1), start.plus_ms(-3 * DAY_MS)] {
        let pieces = close(&opened(start), at, Evidence::Seen, &cause());
        assert_eq!((pieces.len(), pieces[0].end, pieces[0].evidence), (1, Some(start), Some(Evidence::Seen)));
    }
}

proptest! {
    #[test]
    fn the_pieces_of_an_interval_add_up_to_the_whole(start in 0..400 * DAY_MS, length in 0..20 * DAY_MS) {
        let start = Timestamp(start);
        let pieces = close(&opened(start), start.plus_ms(length), Evidence::Seen, &cause());
        let mut next = start;
        for piece in &pieces {
            let end = piece.end.unwrap();
            prop_assert_eq!(piece.key.start, next);
            prop_assert!(end > next || (length == 0 && pieces.len() == 1));
            prop_assert!(end <= next.next_midnight());
            next = end;
        }
        prop_assert_eq!(next, start.plus_ms(length));
    }

    /// A server and its store through any changes under a clock that jumps: keys stay unique, nothing overlaps, and what
    /// is counted is exactly what the server was seen to use.
    #[test]
    fn any_sequence_of_changes_counts_each_moment_once(
        steps in prop::collection::vec((prop::sample::select(ServerState::ALL.to_vec()), 1..3_u32, -2 * DAY_MS..3 * DAY_MS), 1..30),
    ) {
        let mut clock = Timestamp(100 * DAY_MS);
        let mut old: Option<Server> = None;
        let mut stored: BTreeMap<IntervalKey, Interval> = BTreeMap::new();
        let mut expected_unit_ms = 0_i128;
        for (state, cpu, jump) in steps {
            clock = clock.plus_ms(if jump % 3 == 0 { 0 } else { jump });
            let at = moment(old.as_ref(), clock);
            let new = server(state, cpu, 1024, at);
            if let Some(old) = old.as_ref().filter(|o| o.state.is_metered()) {
                expected_unit_ms += i128::from(old.cpu) * i128::from(at.since_ms(old.state_since));
            }
            let open: Vec<Interval> = stored.values().filter(|i| i.end.is_none()).cloned().collect();
            let turn = on_server_change(old.as_ref(), Some(&new), at, Evidence::Seen, &open, &cause());
            for (was, pieces) in turn.closed {
                prop_assert_eq!(stored.remove(&was.key), Some(was.clone()));
                prop_assert_eq!(pieces[0].key, was.key);
                for piece in pieces {
                    prop_assert!(stored.insert(piece.key, piece).is_none());
                }
            }
            for begun in turn.opened {
                prop_assert!(stored.insert(begun.key, begun).is_none());
            }
            old = Some(new);
        }
        let last = old.unwrap();
        for meter in [Meter::Cpu, Meter::Memory] {
            let of_meter: Vec<&Interval> = stored.values().filter(|i| i.key.meter == meter).collect();
            let starts: BTreeSet<Timestamp> = of_meter.iter().map(|i| i.key.start).collect();
            prop_assert_eq!(starts.len(), of_meter.len());
            for pair in of_meter.windows(2) {
                prop_assert!(pair[0].end.is_some_and(|end| end <= pair[1].key.start));
            }
            prop_assert_eq!(of_meter.iter().filter(|i| i.end.is_none()).count(), usize::from(last.state.is_metered()));
        }
        let counted: i128 = stored
            .values()
            .filter(|i| i.key.meter == Meter::Cpu)
            .map(|i| i128::from(i.quantity) * i128::from(i.end.unwrap_or(last.state_since).since_ms(i.key.start)))
            .sum();
        prop_assert_eq!(counted, expected_unit_ms);
    }
}

fn note(name: &str, state: PluggableState) -> PluggableResource {
    PluggableResource {
        id: sutler_model::PluggableResourceId::new(1, [6; 10]),
        version: 1,
        name: name.to_owned(),
        provider_type: "NOTE".to_owned(),
        script_id: sutler_model::ScriptId::new(1, [7; 10]),
        customer_id: Some(CustomerId::new(1, [2; 10])),
        billing_entity_id: BillingEntityId::new(1, [3; 10]),
        values: BTreeMap::new(),
        pending: None,
        state,
        turns: 1,
        state_reason: None,
        keys: Vec::new(),
        created_at: Timestamp(1_000),
    }
}

#[test]
fn a_pluggable_resource_is_metered_from_the_end_of_its_making_until_it_is_gone() {
    let t = Timestamp(2_000);
    let (making, there) = (note("one", PluggableState::Creating), note("one", PluggableState::Active));
    let begun = on_pluggable_change(&making, Some(&there), t, &[], &cause());
    let [open] = &begun.opened[..] else { panic!("{begun:?}") };
    assert_eq!((open.key.start, open.key.meter, open.quantity), (t, Meter::PluggableResource, 1));
    assert_eq!((open.provider_type.as_deref(), open.end), (Some("NOTE"), None));
    assert_eq!(on_pluggable_change(&making, None, t, &[], &cause()), Turn::default(), "refused");
    let at = t.plus_ms(10);
    assert_eq!(on_pluggable_change(&there, Some(&there), at, &begun.opened, &cause()), Turn::default());

    let renamed = on_pluggable_change(&there, Some(&note("two", PluggableState::Active)), at, &begun.opened, &cause());
    assert_eq!((renamed.closed[0].1[0].end, renamed.opened[0].key.start), (Some(at), at), "without a gap");
    assert_eq!(renamed.opened[0].resource_name, "two");
    let ended = on_pluggable_change(&there, None, at, &begun.opened, &cause());
    assert_eq!((ended.closed[0].1[0].end, ended.opened.len()), (Some(at), 0));
    let sellers = PluggableResource { customer_id: None, ..making };
    assert_eq!(on_pluggable_change(&sellers, Some(&there), t, &[], &cause()), Turn::default(), "nobody pays for it");
}

#[test]
fn a_pluggable_resource_that_was_there_before_it_was_metered_counts_from_when_it_came_to_be() {
    let there = note("one", PluggableState::Deleting);
    let begun =
        on_pluggable_change(&there, Some(&note("one", PluggableState::Active)), Timestamp(9_000), &[], &cause());
    assert_eq!(begun.opened[0].key.start, there.created_at);
    let at = there.created_at.plus_ms(DAY_MS);
    let ended = on_pluggable_change(&there, None, at, &[], &cause());
    let stretches: Vec<_> = ended.opened.iter().map(|i| (i.key.start, i.end)).collect();
    let midnight = there.created_at.next_midnight();
    assert_eq!(stretches, [(there.created_at, Some(midnight)), (midnight, Some(at))], "at most a day each");
}
