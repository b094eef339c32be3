//! Runs that go when they are old, and what stands on them.

use super::{calls::script_run, *};
use crate::tables;

/// A run of the event at a place in the feed.
fn run_of(id: u128, seq: u64) -> ScriptRun {
    let mut new = script_run(id, RunState::Succeeded);
    (new.seq, new.resource_id, new.log) = (Some(seq), Some(Uuid::from_u128(seq.into())), "x".repeat(400));
    new
}

fn sweep(store: &Store, runs: &[ScriptRun]) -> Committed {
    let mut changes = ChangeSet::new(Cause::system("sweep"));
    for run in runs {
        changes.sweep(run);
    }
    changes.forget_calls();
    run(store.commit(changes)).unwrap()
}

/// Commits runs of the events at these places, and answers them.
fn recorded(store: &Store, ids: impl Iterator<Item = u128>) -> Vec<ScriptRun> {
    let mut changes = set();
    let mut runs: Vec<ScriptRun> = ids.map(|id| run_of(id, u64::try_from(id).unwrap())).collect();
    for run in &mut runs {
        changes.create(run);
    }
    run(store.commit(changes)).unwrap();
    runs
}

fn naming<R: Record>(store: &Store, run_id: u128) -> Vec<R> {
    let filter = Filter::<R>::new().is(Field::Run, Uuid::from_u128(run_id).as_bytes());
    store.snapshot().unwrap().all(filter).unwrap()
}

fn charged(run_id: u128) -> InvoiceCharge {
    InvoiceCharge {
        resource_id: Uuid::from_u128(4),
        resource_name: "web".to_owned(),
        component: "Backup".to_owned(),
        description: "10 GB".to_owned(),
        units: None,
        unit_price: Nanos(1),
        amount: Nanos(10),
        run_id: RunId(Uuid::from_u128(run_id)),
        meter: None,
    }
}

fn invoice(store: &Store, run_ids: &[u128]) -> Invoice {
    Invoice {
        id: InvoiceId(store.new_uuid()),
        version: 0,
        number: None,
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        customer_id: CustomerId(Uuid::from_u128(7)),
        from: Timestamp(0),
        to: Timestamp(1),
        currency: "EUR".parse().unwrap(),
        lines: Vec::new(),
        charges: run_ids.iter().map(|id| charged(*id)).collect(),
        total: Nanos(10),
        tax: None,
        issued_at: Timestamp(1),
    }
}

#[test]
fn a_swept_run_is_gone_with_its_calls_and_the_feed_tells_of_it_by_its_id_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = open(folder.path());
    let mut web = server(&store, "web", 1);
    let mut changes = ChangeSet::new(calls::by(5, 1, "createServer", None));
    changes.create(&mut web);
    run(store.commit(changes)).unwrap();
    let runs = recorded(&store, 5..8);
    let swept = sweep(&store, &runs[..2]);
    assert_eq!(store.snapshot().unwrap().all(Filter::<ScriptRun>::new()).unwrap(), runs[2..]);
    assert_eq!(store.snapshot().unwrap().call(Uuid::from_u128(5), 1).unwrap(), None);
    let told = store.feed(swept.seq, 1).unwrap().remove(0);
    let ids: Vec<Uuid> = told.changes.iter().map(|change| change.id).collect();
    assert_eq!(ids, [Uuid::from_u128(5), Uuid::from_u128(6)]);
    for change in &told.changes {
        assert_eq!((change.noun, change.op, change.fields().len()), (Noun::ScriptRun, Op::Deleted, 0));
        assert!(change.deleted::<ScriptRun>().is_err(), "what it was is not told");
    }
    assert!(told.masked().changes.iter().all(|change| change.fields().is_empty()));
    // Who was changed meanwhile stays, and all that should have gone with it.
    let mut changed = runs[2].clone();
    update(&store, &runs[2], &mut changed).unwrap();
    let mut late = ChangeSet::new(Cause::system("sweep"));
    late.sweep(&runs[2]);
    assert!(matches!(run(store.commit(late)), Err(Error::Conflict { .. })));
    drop(store);
    let runs = crate::verify(&path).unwrap().records.into_iter().find(|(noun, _)| *noun == Noun::ScriptRun);
    assert_eq!(runs, Some((Noun::ScriptRun, 1)));
}

