//! Files that are not what they should be.

use super::*;
use crate::{
    migrations::{MIGRATIONS, Migration},
    open::open_with,
    space::Probe,
    tables::{self, Bytes},
};
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
    let known = crate::migrations::current(MIGRATIONS);
    let and = |more: &[Migration]| [MIGRATIONS, more].concat();
    assert!(open_as(&path, &and(&[add_notes, fail])).is_err());
    // A failed migration leaves the store as it was: the program it belongs to opens it.
    assert_eq!(run(open(folder.path()).get::<Server>(web.id)).unwrap(), Some(web.clone()));
    let store = open_as(&path, &and(&[add_notes])).unwrap();
    assert_eq!(run(store.get::<Server>(web.id)).unwrap(), Some(web.clone()));
    drop(store);
    let kept = Store::open(&folder.path().join(format!("store.redb.schema{known}")), options()).unwrap();
    assert_eq!(run(kept.get::<Server>(web.id)).unwrap(), Some(web.clone()));
    let db = redb::Database::open(&path).unwrap();
    let txn = redb::ReadableDatabase::begin_read(&db).unwrap();
    assert_eq!(txn.open_table(NOTES).unwrap().get("a").unwrap().unwrap().value(), "b");
    drop((txn, db));
    // The older program does not touch it.
    assert!(matches!(refused(&path), Error::Newer { found, known: ours, .. } if (found, ours) == (known + 1, known)));
    assert_eq!(run(open_as(&path, &and(&[add_notes])).unwrap().get::<Server>(web.id)).unwrap(), Some(web));
}

/// Makes a store that is closed what an older program would have written.
pub(super) fn edit(path: &Path, schema: u32, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = redb::Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.open_table(tables::META).unwrap().insert("schema", schema.to_le_bytes().as_slice()).unwrap();
    txn.commit().unwrap();
}

#[test]
fn ended_transactions_and_measurements_lie_apart_also_when_they_did_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = open(folder.path());
    let id = Uuid::from_u128(4);
    let mut measured = Measurement {
        resource_id: id,
        at: Timestamp(60_000),
        script_id: ScriptId(id),
        function: "measure".to_owned(),
        version: 0,
        customer_id: None,
        billing_entity_id: BillingEntityId(id),
        run_id: RunId(id),
        values: Default::default(),
    };
    let mut paid = Transaction {
        id: TransactionId(id),
        version: 0,
        billing_entity_id: BillingEntityId(id),
        customer_id: None,
        function: PaymentFunction::MakePayment,
        state: TransactionState::Success,
        outcome: None,
        script_id: ScriptId(id),
        payment_method_id: PaymentMethodId(id),
        payment_instance_id: None,
        invoice_ids: Vec::new(),
        amount: Nanos(1),
        currency: "EUR".parse().unwrap(),
        refunded: Nanos(0),
        linked_id: None,
        allow_interactive: false,
        return_url: None,
        parameters: Default::default(),
        values: Default::default(),
        told: Default::default(),
        step: 0,
        attempts: 1,
        unclear: false,
        confirmed_later: false,
        run_ids: Vec::new(),
        user_id: None,
        cause: Cause::system("test"),
        created_at: Timestamp(0),
        ended_at: None,
    };
    let mut changes = set();
    changes.create(&mut measured).create(&mut paid);
    run(store.commit(changes)).unwrap();
    let both = |store: &Store| {
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.all(Filter::<Measurement>::new()).unwrap(), std::slice::from_ref(&measured));
        assert_eq!(snapshot.all(Filter::<Transaction>::new()).unwrap(), std::slice::from_ref(&paid));
    };
    both(&store);
    drop(store);
    crate::verify(&path).unwrap();
    // As it was before schema 2.
    edit(&path, 1, |txn| {
        let mut shared = txn.open_table(Bytes::new("none.closed")).unwrap();
        for noun in [Noun::Measurement, Noun::Transaction] {
            let mut own = txn.open_table(tables::closed(noun)).unwrap();
            while let Some((key, record)) = own.pop_first().unwrap() {
                shared.insert(key.value(), record.value()).unwrap();
            }
        }
    });
    crate::verify(&path).unwrap();
    both(&open(folder.path()));
    crate::verify(&path).unwrap();
}
