//! Runs functions of scripts that are no triggers: actions, providers, measurement functions, billing methods, reports.
//!
//! Such a run belongs to whoever asked, outside any actor's turn, and is recorded like every other: before it first reaches
//! outside ([`super::reaching`]), and when it has ended. Where the asker derives the run's id from its own record, a repeat
//! after a crash is the same run again, whose API writes are not repeated.

use super::{
    Env, Scripts,
    attempt::{DEPTH_MAX, call, draft_of, execute, note, record, result, texts, who},
    beans::{Beans, FEW},
    host,
    occasion::{Occasion, sees_user},
    reaching::{InProgress, close, cut_off},
    table::Armed,
};
use crate::{Caller, Error, ops::missing};
use std::sync::Arc;
use sutler_lua::{Bean, Exit, Member, Outcome, Params, Who};
use sutler_model::{
    AskedAction, BillingEntityId, Cause, Customer, CustomerId, Noun, RunId, RunState, ScriptId, ScriptRun, User, UserId,
};
use sutler_store::{Error as StoreError, Field, Filter};
use uuid::Uuid;

/// The record a function is about, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The record.
    pub id: Uuid,
    /// Whose it is; none for a seller's own.
    pub customer: Option<CustomerId>,
    /// Its seller.
    pub seller: BillingEntityId,
    /// It as `p.resource`, where the asker has made it; none: it is read from the store.
    pub bean: Option<Bean>,
}

/// One function to run.
pub(crate) struct Invocation {
    /// Of which script.
    pub script: Arc<Armed>,
    /// Its global function.
    pub function: String,
    /// The run; derived by askers that may ask again after a crash.
    pub id: RunId,
    /// What it is for, as the run's record shows it: `ACTION`, `MEASURE`.
    pub option: &'static str,
    /// About what.
    pub subject: Option<Subject>,
    /// Further members of `p`.
    pub more: Vec<(&'static str, Member)>,
    /// Who asks, if somebody does.
    pub user: Option<UserId>,
    /// What set it off.
    pub cause: Cause,
    /// How many runs stand behind it.
    pub depth: u8,
    /// Wall-clock limit, milliseconds.
    pub deadline_ms: u64,
    /// Nothing changes and nothing is recorded: what it would write and send is answered as if it had been done.
    pub rehearsal: bool,
}

impl Invocation {
    /// A run that a caller asks for and waits for.
    pub(crate) fn by(caller: &Caller, script: Arc<Armed>, function: &str, id: RunId, option: &'static str) -> Self {
        Self {
            script,
            function: function.to_owned(),
            id,
            option,
            subject: None,
            more: Vec::new(),
            user: caller.user_id,
            cause: caller.cause.clone(),
            depth: caller.depth(),
            deadline_ms: 0,
            rehearsal: false,
        }
    }
}

impl Scripts {
    /// Runs a function and records the run. Never in an actor's turn.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a subject that its script's owner does not see; those of the store.
    pub(crate) async fn invoke(&self, ask: Invocation) -> Result<Outcome, Error> {
        invoke(&self.env, ask).await
    }

    /// Records a run and what it was asked for, and lets it go on by itself; what the end of the program cuts off goes on at the
    /// next start. Asked again under its id, it does nothing more.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn invoke_later(&self, ask: Invocation, asked: AskedAction) -> Result<(), Error> {
        match accept(&self.env, &ask, asked).await {
            Err(StoreError::Conflict { .. }) => {}
            accepted => {
                accepted?;
                self.go_on(ask);
            }
        }
        Ok(())
    }

    /// Lets a recorded run go on by itself.
    fn go_on(&self, ask: Invocation) {
        let env = self.env.clone();
        self.env.core.runtime.spawn(async move {
            let (script, run) = (ask.script.name.clone(), ask.id);
            if let Err(error) = invoke(&env, ask).await {
                tracing::warn!(%error, script, %run, "a function that nobody waits for");
            }
        });
    }

    /// The runs that nobody waits for and that the end of the program cut off.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn left_alone(&self) -> Result<Vec<ScriptRun>, StoreError> {
        let read = self.env.core.store.read(|snapshot| {
            let running = Filter::<ScriptRun>::new().is(Field::Pending, b"1");
            snapshot.all(running.when(|run| run.state == RunState::Running && run.asked.is_some()))
        });
        read.await
    }

    /// Lets one of them go on, unless it has been tried too often: then it may be what ends the program.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn take_up(&self, old: &ScriptRun, ask: Invocation) -> Result<(), Error> {
        let mut run = ScriptRun { attempts: old.attempts + 1, ..old.clone() };
        if run.attempts > self.env.core.settings.run_tries_max.max(1) {
            return self.give_up(old, "the program ended each time this ran").await;
        }
        record(&self.env, &ask.cause, Some(old), &mut run).await?;
        self.go_on(ask);
        Ok(())
    }

    /// Ends one of them that cannot go on.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn give_up(&self, run: &ScriptRun, why: &str) -> Result<(), Error> {
        Ok(cut_off(&self.env, run, why).await?)
    }

    /// An enabled script.
    pub(crate) fn enabled(&self, id: ScriptId) -> Option<Arc<Armed>> {
        self.env.armed(id)
    }
}

