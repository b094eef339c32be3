//! Making a store from a follower's copy: the newest base, and the feed since.

use crate::{
    Committed, Error, Index, Op,
    calls::{self, Note, Touched},
    consumers::{self, Consumer, TRIGGERS},
    error::Attempt,
    feed::{self, RawChange},
    follower::bases,
    key::Key,
    marker,
    migrations::{self, MIGRATIONS},
    msgpack, nouns,
    open::{self, beside, remove_if_there},
    segment::{self, SegmentReader},
    tables::{CONSUMERS, FEED, WriteTables},
    writer::begin,
};
use redb::{Database, ReadableTable, WriteTransaction};
use std::path::Path;
use sutler_model::Noun;

/// Blocks applied in one transaction.
const BLOCKS: usize = 256;

/// Makes the store file `to`, which must not exist, from the copy in `folder`. Equal to the store as of the last position
/// copied, but for the consumers' places, which are those of the base: they see again what came since. Who sets off triggers
/// knows an event that it has seen by the run of it, and goes on behind those whose runs were swept.
///
/// # Errors
/// [`Error::Corrupt`] when the copy has a hole, [`Error::Foreign`], [`Error::Newer`], [`Error::Io`].
pub fn rebuild(folder: &Path, to: &Path) -> Result<Committed, Error> {
    let corrupt = |detail: String| Error::Corrupt { path: folder.to_owned(), detail };
    let (base, base_path) = bases(folder)?.pop().ok_or_else(|| corrupt("there is no base in it".to_owned()))?;
    crate::backup::refuse_existing(to)?;
    let partial = beside(to, ".partial");
    remove_if_there(&partial)?;
    std::fs::copy(&base_path, &partial).attempt(&format!("copying `{}`", base_path.display()))?;
    let db = open::open_file(&partial, 64 << 20)?;
    let meta = open::read_meta(&db, &partial)?;
    let known = migrations::current(MIGRATIONS);
    if meta.schema > known {
        return Err(Error::Newer { path: base_path, found: meta.schema, known });
    }
    // What is applied to it is placed as this program does.
    open::run_due(&db, meta.schema, MIGRATIONS, "migrating the copy's base")?;
    let mut next = base + 1;
    for (first, path) in segment::list(folder)? {
        let Some(mut segment) = SegmentReader::open(&path, meta.id)? else { continue };
        if first > next {
            return Err(corrupt(format!("the feed from {next} to {} is missing", first - 1)));
        }
        loop {
            let mut blocks = Vec::new();
            while blocks.len() < BLOCKS {
                let Some((first, block)) = segment.next()? else { break };
                let end = first + feed::header(&block).map_or(0, |h| u64::from(h.entries));
                if first < next {
                    continue;
                }
                if first > next {
                    return Err(corrupt(format!("the feed from {next} to {} is missing", first - 1)));
                }
                next = end;
                blocks.push((first, block));
            }
            if blocks.is_empty() {
                break;
            }
            apply(&db, &blocks, &corrupt)?;
        }
    }
    let (tail, _) = open::load(&db, &partial, &Index::default())?;
    drop(db);
    std::fs::hard_link(&partial, to).attempt(&format!("moving the rebuilt store to `{}`", to.display()))?;
    remove_if_there(&partial)?;
    marker::sync_dir(to)?;
    marker::Marker::lock(to)?.set_store_id(meta.id)?;
    Ok(Committed { seq: tail.seq, at: tail.at })
}

fn apply(db: &Database, blocks: &[(u64, Vec<u8>)], corrupt: &impl Fn(String) -> Error) -> Result<(), Error> {
    let txn = begin(db)?;
    let mut swept = None;
    {
        let mut tables = WriteTables::new(&txn);
        let mut feed_table = txn.open_table(FEED).attempt("opening the feed")?;
        for (first, block) in blocks {
            let damaged = || corrupt(format!("the feed block at {first} cannot be read"));
            for entry in feed::raw_entries(block).ok_or_else(damaged)? {
                let mut note = Note::of(&entry.cause);
                for change in &entry.changes {
                    let done = apply_change(&mut tables, change, entry.forgets, &mut swept)?;
                    done.ok_or_else(|| corrupt(format!("the feed block at {first} does not fit the base")))?;
                    if let Some(note) = &mut note {
                        let (id, version) = (Key::new(change.key).id(), change.version);
                        note.push(Touched { noun: change.noun, id, op: change.op, version });
                    }
                }
                note.map_or(Ok(()), |note| note.store(&mut tables))?;
            }
            feed_table.insert(first, block.as_slice()).attempt("appending to the feed")?;
        }
    }
    if let Some(event) = swept {
        pass(&txn, event)?;
    }
    txn.commit().attempt("committing to the rebuilt store")
}

/// Moves who sets off triggers past an event whose run is no longer there to tell that it was seen. All before it was seen too:
/// runs are swept only behind that consumer's place.
fn pass(txn: &WriteTransaction, event: u64) -> Result<(), Error> {
    let mut table = txn.open_table(CONSUMERS).attempt("opening the feed's consumers")?;
    let place = consumers::load(&table, TRIGGERS)?;
    match place.filter(|place| place.next <= event) {
        Some(place) => consumers::save(&mut table, TRIGGERS, Consumer { next: event + 1, ..place }),
        None => Ok(()),
    }
}

