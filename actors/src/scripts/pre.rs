//! PRE triggers: run inside the request, before anything is stored, in priority order and outside any actor's turn, so
//! that a script may call back into the same customer.
//!
//! A run may change the draft or refuse it. One that fails or takes too long refuses too, unless its script is set to let
//! the event pass. Every run is recorded: of a refused request before the answer; of others right after the request, which
//! does not wait for it ([`Decided`]); and one that reaches outside before it does ([`super::reaching`]).

use super::{
    Env, Scripts,
    attempt::{DEPTH_MAX, draft, execute, note, result},
    beans::{Beans, FEW},
    drafts::Draft,
    failure::Failure,
    host::Keyed,
    occasion::{Occasion, sees_user},
    reaching::{InProgress, Wrote, close},
    table::Hook,
    tags,
};
use crate::{Caller, Error};
use serde_json::{Map, Value};
use sutler_lua::{Exit, Input, Params};
use sutler_model::{Cause, Disk, FieldError, RunState, Scope, ScriptRun, Server, TriggerType, User, UserId};
use sutler_store::{ChangeSet, Error as StoreError};

/// Who asks, as far as PRE triggers are told.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    /// Who; none for the process itself.
    pub user_id: Option<UserId>,
    /// What it is put down to.
    pub cause: Cause,
    /// How many runs stand behind it.
    pub depth: u8,
    /// Whose runs they are told about when one fails; see [`Caller::sees_runs_of`].
    pub sees_runs_of: Option<Scope>,
}

impl From<&Caller> for Asking {
    fn from(caller: &Caller) -> Self {
        Self {
            user_id: caller.user_id,
            cause: caller.cause.clone(),
            depth: caller.depth(),
            sees_runs_of: caller.sees_runs_of(),
        }
    }
}

/// Fields of records by which no request about them is judged.
const DESCRIPTION: [&str; 9] =
    ["version", "name", "first_name", "last_name", "language", "contact", "keys", "provider_values", "metadata"];

/// The runs that decided about a request. They are recorded once this is dropped, whatever became of the request.
#[derive(Default)]
pub(crate) struct Decided {
    on: Option<(Env, Cause)>,
    runs: Vec<ScriptRun>,
    /// What they themselves have changed, and the runs that they set off and waited for.
    wrote: Vec<Wrote>,
}

impl Decided {
    /// Records the runs.
    async fn record(&mut self) -> Result<(), StoreError> {
        match self.on.take() {
            Some((env, cause)) => env.core.store.commit(recorded(cause, &mut self.runs)).await.map(drop),
            None => Ok(()),
        }
    }

    /// What these runs themselves have made of a record; as it was where others have changed it since, and where more than what
    /// describes it has changed: the request was judged by the rest.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn left<R: Keyed>(decided: &[&Self], old: R) -> Result<R, StoreError> {
        let mut version = old.version();
        while decided.iter().any(|decided| decided.wrote.contains(&(old.id(), version + 1))) {
            version += 1;
        }
        match decided.iter().find_map(|decided| decided.on.as_ref()) {
            Some((env, _)) if version > old.version() => {
                let stored = env.core.store.get::<R>(old.id()).await?;
                let theirs = |stored: &R| stored.version() == version && differ_in_description(&old, stored);
                Ok(stored.filter(theirs).unwrap_or(old))
            }
            _ => Ok(old),
        }
    }
}

impl Drop for Decided {
    fn drop(&mut self) {
        let (Some((env, cause)), mut runs) = (self.on.take(), std::mem::take(&mut self.runs)) else { return };
        if runs.is_empty() {
            return;
        }
        let recording = env.recording.clone().try_read_owned();
        env.core.runtime.clone().spawn(async move {
            let _recording = recording;
            // Nobody waits for it.
            if let Err(error) = env.core.store.commit_soon(recorded(cause, &mut runs)).await {
                tracing::warn!(%error, "runs of PRE triggers could not be recorded");
            }
        });
    }
}

