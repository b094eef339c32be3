//! The server actor: runs one job of its server at a time, and takes what is seen outside into the record.
//!
//! Asked by the operations (a job was accepted) and by the node actor (the guest was seen); mailbox of 256.
//!
//! ```text
//!          JobAccepted                    the queue is empty
//! resting ────────────▶ working (one job) ──────────────────▶ resting
//!    │ Seen: compare with the record           │ Seen: ignored, the job knows better
//! ```
//!
//! A restart loses the queue and nothing else: unfinished jobs are read from the store, and jobs at work go on, for
//! the engine is told of each job only once.

use crate::{
    Core, Error,
    family::Family,
    jobs::{Engine, first_step, state_of},
    registry::{Ctx, Entity, Handles, LoadError},
};
use std::collections::VecDeque;
use sutler_drivers::compute::GuestState;
use sutler_model::{
    BillingEntityId, Cause, Customer, CustomerId, CustomerStatus, Evidence, Job, JobId, JobInput, JobState, Noun,
    Server, ServerId, ServerState, StepState, Timestamp, Wanted,
};
use sutler_store::{ChangeSet, Field, Filter};
use uuid::Uuid;

/// A crash counts against [`crate::Settings::crash_restarts_max`] for this long, milliseconds.
const CRASH_WINDOW_MS: i64 = 600_000;

/// A job of this server was accepted; also sent for jobs found unfinished.
pub(crate) struct JobAccepted(pub JobId);

impl actix::Message for JobAccepted {
    type Result = ();
}

/// What was seen of the guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// What it does; none when the node does not know it.
    pub state: Option<GuestState>,
    /// When.
    pub at: Timestamp,
    /// The last time before when all guests of the node were confirmed. An end that nobody saw is put there.
    pub alive_at: Timestamp,
    /// Whether the node was watched from `alive_at` to `at` without a break, so that the end was seen.
    pub watched: bool,
    /// The record's version when the guest was looked at: a newer record makes the sight stale.
    pub version: Option<u64>,
}

impl actix::Message for Seen {
    type Result = Result<(), Error>;
}

/// What the actor works with.
#[derive(Clone)]
pub(crate) struct Env {
    /// Store, nodes, settings.
    pub core: Core,
    /// Runs the jobs.
    pub engine: Engine,
}

/// The actor.
pub(crate) struct ServerActor {
    env: Env,
    id: ServerId,
    queue: VecDeque<JobId>,
    working: Option<JobId>,
    crashes: Vec<Timestamp>,
}

impl Entity for ServerActor {
    type Env = Env;
    const KIND: &'static str = "server";
    const MAILBOX: usize = 256;

    async fn load(env: Env, id: Uuid) -> Result<Option<Self>, LoadError> {
        let unfinished = env
            .core
            .store
            .read(move |s| {
                let filter = Filter::<Job>::new().is(Field::Subject, id.as_bytes()).is(Field::Pending, b"1");
                s.records(filter).map(|job| Ok(job?.id)).collect()
            })
            .await;
        let queue: VecDeque<JobId> = unfinished.map_err(LoadError::unavailable)?;
        // A server whose last job just deleted it has no record and needs no actor.
        if queue.is_empty() && env.core.store.index().version(Noun::Server, id).is_none() {
            return Ok(None);
        }
        Ok(Some(Self { env, id: ServerId(id), queue, working: None, crashes: Vec::new() }))
    }

    fn started(&mut self, ctx: &Ctx<Self>) {
        self.work(ctx);
    }

    fn idle(&self) -> bool {
        self.working.is_none() && self.queue.is_empty()
    }
}

impl Handles<JobAccepted> for ServerActor {
    async fn handle(&mut self, JobAccepted(id): JobAccepted, ctx: &Ctx<Self>) {
        if self.working != Some(id) && !self.queue.contains(&id) {
            self.queue.push_back(id);
        }
        self.work(ctx);
    }
}

impl Handles<Seen> for ServerActor {
    async fn handle(&mut self, seen: Seen, ctx: &Ctx<Self>) -> Result<(), Error> {
        if self.working.is_some() || !self.queue.is_empty() {
            return Ok(());
        }
        let id = self.id;
        let family = self.env.core.store.read(move |s| Family::load(s, id)).await?;
        let Some(server) = &family.server else { return Ok(()) };
        if seen.version.is_some_and(|version| version != server.version) {
            return Ok(());
        }
        let customer = self.env.core.store.get::<Customer>(server.customer_id).await?;
        let active = customer.is_some_and(|c| c.status == CustomerStatus::Active);
        self.crashes.retain(|at| seen.at.since_ms(*at) < CRASH_WINDOW_MS);
        let restarts_left = self.crashes.len() < self.env.core.settings.crash_restarts_max as usize;
        let Some(verdict) = judge(server, seen, active, restarts_left) else { return Ok(()) };
        if verdict.crashed {
            self.crashes.push(seen.at);
        }
        if let Some(job) = self.follow(family, seen, verdict).await? {
            self.queue.push_back(job);
            self.work(ctx);
        }
        Ok(())
    }
}

