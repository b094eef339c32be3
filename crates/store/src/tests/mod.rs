//! The store as its callers see it.

mod calls;
mod copy;
mod faults;
mod feed;
mod files;
mod history;
mod kill;
mod model;
mod sweep;

use crate::*;
use std::path::Path;
use sutler_model::*;
use uuid::Uuid;

fn options() -> Options {
    Options {
        cache_bytes: 16 << 20,
        reserve_bytes: 0,
        feed_keep_ms: i64::MAX,
        feed_max_ms: i64::MAX,
        feed_max_bytes: u64::MAX,
        calls_keep_ms: i64::MAX,
        calls_sweep_ms: u64::MAX,
        clock: || Timestamp(1_800_000_000_000),
    }
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("store.redb"), options()).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn server(store: &Store, name: &str, customer: u128) -> Server {
    bare_server(store.new_uuid(), name, customer)
}

fn bare_server(id: Uuid, name: &str, customer: u128) -> Server {
    Server {
        id: ServerId(id),
        version: 0,
        name: name.to_owned(),
        customer_id: CustomerId(Uuid::from_u128(customer)),
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        cpu: 1,
        memory_mib: 512,
        image_id: ImageId(Uuid::from_u128(3)),
        node_id: None,
        nics: Vec::new(),
        state: ServerState::Building,
        state_since: Timestamp(0),
        state_reason: None,
        wanted: Wanted::Running,
        job_id: None,
        user_data: None,
        ssh_keys: Vec::new(),
        keys: Vec::new(),
        provider_values: Default::default(),
        metadata: None,
        runtime_metadata: None,
        created_at: Timestamp(0),
    }
}

fn bare_job(id: Uuid, customer: u128) -> Job {
    Job {
        id: JobId(id),
        version: 0,
        input: JobInput::DeleteServer { server_id: ServerId(Uuid::from_u128(9)) },
        item_noun: Noun::Server,
        item_id: Uuid::from_u128(9),
        item_name: "web".to_owned(),
        customer_id: Some(CustomerId(Uuid::from_u128(customer))),
        request: None,
        metadata: None,
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        user_id: None,
        parent_id: None,
        state: JobState::NotStarted,
        current: None,
        done: Vec::new(),
        progress_percent: 0,
        error: None,
        idempotency_key: None,
        request_hash: None,
        also_answers: Vec::new(),
        cancel_requested: false,
        start_at: None,
        scheduled: false,
        deadline_at: Timestamp(0),
        cause: Cause::system("test"),
        created_at: Timestamp(0),
        started_at: None,
        finished_at: None,
    }
}

fn user(store: &Store, email: &str) -> User {
    User {
        id: UserId(store.new_uuid()),
        version: 0,
        email: email.to_owned(),
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        customer_id: None,
        role: Role::ProviderAdmin,
        password_hash: "$argon2id$secret".to_owned(),
        locked: false,
        contact: Default::default(),
        keys: Vec::new(),
        created_at: Timestamp(0),
    }
}

fn interval(customer: u128, start: i64, resource: u128, end: Option<i64>) -> Interval {
    Interval {
        key: IntervalKey {
            customer_id: CustomerId(Uuid::from_u128(customer)),
            start: Timestamp(start),
            resource_id: Uuid::from_u128(resource),
            meter: Meter::Cpu,
        },
        version: 0,
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        resource_name: "web".to_owned(),
        quantity: 2,
        provider_type: None,
        end: end.map(Timestamp),
        evidence: None,
        began_by: Cause::system("test"),
        ended_by: None,
    }
}

/// Commits one set that creates `record`.
fn create<R: Record>(store: &Store, record: &mut R) -> Result<Committed, Error> {
    let mut changes = set();
    changes.create(record);
    run(store.commit(changes))
}

/// Commits one set that updates `old` to `new`.
fn update<R: Record>(store: &Store, old: &R, new: &mut R) -> Result<Committed, Error> {
    let mut changes = set();
    changes.update(old, new);
    run(store.commit(changes))
}

fn set() -> ChangeSet {
    ChangeSet::new(Cause::system("test"))
}