/// None when the change does not fit what is there. The last event whose run was `swept` is noted.
///
/// Of calls it forgets what the store forgot, and no more: of a run that has ended its asker may not know it yet. What the store
/// swept later is swept again.
fn apply_change(
    tables: &mut WriteTables<'_>,
    change: &RawChange<'_>,
    forgets: bool,
    swept: &mut Option<u64>,
) -> Result<Option<()>, Error> {
    let (noun, key) = (change.noun, change.key);
    let mut old = None;
    for live in [true, false] {
        if old.is_none() && (live || nouns::has_history(noun)) {
            let removed = tables.noun(noun, live)?.remove(key).attempt("taking out a record")?;
            old = removed.map(|guard| guard.value().to_vec());
        }
    }
    if let Some(old) = &old {
        for entry in nouns::place(noun, old)?.1 {
            tables.history()?.remove(entry.as_slice()).attempt("removing from the history index")?;
        }
    }
    let new = match (change.op, &old) {
        (Op::Created, None) => Some(change.payload.to_vec()),
        (Op::Updated, Some(old)) => {
            let patched = change.differences().and_then(|d| msgpack::patch(old, &d, change.version));
            let Some(patched) = patched else { return Ok(None) };
            Some(patched)
        }
        (Op::Deleted, Some(old)) => {
            if noun == Noun::ScriptRun {
                *swept = (*swept).max(nouns::event_of(old)?);
            }
            None
        }
        _ => return Ok(None),
    };
    if forgets
        && let Some(last) = new.as_ref().or(old.as_ref())
        && calls::over(noun, last)?
    {
        calls::forget(tables, key)?;
    }
    if let Some(new) = new {
        let (live, entries) = nouns::place(noun, &new)?;
        tables.noun(noun, live)?.insert(key, new.as_slice()).attempt("storing a record")?;
        for entry in entries {
            tables.history()?.insert(entry.as_slice(), key).attempt("adding to the history index")?;
        }
    }
    Ok(Some(()))
}

/// What a whole store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records by noun.
    pub records: Vec<(sutler_model::Noun, u64)>,
    /// Oldest feed position.
    pub oldest_seq: u64,
    /// Last feed position.
    pub seq: u64,
    /// Time of the last commit.
    pub at: sutler_model::Timestamp,
}

/// Reads every page, record, index entry and feed block of the store file at `path`, which nobody may have open.
///
/// # Errors
/// [`Error::Corrupt`] names the first thing wrong; those of [`crate::Store::open`].
pub fn verify(path: &Path) -> Result<Verified, Error> {
    use crate::tables;
    use redb::ReadableDatabase;
    let corrupt = |detail: String| Error::Corrupt { path: path.to_owned(), detail };
    let mut db = open::open_file(path, 64 << 20)?;
    let schema = open::read_meta(&db, path)?.schema;
    if !db.check_integrity().attempt("checking the pages of the store")? {
        return Err(corrupt("its pages do not add up".to_owned()));
    }
    let (tail, oldest) = open::load(&db, path, &Index::default())?;
    let txn = db.begin_read().attempt("reading the store")?;
    let mut entries = std::collections::BTreeMap::new();
    let mut records = Vec::new();
    for noun in Noun::ALL {
        let mut count = 0;
        for live in [true, false] {
            if !live && !nouns::has_history(noun) {
                continue;
            }
            let definition = if live { tables::live(noun) } else { tables::closed(noun) };
            let Some(table) = tables::read(&txn, definition)? else { continue };
            for row in table.iter().attempt("reading the store")? {
                let (key, record) = row.attempt("reading the store")?;
                let (is_live, placed) = nouns::place(noun, record.value())?;
                if is_live != live {
                    return Err(corrupt(format!("a {noun} lies in the wrong table: {:02x?}", key.value())));
                }
                entries.extend(placed.into_iter().map(|entry| (entry, key.value().to_vec())));
                count += 1;
            }
        }
        records.push((noun, count));
    }
    // Migrating an older file moves and adds some.
    let current = schema >= migrations::current(MIGRATIONS);
    if let Some(table) = tables::read(&txn, tables::HISTORY)?.filter(|_| current) {
        for row in table.iter().attempt("reading the history index")? {
            let (entry, key) = row.attempt("reading the history index")?;
            if entries.remove(entry.value()).as_deref() != Some(key.value()) {
                return Err(corrupt(format!("an entry of the history index leads nowhere: {:02x?}", entry.value())));
            }
        }
    }
    if let Some(entry) = entries.keys().next().filter(|_| current) {
        return Err(corrupt(format!("an entry of the history index is missing: {entry:02x?}")));
    }
    let mut next = oldest;
    if let Some(table) = tables::read(&txn, FEED)? {
        for row in table.iter().attempt("reading the feed")? {
            let (first, block) = row.attempt("reading the feed")?;
            let whole = feed::raw_entries(block.value()).is_some() && first.value() == next;
            let header = feed::header(block.value()).filter(|_| whole);
            let header = header.ok_or_else(|| corrupt(format!("the feed has a hole or damage at {next}")))?;
            next += u64::from(header.entries);
        }
    }
    Ok(Verified { records, oldest_seq: oldest, seq: tail.seq, at: tail.at })
}
