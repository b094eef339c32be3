//! What is remembered of ended runs goes once nobody can ask for them again.

use super::*;
use sutler_model::pluggable::PluggableState;

const DAY_MS: i64 = 86_400_000;
/// The time of [`options`].
const NOW: i64 = 1_800_000_000_000;
/// Beyond every other: a walk that has swept it has been everywhere.
const LAST: Uuid = Uuid::from_u128(u128::MAX);

/// A store that begins a walk whenever there is time.
fn sweeping(folder: &Path) -> Store {
    let options = Options { feed_max_ms: 30 * DAY_MS, calls_keep_ms: 7 * DAY_MS, calls_sweep_ms: 0, ..options() };
    Store::open(&folder.join("store.redb"), options).unwrap()
}

fn ended(id: Uuid, state: RunState, days_ago: i64) -> ScriptRun {
    ScriptRun { id: RunId(id), finished_at: Some(Timestamp(NOW - days_ago * DAY_MS)), ..script_run(0, state) }
}

/// Waits until the writer has walked over all there was.
fn walked(store: &Store) {
    call(store, LAST);
    end_for_asker(store, ended(LAST, RunState::Succeeded, 8));
    eventually(store, |store| !remembered(store, LAST));
}

/// Waits for a state; the writer looks for old notes as it commits.
fn eventually(store: &Store, holds: impl Fn(&Store) -> bool) {
    let since = std::time::Instant::now();
    while !holds(store) {
        assert!(since.elapsed().as_secs() < 60, "it is swept");
        run(store.commit({
            let mut changes = set();
            changes.create(&mut server(store, &store.new_uuid().to_string(), 1));
            changes
        }))
        .unwrap();
        std::thread::yield_now();
    }
}

fn remembered(store: &Store, maker: Uuid) -> bool {
    !store.snapshot().unwrap().calls(maker).unwrap().is_empty()
}

fn pluggable(state: PluggableState) -> PluggableResource {
    PluggableResource {
        id: Uuid::from_u128(77).into(),
        version: 0,
        name: "note".to_owned(),
        provider_type: "NOTE".to_owned(),
        script_id: ScriptId(Uuid::from_u128(1)),
        customer_id: None,
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        values: Default::default(),
        pending: None,
        state,
        turns: 1,
        state_reason: None,
        keys: Vec::new(),
        created_at: Timestamp(0),
    }
}

#[test]
fn calls_of_a_run_that_ended_well_long_ago_are_forgotten_and_those_of_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = sweeping(folder.path());
    let id = |n: u128| Uuid::from_u128(n);
    (1..=5).for_each(|n| call(&store, id(n)));
    end_for_asker(&store, ended(id(1), RunState::Succeeded, 8));
    end_for_asker(&store, ended(id(2), RunState::Succeeded, 6));
    end_for_asker(&store, ended(id(3), RunState::Dead, 100));
    end_for_asker(&store, ended(id(4), RunState::Refused, 8));
    end_for_asker(&store, ended(id(5), RunState::Running, 8));
    walked(&store);
    assert_eq!([1, 2, 3, 4, 5].map(|n| remembered(&store, id(n))), [false, true, true, false, true]);
}

