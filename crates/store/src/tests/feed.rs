//! What the feed keeps, shows and forgets.

use super::*;
use std::sync::atomic::{AtomicI64, Ordering};

#[test]
fn secrets_do_not_leave_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut ada = user(&store, "ada@example.org");
    create(&store, &mut ada).unwrap();
    let mut changed = ada.clone();
    changed.password_hash = "$argon2id$other".to_owned();
    update(&store, &ada, &mut changed).unwrap();
    let mut changes = set();
    changes.delete(&changed).create(&mut interval(1, 0, 2, None));
    run(store.commit(changes)).unwrap();
    let feed = store.feed(1, 10).unwrap();
    assert_eq!(feed[0].changes[0].created::<User>().unwrap(), ada);
    for entry in feed {
        let masked = entry.masked();
        assert!(!format!("{masked:?}").contains("argon2id"));
        for change in &masked.changes {
            match change.noun {
                Noun::User => assert!(change.fields().iter().any(|f| f.name == "password_hash")),
                _ => assert!(change.fields().len() <= 4, "an interval is summarised"),
            }
        }
    }
}

#[test]
fn the_feed_is_searched_from_a_place_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for round in 0..600 {
        create(&store, &mut server(&store, &format!("s{round}"), 1)).unwrap();
    }
    let named = |name: &'static str| {
        move |entry: &crate::FeedEntry| {
            let change = entry.changes.first()?;
            (change.new_value("name").as_ref()?.as_str()? == name).then_some(entry.seq)
        }
    };
    assert_eq!(run(store.search_feed(1, named("s0"))).unwrap(), Some(1));
    assert_eq!(run(store.search_feed(1, named("s599"))).unwrap(), Some(600));
    assert_eq!(run(store.search_feed(2, named("s0"))).unwrap(), None, "it is looked at from there on");
    assert_eq!(run(store.search_feed(1, named("none"))).unwrap(), None);
}

#[test]
fn values_read_as_the_api_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut web = server(&store, "web", 7);
    web.state_since = Timestamp(1_795_386_245_007);
    web.node_id = Some(NodeId(Uuid::from_u128(5)));
    create(&store, &mut web).unwrap();
    let change = store.feed(1, 1).unwrap().remove(0).changes.remove(0);
    let json = serde_json::to_value(&web).unwrap();
    for (name, value) in json.as_object().unwrap() {
        assert_eq!(change.new_value(name).as_ref(), Some(value), "{name}");
    }
    assert_eq!(change.new_value("nothing"), None);
}