#[test]
fn what_names_a_run_is_found_by_it_whether_it_is_live_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let by = |id| calls::by(id, 1, "createServer", None);
    let mut job = Job { cause: by(5), ..bare_job(store.new_uuid(), 7) };
    let mut used = Interval { began_by: by(5), ended_by: Some(by(5)), ..interval(7, 0, 9, Some(5)) };
    let mut ended = Interval { ended_by: Some(by(6)), ..interval(7, 5, 9, Some(8)) };
    let mut second = ScriptRun { cause: by(5), ..script_run(8, RunState::Succeeded) };
    let mut due = invoice(&store, &[5, 5, 6]);
    let mut changes = set();
    changes.create(&mut job).create(&mut used).create(&mut ended).create(&mut second).create(&mut due);
    run(store.commit(changes)).unwrap();
    for store in [store.clone(), {
        let mut done = Job { state: JobState::Successful, ..job.clone() };
        update(&store, &job, &mut done).unwrap();
        job = done;
        store
    }] {
        assert_eq!(naming::<Job>(&store, 5), [job.clone()]);
        assert_eq!(naming::<Interval>(&store, 5), [used.clone()]);
        assert_eq!(naming::<Interval>(&store, 6), [ended.clone()]);
        assert_eq!(naming::<ScriptRun>(&store, 5), [second.clone()]);
        assert_eq!(naming::<Invoice>(&store, 5), [due.clone()]);
        assert_eq!(naming::<Invoice>(&store, 6), [due.clone()]);
        assert!(naming::<Job>(&store, 6).is_empty() && naming::<Invoice>(&store, 8).is_empty());
    }
}

#[test]
fn a_rebuilt_store_has_no_swept_runs_and_their_events_are_not_seen_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let copy = folder.path().join("copy");
    run(store.consumer(TRIGGERS, 1)).unwrap();
    run(store.consumer("another", 1)).unwrap();
    let mut web = server(&store, "web", 1);
    create(&store, &mut web).unwrap();
    // The base knows the triggers' place of now, which moves on.
    let follower = Follower::start(store.clone(), copy.clone()).unwrap();
    let runs = recorded(&store, 1..9);
    run(store.advance(TRIGGERS, 10)).unwrap();
    let last = sweep(&store, &runs[..6]).seq;
    let mut status = follower.status();
    run(async { drop(status.wait_for(|s| s.seq >= last).await.unwrap()) });
    drop((follower, store));
    let rebuilt = folder.path().join("rebuilt.redb");
    rebuild(&copy, &rebuilt).unwrap();
    crate::verify(&rebuilt).unwrap();
    let store = Store::open(&rebuilt, options()).unwrap();
    assert_eq!(store.snapshot().unwrap().all(Filter::<ScriptRun>::new()).unwrap(), runs[6..]);
    assert_eq!(run(store.consumer(TRIGGERS, 1)).unwrap(), (7, false), "the run of event 6 is gone, that of 7 is there");
    assert_eq!(run(store.consumer("another", 1)).unwrap(), (1, false));
}

#[test]
fn a_file_whose_old_runs_go_stops_growing() {
    const EACH: u128 = 500;
    let folder = tempfile::tempdir().unwrap();
    // Of the feed too only the newest stays.
    let small = Options { feed_max_bytes: 1, ..options() };
    let store = Store::open(&folder.path().join("store.redb"), small).unwrap();
    run(store.consumer("clock", 1)).unwrap();
    let (mut there, mut sizes) = (std::collections::VecDeque::new(), Vec::new());
    for month in 0..8 {
        let last = store.stats().seq;
        let ids = month * EACH + 1..(month + 1) * EACH + 1;
        ids.step_by(50).for_each(|first| there.push_back(recorded(&store, first..first + 50)));
        while there.len() > 20 {
            sweep(&store, &there.pop_front().unwrap());
        }
        // The feed is trimmed once a second, with whatever is committed then.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while store.stats().oldest_seq <= last {
            assert!(std::time::Instant::now() < deadline, "the feed was not trimmed");
            run(store.advance("clock", last)).unwrap();
        }
        sizes.push(store.stats().file_bytes);
    }
    assert!(sizes[0] < sizes[1] && sizes[3] == sizes[7], "{sizes:?}");
    assert_eq!(store.snapshot().unwrap().all(Filter::<ScriptRun>::new()).unwrap().len(), 1000);
}

#[test]
fn records_of_an_older_file_are_found_by_the_runs_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = open(folder.path());
    let mut job = Job { cause: calls::by(5, 1, "startServer", None), ..bare_job(store.new_uuid(), 7) };
    job.state = JobState::Successful;
    create(&store, &mut job).unwrap();
    drop(store);
    // As it was before schema 3.
    files::edit(&path, 2, |txn| {
        let mut history = txn.open_table(tables::HISTORY).unwrap();
        history.retain(|entry, _| entry[1] != Field::Run as u8).unwrap();
    });
    crate::verify(&path).unwrap();
    let store = open(folder.path());
    assert_eq!(naming::<Job>(&store, 5), [job]);
    drop(store);
    crate::verify(&path).unwrap();
}