/// What the seen state means.
#[derive(Debug, PartialEq)]
struct Verdict {
    state: ServerState,
    wanted: Wanted,
    reason: Option<&'static str>,
    crashed: bool,
    then: Option<Then>,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Start,
    Stop,
}

/// Holds the seen state against the record. None: all is as recorded. Pure.
fn judge(server: &Server, seen: Seen, active: bool, restarts_left: bool) -> Option<Verdict> {
    use ServerState as S;
    // A job is on its way here, and knows better; or the last one ended badly, and an operator decides.
    if server.job_id.is_some() || matches!(server.state, S::Building | S::Deleting | S::Error) {
        return None;
    }
    let state = state_of(seen.state);
    if state == server.state {
        return None;
    }
    let verdict = |reason, wanted, then| Verdict { state, wanted, reason, crashed: false, then };
    Some(match (state, server.wanted) {
        (S::Running, Wanted::Running) => verdict(None, Wanted::Running, None),
        (S::Running, _) if !active => {
            verdict(Some("started outside while suspended"), Wanted::Stopped, Some(Then::Stop))
        }
        (S::Running, _) => verdict(Some("started outside"), Wanted::Running, None),
        (S::Paused, wanted) => verdict(Some("paused on its node"), wanted, None),
        (S::Frozen, wanted) => verdict(Some("does not answer"), wanted, None),
        // Shut down from inside: its owner's wish, made known there.
        (S::Stopped, Wanted::Running) if seen.state == Some(GuestState::Stopped) && seen.watched => {
            verdict(Some("shut down from inside"), Wanted::Stopped, None)
        }
        (S::Stopped, Wanted::Running) if active && restarts_left => Verdict {
            crashed: true,
            ..verdict(Some("its process ended; restarting it"), Wanted::Running, Some(Then::Start))
        },
        (S::Stopped, Wanted::Running) => {
            Verdict { crashed: true, ..verdict(Some("its process ends again and again"), Wanted::Stopped, None) }
        }
        (S::Stopped, wanted) => verdict(None, wanted, None),
        (_, wanted) => verdict(None, wanted, None),
    })
}

impl ServerActor {
    /// Starts the next job unless one is at work.
    fn work(&mut self, ctx: &Ctx<Self>) {
        if self.working.is_some() {
            return;
        }
        let Some(id) = self.queue.pop_front() else { return };
        self.working = Some(id);
        let engine = self.env.engine.clone();
        // On the program's own runtime: a job's work must not hold up the actors that share this thread.
        let job = self.env.core.runtime.spawn(async move { engine.run(id).await });
        ctx.spawn(job, move |actor: &mut Self, ended, ctx: &Ctx<Self>| {
            match ended {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(job = %id, "job left for the next start: {error}"),
                Err(panic) => tracing::error!(job = %id, "job left for the next start: {panic}"),
            }
            actor.working = None;
            actor.work(ctx);
        });
    }

