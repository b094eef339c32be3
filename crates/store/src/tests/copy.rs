//! Backup, restore, the continuous copy, and rebuilding from it.

use super::*;
use crate::tables;
use redb::{ReadableDatabase, ReadableTable};
use std::{fs, path::PathBuf};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Every row of every table but the consumers'.
fn content(path: &Path) -> Vec<(String, Rows)> {
    let db = redb::Database::open(path).unwrap();
    let txn = db.begin_read().unwrap();
    let mut out = Vec::new();
    let mut definitions = vec![tables::HISTORY, tables::CALLS];
    for noun in Noun::ALL {
        definitions.push(tables::live(noun));
        definitions.push(tables::closed(noun));
    }
    definitions.sort_by_key(|d| redb::TableHandle::name(d).to_owned());
    definitions.dedup_by_key(|d| redb::TableHandle::name(d).to_owned());
    for definition in definitions {
        let rows: Rows = tables::read(&txn, definition).unwrap().map_or_else(Vec::new, |table| {
            let row = |r: redb::Result<_, _>| {
                let (k, v): (redb::AccessGuard<&[u8]>, redb::AccessGuard<&[u8]>) = r.unwrap();
                (k.value().to_vec(), v.value().to_vec())
            };
            table.iter().unwrap().map(row).collect()
        });
        out.push((redb::TableHandle::name(&definition).to_owned(), rows));
    }
    let feed = tables::read(&txn, tables::FEED).unwrap();
    let rows = feed.map_or_else(Vec::new, |t| {
        let rows = t.iter().unwrap().map(|r| r.unwrap());
        rows.map(|(k, v)| (k.value().to_be_bytes().to_vec(), v.value().to_vec())).collect()
    });
    out.push(("feed".to_owned(), rows));
    out
}

/// Creates, changes, finishes and deletes things.
fn work(store: &Store, round: u128) {
    let mut web = server(store, &format!("web{round}"), round);
    let mut gone = server(store, &format!("gone{round}"), round);
    let mut job = bare_job(store.new_uuid(), round);
    job.idempotency_key = Some(format!("k{round}"));
    let mut changes = set();
    changes.create(&mut web).create(&mut gone).create(&mut job).create(&mut interval(round, 5, 6, None));
    if !round.is_multiple_of(2) {
        // Whose calls the round before made.
        changes.create(&mut calls::script_run(round - 1, RunState::Succeeded)).forget_calls();
    } else if round > 0 {
        // Likewise, but who asked for it may not know yet.
        changes.create(&mut calls::script_run(round - 1, RunState::Succeeded));
    }
    run(store.commit(changes)).unwrap();
    let mut running = web.clone();
    running.state = ServerState::Running;
    running.keys = vec![ResourceKey {
        name: "tier".to_owned(),
        value: "gold".to_owned(),
        kind: KeyKind::User,
        ..ResourceKey::default()
    }];
    let mut done = job.clone();
    done.state = JobState::Successful;
    let mut open = interval(round, 5, 6, None);
    open.version = 1;
    let mut closed = interval(round, 5, 6, Some(9));
    let mut changes = ChangeSet::new(calls::by(round, 1, "modifyServer", Some(web.id.0)));
    changes.update(&web, &mut running).update(&job, &mut done).delete(&gone).update(&open, &mut closed);
    run(store.commit(changes)).unwrap();
}

fn wait_until_copied(follower: &Follower, seq: u64) {
    let mut status = follower.status();
    run(async { drop(status.wait_for(|s| s.seq >= seq).await.unwrap()) });
}

#[test]
fn a_backup_taken_under_load_is_whole_and_restores() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (0..20).for_each(|i| work(&store, i));
    let to = folder.path().join("backup.redb");
    let committed = std::thread::scope(|scope| {
        let writing = scope.spawn(|| (20..60).for_each(|i| work(&store, i)));
        let committed = run(store.backup(to.clone())).unwrap();
        writing.join().unwrap();
        committed
    });
    assert!((40..=120).contains(&committed.seq));
    assert!(run(store.backup(to.clone())).is_err(), "a backup overwrites nothing");
    assert_eq!(crate::verify(&to).unwrap().seq, committed.seq);
    let restored = folder.path().join("restored.redb");
    assert_eq!(restore(&to, &restored).unwrap(), committed);
    assert!(restore(&to, &restored).is_err(), "a restore overwrites nothing");
    assert_eq!(content(&to), content(&restored));
    let again = Store::open(&restored, options()).unwrap();
    assert_eq!(again.stats().seq, committed.seq);
    work(&again, 1000);
}

