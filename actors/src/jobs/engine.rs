//! Runs every job the same way: persists before it acts, resumes where it stopped, undoes what failed.
//!
//! 1. The commit that accepts a job stores its first step. Only then does anything happen.
//! 2. Each finished step is one commit: its result, the changed records and the start of the next step.
//! 3. A transient failure is tried again with growing pauses; any other is undone backwards.
//! 4. After a crash a job resumes at its stored step. There is no other recovery path.

use super::{
    Apply, CreateImage, CreateServer, DeleteServer, RebootServer, StartServer, Step, StepCtx, StepError, StopServer,
    Work,
};
use crate::{Core, Error, caller::job_cause, family::Family, remains, scripts::Scripts};
use futures_util::FutureExt;
use metrics::{counter, gauge, histogram};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};
use sutler_model::{Evidence, ImageState, Job, JobError, JobId, JobInput, JobState, StepState, Timestamp};
use sutler_store::ChangeSet;
use tokio::sync::Semaphore;

/// Longest pause between two tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Pause while the store takes no writes; jobs wait rather than fail, for nothing is lost by waiting.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// Tries of a commit that others got in the way of. Each loss means that somebody else's change succeeded.
const COMMIT_TRIES: u32 = 50;

/// The job engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    core: Core,
    permits: Arc<Semaphore>,
    /// Asked before a job goes into a new state; set once, before any job runs.
    scripts: Arc<OnceLock<Scripts>>,
}

/// A job at work.
struct Running<'a, W: Work> {
    core: &'a Core,
    scripts: Option<&'a Scripts>,
    work: W,
    job: Job,
    family: Family,
    started_at: Timestamp,
}

impl Engine {
    /// An engine that runs at most `settings.jobs_at_once` jobs at the same time.
    pub fn new(core: Core) -> Self {
        metrics::describe_counter!("sutler_jobs_total", "Jobs ended, by kind and state");
        metrics::describe_gauge!("sutler_jobs_running", "Jobs at work");
        metrics::describe_histogram!("sutler_job_seconds", metrics::Unit::Seconds, "From acceptance to end of a job");
        let permits = Arc::new(Semaphore::new(core.settings.jobs_at_once));
        Self { core, permits, scripts: Arc::default() }
    }

    /// The triggers that are asked from here on.
    pub(crate) fn ask(&self, scripts: Scripts) {
        // There is one system to an engine.
        let _ = self.scripts.set(scripts);
    }

    /// Runs a job to its end and answers with it. A job that ended already is answered as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`] when the store stopped: the job then resumes at the next start.
    pub async fn run(&self, id: JobId) -> Result<Job, Error> {
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(Error::Busy { detail: "the job engine has stopped".to_owned(), retry_after_s: 5 });
        };
        let (job, family) = load(&self.core, id).await?;
        if job.state.is_final() {
            return Ok(job);
        }
        gauge!("sutler_jobs_running").increment(1);
        let ended = match job.input.clone() {
            JobInput::CreateServer { disk_id, start, .. } => {
                self.work(CreateServer::new(disk_id, start), job, family).await
            }
            JobInput::StartServer { .. } => self.work(StartServer::default(), job, family).await,
            JobInput::StopServer { force, .. } => self.work(StopServer { force }, job, family).await,
            JobInput::RebootServer { force, .. } => self.work(RebootServer::new(force), job, family).await,
            JobInput::DeleteServer { .. } => self.work(DeleteServer, job, family).await,
            JobInput::CreateImage { disk_id, .. } => self.work(CreateImage { disk_id }, job, family).await,
            // Have no steps of their own; see `ops/deletion.rs` and `ops/deferred.rs`.
            JobInput::Operation { .. } | JobInput::DeleteCustomer { .. } => Ok(job),
        };
        gauge!("sutler_jobs_running").decrement(1);
        let job = ended?;
        counter!("sutler_jobs_total", "kind" => job.input.kind(), "state" => job.state.name()).increment(1);
        if let Some(end) = job.finished_at {
            histogram!("sutler_job_seconds", "kind" => job.input.kind())
                .record(Duration::from_millis(end.since_ms(job.created_at).max(0).unsigned_abs()));
        }
        Ok(job)
    }

    async fn work<W: Work>(&self, work: W, job: Job, family: Family) -> Result<Job, Error> {
        let started_at = self.core.now();
        let mut running = Running { core: &self.core, scripts: self.scripts.get(), work, job, family, started_at };
        while !running.job.state.is_final() {
            if running.job.state == JobState::Undoing {
                running.undo_one().await?;
            } else {
                running.do_one().await?;
            }
        }
        Ok(running.job)
    }
}

