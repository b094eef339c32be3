//! Opening a store: what kind of file is this, is it ours, is it whole, and is anybody else using it?

use crate::{
    Error, Health, Index, Options, Store,
    calls::Sweep,
    error::Attempt,
    feed,
    ids::Ids,
    marker::{self, Marker},
    migrations::{self, MIGRATIONS, Migration},
    nouns,
    queue::Queue,
    readers::Readers,
    shared::Shared,
    space::{self, Probe, Space},
    store::Inner,
    tables::{self, FEED, META},
    writer::{Tail, Writer, begin, chain},
};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError};
use std::{
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock, atomic::AtomicU64},
    time::Instant,
};
use sutler_model::{Noun, Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

const MAGIC: &[u8] = b"sutler store";
/// What a redb file begins with.
const REDB_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// What a store says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) schema: u32,
    pub(crate) id: Uuid,
}

/// Opens the store at `path` as the program does.
pub(crate) fn open(path: &Path, options: Options) -> Result<Store, Error> {
    open_with(path, options, MIGRATIONS, Arc::new(space::free_bytes))
}

/// Opens with a list of migrations and a way to ask for free space.
pub(crate) fn open_with(path: &Path, options: Options, migrations: &[Migration], probe: Probe) -> Result<Store, Error> {
    let mut marker = Marker::lock(path)?;
    let expected = marker.store_id()?;
    if !path.try_exists().attempt(&format!("looking for the store `{}`", path.display()))? {
        if let Some(id) = expected {
            let detail = format!("the file is gone, though `{}` shows that store {id} was here", marker_name(path));
            return Err(Error::Corrupt { path: path.to_owned(), detail });
        }
        create(path, &options, migrations)?;
    }
    let db = open_file(path, options.cache_bytes)?;
    let meta = read_meta(&db, path)?;
    let db = migrate(path, db, meta, options.cache_bytes, migrations)?;
    let id = meta.id.to_string();
    if expected.as_ref() != Some(&id) {
        if let Some(earlier) = expected {
            tracing::warn!(earlier, now = id, "another store than before lies here");
        }
        marker.set_store_id(meta.id)?;
    }
    start(path, db, options, probe, Some(marker))
}

/// Starts the writer and the readers of an open file.
pub(crate) fn start(
    path: &Path,
    db: Database,
    options: Options,
    probe: Probe,
    marker: Option<Marker>,
) -> Result<Store, Error> {
    let db = Arc::new(db);
    let index = Index::default();
    let (tail, oldest) = load(&db, path, &index)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let shared = Arc::new(Shared {
        space: Space::new(folder, options.reserve_bytes, probe),
        options,
        path: path.to_owned(),
        index,
        queue: Queue::new(),
        seq: watch::Sender::new(tail.seq),
        committing: AtomicU64::new(tail.seq),
        closed: watch::Sender::new(false),
        oldest: AtomicU64::new(oldest),
        commits: AtomicU64::new(0),
        change_sets: AtomicU64::new(0),
        health: Mutex::new(Health::Ok),
    });
    let writer = Writer {
        db: db.clone(),
        shared: shared.clone(),
        tail,
        trimmed_at: Instant::now(),
        behind: false,
        sweep: Sweep::new(),
        blocks: feed::BlockWriter::new(),
        company: 0,
    };
    let thread = std::thread::Builder::new().name("store-write".to_owned());
    let writer = thread.spawn(move || writer.run()).attempt("starting the store's writer")?;
    let readers = Readers::start().attempt("starting the store's readers")?;
    Ok(Store::from_inner(Inner {
        shared,
        db: RwLock::new(Some(db)),
        readers,
        ids: Mutex::new(Ids::default()),
        marker: Mutex::new(marker),
        writer: Some(writer),
    }))
}

