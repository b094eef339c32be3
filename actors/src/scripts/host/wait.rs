//! Waiting for a job, without a thread.

use super::{Platform, ask::Args, failed, keys::tagged, list::sees, payments};
use crate::scripts::beans::Beans;
use serde_json::Value;
use sutler_lua::{HostError, Who};
use sutler_model::{Job, JobId, Noun, Scope, TransactionId};
use sutler_store::{Error as StoreError, Field, Filter};

/// `waitForJob(job UUID, noWaitForChildren)`: the job in its final state.
///
/// What waits for the run itself is refused at once, and so is a job that waits its turn behind the job that set this run off:
/// what was begun by a job must not wait for what comes after it.
pub(super) async fn wait_for_job(
    platform: &Platform,
    who: &Who,
    scope: Scope,
    args: &Args<'_>,
) -> Result<Value, HostError> {
    let (id, alone) = (JobId(args.id(0)?), args.flag(1));
    if let Some(job) = platform.done.get(who.owner, id.0) {
        return Ok(tagged(job));
    }
    if let Some(job) = payments::wait(platform, who, scope, TransactionId(id.0)).await? {
        return Ok(job);
    }
    let store = &platform.store;
    let job = look(platform, scope, id).await?;
    if !job.state.is_final() {
        refuse_behind(platform, who, &job).await?;
    }
    let mut waiting = vec![id];
    let mut all = waiting.clone();
    while let Some(next) = waiting.pop() {
        ended(platform, next).await?;
        if !alone {
            for child in children(platform, next).await? {
                if !all.contains(&child) {
                    all.push(child);
                    waiting.push(child);
                }
            }
        }
    }
    let (job, owner) = (look(platform, scope, id).await?, who.owner);
    let bean = store.read(move |snapshot| Beans::new(snapshot, owner, 0).bean(job)).await.map_err(failed)?;
    Ok(tagged(bean))
}

/// Waits until a job has ended, however it ends.
pub(super) async fn ended(platform: &Platform, id: JobId) -> Result<(), HostError> {
    // Before the first look, so that no change falls between.
    let mut feed = platform.store.watch();
    // A job leaves the index of what is unfinished when it ends.
    while platform.store.index().version(Noun::Job, id.into()).is_some() {
        feed.changed().await.map_err(|_| HostError::Failed("the program is stopping".to_owned()))?;
    }
    Ok(())
}

async fn look(platform: &Platform, scope: Scope, id: JobId) -> Result<Job, HostError> {
    let tree = platform.tree.clone();
    let read = platform.store.read(move |snapshot| {
        let Some(job) = snapshot.get::<Job>(id)? else { return Ok(None) };
        Ok(sees(snapshot, &tree, scope, &job)?.then_some(job))
    });
    let job = read.await.map_err(failed)?;
    job.ok_or_else(|| HostError::refused("NO_JOB_FOUND", format!("there is no job `{id}`")))
}

async fn refuse_behind(platform: &Platform, who: &Who, job: &Job) -> Result<(), HostError> {
    let behind =
        platform.runs.behind.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&who.run_id).copied();
    let Some(behind) = behind else { return Ok(()) };
    let cause = platform.store.get::<Job>(behind.job).await.map_err(failed)?;
    if behind.held && (behind.job == job.id || cause.as_ref().is_some_and(|cause| cause.parent_id == Some(job.id))) {
        let detail = format!("job {} goes on only when this run has ended; wait for it in a POST trigger", job.id);
        return Err(HostError::Failed(detail));
    }
    if behind.job == job.id {
        return Ok(());
    }
    match cause {
        // Jobs of one server run in the order of their ids.
        Some(cause) if !cause.state.is_final() && same_queue(&cause, job) && cause.id < job.id => {
            Err(HostError::Failed(format!(
                "job {} waits its turn behind job {}, which set this run off; wait for it in a later run",
                job.id, cause.id
            )))
        }
        _ => Ok(()),
    }
}

/// Whether one of two jobs waits for the other.
fn same_queue(one: &Job, other: &Job) -> bool {
    one.item_id == other.item_id || one.input.server_id().is_some_and(|server| other.input.server_id() == Some(server))
}

async fn children(platform: &Platform, id: JobId) -> Result<Vec<JobId>, HostError> {
    let read = platform.store.read(move |snapshot| -> Result<Vec<JobId>, StoreError> {
        let filter = Filter::<Job>::new().is(Field::Parent, id.0.as_bytes());
        snapshot.records(filter).map(|job| Ok(job?.id)).collect()
    });
    read.await.map_err(failed)
}
