//! What calls of runs have done, until the runs are over.

mod sweep;

use super::*;

/// The cause of what a run's call changes.
pub(super) fn by(run: u128, number: u32, operation: &str, about: Option<Uuid>) -> Cause {
    let call = RunCall { number, operation: operation.to_owned(), about, job_id: None };
    Cause::Run { run_id: RunId(Uuid::from_u128(run)), depth: 1, by_call: Some(Box::new(call)) }
}

/// Changes something by a call of a run.
fn call(store: &Store, run_id: Uuid) {
    let call = RunCall { number: 1, operation: "createServer".to_owned(), about: None, job_id: None };
    let mut changes = ChangeSet::new(Cause::Run { run_id: RunId(run_id), depth: 1, by_call: Some(Box::new(call)) });
    changes.create(&mut server(store, &store.new_uuid().to_string(), 1));
    run(store.commit(changes)).unwrap();
}

/// Records how a run ended whose calls may be made again: who asked for it may not know the end.
fn end_for_asker(store: &Store, ended: ScriptRun) {
    run(store.commit({
        let mut changes = ChangeSet::new(Cause::run(ended.id, 0));
        changes.create(&mut ended.clone());
        changes
    }))
    .unwrap();
}

/// Records how a run ended that may have made calls.
fn end(store: &Store, run_id: u128, state: RunState) -> ScriptRun {
    let mut ended = script_run(run_id, state);
    let mut changes = ChangeSet::new(Cause::run(ended.id, 0));
    changes.create(&mut ended).forget_calls();
    run(store.commit(changes)).unwrap();
    ended
}

/// A run that ended so.
pub(super) fn script_run(id: u128, state: RunState) -> ScriptRun {
    ScriptRun {
        id: RunId(Uuid::from_u128(id)),
        version: 0,
        script_id: ScriptId(Uuid::from_u128(1)),
        function: "watch".to_owned(),
        owner: Scope::Provider,
        seq: None,
        option: "ANY".to_owned(),
        resource_id: None,
        cause: Cause::system("test"),
        state,
        attempts: 1,
        next_at: None,
        duration_us: 0,
        log: String::new(),
        result: String::new(),
        created_at: Timestamp(0),
        finished_at: None,
        asked: None,
    }
}

fn made(store: &Store, maker: u128, number: u32) -> Option<CallMade> {
    store.snapshot().unwrap().call(Uuid::from_u128(maker), number).unwrap()
}

#[test]
fn a_change_of_a_call_is_found_by_run_and_call_after_the_store_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut web = server(&store, "web", 1);
    create(&store, &mut web).unwrap();
    let mut changes = ChangeSet::new(by(7, 3, "modifyServer", Some(web.id.0)));
    changes.update(&web, &mut web.clone()).create(&mut interval(1, 0, 2, None));
    run(store.commit(changes)).unwrap();
    drop(store);
    let store = open(folder.path());
    let found = made(&store, 7, 3).unwrap();
    let touched = Touched { noun: Noun::Server, id: web.id.0, op: Op::Updated, version: 2 };
    assert_eq!((found.operation.as_str(), found.about, found.changes), ("modifyServer", Some(web.id.0), vec![touched]));
    assert_eq!((made(&store, 7, 2), made(&store, 8, 3)), (None, None));
}

#[test]
fn what_a_call_does_in_several_sets_is_kept_together_and_another_call_in_its_place_takes_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut web = server(&store, "web", 1);
    let id = web.id.0;
    let mut changes = ChangeSet::new(by(7, 1, "createServer", None));
    changes.create(&mut web);
    run(store.commit(changes)).unwrap();
    let mut changes = ChangeSet::new(by(7, 1, "createServer", None));
    changes.delete(&web);
    run(store.commit(changes)).unwrap();
    let found = made(&store, 7, 1).unwrap();
    assert_eq!((found.op(Noun::Server, id), found.deleted(id)), (Some(Op::Created), Some(Noun::Server)));
    let mut changes = ChangeSet::new(by(7, 1, "createUser", None));
    changes.create(&mut user(&store, "ada@example.org"));
    run(store.commit(changes)).unwrap();
    let found = made(&store, 7, 1).unwrap();
    assert_eq!((found.first(Noun::Server), found.changes.len()), (None, 1));
}

#[test]
fn the_calls_of_a_run_are_forgotten_with_its_end_and_kept_for_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for maker in [7, 8, 9] {
        let mut changes = ChangeSet::new(by(maker, 1, "createServer", None));
        changes.create(&mut server(&store, &format!("web{maker}"), maker));
        run(store.commit(changes)).unwrap();
    }
    end(&store, 7, RunState::Succeeded);
    let dead = end(&store, 8, RunState::Dead);
    assert_eq!(store.snapshot().unwrap().calls(Uuid::from_u128(7)).unwrap(), []);
    assert!(made(&store, 8, 1).is_some(), "it may be tried again");
    assert!(made(&store, 9, 1).is_some(), "it is of another run");
    let mut skipped = ScriptRun { state: RunState::Skipped, ..dead.clone() };
    let mut changes = ChangeSet::new(Cause::system("test"));
    changes.update(&dead, &mut skipped).forget_calls();
    run(store.commit(changes)).unwrap();
    assert_eq!(made(&store, 8, 1), None);
}

#[test]
fn a_refused_change_of_a_call_is_not_noted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut web = server(&store, "web", 1);
    create(&store, &mut web).unwrap();
    let mut changes = ChangeSet::new(by(7, 1, "createServer", None));
    changes.create(&mut web.clone());
    run(store.commit(changes)).unwrap_err();
    assert_eq!(made(&store, 7, 1), None);
}
