//! What calls of runs have done, found by run and call: a repeated run asks here before it does a thing again.
//!
//! The transaction that commits a change of a call ([`sutler_model::Cause::call`]) notes here what it changed, and the one that
//! records the run's end for good takes the notes away. A run that changes nothing has none. Keys are the id of what makes the
//! calls (a run, or the job of a call for later) and the call's number.
//!
//! What runs for somebody who asks again after a crash (a provider's function) keeps its notes beyond its end. Those are swept, in
//! small steps, once nobody can ask again; see [`sweep`].

mod sweep;

pub(crate) use sweep::Sweep;

use crate::{
    Error, Op, Snapshot,
    error::Attempt,
    msgpack, nouns,
    tables::{self, CALLS, WriteTables},
};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use sutler_model::{Cause, Noun};
use uuid::Uuid;

/// Changes noted of a call. What it was about is among the first.
const CHANGES_MAX: usize = 64;
/// Records that come with the work of a call and say nothing of what it was about.
const COMPANIONS: [Noun; 5] = [Noun::ScriptRun, Noun::Notice, Noun::Interval, Noun::ScriptRevision, Noun::BlobContent];

/// What a call has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallMade {
    /// The operation's name in the language.
    pub operation: String,
    /// The resource that it named.
    pub about: Option<Uuid>,
    /// What it changed, in order.
    pub changes: Vec<Touched>,
}

/// A record that a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Its kind.
    pub noun: Noun,
    /// Which.
    pub id: Uuid,
    /// How.
    pub op: Op,
    /// Its version since; of one that is gone its last.
    pub version: u64,
}

impl CallMade {
    /// How a record was first changed.
    pub fn op(&self, noun: Noun, id: Uuid) -> Option<Op> {
        self.changes.iter().find(|change| (change.noun, change.id) == (noun, id)).map(|change| change.op)
    }

    /// The first record of a kind that was changed.
    pub fn first(&self, noun: Noun) -> Option<Uuid> {
        self.changes.iter().find(|change| change.noun == noun).map(|change| change.id)
    }

    /// Whether a record is gone.
    pub fn deleted(&self, id: Uuid) -> Option<Noun> {
        self.changes.iter().find(|change| change.id == id && change.op == Op::Deleted).map(|change| change.noun)
    }
}

/// What the change set of a call adds to its note.
pub(crate) struct Note {
    key: [u8; 20],
    made: CallMade,
}

impl Note {
    /// Of a set with a cause; none for one that no call made.
    pub(crate) fn of(cause: &Cause) -> Option<Self> {
        let (maker, call) = cause.call()?;
        let made = CallMade { operation: call.operation.clone(), about: call.about, changes: Vec::new() };
        Some(Self { key: key(maker, call.number), made })
    }

    /// Notes a change.
    pub(crate) fn push(&mut self, touched: Touched) {
        if self.made.changes.len() < CHANGES_MAX && !COMPANIONS.contains(&touched.noun) {
            self.made.changes.push(touched);
        }
    }

    /// Stores it with what earlier sets of the same call did. Another call in its place takes it over.
    pub(crate) fn store(&self, tables: &mut WriteTables<'_>) -> Result<(), Error> {
        if self.made.changes.is_empty() {
            return Ok(());
        }
        let table = tables.calls()?;
        let earlier = table.get(self.key.as_slice()).attempt("looking for an earlier part of a call")?;
        let earlier = earlier.map(|guard| msgpack::read::<CallMade>(guard.value(), "a call")).transpose()?;
        let mut bytes = Vec::new();
        match earlier {
            Some(mut made) if (&made.operation, made.about) == (&self.made.operation, self.made.about) => {
                let room = CHANGES_MAX.saturating_sub(made.changes.len());
                made.changes.extend(self.made.changes.iter().take(room));
                msgpack::write(&mut bytes, &made);
            }
            _ => msgpack::write(&mut bytes, &self.made),
        }
        table.insert(self.key.as_slice(), bytes.as_slice()).attempt("noting a call")?;
        Ok(())
    }
}

/// Takes away the notes of all calls of a run or job.
pub(crate) fn forget(tables: &mut WriteTables<'_>, maker: &[u8]) -> Result<(), Error> {
    let Ok(maker) = Uuid::from_slice(maker) else { return Ok(()) };
    let (first, last) = (key(maker, 0), key(maker, u32::MAX));
    let table = tables.calls()?;
    table.retain_in(first.as_slice()..=last.as_slice(), |_, _| false).attempt("forgetting the calls of a run")
}

/// Whether a stored record is that of a run or job whose calls are never made again.
pub(crate) fn over(noun: Noun, record: &[u8]) -> Result<bool, Error> {
    match noun {
        Noun::ScriptRun | Noun::Job => nouns::over(noun, record),
        _ => Ok(false),
    }
}

fn key(maker: Uuid, number: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(maker.as_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

impl Snapshot {
    /// What a call of a run, or of a job that makes one, has done; none: nothing, or it was forgotten with its run's end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn call(&self, maker: Uuid, number: u32) -> Result<Option<CallMade>, Error> {
        let Some(table) = tables::read(&self.txn, CALLS)? else { return Ok(None) };
        let found = table.get(key(maker, number).as_slice()).attempt("looking for a call")?;
        found.map(|guard| msgpack::read(guard.value(), "a call")).transpose()
    }

    /// What all calls of a run have done, in order.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn calls(&self, maker: Uuid) -> Result<Vec<CallMade>, Error> {
        let Some(table) = tables::read(&self.txn, CALLS)? else { return Ok(Vec::new()) };
        let (first, last) = (key(maker, 0), key(maker, u32::MAX));
        let rows = table.range(first.as_slice()..=last.as_slice()).attempt("looking for the calls of a run")?;
        rows.map(|row| msgpack::read(row.attempt("looking for the calls of a run")?.1.value(), "a call")).collect()
    }
}