fn recorded(cause: Cause, runs: &mut [ScriptRun]) -> ChangeSet {
    let mut set = ChangeSet::new(cause);
    for run in runs {
        set.create(run);
    }
    set
}

/// Whether two states of a record are alike in all that requests about it are judged by.
fn differ_in_description<R: Keyed>(one: &R, other: &R) -> bool {
    let fields = |record: &R| match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let judged_by = |record: &R| {
        let mut fields = fields(record);
        fields.retain(|name, _| !DESCRIPTION.contains(&name.as_str()));
        fields
    };
    judged_by(one) == judged_by(other)
}

/// How a PRE run ended.
enum Decision {
    Pass,
    Refuse(String),
    Fail(String),
}

impl Scripts {
    /// Lets PRE triggers change or refuse a server that is about to be created with its boot disk, and then the disk.
    ///
    /// # Errors
    /// As [`Scripts::before`].
    pub(crate) async fn before_server(
        &self,
        caller: &Caller,
        server: &mut Server,
        disk: &mut Disk,
    ) -> Result<[Decided; 2], Error> {
        let mut both = Decided::default();
        if self.awaits(TriggerType::PreCreate, <(Server, Disk)>::OPTION) {
            let mut draft = (server.clone(), disk.clone());
            both = self.before(caller, TriggerType::PreCreate, &mut draft).await?;
            (*server, *disk) = draft;
        }
        Ok([both, self.before(caller, TriggerType::PreCreate, disk).await?])
    }