    /// Takes a verdict into the record, with the job that follows from it.
    async fn follow(&self, family: Family, seen: Seen, verdict: Verdict) -> Result<Option<JobId>, Error> {
        let core = &self.env.core;
        let cause = Cause::system("reconciler");
        // What runs begins now; what ended, ended when it was seen to, or when it was last seen alive.
        let ended = !verdict.state.is_metered();
        let (at, evidence) = match (ended, seen.watched) {
            (true, false) => (seen.alive_at, Evidence::LastSeenAlive),
            _ => (seen.at, Evidence::Seen),
        };
        let mut new = family.clone();
        new.enter(verdict.state, seen.at, verdict.reason.map(str::to_owned));
        let job = match (&mut new.server, verdict.then) {
            (Some(server), then) => {
                server.wanted = verdict.wanted;
                let job = then.map(|then| {
                    let input = match then {
                        Then::Start => JobInput::StartServer { server_id: server.id },
                        Then::Stop => JobInput::StopServer { server_id: server.id, force: false },
                    };
                    let mut job = new_job(core, server, input, cause.clone(), None);
                    if then == Then::Start {
                        // The run goes on, as far as its owner is concerned.
                        job.metadata = family.server.as_ref().and_then(|server| server.runtime_metadata.clone());
                    }
                    job
                });
                if let Some(job) = &job {
                    server.job_id = Some(job.id);
                }
                job
            }
            (None, _) => None,
        };
        let mut set = ChangeSet::new(cause.clone());
        family.turn_into(&mut new, at, evidence, &cause, &mut set);
        let id = job.as_ref().map(|job| job.id);
        if let Some(mut job) = job {
            set.create(&mut job);
        }
        match core.store.commit(set).await {
            Ok(_) => Ok(id),
            // Somebody else was first; the next look decides on fresh records.
            Err(sutler_store::Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A job on a server, ready to be accepted.
pub(crate) fn new_job(
    core: &Core,
    server: &Server,
    input: JobInput,
    cause: Cause,
    user: Option<sutler_model::UserId>,
) -> Job {
    let item = (Noun::Server, server.id.into(), server.name.as_str());
    job_on(core, item, (Some(server.customer_id), server.billing_entity_id), input, cause, user)
}

/// A job on a record of a customer or a seller, ready to be accepted. What a job asks for is done by a job below it.
pub(crate) fn job_on(
    core: &Core,
    (item_noun, item_id, item_name): (Noun, Uuid, &str),
    (customer_id, billing_entity_id): (Option<CustomerId>, BillingEntityId),
    input: JobInput,
    cause: Cause,
    user: Option<sutler_model::UserId>,
) -> Job {
    let at = core.now();
    Job {
        id: core.new_id(),
        version: 0,
        request: None,
        metadata: None,
        item_noun,
        item_id,
        item_name: item_name.to_owned(),
        customer_id,
        billing_entity_id,
        user_id: user,
        parent_id: match cause {
            Cause::Job { job_id } => Some(job_id),
            _ => None,
        },
        state: JobState::NotStarted,
        current: Some(StepState { step: first_step(&input).to_owned(), attempts: 0, since: at }),
        done: Vec::new(),
        progress_percent: 0,
        error: None,
        idempotency_key: None,
        request_hash: None,
        also_answers: Vec::new(),
        cancel_requested: false,
        deadline_at: at.plus_ms(core.settings.job_deadline_ms),
        start_at: None,
        scheduled: false,
        cause,
        created_at: at,
        started_at: None,
        finished_at: None,
        input,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::{BillingEntityId, CustomerId, ImageId};

    fn server(state: ServerState, wanted: Wanted) -> Server {
        Server {
            id: ServerId::new(1, [1; 10]),
            version: 3,
            name: "web-1".into(),
            customer_id: CustomerId::new(1, [2; 10]),
            billing_entity_id: BillingEntityId::new(1, [3; 10]),
            cpu: 1,
            memory_mib: 512,
            image_id: ImageId::new(1, [4; 10]),
            node_id: None,
            nics: Vec::new(),
            state,
            state_since: Timestamp(0),
            state_reason: None,
            wanted,
            job_id: None,
            user_data: None,
            ssh_keys: Vec::new(),
            keys: Vec::new(),
            provider_values: std::collections::BTreeMap::new(),
            metadata: None,
            runtime_metadata: None,
            created_at: Timestamp(0),
        }
    }

    fn seen(state: Option<GuestState>, watched: bool) -> Seen {
        Seen { state, at: Timestamp(10), alive_at: Timestamp(5), watched, version: None }
    }

    #[test]
    fn what_is_as_recorded_needs_nothing() {
        let running = server(ServerState::Running, Wanted::Running);
        assert_eq!(judge(&running, seen(Some(GuestState::Running), true), true, true), None);
    }

    #[test]
    fn a_server_whose_job_is_on_its_way_is_left_to_it() {
        let mut starting = server(ServerState::Starting, Wanted::Running);
        starting.job_id = Some(JobId::new(1, [5; 10]));
        assert_eq!(judge(&starting, seen(Some(GuestState::Stopped), true), true, true), None);
    }

    #[test]
    fn an_end_that_nobody_watched_is_no_wish_of_the_owner() {
        let running = server(ServerState::Running, Wanted::Running);
        let verdict = judge(&running, seen(Some(GuestState::Stopped), false), true, true).expect("a verdict");
        assert_eq!((verdict.wanted, verdict.then), (Wanted::Running, Some(Then::Start)));
        let verdict = judge(&running, seen(Some(GuestState::Stopped), true), true, true).expect("a verdict");
        assert_eq!((verdict.wanted, verdict.then), (Wanted::Stopped, None));
        let verdict = judge(&running, seen(None, true), false, true).expect("a verdict");
        assert_eq!((verdict.wanted, verdict.then), (Wanted::Stopped, None), "a suspended customer's is not restarted");
    }

    #[test]
    fn a_suspended_customers_server_started_by_hand_is_stopped() {
        let stopped = server(ServerState::Stopped, Wanted::Stopped);
        let verdict = judge(&stopped, seen(Some(GuestState::Running), true), false, true).expect("a verdict");
        assert_eq!((verdict.state, verdict.then), (ServerState::Running, Some(Then::Stop)));
    }
}
