//! Files that are not what they should be.

use super::*;
use crate::{migrations::Migration, open::open_with, space::Probe};
use redb::TableDefinition;
use std::{fs, sync::Arc};

fn refused(path: &Path) -> Error {
    Store::open(path, options()).map(drop).unwrap_err()
}

/// A store with one server, closed.
fn filled(folder: &Path) -> (std::path::PathBuf, Server) {
    let path = folder.join("store.redb");
    let store = open(folder);
    let mut web = server(&store, "web", 1);
    create(&store, &mut web).unwrap();
    (path, web)
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    for (content, words) in
        [("", "empty"), ("red", "another kind"), ("SQLite format 3\0and more of it", "another kind")]
    {
        fs::write(&path, content).unwrap();
        let error = refused(&path);
        assert!(matches!(&error, Error::Foreign { detail, .. } if detail.contains(words)), "{error}");
        assert!(fs::read(&path).unwrap() == content.as_bytes());
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path), Error::Foreign { .. }));
    let other = folder.path().join("other.redb");
    let db = redb::Database::create(&other).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
    txn.commit().unwrap();
    drop(db);
    assert!(matches!(refused(&other), Error::Foreign { detail, .. } if detail.contains("another program")));
    assert!(matches!(refused(&folder.path().join("no/such/folder/store.redb")), Error::Io { .. }));
}

#[test]
fn a_truncated_or_overwritten_file_is_told_apart_from_a_fresh_start() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = filled(folder.path());
    let whole = fs::read(&path).unwrap();
    for length in [9, 100, 320, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused(&path);
        assert!(matches!(error, Error::Corrupt { .. } | Error::Foreign { .. }), "{length}: {error:?}");
    }
    let mut scribbled = whole.clone();
    scribbled[64..320].fill(0xa5);
    fs::write(&path, &scribbled).unwrap();
    assert!(matches!(refused(&path), Error::Corrupt { .. } | Error::Foreign { .. }));
}

#[test]
fn a_store_that_vanished_is_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = filled(folder.path());
    fs::remove_file(&path).unwrap();
    let error = refused(&path);
    assert!(matches!(&error, Error::Corrupt { detail, .. } if detail.contains("gone")), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, web) = filled(folder.path());
    let store = open(folder.path());
    assert!(matches!(refused(&path), Error::InUse { .. }));
    // Also under another name, where no marker tells.
    let link = folder.path().join("link.redb");
    fs::hard_link(&path, &link).unwrap();
    assert!(matches!(refused(&link), Error::InUse { .. }));
    drop(store);
    assert_eq!(run(open(folder.path()).get::<Server>(web.id)).unwrap(), Some(web));
}

fn open_as(path: &Path, migrations: &[Migration]) -> Result<Store, Error> {
    let probe: Probe = Arc::new(|_| Ok(u64::MAX));
    open_with(path, options(), migrations, probe)
}

const NOTES: TableDefinition<&str, &str> = TableDefinition::new("notes");

fn add_notes(txn: &redb::WriteTransaction) -> Result<(), Error> {
    txn.open_table(NOTES).unwrap().insert("a", "b").unwrap();
    Ok(())
}

fn fail(_: &redb::WriteTransaction) -> Result<(), Error> {
    Err(Error::io("migrating", "it does not work"))
}

#[test]
fn an_older_file_is_migrated_on_a_copy_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (path, web) = filled(folder.path());
    assert!(open_as(&path, &[add_notes, fail]).is_err());
    // A failed migration leaves the store as it was: the program it belongs to opens it.
    assert_eq!(run(open(folder.path()).get::<Server>(web.id)).unwrap(), Some(web.clone()));
    let store = open_as(&path, &[add_notes]).unwrap();
    assert_eq!(run(store.get::<Server>(web.id)).unwrap(), Some(web.clone()));
    drop(store);
    let kept = Store::open(&folder.path().join("store.redb.schema1"), options()).unwrap();
    assert_eq!(run(kept.get::<Server>(web.id)).unwrap(), Some(web.clone()));
    let db = redb::Database::open(&path).unwrap();
    let txn = redb::ReadableDatabase::begin_read(&db).unwrap();
    assert_eq!(txn.open_table(NOTES).unwrap().get("a").unwrap().unwrap().value(), "b");
    drop((txn, db));
    // The older program does not touch it.
    assert!(matches!(refused(&path), Error::Newer { found: 2, known: 1, .. }));
    assert_eq!(run(open_as(&path, &[add_notes]).unwrap().get::<Server>(web.id)).unwrap(), Some(web));
}