#[test]
fn a_store_rebuilt_from_its_copy_is_equal_table_by_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let copy = folder.path().join("copy");
    (0..5).for_each(|i| work(&store, i));
    let follower = Follower::start(store.clone(), copy.clone()).unwrap();
    assert!(matches!(Follower::start(store.clone(), copy.clone()), Err(Error::InUse { .. })));
    (5..15).for_each(|i| work(&store, i));
    wait_until_copied(&follower, 30);
    drop(follower);
    // Changes made while nobody copies are caught up with.
    (15..25).for_each(|i| work(&store, i));
    let follower = Follower::start(store.clone(), copy.clone()).unwrap();
    wait_until_copied(&follower, 50);
    drop(follower);
    drop(store);
    let rebuilt = folder.path().join("rebuilt.redb");
    assert_eq!(rebuild(&copy, &rebuilt).unwrap().seq, 50);
    assert_eq!(content(&rebuilt), content(&folder.path().join("store.redb")));
    crate::verify(&rebuilt).unwrap();
    assert!(rebuild(&copy, &rebuilt).is_err(), "a rebuild overwrites nothing");
    assert_eq!(Store::open(&rebuilt, options()).unwrap().index().all(Noun::Server).len(), 25);
}

#[test]
fn what_only_passes_through_is_in_the_feed_alone_and_a_rebuild_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let copy = folder.path().join("copy");
    let follower = Follower::start(store.clone(), copy.clone()).unwrap();
    let mut notice = Notice {
        id: store.new_uuid().into(),
        version: 0,
        customer_id: Some(Uuid::from_u128(1).into()),
        billing_entity_id: Uuid::from_u128(2).into(),
        user_id: None,
        what: Happening::SignInFailed { login: "ada@example.org".into() },
        created_at: Timestamp(1),
    };
    let mut mention = set();
    mention.mention(&mut notice);
    let seq = run(store.commit(mention)).unwrap().seq;
    // One that lasts a while goes with what became of it.
    let mut lasting = Notice { id: store.new_uuid().into(), version: 0, ..notice.clone() };
    create(&store, &mut lasting).unwrap();
    let mut ended = Notice { what: Happening::SignInFailed { login: "eve@example.org".into() }, ..lasting.clone() };
    let mut end = set();
    end.update(&lasting, &mut ended).delete(&ended);
    let ended_seq = run(store.commit(end)).unwrap().seq;
    assert!(store.index().all(Noun::Notice).is_empty());
    assert_eq!(run(store.get::<Notice>(notice.id)).unwrap(), None);
    for (seq, expected) in [(seq, &notice), (ended_seq, &ended)] {
        let entry = store.feed(seq, 1).unwrap().remove(0);
        let gone = entry.changes.last().unwrap();
        assert_eq!((gone.noun, gone.op, gone.customer_id), (Noun::Notice, Op::Deleted, Some(Uuid::from_u128(1))));
        assert_eq!(gone.deleted::<Notice>().unwrap(), *expected);
    }
    wait_until_copied(&follower, ended_seq);
    drop((follower, store));
    let rebuilt = folder.path().join("rebuilt.redb");
    assert_eq!(rebuild(&copy, &rebuilt).unwrap().seq, ended_seq);
    assert_eq!(content(&rebuilt), content(&folder.path().join("store.redb")));
    crate::verify(&rebuilt).unwrap();
}

fn last_segment(copy: &Path) -> PathBuf {
    crate::segment::list(copy).unwrap().pop().unwrap().1
}

#[test]
fn a_torn_tail_of_the_copy_is_found_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let copy = folder.path().join("copy");
    let follower = Follower::start(store.clone(), copy.clone()).unwrap();
    (0..10).for_each(|i| work(&store, i));
    wait_until_copied(&follower, 20);
    drop(follower);
    let segment = last_segment(&copy);
    let whole = fs::read(&segment).unwrap();
    for (i, cut) in [whole.len() - 1, whole.len() - 300, 40, 10].into_iter().enumerate() {
        fs::write(&segment, &whole[..cut]).unwrap();
        // What is left is a copy as of an earlier moment.
        let earlier = folder.path().join(format!("earlier{i}.redb"));
        assert!(rebuild(&copy, &earlier).unwrap().seq < 20);
        let follower = Follower::start(store.clone(), copy.clone()).unwrap();
        wait_until_copied(&follower, 20);
        drop(follower);
        assert_eq!(fs::read(&segment).unwrap().len(), whole.len());
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&segment, &flipped).unwrap();
    let follower = Follower::start(store.clone(), copy.clone()).unwrap();
    wait_until_copied(&follower, 20);
    drop(follower);
    drop(store);
    let rebuilt = folder.path().join("rebuilt.redb");
    assert_eq!(rebuild(&copy, &rebuilt).unwrap().seq, 20);
    assert_eq!(content(&rebuilt), content(&folder.path().join("store.redb")));
}

#[test]
fn a_copy_of_another_store_or_of_a_later_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (copy, early) = (folder.path().join("copy"), folder.path().join("early.redb"));
    run(store.backup(early.clone())).unwrap();
    work(&store, 1);
    drop(Follower::start(store.clone(), copy.clone()).unwrap());
    let other = Store::open(&folder.path().join("other.redb"), options()).unwrap();
    assert!(matches!(Follower::start(other, copy.clone()), Err(Error::Foreign { .. })));
    let back = folder.path().join("back.redb");
    restore(&early, &back).unwrap();
    let back = Store::open(&back, options()).unwrap();
    assert!(matches!(Follower::start(back, copy), Err(Error::Corrupt { .. })));
}
