//! Jobs accepted for a later time.
//!
//! Until its time has come such a job is a record and nothing else: nothing of its server has changed but, for a creation,
//! that name and quota are taken. Then it is held against the server as it is by then, in the commit that begins it, and from
//! there on it is a job like any other. Nobody is asked again: who accepted it has been, with PRE triggers.
//!
//! What is kept in memory is only when to look; the store has the jobs, and a restart reads them from there.

use crate::{
    Core, Error, ServerAction, System,
    family::Family,
    ops::servers::{accept, allowed},
    registry::Registry,
    server::{JobAccepted, ServerActor},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use sutler_model::{Customer, Evidence, Job, JobError, JobId, JobInput, JobState, Noun, Timestamp};
use sutler_store::{ChangeSet, Error as StoreError, Field};
use tokio::sync::Notify;
use uuid::Uuid;

/// Longest sleep with a job to come: a changed system clock is noticed within it.
const LOOK: Duration = Duration::from_secs(1);

/// When to look at which job; cheap to clone.
#[derive(Clone, Default)]
pub struct Later(Arc<Shared>);

#[derive(Default)]
struct Shared {
    times: Mutex<BTreeSet<(Timestamp, Uuid)>>,
    sooner: Notify,
}

impl Later {
    /// A job was accepted for a time.
    pub(crate) fn note(&self, at: Timestamp, job: JobId) {
        self.0.times.lock().unwrap_or_else(PoisonError::into_inner).insert((at, job.0));
        self.0.sooner.notify_one();
    }

    /// The jobs whose time has come, and when the next one's comes.
    fn due(&self, now: Timestamp) -> (Vec<JobId>, Option<Timestamp>) {
        let mut times = self.0.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while let Some((at, job)) = times.first().copied() {
            if at > now {
                return (due, Some(at));
            }
            times.pop_first();
            due.push(JobId(job));
        }
        (due, None)
    }
}

/// Begins jobs in their time, until the process stops.
pub(crate) async fn keep_time(system: System) {
    let (core, servers) = (system.inner.core.clone(), system.inner.servers.clone());
    for id in core.store.index().ids(Noun::Job, Field::Pending, b"later") {
        match core.store.get::<Job>(id).await {
            Ok(Some(job)) => core.later.note(job.start_at.unwrap_or(job.created_at), job.id),
            Ok(None) => {}
            Err(error) => tracing::error!(job = %id, %error, "a job for later cannot be read; it waits for a restart"),
        }
    }
    loop {
        let (due, next) = core.later.due(core.now());
        for id in due {
            if let Err(error) = begin(&system, &core, &servers, id).await {
                tracing::warn!(job = %id, "a job whose time has come does not begin yet: {error}");
                core.later.note(core.now().plus_ms(1_000), id);
            }
        }
        let pause = next.map(|at| Duration::from_millis(at.since_ms(core.now()).max(1).unsigned_abs()).min(LOOK));
        tokio::select! {
            () = tokio::time::sleep(pause.unwrap_or(LOOK)), if pause.is_some() => {}
            () = core.later.0.sooner.notified() => {}
        }
    }
}

/// Lets a job begin, or fail where its server no longer allows it.
async fn begin(system: &System, core: &Core, servers: &Registry<ServerActor>, id: JobId) -> Result<(), Error> {
    let job = core.store.get::<Job>(id).await?;
    let Some(job) = job.filter(|job| job.scheduled && !job.state.is_final()) else { return Ok(()) };
    match job.input {
        JobInput::Operation { .. } => {
            system.carry_out(id);
            return Ok(());
        }
        JobInput::DeleteCustomer { .. } => {
            system.carry_on(id);
            return Ok(());
        }
        _ => {}
    }
    loop {
        let read = core.store.read(move |snapshot| {
            let Some(job) = snapshot.get::<Job>(id)? else { return Ok(None) };
            let Some(server) = job.input.server_id() else { return Ok(None) };
            let family = Family::of_job(snapshot, &job)?;
            let customer = job.customer_id.map(|id| snapshot.get::<Customer>(id)).transpose()?.flatten();
            Ok(customer.map(|customer| (job, server, family, customer)))
        });
        let Some((job, server, family, customer)) = read.await?.filter(|(job, ..)| job.scheduled) else {
            return Ok(());
        };
        let at = core.now();
        let (mut new_job, mut new_family) = (job.clone(), family.clone());
        new_job.scheduled = false;
        let refused = match (&family.server, action(&job.input)) {
            (None, _) => Some("the server is gone".to_owned()),
            (Some(_), None) => {
                // A creation holds its server already; whether an image can be made of one is seen in its first step.
                if let (JobInput::CreateImage { .. }, Some(server)) = (&job.input, &mut new_family.server) {
                    server.job_id = Some(id);
                }
                None
            }
            (Some(record), Some(action)) => match allowed(record, &customer, action) {
                Ok(_) => {
                    accept(&mut new_family, action, &job, at);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
        };
        let begins = refused.is_none();
        if let Some(message) = refused {
            new_job.state = JobState::Failed;
            new_job.current = None;
            new_job.finished_at = Some(at);
            new_job.error = Some(JobError { code: "state".to_owned(), message, operator_message: None });
            new_family.image = None;
        }
        let mut set = ChangeSet::new(job.cause.clone());
        family.turn_into(&mut new_family, at, Evidence::Seen, &job.cause, &mut set);
        set.update(&job, &mut new_job);
        match core.store.commit(set).await {
            Ok(_) if begins => {
                // If the actor does not hear, the keeper tells again.
                if let Err(error) = servers.ask(server.into(), JobAccepted(id)).await {
                    tracing::warn!(job = %id, "the server's actor was not told of its job yet: {error}");
                }
                return Ok(());
            }
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a job does with a server that is there.
const fn action(input: &JobInput) -> Option<ServerAction> {
    match input {
        JobInput::CreateServer { .. }
        | JobInput::CreateImage { .. }
        | JobInput::Operation { .. }
        | JobInput::DeleteCustomer { .. } => None,
        JobInput::StartServer { .. } => Some(ServerAction::Start),
        JobInput::StopServer { force, .. } => Some(ServerAction::Stop { force: *force }),
        JobInput::RebootServer { force, .. } => Some(ServerAction::Reboot { force: *force }),
        JobInput::DeleteServer { .. } => Some(ServerAction::Delete),
    }
}
