//! Records that stop being live.

use super::*;

fn in_state(job: &Job, state: JobState) -> Job {
    Job { state, ..job.clone() }
}

#[test]
fn a_finished_job_leaves_memory_and_is_still_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut job = bare_job(store.new_uuid(), 7);
    job.idempotency_key = Some("once".to_owned());
    create(&store, &mut job).unwrap();
    assert_eq!(store.index().ids(Noun::Job, Field::Pending, b"1"), [job.id.0]);
    let mut done = in_state(&job, JobState::Successful);
    update(&store, &job, &mut done).unwrap();
    for store in [store.clone(), {
        run(store.close());
        open(folder.path())
    }] {
        assert!(store.index().all(Noun::Job).is_empty());
        if store.health() != Health::Ok {
            continue;
        }
        assert_eq!(run(store.get::<Job>(job.id)).unwrap().as_ref(), Some(&done));
        for (field, value) in [
            (Field::Customer, job.customer_id.as_ref().expect("a customer").0.as_bytes().as_slice()),
            (Field::Subject, job.item_id.as_bytes()),
            (Field::State, b"successful"),
        ] {
            let filter = Filter::<Job>::new().is(field, value);
            assert_eq!(listed(&store, &filter, 10, Order::Ascending), [done.clone()], "{field:?}");
        }
        assert!(listed(&store, &Filter::<Job>::new().is(Field::Pending, b"1"), 10, Order::Ascending).is_empty());
        // The key stays taken, and the job can still be changed, run again and deleted.
        let mut twin = bare_job(store.new_uuid(), 7);
        twin.idempotency_key = Some("once".to_owned());
        assert!(matches!(create(&store, &mut twin), Err(Error::Taken { holder, .. }) if holder == job.id.0));
        let mut again = in_state(&done, JobState::InProgress);
        update(&store, &done, &mut again).unwrap();
        assert_eq!(store.index().version(Noun::Job, job.id.0), Some(3));
        assert!(listed(&store, &Filter::<Job>::new().is(Field::State, b"successful"), 10, Order::Ascending).is_empty());
        let mut changes = set();
        changes.delete(&again);
        run(store.commit(changes)).unwrap();
        create(&store, &mut twin).unwrap();
    }
}

#[test]
fn what_most_have_is_found_without_an_entry_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let states = [RunState::Succeeded, RunState::Dead, RunState::Pending, RunState::Succeeded];
    let mut runs = states.map(|state| script_run(store.new_uuid(), state));
    for run in &mut runs {
        create(&store, run).unwrap();
    }
    let [succeeded, dead, pending, again] = runs;
    let of = |words: &[&str]| {
        let filter = Filter::<ScriptRun>::new().any(Field::State, words.iter().copied());
        listed(&store, &filter, 1, Order::Ascending)
    };
    assert_eq!(of(&["succeeded"]), [succeeded.clone(), again.clone()]);
    assert_eq!(of(&["dead"]), std::slice::from_ref(&dead));
    assert_eq!(of(&["dead", "succeeded"]), [succeeded.clone(), dead, again.clone()]);
    assert_eq!(of(&["pending"]), std::slice::from_ref(&pending));

    let mut done = ScriptRun { state: RunState::Succeeded, ..pending.clone() };
    update(&store, &pending, &mut done).unwrap();
    assert_eq!(of(&["succeeded"]), [succeeded, done, again]);
    assert!(of(&["pending"]).is_empty());
}

fn script_run(id: Uuid, state: RunState) -> ScriptRun {
    ScriptRun {
        id: RunId(id),
        version: 0,
        script_id: ScriptId(Uuid::from_u128(3)),
        function: "watch".to_owned(),
        owner: Scope::Provider,
        seq: Some(1),
        option: "SERVER".to_owned(),
        resource_id: Some(Uuid::from_u128(4)),
        cause: Cause::system("test"),
        state,
        attempts: 1,
        next_at: None,
        duration_us: 1,
        log: String::new(),
        result: String::new(),
        created_at: Timestamp(1),
        finished_at: None,
        asked: None,
    }
}