/// Makes a new store under another name and moves it into place, so that no half-made store is ever found.
fn create(path: &Path, options: &Options, migrations: &[Migration]) -> Result<(), Error> {
    let new = beside(path, ".new");
    remove_if_there(&new)?;
    let db = Builder::new().create(&new).map_err(|e| Error::io(format!("making the store `{}`", path.display()), e))?;
    init(&db, migrations, options.now())?;
    drop(db);
    std::fs::rename(&new, path).attempt(&format!("moving the new store to `{}`", path.display()))?;
    marker::sync_dir(path)
}

/// Writes what an empty store says of itself.
pub(crate) fn init(db: &Database, migrations: &[Migration], now: Timestamp) -> Result<(), Error> {
    write_meta(db, Meta { schema: migrations::current(migrations), id: Uuid::new_v4() }, now)
}

/// Stores what a store says of itself.
pub(crate) fn write_meta(db: &Database, meta: Meta, now: Timestamp) -> Result<(), Error> {
    let txn = begin(db)?;
    {
        let mut table = txn.open_table(META).attempt("preparing the store")?;
        let rows: [(&str, &[u8]); 4] = [
            ("magic", MAGIC),
            ("schema", &meta.schema.to_le_bytes()),
            ("id", meta.id.as_bytes()),
            ("created_at", &now.0.to_le_bytes()),
        ];
        for (name, value) in rows {
            table.insert(name, value).attempt("preparing the store")?;
        }
    }
    txn.commit().attempt("preparing the store")
}

/// Opens an existing file that should be a store.
pub(crate) fn open_file(path: &Path, cache_bytes: usize) -> Result<Database, Error> {
    let foreign = |detail: &str| Error::Foreign { path: path.to_owned(), detail: detail.to_owned() };
    let attempted = || format!("opening the store `{}`", path.display());
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(attempted(), e))?;
    if !metadata.is_file() {
        return Err(foreign("it is not a file"));
    }
    let mut magic = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io(attempted(), e))?;
    file.take(REDB_MAGIC.len() as u64).read_to_end(&mut magic).map_err(|e| Error::io(attempted(), e))?;
    if magic.is_empty() {
        return Err(foreign("the file is empty"));
    }
    if magic != REDB_MAGIC {
        return Err(foreign("it is a file of another kind"));
    }
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    // A damaged file can make redb panic; it must not take the caller down.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.open(path)));
    let corrupt = |detail: String| Error::Corrupt { path: path.to_owned(), detail };
    match opened {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(Error::InUse { path: path.to_owned() }),
        Ok(Err(DatabaseError::UpgradeRequired(v))) => Err(foreign(&format!("its file format {v} is not ours"))),
        Ok(Err(DatabaseError::Storage(StorageError::Io(e)))) if !is_damage(&e) => Err(Error::io(attempted(), e)),
        Ok(Err(e)) => Err(corrupt(chain(&e))),
        Err(_) => Err(corrupt("its structure does not add up".to_owned())),
    }
}