/// See [`Scripts::invoke`].
pub(super) async fn invoke(env: &Env, ask: Invocation) -> Result<Outcome, Error> {
    let now = env.core.now();
    let mut run = draft_of(&ask.script, &ask.function, ask.id, ask.option, ask.cause.clone(), now);
    run.resource_id = ask.subject.as_ref().map(|subject| subject.id);
    if ask.rehearsal {
        let occasion = Occasion { params: params(env, &ask).await?, resource: Uuid::nil(), depth: ask.depth };
        let texts = texts(env, &ask.script).await;
        let who = Who { rehearsal: true, ..who(&ask.script, &run, ask.depth) };
        return Ok(env.runtime.run(call(&ask.script, texts, &run, occasion, ask.deadline_ms, who)).await);
    }
    // One that a crash cut off, or that was accepted before it began, is taken up under its id.
    let mut stored = env.core.store.get::<ScriptRun>(ask.id).await?;
    if let Some(earlier) = &stored {
        run = ScriptRun {
            version: earlier.version,
            attempts: earlier.attempts,
            created_at: earlier.created_at,
            asked: earlier.asked.clone(),
            ..run
        };
    }
    run.attempts += 1;
    let params = params(env, &ask).await?;
    let occasion = Occasion { params, resource: run.resource_id.unwrap_or_default(), depth: ask.depth };
    let outcome = if ask.depth >= DEPTH_MAX {
        Outcome::refused(format!("stopped: {DEPTH_MAX} runs set each other off before this one"))
    } else {
        let in_progress = InProgress::begin(env, &run);
        let outcome = execute(env, &ask.script, &run, occasion, ask.deadline_ms, run.attempts > 1).await;
        let (begun, _) = in_progress.end(outcome.reached_out).await?;
        stored = stored.or(begun);
        outcome
    };
    note(&mut run, &outcome);
    run.result = result(&outcome);
    run.state = match &outcome.exit {
        Exit::Success | Exit::Continue => RunState::Succeeded,
        Exit::Refused(_) => RunState::Refused,
        Exit::Failed(_) | Exit::Stopped(_) => RunState::Dead,
    };
    run.finished_at = Some(env.core.now());
    run.asked = None;
    env.tally.note(&run);
    match stored {
        Some(old) => close(env, &old, &mut run, true).await?,
        None => record(env, &Cause::run(run.id, ask.depth), None, &mut run).await?,
    }
    Ok(outcome)
}

/// Records a run that is answered for before it begins; [`invoke`] takes it up under its id.
async fn accept(env: &Env, ask: &Invocation, asked: AskedAction) -> Result<(), StoreError> {
    let now = env.core.now();
    let mut run = draft_of(&ask.script, &ask.function, ask.id, ask.option, ask.cause.clone(), now);
    run.resource_id = ask.subject.as_ref().map(|subject| subject.id);
    run.state = RunState::Running;
    run.asked = Some(Box::new(asked));
    record(env, &ask.cause, None, &mut run).await
}

/// What the function is told.
async fn params(env: &Env, ask: &Invocation) -> Result<Params, Error> {
    let (owner, user, subject, tree) = (ask.script.owner, ask.user, ask.subject.clone(), env.tree.clone());
    let timestamp_ms = env.core.now().0;
    let read = env.core.store.read(move |snapshot| {
        let beans = Beans::new(snapshot, owner, FEW);
        let customer = subject.as_ref().and_then(|subject| subject.customer);
        let customer = customer.map(|id| snapshot.get::<Customer>(id)).transpose()?.flatten();
        let customer = customer.map(|customer| beans.bean(customer)).transpose()?;
        let user = user.map(|id| snapshot.get::<User>(id)).transpose()?.flatten();
        let user = user.filter(|user| sees_user(owner, user)).map(|user| beans.bean(user)).transpose()?;
        let resource = match &subject {
            Some(Subject { bean: Some(bean), .. }) => Some(bean.clone()),
            Some(subject) => host::find(snapshot, &tree, host::Sight::of(owner), subject.id, true)?,
            None => None,
        };
        let gone = subject.as_ref().filter(|_| resource.is_none()).map(|subject| subject.id);
        let be_uuid = subject.map(|subject| subject.seller.to_string()).unwrap_or_default();
        Ok((Params { customer, user, resource, be_uuid, timestamp_ms, ..Params::default() }, gone))
    });
    let (mut params, gone) = read.await?;
    if let Some(id) = gone {
        return Err(missing(Noun::Server, id));
    }
    params.option = ask.option.to_owned();
    params.more.clone_from(&ask.more);
    Ok(params)
}