#[test]
fn what_was_committed_is_found_by_id_and_index_and_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    run(async {
        let mut web = server(&store, "web", 7);
        let mut changes = set();
        changes.create(&mut web);
        let committed = store.commit(changes).await.unwrap();
        assert_eq!(committed.seq, 1);
        assert_eq!(store.get::<Server>(web.id).await.unwrap().as_ref(), Some(&web));
        let mut running = web.clone();
        running.state = ServerState::Running;
        let mut changes = set();
        changes.update(&web, &mut running);
        store.commit(changes).await.unwrap();
        assert_eq!(running.version, 2);
        for store in [store.clone(), {
            store.close().await;
            open(folder.path())
        }] {
            let index = store.index();
            assert_eq!(index.ids(Noun::Server, Field::State, b"running"), [web.id.0]);
            assert!(index.ids(Noun::Server, Field::State, b"building").is_empty());
            assert_eq!(index.version(Noun::Server, web.id.0), Some(2));
        }
    });
}

/// A page request from the start.
fn first(limit: usize, order: Order) -> PageRequest {
    PageRequest { cursor: None, limit, order }
}

/// Every record a filter finds, page by page.
fn listed<R: Record>(store: &Store, filter: &Filter<R>, limit: usize, order: Order) -> Vec<R> {
    let snapshot = store.snapshot().unwrap();
    let (mut out, mut page) = (Vec::new(), first(limit, order));
    loop {
        let found = snapshot.page(filter, &page).unwrap();
        out.extend(found.items);
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => return out,
        }
    }
}

#[test]
fn pages_follow_one_another_in_both_orders_with_and_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut ids = Vec::new();
    run(async {
        for i in 0..57_u128 {
            let mut changes = set();
            let mut server = server(&store, &format!("s{i}"), i % 3);
            changes.create(&mut server);
            store.commit(changes).await.unwrap();
            ids.push((server.id, i % 3));
        }
    });
    let third: Vec<_> = ids.iter().filter(|(_, c)| *c == 1).map(|(id, _)| *id).collect();
    let by = Filter::<Server>::new().is(Field::Customer, Uuid::from_u128(1).as_bytes());
    let plain = Filter::<Server>::new().when(|s: &Server| s.customer_id.0 == Uuid::from_u128(1));
    for filter in [by, plain] {
        for limit in [1, 4, 19, 20, 1000] {
            let up: Vec<_> = listed(&store, &filter, limit, Order::Ascending).iter().map(|s| s.id).collect();
            assert_eq!(up, third, "{limit}");
            let mut down: Vec<_> = listed(&store, &filter, limit, Order::Descending).iter().map(|s| s.id).collect();
            down.reverse();
            assert_eq!(down, third, "{limit}");
        }
    }
}

#[test]
fn all_records_are_read_and_the_first_that_fits_is_found_behind_very_many_that_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // More than a page holds, and more than are looked at for one page.
    const MANY: u128 = 21_000;
    let mut changes = set();
    for n in 1..=MANY {
        changes.create(&mut bare_server(Uuid::from_u128(n), &format!("web-{n}"), 7));
    }
    run(store.commit(changes)).unwrap();
    run(store.read(|s| {
        let named = |name: String| Filter::<Server>::new().when(move |server| server.name == name);
        let ids: Vec<u128> = s.all(Filter::<Server>::new())?.iter().map(|server| server.id.0.as_u128()).collect();
        assert!(ids.into_iter().eq(1..=MANY));
        for (order, last) in [(Order::Ascending, MANY), (Order::Descending, 1)] {
            let found = s.first(named(format!("web-{last}")), order)?;
            assert_eq!(found.map(|server| server.id.0.as_u128()), Some(last));
        }
        assert!(s.first(named("none".into()), Order::Ascending)?.is_none());
        assert_eq!(s.records(Filter::<Server>::new()).take(3).count(), 3);
        Ok(())
    }))
    .unwrap();
    run(store.close());
}

#[test]
fn a_cursor_of_another_listing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let snapshot = store.snapshot().unwrap();
    let ours = crate::cursor::encode(Noun::Server, Order::Ascending, &[7; 16]);
    let page = |cursor: &str, order| PageRequest { cursor: Some(cursor.to_owned()), limit: 5, order };
    assert!(snapshot.page::<Server>(&Filter::new(), &page(&ours, Order::Ascending)).is_ok());
    let refused = |r: Result<Page<Server>, Error>| assert!(matches!(r, Err(Error::BadCursor)));
    refused(snapshot.page(&Filter::new(), &page(&ours, Order::Descending)));
    for bad in ["", "x", "%%%", &ours[1..], &"A".repeat(500)] {
        refused(snapshot.page(&Filter::new(), &page(bad, Order::Ascending)));
    }
    assert!(matches!(snapshot.page::<Disk>(&Filter::new(), &page(&ours, Order::Ascending)), Err(Error::BadCursor)));
}