#[test]
fn calls_of_a_run_are_remembered_for_as_long_as_somebody_may_ask_for_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = sweeping(folder.path());
    let id = |n: u128| Uuid::from_u128(n);
    // For a resource whose change waits for the next start, by a run that has failed, and by one behind that.
    (1..=4).for_each(|n| call(&store, id(n)));
    let mut waits = pluggable(PluggableState::Modifying);
    create(&store, &mut waits).unwrap();
    end_for_asker(&store, ScriptRun { resource_id: Some(waits.id.0), ..ended(id(1), RunState::Succeeded, 8) });
    let dead = ended(id(9), RunState::Dead, 8);
    end_for_asker(&store, dead.clone());
    let by_dead = ended(id(2), RunState::Succeeded, 8);
    end_for_asker(&store, ScriptRun { cause: Cause::run(dead.id, 1), ..by_dead.clone() });
    end_for_asker(&store, ScriptRun { cause: Cause::run(by_dead.id, 2), ..ended(id(3), RunState::Succeeded, 8) });
    // The one behind this is over; that a failed one set its event off is another matter.
    let trigger = ScriptRun { seq: Some(7), cause: Cause::run(dead.id, 1), ..ended(id(10), RunState::Succeeded, 8) };
    end_for_asker(&store, trigger.clone());
    end_for_asker(&store, ScriptRun { cause: Cause::run(trigger.id, 2), ..ended(id(4), RunState::Succeeded, 8) });
    walked(&store);
    assert_eq!([1, 2, 3, 4].map(|n| remembered(&store, id(n))), [true, true, true, false]);

    let mut changes = set();
    changes.update(&waits, &mut PluggableResource { state: PluggableState::Active, ..waits.clone() });
    let dead = ScriptRun { version: 1, ..dead };
    changes.update(&dead, &mut ScriptRun { state: RunState::Skipped, ..dead.clone() });
    run(store.commit(changes)).unwrap();
    eventually(&store, |store| [1, 2, 3].into_iter().all(|n| !remembered(store, id(n))));
}

#[test]
fn calls_of_a_run_without_a_record_are_remembered_for_as_long_as_the_feed_may_have_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let store = sweeping(folder.path());
    let of = |days_ago: i64| RunId::new((NOW - days_ago * DAY_MS).unsigned_abs(), [7; 10]).0;
    call(&store, of(29));
    call(&store, of(31));
    walked(&store);
    assert_eq!([29, 31].map(|days| remembered(&store, of(days))), [true, false]);
}

#[test]
fn very_many_are_forgotten_in_steps_that_a_restart_takes_up() {
    let folder = tempfile::tempdir().unwrap();
    let id = |n: u128| Uuid::from_u128(n << 64);
    let store = open(folder.path());
    for n in 1..=300 {
        call(&store, id(n));
        end_for_asker(&store, ended(id(n), if n % 2 == 0 { RunState::Succeeded } else { RunState::Dead }, 8));
    }
    drop(store);
    let left = |store: &Store| (1..=300).filter(|n| remembered(store, id(*n))).count();
    let store = sweeping(folder.path());
    eventually(&store, |store| left(store) < 300);
    assert!(left(&store) > 150, "not all at once");
    drop(store);
    let store = sweeping(folder.path());
    eventually(&store, |store| !remembered(store, id(300)));
    assert_eq!(left(&store), 150, "the dead letters keep theirs");
    drop(store);
    crate::verify(&folder.path().join("store.redb")).unwrap();
}

#[test]
fn a_rebuilt_store_remembers_what_ended_and_may_be_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let copy = folder.path().join("copy");
    let id = |n: u128| Uuid::from_u128(n);
    call(&store, id(1));
    let follower = Follower::start(store.clone(), copy.clone()).unwrap();
    (2..=3).for_each(|n| call(&store, id(n)));
    // The asker of the first two does not know yet; the third is over for good.
    end_for_asker(&store, ended(id(1), RunState::Succeeded, 0));
    end_for_asker(&store, ended(id(2), RunState::Succeeded, 0));
    end(&store, 3, RunState::Succeeded);
    let mut status = follower.status();
    let seq = store.stats().seq;
    run(async { drop(status.wait_for(|s| s.seq >= seq).await.unwrap()) });
    drop((follower, store));
    let rebuilt = folder.path().join("rebuilt.redb");
    rebuild(&copy, &rebuilt).unwrap();
    let store = Store::open(&rebuilt, options()).unwrap();
    assert_eq!([1, 2, 3].map(|n| remembered(&store, id(n))), [true, true, false]);
}