#[test]
fn a_run_that_is_over_is_not_recorded_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let ids: Vec<Uuid> = (0..3).map(|_| store.new_uuid()).collect();
    let again = |id: Uuid| {
        let found = create(&store, &mut script_run(id, RunState::Succeeded));
        assert!(matches!(found, Err(Error::Conflict { found: Some(1), .. })), "{found:?}");
    };
    // The newest last, then one that is older than what there is.
    for id in [ids[1], ids[2], ids[0]] {
        create(&store, &mut script_run(id, RunState::Succeeded)).unwrap();
        again(id);
    }
    ids.into_iter().for_each(again);
    // And twice in one transaction.
    let new = store.new_uuid();
    let twins = [new, new].map(|id| {
        let mut changes = set();
        changes.create(&mut script_run(id, RunState::Succeeded));
        changes
    });
    let [first, second] = <[_; 2]>::try_from(store.submit_all(twins)).unwrap_or_else(|_| panic!("two answers"));
    run(first).unwrap();
    assert!(matches!(run(second), Err(Error::Conflict { found: Some(1), .. })));
}

#[test]
fn a_snapshot_still_finds_what_has_moved_since() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut jobs: Vec<Job> = (0..10).map(|_| bare_job(store.new_uuid(), 7)).collect();
    for job in &mut jobs {
        create(&store, job).unwrap();
    }
    let filter = Filter::<Job>::new().is(Field::State, b"not_started");
    let snapshot = store.snapshot().unwrap();
    for job in &jobs[..5] {
        update(&store, job, &mut in_state(job, JobState::Failed)).unwrap();
    }
    let page = snapshot.page(&filter, &first(100, Order::Ascending)).unwrap();
    assert_eq!(page.items, jobs);
    assert_eq!(listed(&store, &filter, 100, Order::Ascending), jobs[5..]);
}

#[test]
fn intervals_stream_by_customer_and_time_open_or_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for (customer, start) in [(1, -5), (1, 0), (1, 10), (1, 20), (2, 0), (2, 15)] {
        let mut one = interval(customer, start, 77, (start != 20).then_some(start + 5));
        create(&store, &mut one).unwrap();
        let mut twin = interval(customer, start, 77, None);
        assert!(matches!(create(&store, &mut twin), Err(Error::Conflict { found: Some(1), .. })));
    }
    let starts = |items: Vec<Interval>| items.iter().map(|i| i.key.start.0).collect::<Vec<_>>();
    let snapshot = store.snapshot().unwrap();
    let mut seen = Vec::new();
    let prefix = |start| interval_prefix(Uuid::from_u128(1), Timestamp(start));
    snapshot
        .scan::<Interval>(&prefix(-5), &prefix(20), |i| {
            seen.push(i);
            true
        })
        .unwrap();
    assert_eq!(starts(seen), [-5, 0, 10]);
    let by_customer = Filter::<Interval>::new().is(Field::Customer, Uuid::from_u128(1).as_bytes());
    for limit in [1, 3, 10] {
        assert_eq!(starts(listed(&store, &by_customer, limit, Order::Ascending)), [-5, 0, 10, 20]);
        assert_eq!(starts(listed(&store, &by_customer, limit, Order::Descending)), [20, 10, 0, -5]);
    }
    let by_resource = Filter::<Interval>::new().is(Field::Subject, Uuid::from_u128(77).as_bytes());
    assert_eq!(starts(listed(&store, &by_resource, 4, Order::Ascending)), [-5, 0, 10, 20, 0, 15]);
    let open = Filter::<Interval>::new().is(Field::Pending, b"1");
    assert_eq!(starts(listed(&store, &open, 4, Order::Ascending)), [20]);
}

#[test]
fn invoice_numbers_are_unique_though_invoices_are_never_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let invoice = |number| Invoice {
        id: InvoiceId(store.new_uuid()),
        version: 0,
        number,
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        customer_id: CustomerId(Uuid::from_u128(7)),
        from: Timestamp(0),
        to: Timestamp(1),
        currency: "EUR".parse().unwrap(),
        lines: Vec::new(),
        charges: Vec::new(),
        total: Nanos(5),
        tax: None,
        issued_at: Timestamp(1),
    };
    let (mut one, mut twin, mut preview) = (invoice(Some(1)), invoice(Some(1)), invoice(None));
    // In one batch, and again in another.
    let (mut a, mut b) = (set(), set());
    a.create(&mut one);
    b.create(&mut twin);
    let (a, b) = (store.submit(a), store.submit(b));
    run(async {
        a.await.unwrap();
        assert!(matches!(b.await, Err(Error::Taken { field: "number", .. })));
    });
    assert!(matches!(create(&store, &mut twin), Err(Error::Taken { holder, .. }) if holder == one.id.0));
    create(&store, &mut preview).unwrap();
    let snapshot = store.snapshot().unwrap();
    let parts: [&[u8]; 2] = [one.billing_entity_id.0.as_bytes(), &1_u64.to_be_bytes()];
    assert_eq!(snapshot.holder::<Invoice>("number", &parts).unwrap(), Some(one));
}