    /// Lets PRE triggers refuse what is about to be done with a record, or change the record. Whoever asks holds the answer
    /// until it has done so.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn before<D: Draft>(
        &self,
        caller: &Caller,
        trigger: TriggerType,
        record: &mut D,
    ) -> Result<Decided, Error> {
        self.before_as(&caller.into(), trigger, D::OPTION, record).await
    }

    /// The same for an event whose option is not the record's kind.
    ///
    /// # Errors
    /// As [`Scripts::before`].
    pub(crate) async fn before_as<D: Draft>(
        &self,
        asking: &Asking,
        trigger: TriggerType,
        option: &str,
        record: &mut D,
    ) -> Result<Decided, Error> {
        // Without listeners nothing is read.
        if !self.awaits(trigger, option) {
            return Ok(Decided::default());
        }
        let hooks = match record.newcomer() {
            // Its tags are those that it is to have.
            Some(newcomer) => {
                let hooks = self.env.all_listeners(trigger, option, record.seller(), record.customer()).await?;
                hooks.into_iter().filter(|hook| tags::allow(hook, Some(newcomer))).collect()
            }
            None => self.env.listeners(trigger, option, record.seller(), record.customer()).await?,
        };
        let mut decided =
            Decided { on: Some((self.env.clone(), asking.cause.clone())), runs: Vec::new(), wrote: Vec::new() };
        for hook in hooks {
            let (mut run, begun, decision) = self.ask(asking, record, &hook, option, &mut decided.wrote).await?;
            run.finished_at = Some(self.env.core.now());
            let (state, refusal) = match decision {
                Decision::Pass => (RunState::Succeeded, None),
                Decision::Refuse(reason) => (RunState::Refused, Some(reason)),
                Decision::Fail(reason) => {
                    tracing::warn!(script = %hook.script.name, run = %run.id, reason, "a PRE trigger failed");
                    // What it said is for its owner, who may not be the one who asks.
                    let failure =
                        Failure { script: &hook.script, seller: record.seller(), run: Some(run.id), reason: &reason };
                    let told = match hook.script.fail_open {
                        true => None,
                        false => Some(failure.told(&self.env, asking.sees_runs_of).await?),
                    };
                    run.result = reason;
                    (RunState::Dead, told)
                }
            };
            run.state = state;
            self.env.tally.note(&run);
            match begun {
                Some(old) => close(&self.env, &old, &mut run, false).await?,
                None => decided.runs.push(run),
            }
            if let Some(reason) = refusal {
                decided.record().await?;
                return Err(Error::Refused { script: hook.script.name.clone(), reason });
            }
        }
        Ok(decided)
    }

    pub(crate) fn awaits(&self, trigger: TriggerType, option: &str) -> bool {
        self.env.awaits(trigger, option)
    }

    /// Runs one entry on the record as the entries before left it. Answers the run, its record if it reached outside, and
    /// what it decided.
    async fn ask<D: Draft>(
        &self,
        asking: &Asking,
        record: &mut D,
        hook: &Hook,
        option: &str,
        wrote: &mut Vec<Wrote>,
    ) -> Result<(ScriptRun, Option<ScriptRun>, Decision), Error> {
        let (script, entry, now) = (&hook.script, hook.entry(), self.env.core.now());
        let mut run = draft(script, entry, self.env.core.new_id(), option, asking.cause.clone(), now);
        run.resource_id = Some(record.id());
        run.attempts = 1;
        let depth = asking.depth;
        if depth >= DEPTH_MAX {
            let told = format!("stopped: {DEPTH_MAX} runs set each other off before this one");
            return Ok((run, None, Decision::Fail(told)));
        }
        let (draft, owner, user, customer) = (record.clone(), script.owner, asking.user_id, record.customer());
        let read = self.env.core.store.read_here(move |snapshot| {
            let beans = Beans::new(snapshot, owner, FEW);
            let user = user.map(|id| snapshot.get::<User>(id)).transpose()?.flatten();
            // What staff do, they do as people of their seller's own customer.
            let staff = draft.is_deed().then_some(user.as_ref()).flatten();
            let customer = match (beans.of_event(customer, staff)?, draft.newcomer()) {
                (None, Some(newcomer)) => Some(beans.bean(newcomer.clone())?),
                (customer, _) => customer,
            };
            let user = user.filter(|user| sees_user(owner, user)).map(|user| beans.bean(user)).transpose()?;
            Ok((draft.input(&beans)?, customer, user))
        });
        let (input, customer, user) = read.await?;
        let before = match &input {
            Input::Bean(bean) | Input::Metadata { server: bean, .. } => Some(bean.clone()),
            _ => None,
        };
        let params = Params {
            input,
            option: option.to_owned(),
            be_uuid: record.seller().to_string(),
            customer,
            user,
            timestamp_ms: now.0,
            ..Params::default()
        };
        let occasion = Occasion { params, resource: record.id(), depth };
        let in_progress = InProgress::begin(&self.env, &run);
        let outcome = execute(&self.env, script, &run, occasion, self.env.core.settings.pre_deadline_ms, false).await;
        let (begun, changed) = in_progress.end(outcome.reached_out).await?;
        wrote.extend(changed);
        note(&mut run, &outcome);
        run.result = result(&outcome);
        let decision = match &outcome.exit {
            Exit::Refused(reason) => Decision::Refuse(reason.clone()),
            Exit::Failed(_) | Exit::Stopped(_) => Decision::Fail(run.result.clone()),
            Exit::Success | Exit::Continue => {
                let mut changed = record.clone();
                let taken = match (&before, &outcome.input) {
                    (Some(before), Some(after)) => changed.take(before, after, owner),
                    _ => Ok(Vec::new()),
                };
                if let Some(document) = &outcome.document {
                    changed.take_document(document);
                }
                let problems: Vec<FieldError> = match taken {
                    Ok(ignored) => {
                        if !ignored.is_empty() {
                            tracing::info!(script = %script.name, run = %run.id, ?ignored, "a PRE trigger set what cannot be set");
                            run.log.push_str(&format!(
                                "not changed, for they cannot be set here: {}\n",
                                ignored.join(", ")
                            ));
                        }
                        // What was wrong before may still be mended by the next one, and is judged after all of them.
                        let known = record.problems();
                        changed.problems().into_iter().filter(|problem| !known.contains(problem)).collect()
                    }
                    Err(problems) => problems,
                };
                if problems.is_empty() {
                    *record = changed;
                    Decision::Pass
                } else {
                    let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    Decision::Fail(format!("it set what is not allowed: {}", list.join("; ")))
                }
            }
        };
        Ok((run, begun, decision))
    }
}