/// Errors that tell of the file's content rather than of the disk.
fn is_damage(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

/// What the store says of itself.
pub(crate) fn read_meta(db: &Database, path: &Path) -> Result<Meta, Error> {
    let foreign =
        || Error::Foreign { path: path.to_owned(), detail: "it is a redb file of another program".to_owned() };
    let txn = db.begin_read().attempt("reading the store")?;
    let Ok(table) = txn.open_table(META) else { return Err(foreign()) };
    let get = |name: &str| -> Result<Vec<u8>, Error> {
        Ok(table.get(name).attempt("reading the store")?.map(|v| v.value().to_vec()).unwrap_or_default())
    };
    if get("magic")? != MAGIC {
        return Err(foreign());
    }
    let schema = get("schema")?.try_into().map(u32::from_le_bytes).map_err(|_| foreign())?;
    let id = Uuid::from_slice(&get("id")?).map_err(|_| foreign())?;
    Ok(Meta { schema, id })
}

/// Runs the migrations that are due on a copy, which takes the store's place when it is whole. The old file stays.
fn migrate(
    path: &Path,
    db: Database,
    meta: Meta,
    cache_bytes: usize,
    migrations: &[Migration],
) -> Result<Database, Error> {
    let known = migrations::current(migrations);
    if meta.schema > known {
        return Err(Error::Newer { path: path.to_owned(), found: meta.schema, known });
    }
    if meta.schema == known {
        return Ok(db);
    }
    // Closed, so that the copy is of a file at rest; the marker's lock keeps others out.
    drop(db);
    let (copy, old) = (beside(path, ".migrating"), beside(path, &format!(".schema{}", meta.schema)));
    let attempted = format!("migrating the store `{}` from schema {} to {known}", path.display(), meta.schema);
    remove_if_there(&copy)?;
    std::fs::copy(path, &copy).attempt(&attempted)?;
    let migrated = open_file(&copy, cache_bytes)?;
    run_due(&migrated, meta.schema, migrations, &attempted)?;
    // Every live record must still decode before the copy is trusted.
    load(&migrated, &copy, &Index::default())?;
    drop(migrated);
    std::fs::File::open(&copy).and_then(|f| f.sync_all()).attempt(&attempted)?;
    if !old.try_exists().attempt(&attempted)? {
        std::fs::hard_link(path, &old).attempt(&attempted)?;
    }
    std::fs::rename(&copy, path).attempt(&attempted)?;
    marker::sync_dir(path)?;
    tracing::info!(old = %old.display(), schema = known, "the store was migrated; the old file is kept");
    open_file(path, cache_bytes)
}

/// Runs the migrations that lead on from a schema version.
pub(crate) fn run_due(db: &Database, schema: u32, migrations: &[Migration], attempted: &str) -> Result<(), Error> {
    let due = migrations.iter().enumerate().skip(schema.saturating_sub(1) as usize);
    for (i, migration) in due {
        let txn = begin(db)?;
        migration(&txn)?;
        {
            let mut table = txn.open_table(META).attempt(attempted)?;
            table.insert("schema", (i as u32 + 2).to_le_bytes().as_slice()).attempt(attempted)?;
        }
        txn.commit().attempt(attempted)?;
    }
    Ok(())
}

/// Fills the index; answers the feed's tail and its oldest position.
pub(crate) fn load(db: &Database, path: &Path, index: &Index) -> Result<(Tail, u64), Error> {
    let txn = db.begin_read().attempt("reading the store")?;
    let corrupt = |detail: String| Error::Corrupt { path: path.to_owned(), detail };
    for noun in Noun::ALL {
        let Some(table) = tables::read(&txn, tables::live(noun))? else { continue };
        for row in table.iter().attempt("reading the store")? {
            let (key, record) = row.attempt("reading the store")?;
            nouns::load(noun, record.value(), index)
                .map_err(|e| corrupt(format!("{noun} {:02x?}: {}", key.value(), chain(&e))))?;
        }
    }
    let mut tail = Tail { seq: 0, at: Timestamp(i64::MIN), offset: 0 };
    let mut oldest = 1;
    if let Some(table) = tables::read(&txn, FEED)? {
        if let Some((first, _)) = table.first().attempt("reading the feed")? {
            oldest = first.value();
        }
        if let Some((first, block)) = table.last().attempt("reading the feed")? {
            let header = feed::header(block.value()).filter(|_| feed::is_whole(block.value()));
            let header = header.ok_or_else(|| corrupt("the last feed block does not add up".to_owned()))?;
            tail = Tail {
                seq: header.last(first.value()),
                at: header.at,
                offset: header.offset + block.value().len() as u64,
            };
        }
    }
    Ok((tail, oldest))
}

/// A path beside `path`, for a file on its way in or out.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing the left-over `{}`", path.display()), e))
        }
        _ => Ok(()),
    }
}

fn marker_name(path: &Path) -> String {
    marker::path(path).display().to_string()
}