#[test]
fn times_in_the_feed_never_go_back() {
    static NOW: AtomicI64 = AtomicI64::new(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let options = || Options { clock: || Timestamp(NOW.fetch_sub(10, Ordering::SeqCst)), ..options() };
    for round in 0..3 {
        let store = Store::open(&path, options()).unwrap();
        for i in 0..3 {
            create(&store, &mut server(&store, &format!("s{round}-{i}"), 1)).unwrap();
        }
        let times: Vec<_> = store.feed(1, 100).unwrap().iter().map(|e| e.at).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}

/// Commits until `done`; the writer trims as it goes.
fn commit_until(store: &Store, mut done: impl FnMut(&Store) -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !done(store) {
        assert!(std::time::Instant::now() < deadline, "nothing was trimmed");
        create(store, &mut server(store, &store.new_uuid().to_string(), 1)).unwrap();
    }
}

#[test]
fn old_entries_go_but_not_before_every_consumer_has_seen_them() {
    static NOW: AtomicI64 = AtomicI64::new(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let keep = Options {
        feed_keep_ms: 1000,
        feed_max_ms: 1_000_000,
        clock: || Timestamp(NOW.load(Ordering::SeqCst)),
        ..options()
    };
    let store = Store::open(&folder.path().join("store.redb"), keep).unwrap();
    for i in 0..10 {
        create(&store, &mut server(&store, &format!("s{i}"), 1)).unwrap();
    }
    assert_eq!(run(store.consumer("slow", 1)).unwrap(), (1, false));
    run(store.advance("slow", 6)).unwrap();
    NOW.fetch_add(2000, Ordering::SeqCst);
    commit_until(&store, |s| s.stats().oldest_seq == 6);
    assert!(matches!(store.feed(5, 1), Err(Error::Trimmed { asked: 5, oldest: 6 })));
    assert_eq!(store.feed(6, 1).unwrap()[0].seq, 6);
    assert_eq!(run(store.consumer("slow", 1)).unwrap(), (6, false));
    // Beyond the hard limit nobody is waited for, and whoever missed something is told.
    NOW.fetch_add(1_000_000, Ordering::SeqCst);
    commit_until(&store, |s| s.stats().oldest_seq > 10);
    let (next, resync) = run(store.consumer("slow", 1)).unwrap();
    assert!(next > 10 && resync);
    let lost = store.consumers().unwrap();
    assert_eq!((lost[0].name.as_str(), lost[0].lost), ("slow", Some((6, next - 1))));
    run(store.advance("slow", next)).unwrap();
    assert_eq!(run(store.consumer("slow", 1)).unwrap(), (next, false));
    drop(store);
    let path = folder.path().join("store.redb");
    let verified = crate::verify(&path).unwrap();
    assert_eq!(verified.oldest_seq, next);
}

#[test]
fn a_feed_beyond_its_size_is_trimmed_whoever_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options { feed_max_bytes: 4000, ..options() };
    let store = Store::open(&folder.path().join("store.redb"), small).unwrap();
    run(store.consumer("stuck", 1)).unwrap();
    commit_until(&store, |s| s.stats().oldest_seq > 1);
    assert!(run(store.consumer("stuck", 1)).unwrap().1);
}

#[test]
fn a_feed_that_is_far_beyond_its_size_is_trimmed_without_a_pause_though_nobody_commits() {
    static NOW: AtomicI64 = AtomicI64::new(1_000_000);
    const BLOCKS: u64 = 700;
    let folder = tempfile::tempdir().unwrap();
    let keep = Options { feed_max_ms: 1000, clock: || Timestamp(NOW.load(Ordering::SeqCst)), ..options() };
    let store = Store::open(&folder.path().join("store.redb"), keep).unwrap();
    let mut one = server(&store, "one", 1);
    create(&store, &mut one).unwrap();
    for _ in 1..BLOCKS {
        let mut next = one.clone();
        update(&store, &one, &mut next).unwrap();
        one = next;
    }
    assert_eq!(store.stats().oldest_seq, 1);
    NOW.fetch_add(1_000_000, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    // The first look comes with a commit; those that follow need none.
    commit_until(&store, |s| s.stats().oldest_seq > 1);
    let deadline = begun + std::time::Duration::from_secs(15);
    while store.stats().oldest_seq < BLOCKS {
        assert!(std::time::Instant::now() < deadline, "at {} after {:?}", store.stats().oldest_seq, begun.elapsed());
        std::thread::yield_now();
    }
}

#[test]
fn writes_are_refused_below_the_reserve_and_reads_go_on() {
    use crate::migrations::MIGRATIONS;
    static FREE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(u64::MAX);
    let folder = tempfile::tempdir().unwrap();
    let options = Options { reserve_bytes: 100 << 20, ..options() };
    let probe: crate::space::Probe = std::sync::Arc::new(|_| Ok(FREE.load(Ordering::SeqCst)));
    let store = crate::open::open_with(&folder.path().join("store.redb"), options, MIGRATIONS, probe).unwrap();
    let mut web = server(&store, "web", 1);
    create(&store, &mut web).unwrap();
    FREE.store(50 << 20, Ordering::SeqCst);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let refused = loop {
        assert!(std::time::Instant::now() < deadline, "the store did not look");
        if let Err(error) = create(&store, &mut server(&store, &store.new_uuid().to_string(), 1)) {
            break error;
        }
    };
    assert!(matches!(refused, Error::DiskFull { free_mib: 50, reserve_mib: 100 }));
    assert!(matches!(store.health(), Health::ReadOnly(_)));
    assert_eq!(run(store.get::<Server>(web.id)).unwrap(), Some(web));
    FREE.store(u64::MAX, Ordering::SeqCst);
    create(&store, &mut server(&store, "later", 1)).unwrap();
    assert_eq!(store.health(), Health::Ok);
}

#[test]
fn what_nobody_waits_for_shares_a_commit_soon() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let create = |n: usize| {
        let mut changes = set();
        changes.create(&mut server(&store, &format!("s{n}"), 7));
        changes
    };
    assert_eq!(run(store.commit_soon(create(0))).unwrap().seq, 1, "one alone has its own commit");
    let commits = store.stats().commits;
    let together = run(futures_util::future::join_all((1..=3).map(|n| store.commit_soon(create(n)))));
    assert_eq!(together.into_iter().map(|set| set.unwrap().seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(store.stats().commits, commits + 1);

    // What somebody waits for does not wait for them; in the end both are there.
    let (patient, urgent) = run(async {
        let patient = store.commit_soon(create(4));
        let urgent = store.commit(create(5));
        tokio::join!(patient, urgent)
    });
    let mut order = [patient.unwrap().seq, urgent.unwrap().seq];
    order.sort_unstable();
    assert_eq!(order, [5, 6]);
    assert_eq!(store.stats().change_sets, 6);
}

#[test]
fn what_can_wait_is_in_the_store_when_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut last = server(&store, "last", 7);
    let mut changes = set();
    changes.create(&mut last);
    run(async {
        // Polled once, so that it is on its way; then the store is told to close.
        let mut soon = std::pin::pin!(store.commit_soon(changes));
        assert!(futures_util::poll!(soon.as_mut()).is_pending());
        store.close().await;
        soon.await.unwrap();
    });
    assert_eq!(run(open(folder.path()).get::<Server>(last.id)).unwrap(), Some(last));
}

#[test]
fn a_follower_reads_only_what_it_wants_and_knows_how_far_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in 0..3 {
        create(&store, &mut server(&store, &format!("s{n}"), 7)).unwrap();
        create(&store, &mut user(&store, &format!("u{n}@example.org"))).unwrap();
    }
    let users = |from, max, window| {
        let (entries, last) = store.feed_of(from, max, window, |noun| noun == Noun::User).unwrap();
        (entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), last)
    };
    assert_eq!(users(1, 10, 100), (vec![2, 4, 6], Some(6)));
    assert_eq!(users(1, 2, 100), (vec![2, 4], Some(4)), "no further than it took");
    assert_eq!(users(6, 10, 100), (vec![6], Some(6)));
    assert_eq!(users(7, 10, 100), (vec![], None));
    let (first, last) = users(1, 10, 1);
    assert!(first.len() < 3 && last.is_some_and(|last| last < 6), "{first:?} {last:?}");
}