#[test]
fn a_failed_precondition_fails_its_set_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    run(async {
        let (mut a, mut b, mut c) = (server(&store, "a", 1), server(&store, "A", 1), server(&store, "c", 1));
        let (mut one, mut two, mut three) = (set(), set(), set());
        one.create(&mut a);
        // The disk of a refused set must not be there either; its name is taken within the same batch.
        let mut extra = server(&store, "extra", 1);
        two.create(&mut extra).create(&mut b);
        three.create(&mut c);
        let (one, two, three) = (store.submit(one), store.submit(two), store.submit(three));
        let (first, refused, third) = (one.await.unwrap(), two.await, three.await.unwrap());
        assert!(matches!(refused, Err(Error::Taken { noun: Noun::Server, field: "name", holder }) if holder == a.id.0));
        assert_eq!(third.seq, first.seq + 1);
        assert_eq!(store.get::<Server>(extra.id).await.unwrap(), None);
        let mut stale = set();
        let mut newer = a.clone();
        stale.update(&a, &mut newer);
        store.commit(stale).await.unwrap();
        let mut stale = set();
        stale.update(&a, &mut a.clone());
        let refused = store.commit(stale).await;
        assert!(matches!(refused, Err(Error::Conflict { expected: Some(1), found: Some(2), .. })));
        let mut both = set();
        both.require(&a).delete(&c);
        assert!(matches!(store.commit(both).await, Err(Error::Conflict { .. })));
        assert!(store.get::<Server>(c.id).await.unwrap().is_some());
        let mut both = set();
        both.require(&newer).delete(&c);
        store.commit(both).await.unwrap();
        assert!(store.get::<Server>(c.id).await.unwrap().is_none());
    });
}

#[test]
fn the_feed_tells_every_change_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut watch = store.watch();
    run(async {
        let mut web = server(&store, "web", 7);
        let mut changes = set();
        changes.create(&mut web);
        store.commit(changes).await.unwrap();
        assert!(watch.has_changed().unwrap() && *watch.borrow_and_update() == 1);
        let mut running = web.clone();
        running.state = ServerState::Running;
        let mut changes = set();
        changes.update(&web, &mut running);
        store.commit(changes).await.unwrap();
        let mut changes = set();
        changes.delete(&running);
        store.commit(changes).await.unwrap();
        let feed = store.feed(1, 10).unwrap();
        assert_eq!(feed.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
        let change = |i: usize| &feed[i].changes[0];
        assert_eq!(change(0).created::<Server>().unwrap(), web);
        assert_eq!(change(0).customer_id, Some(web.customer_id.0));
        assert_eq!(change(0).new_value("id"), Some(web.id.to_string().into()));
        assert_eq!((change(1).op, change(1).fields().len()), (Op::Updated, 1));
        assert_eq!(change(1).old_value("state"), Some("building".into()));
        assert_eq!(change(1).new_value("state"), Some("running".into()));
        assert_eq!((change(2).op, change(2).old_value("name")), (Op::Deleted, Some("web".into())));
        assert_eq!(store.feed(2, 1).unwrap()[0].seq, 2);
        assert!(store.feed(4, 10).unwrap().is_empty());
        assert_eq!(store.consumer("triggers", 2).await.unwrap(), (2, false));
        store.advance("triggers", 4).await.unwrap();
        assert_eq!(store.consumer("triggers", 1).await.unwrap(), (4, false));
    });
}

#[test]
fn what_a_snapshot_lists_and_what_it_gets_are_of_one_moment() {
    const COMMITS: u64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut first = server(&store, "first", 7);
    let id = first.id;
    let mut set = ChangeSet::new(Cause::system("test"));
    set.create(&mut first);
    run(store.commit(set)).unwrap();
    let writer = {
        let store = store.clone();
        std::thread::spawn(move || {
            for n in 0..COMMITS {
                let mut next = first.clone();
                next.memory_mib += 1;
                let mut set = ChangeSet::new(Cause::system("test"));
                set.update(&first, &mut next);
                set.create(&mut server(&store, &format!("other-{n}"), 7));
                run(store.commit(set)).unwrap();
                first = next;
            }
        })
    };
    // Its version counts the commits, each of which made one more of its customer's servers.
    let mut seen = 0;
    while seen < COMMITS + 1 {
        let snapshot = store.snapshot().unwrap();
        seen = snapshot.get::<Server>(id).unwrap().unwrap().version;
        let of_customer = Filter::<Server>::new().is(Field::Customer, Uuid::from_u128(7).as_bytes());
        assert_eq!(snapshot.all(of_customer).unwrap().len() as u64, seen);
    }
    writer.join().unwrap();
}