/// What a fault of a job's step is called.
pub(crate) fn fault_name(kind: &str, step: &str) -> String {
    format!("{kind}/{step}")
}

async fn load(core: &Core, id: JobId) -> Result<(Job, Family), Error> {
    let found = core
        .store
        .read(move |s| {
            let Some(job) = s.get::<Job>(id)? else { return Ok(None) };
            let family = Family::of_job(s, &job)?;
            Ok(Some((job, family)))
        })
        .await?;
    found.ok_or_else(|| Error::NotFound { noun: JobId::NOUN, id: id.to_string() })
}

/// The percentage of a job whose `done` steps are behind it.
fn progress<W: Work>(work: &W, done: usize) -> u8 {
    let total = total_steps(work).max(1);
    u8::try_from((done * 100 / total).min(100)).unwrap_or(100)
}

/// How many steps the work has.
fn total_steps<W: Work>(work: &W) -> usize {
    std::iter::successors(Some(W::FIRST), |step| work.next(*step)).count()
}

impl<W: Work> Running<'_, W> {
    /// The step stored in the job; a name this version does not know needs an operator.
    fn current(&self) -> Result<W::Step, StepError> {
        let Some(current) = &self.job.current else { return Ok(W::FIRST) };
        W::Step::parse(&current.step).ok_or_else(|| StepError::Permanent {
            code: "unknown_step",
            message: "this job was begun by another version".to_owned(),
            operator: Some(format!("no step `{}` in {}", current.step, self.job.input.kind())),
        })
    }

    async fn do_one(&mut self) -> Result<(), Error> {
        if let Some(error) = self.must_stop() {
            return self.begin_undo(error).await;
        }
        let step = match self.current() {
            Ok(step) => step,
            Err(error) => return self.needs_operator(error).await,
        };
        if let Some(refusal) = self.before(JobState::InProgress).await?
            && self.job.state == JobState::NotStarted
        {
            return self.begin_undo(refusal).await;
        }
        let ctx = StepCtx { core: self.core, scripts: self.scripts, family: &self.family, job: &self.job };
        match guarded(self.run(step, &ctx)).await {
            Ok(apply) => self.step_done(step, apply).await,
            Err(StepError::Transient { operator }) if self.may_retry() => {
                self.retry_later(operator, JobState::Waiting).await
            }
            Err(error) => self.begin_undo(job_error(error)).await,
        }
    }

    /// Asks triggers about the state that comes next; answers a refusal, which counts only before anything was done.
    async fn before(&self, state: JobState) -> Result<Option<JobError>, Error> {
        let Some(scripts) = self.scripts else { return Ok(None) };
        match scripts.before_turn(&self.job, state).await {
            Ok(()) => Ok(None),
            Err(error @ Error::Refused { .. }) => Ok(Some(refused(&error))),
            Err(error) => Err(error),
        }
    }

    /// Does a step; in simulated mode with the fault that an operator ordered for it.
    async fn run(&self, step: W::Step, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        let Some(world) = &self.core.simulated else { return self.work.run(step, ctx).await };
        let name = || fault_name(self.job.input.kind(), step.name());
        let fault = world.suffer(name);
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        fault.before(name)?;
        let apply = self.work.run(step, ctx).await?;
        fault.after(name, world.deadline())?;
        Ok(apply)
    }

    /// Whether the job was cancelled or ran out of time.
    fn must_stop(&self) -> Option<JobError> {
        let error = |code: &str, message: &str| {
            Some(JobError { code: code.to_owned(), message: message.to_owned(), operator_message: None })
        };
        if self.job.cancel_requested {
            return error("cancelled", "cancelled on request");
        }
        if self.core.now() >= self.job.deadline_at {
            return error("deadline", "took longer than allowed and was given up");
        }
        None
    }

    async fn step_done(&mut self, step: W::Step, apply: Apply) -> Result<(), Error> {
        let next = self.work.next(step);
        if next.is_none() {
            self.before(JobState::Successful).await?;
        }
        let done = self.job.done.len() + 1;
        let percent = progress(&self.work, done);
        let started_at = self.started_at;
        self.save(|job, family, at| {
            job.done.push(step.name().to_owned());
            job.started_at.get_or_insert(started_at);
            job.progress_percent = percent;
            job.current = next.map(|next| StepState { step: next.name().to_owned(), attempts: 0, since: at });
            job.state = if next.is_some() { JobState::InProgress } else { JobState::Successful };
            apply(family, at);
            if next.is_none() {
                end(job, family, at);
            }
        })
        .await
    }

    fn may_retry(&self) -> bool {
        self.job.current.as_ref().is_none_or(|c| c.attempts + 1 < self.core.settings.retry_max)
    }

    async fn retry_later(&mut self, operator: String, state: JobState) -> Result<(), Error> {
        tracing::warn!(job = %self.job.id, kind = self.job.input.kind(), "step failed for now: {operator}");
        self.before(state).await?;
        let started_at = self.started_at;
        self.save(|job, _, at| {
            job.state = state;
            job.started_at.get_or_insert(started_at);
            let current =
                job.current.get_or_insert(StepState { step: W::FIRST.name().to_owned(), attempts: 0, since: at });
            current.attempts += 1;
        })
        .await?;
        let attempts = self.job.current.as_ref().map_or(1, |c| c.attempts).min(16);
        let pause = Duration::from_millis(self.core.settings.retry_base_ms.saturating_mul(1 << (attempts - 1)));
        self.pause(pause.min(RETRY_PAUSE_MAX)).await
    }

    /// Waits, but no longer than until somebody changes the job (cancels it).
    async fn pause(&mut self, pause: Duration) -> Result<(), Error> {
        let (id, version) = (self.job.id, self.job.version);
        let mut feed = self.core.store.watch();
        let changed = async {
            while self.core.store.index().version(JobId::NOUN, id.into()) == Some(version) {
                if feed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        if tokio::time::timeout(pause, changed).await.is_ok() {
            (self.job, self.family) = load(self.core, id).await?;
        }
        Ok(())
    }

    async fn begin_undo(&mut self, error: JobError) -> Result<(), Error> {
        tracing::warn!(
            job = %self.job.id, kind = self.job.input.kind(), code = error.code,
            operator = error.operator_message.as_deref().unwrap_or_default(), "undoing: {}", error.message
        );
        let started_at = self.started_at;
        self.save(|job, _, at| {
            job.error = Some(error.clone());
            job.started_at.get_or_insert(started_at);
            job.state = JobState::Undoing;
            let step = job.current.take().map_or_else(|| W::FIRST.name().to_owned(), |c| c.step);
            job.current = Some(StepState { step, attempts: 0, since: at });
        })
        .await
    }

    async fn undo_one(&mut self) -> Result<(), Error> {
        let step = match self.current() {
            Ok(step) => step,
            Err(error) => return self.needs_operator(error).await,
        };
        let ctx = StepCtx { core: self.core, scripts: self.scripts, family: &self.family, job: &self.job };
        match guarded(self.work.undo(step, &ctx)).await {
            Ok(apply) => self.step_undone(apply).await,
            Err(StepError::Transient { operator }) if self.may_retry() => {
                self.retry_later(operator, JobState::Undoing).await
            }
            Err(error) => self.needs_operator(error).await,
        }
    }

    async fn step_undone(&mut self, apply: Apply) -> Result<(), Error> {
        let mut steps = self.job.done.clone();
        let previous = steps.pop();
        let cancelled = self.job.error.as_ref().is_some_and(|e| e.code == "cancelled");
        let ended = if cancelled { JobState::Cancelled } else { JobState::Failed };
        if previous.is_none() {
            self.before(ended).await?;
        }
        let work = &self.work;
        let percent = progress(work, steps.len());
        save(self.core, &mut self.job, &mut self.family, |job, family, at| {
            apply(family, at);
            job.done.clone_from(&steps);
            job.progress_percent = percent;
            job.current = previous.as_ref().map(|step| StepState { step: step.clone(), attempts: 0, since: at });
            if previous.is_none() {
                job.state = ended;
                let reason = job.error.as_ref().map_or_else(String::new, |e| e.message.clone());
                work.gave_up(family, at, &reason);
                end(job, family, at);
            }
        })
        .await
    }

    /// Neither finished nor reversed: kept with the facts, never looped over, never forgotten.
    async fn needs_operator(&mut self, error: StepError) -> Result<(), Error> {
        let undo_error = job_error(error);
        tracing::error!(job = %self.job.id, kind = self.job.input.kind(), "needs an operator: {}", undo_error.message);
        self.before(JobState::NeedsOperator).await?;
        self.save(|job, family, at| {
            let facts = format!(
                "stuck at step `{}` ({}): {}",
                job.current.as_ref().map_or("", |c| c.step.as_str()),
                undo_error.message,
                undo_error.operator_message.as_deref().unwrap_or("no more is known"),
            );
            let error = job.error.get_or_insert_with(|| undo_error.clone());
            error.operator_message =
                Some(error.operator_message.take().map_or(facts.clone(), |earlier| format!("{earlier}; {facts}")));
            job.state = JobState::NeedsOperator;
            match &mut family.image {
                // Its server is as it was; the keeper goes on taking away what there is of the image.
                Some(image) => image.state = ImageState::Deleting,
                None => family.enter(sutler_model::ServerState::Error, at, Some("waits for your provider".to_owned())),
            }
            end(job, family, at);
        })
        .await
    }

    async fn save(&mut self, change: impl Fn(&mut Job, &mut Family, Timestamp)) -> Result<(), Error> {
        save(self.core, &mut self.job, &mut self.family, change).await
    }
}

/// What ends with a job, however it ended.
fn end(job: &mut Job, family: &mut Family, at: Timestamp) {
    job.current = None;
    job.finished_at = Some(at);
    if let Some(server) = &mut family.server
        && server.job_id == Some(job.id)
    {
        server.job_id = None;
    }
}

/// Commits a change of a job and its family; made again on fresh records when somebody else wrote meanwhile.
async fn save(
    core: &Core,
    job: &mut Job,
    family: &mut Family,
    change: impl Fn(&mut Job, &mut Family, Timestamp),
) -> Result<(), Error> {
    let cause = job_cause(job.id);
    let mut lost = 0;
    loop {
        let at = core.now();
        let (mut new_job, mut new_family) = (job.clone(), family.clone());
        change(&mut new_job, &mut new_family, at);
        let mut set = ChangeSet::new(cause.clone());
        family.turn_into(&mut new_family, at, Evidence::Seen, &cause, &mut set);
        remains::keep_family(core, family, &new_family, at, &mut set).await?;
        set.update(job, &mut new_job);
        match core.store.commit(set).await {
            Ok(_) => {
                follow(core, family, &new_family);
                (*job, *family) = (new_job, new_family);
                #[cfg(test)]
                super::suite::committed();
                return Ok(());
            }
            Err(sutler_store::Error::Conflict { .. }) if lost < COMMIT_TRIES => {
                lost += 1;
                (*job, *family) = load(core, job.id).await?;
            }
            Err(sutler_store::Error::DiskFull { .. }) => tokio::time::sleep(STORE_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The book of placement follows the records.
fn follow(core: &Core, old: &Family, new: &Family) {
    let place = |family: &Family| family.server.as_ref().and_then(|s| s.node_id.map(|_| s.id));
    if let Some(id) = place(old)
        && place(new).is_none()
    {
        core.placement.release(id);
    }
}

/// A panic in a step is a failure of that step, not of the process.
async fn guarded(step: impl Future<Output = Result<Apply, StepError>>) -> Result<Apply, StepError> {
    AssertUnwindSafe(step).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(StepError::Permanent {
            code: "internal",
            message: "something went wrong inside; your provider has been told".to_owned(),
            operator: Some(format!("panic: {text}")),
        })
    })
}

/// What a trigger's refusal is to a job.
fn refused(error: &Error) -> JobError {
    JobError { code: "refused".to_owned(), message: error.to_string(), operator_message: None }
}

fn job_error(error: StepError) -> JobError {
    match error {
        StepError::Transient { operator } => JobError {
            code: "unavailable".to_owned(),
            message: "the hypervisor did not answer, also not after several tries".to_owned(),
            operator_message: Some(operator),
        },
        StepError::Permanent { code, message, operator } => {
            JobError { code: code.to_owned(), message, operator_message: operator }
        }
    }
}
