//! Forgetting the calls of runs that nobody can ask for any more, in small steps.
//!
//! Notes go when the run ended well (or was refused or skipped) long ago, what it was for has been settled since, and so has every
//! run behind it, which makes the same call again when it is repeated. A dead letter and all that ran for it keep theirs. Runs that
//! have no record are made again from the feed as far as it reaches back, and keep theirs that long.

use super::{forget, key};
use crate::{Error, Options, Record, error::Attempt, msgpack, nouns, tables::WriteTables};
use redb::ReadableTable;
use std::time::{Duration, Instant};
use sutler_model::{Cause, Job, Noun, RunId, ScriptRun, Timestamp};
use uuid::Uuid;

/// Runs looked at in one step: a few milliseconds of the writer's time, at most once a second.
const MAKERS: usize = 128;
/// Runs looked for behind one; they cannot set each other off so often.
const BEHIND_MAX: usize = 32;
/// Records that runs are for, and who ask for them again.
const ASKERS: [Noun; 2] = [Noun::PluggableResource, Noun::Transaction];

/// A walk over all notes. A restart begins it anew.
pub(crate) struct Sweep {
    /// When the last walk ended, or the store was opened.
    since: Instant,
    /// Where a walk that has begun goes on.
    next: Option<Vec<u8>>,
}

impl Sweep {
    /// The first walk begins a while after the start: by then all that a crash cut off has been taken up.
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), next: None }
    }

    /// Whether a walk is under way or about to begin.
    pub(crate) fn is_due(&self, options: &Options) -> bool {
        self.next.is_some() || self.since.elapsed() >= Duration::from_millis(options.calls_sweep_ms)
    }

    /// Goes on a little; answers whether something was forgotten.
    pub(crate) fn step(&mut self, tables: &mut WriteTables<'_>, options: &Options) -> Result<bool, Error> {
        let now = options.now();
        let settled = Settled {
            ended_by: now.plus_ms(options.calls_keep_ms.saturating_neg()),
            replayed_from: now.plus_ms(options.feed_max_ms.saturating_neg()),
        };
        let mut from = self.next.take().unwrap_or_default();
        let mut swept = false;
        for _ in 0..MAKERS {
            let Some(maker) = maker_from(tables, &from)? else {
                self.since = Instant::now();
                return Ok(swept);
            };
            if settled.is(tables, maker)? {
                forget(tables, maker.as_bytes())?;
                swept = true;
            }
            from = key(maker, u32::MAX).to_vec();
            from.push(0);
        }
        self.next = Some(from);
        Ok(swept)
    }
}

/// The first that made calls whose keys are not below `from`.
fn maker_from(tables: &mut WriteTables<'_>, from: &[u8]) -> Result<Option<Uuid>, Error> {
    let mut rows = tables.calls()?.range(from..).attempt("looking for calls")?;
    let Some(row) = rows.next() else { return Ok(None) };
    let (key, _) = row.attempt("looking for calls")?;
    Ok(key.value().get(..16).and_then(|maker| Uuid::from_slice(maker).ok()))
}

/// What is known to be settled.
struct Settled {
    /// What had ended by then, unless somebody waits for it.
    ended_by: Timestamp,
    /// Of runs without a record: those of events before this.
    replayed_from: Timestamp,
}

impl Settled {
    /// Whether the calls of a run or job are never made again.
    fn is(&self, tables: &mut WriteTables<'_>, maker: Uuid) -> Result<bool, Error> {
        let Some(run) = stored::<ScriptRun>(tables, maker)? else {
            return match stored::<Job>(tables, maker)? {
                Some(job) => Ok(job.over() && job.finished_at.unwrap_or(job.created_at) <= self.ended_by),
                None => Ok(self.is_past(maker)),
            };
        };
        if !run.over() || run.finished_at.unwrap_or(run.created_at) > self.ended_by {
            return Ok(false);
        }
        if let Some(subject) = run.resource_id
            && awaited(tables, subject)?
        {
            return Ok(false);
        }
        self.is_behind(tables, run)
    }

    /// Whether what asked for a run, and what asked for that, is never repeated. A trigger's run is asked for by its event.
    fn is_behind(&self, tables: &mut WriteTables<'_>, mut run: ScriptRun) -> Result<bool, Error> {
        for _ in 0..BEHIND_MAX {
            let Cause::Run { run_id, by_call, .. } = run.cause else { return Ok(true) };
            if run.seq.is_some() {
                return Ok(true);
            }
            if let Some(job_id) = by_call.and_then(|call| call.job_id)
                && let Some(job) = stored::<Job>(tables, job_id.0)?
                && !job.over()
            {
                return Ok(false);
            }
            let Some(behind) = stored::<ScriptRun>(tables, run_id.0)? else { return Ok(self.is_past(run_id.0)) };
            if !behind.over() {
                return Ok(false);
            }
            run = behind;
        }
        Ok(false)
    }

    /// Whether the feed no longer has the event of a run.
    fn is_past(&self, maker: Uuid) -> bool {
        RunId(maker).event_at() < self.replayed_from
    }
}

/// Whether a record asks for its run again until how that ended is settled.
fn awaited(tables: &mut WriteTables<'_>, subject: Uuid) -> Result<bool, Error> {
    for noun in ASKERS {
        let found = tables.noun(noun, true)?.get(subject.as_bytes().as_slice()).attempt("looking for who asked")?;
        if let Some(record) = found
            && nouns::awaits_run(noun, record.value())?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A run or job, ended or not.
fn stored<R: Record>(tables: &mut WriteTables<'_>, id: Uuid) -> Result<Option<R>, Error> {
    for live in [true, false] {
        let found = tables.noun(R::NOUN, live)?.get(id.as_bytes().as_slice()).attempt("looking for a run")?;
        if let Some(record) = found {
            return msgpack::read(record.value(), R::NOUN.name()).map(Some);
        }
    }
    Ok(None)
}
