//! PRE triggers: run inside the request, before anything is stored, in priority order and outside any actor's turn, so
//! that a script may call back into the same customer.
//!
//! A run may change the draft or refuse it. One that fails or takes too long refuses too, unless its script is set to let
//! the event pass. Runs of a request that goes on are committed with it; those of a refused one are committed at once.

use super::{
    Scripts,
    attempt::{DEPTH_MAX, count, draft, execute, note, result},
    beans::{Beans, FEW, apply},
    events::derived,
    occasion::{Occasion, sees_user},
    table::Hook,
};
use crate::{Caller, Error};
use serde_json::Value;
use std::sync::PoisonError;
use sutler_lua::{Bean, Exit, Input, Params};
use sutler_model::{
    BillingEntityId, Customer, CustomerId, Disk, FieldError, NewServer, RunState, Scope, ScriptRun, Server,
    TriggerType, User, key, validate,
};
use sutler_store::{ChangeSet, Error as StoreError};
use uuid::Uuid;

/// What the caller takes into the change set of its request.
#[derive(Default)]
pub(crate) struct PreOutcome {
    /// Runs to create.
    pub runs: Vec<ScriptRun>,
}

/// A record about to be stored.
trait Draft: Clone + Send + 'static {
    const OPTION: &'static str;
    fn id(&self) -> Uuid;
    fn bean(&self, beans: &Beans<'_>) -> Result<Bean, StoreError>;
    /// Takes changes in; answers the names of those left alone.
    fn take(&mut self, before: &Bean, after: &Bean, viewer: Scope) -> Result<Vec<String>, Vec<FieldError>>;
    /// What is wrong with it now.
    fn problems(&self) -> Vec<FieldError>;
}

impl Draft for (Server, Disk) {
    const OPTION: &'static str = "SERVER";

    fn id(&self) -> Uuid {
        self.0.id.into()
    }

    fn bean(&self, beans: &Beans<'_>) -> Result<Bean, StoreError> {
        let disk = Value::Object(beans.bean(&self.1)?.properties);
        Ok(beans.bean(&self.0)?.with("disks", vec![disk]))
    }

    fn take(&mut self, before: &Bean, after: &Bean, viewer: Scope) -> Result<Vec<String>, Vec<FieldError>> {
        let (mut before, mut after) = (before.clone(), after.clone());
        let (Some(old), Some(new)) = (take_disk(&mut before), take_disk(&mut after)) else {
            return Err(vec![FieldError::new("disks", "must stay one boot disk here")]);
        };
        let mut ignored = apply(&before, &after, &mut self.0, viewer)?;
        ignored.extend(apply(&old, &new, &mut self.1, viewer)?.into_iter().map(|name| format!("disks.0.{name}")));
        Ok(ignored)
    }

    fn problems(&self) -> Vec<FieldError> {
        let (server, disk) = self;
        let new = NewServer {
            name: server.name.clone(),
            cpu: server.cpu,
            memory_mib: server.memory_mib,
            disk_gib: disk.size_gib,
            image_id: server.image_id,
            start: false,
            user_data: server.user_data.clone(),
            ssh_keys: server.ssh_keys.clone(),
            keys: server.keys.clone(),
        };
        new.problems()
    }
}

/// The one disk of a server's bean, taken out of it.
fn take_disk(server: &mut Bean) -> Option<Bean> {
    match server.properties.remove("disks")? {
        Value::Array(disks) if disks.len() == 1 => match disks.into_iter().next()? {
            Value::Object(properties) => Some(Bean { kind: "Disk".to_owned(), properties }),
            _ => None,
        },
        _ => None,
    }
}

impl Draft for Customer {
    const OPTION: &'static str = "CUSTOMER";

    fn id(&self) -> Uuid {
        self.id.into()
    }

    fn bean(&self, beans: &Beans<'_>) -> Result<Bean, StoreError> {
        beans.bean(self)
    }

    fn take(&mut self, before: &Bean, after: &Bean, viewer: Scope) -> Result<Vec<String>, Vec<FieldError>> {
        apply(before, after, self, viewer)
    }

    fn problems(&self) -> Vec<FieldError> {
        validate::name("name", &self.name).err().into_iter().chain(key::problems("keys", &self.keys)).collect()
    }
}

/// How a PRE run ended.
enum Decision {
    Pass,
    Refuse(String),
    Fail(String),
}

impl Scripts {
    /// Lets PRE_CREATE triggers change or refuse a server and its boot disk.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn pre_create_server(
        &self,
        caller: &Caller,
        server: &mut Server,
        disk: &mut Disk,
    ) -> Result<PreOutcome, Error> {
        if !self.awaits::<(Server, Disk)>() {
            return Ok(PreOutcome::default());
        }
        let (seller, customer) = (server.billing_entity_id, server.customer_id);
        let mut draft = (server.clone(), disk.clone());
        let outcome = self.decide(caller, &mut draft, seller, customer).await?;
        (*server, *disk) = draft;
        Ok(outcome)
    }

    /// Lets PRE_CREATE triggers change or refuse a customer.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn pre_create_customer(
        &self,
        caller: &Caller,
        customer: &mut Customer,
    ) -> Result<PreOutcome, Error> {
        if !self.awaits::<Customer>() {
            return Ok(PreOutcome::default());
        }
        let (seller, id) = (customer.billing_entity_id, customer.id);
        self.decide(caller, customer, seller, id).await
    }

    fn awaits<D: Draft>(&self) -> bool {
        let table = self.env.table.read().unwrap_or_else(PoisonError::into_inner);
        table.awaits(TriggerType::PreCreate, D::OPTION)
    }

    async fn decide<D: Draft>(
        &self,
        caller: &Caller,
        record: &mut D,
        seller: BillingEntityId,
        customer: CustomerId,
    ) -> Result<PreOutcome, Error> {
        let tree = self.env.tree.clone();
        let path = match tree.known(seller) {
            Some(path) => path,
            None => self.env.core.store.read(move |snapshot| tree.path(snapshot, seller)).await?,
        };
        let hooks = self.env.table.read().unwrap_or_else(PoisonError::into_inner).matches(
            TriggerType::PreCreate,
            D::OPTION,
            &path,
            Some(customer),
        );
        let mut outcome = PreOutcome::default();
        for hook in hooks {
            let (mut run, decision) = self.ask(caller, record, &hook, seller, customer).await?;
            let now = self.env.core.now();
            run.finished_at = Some(now);
            let (state, refusal) = match decision {
                Decision::Pass => (RunState::Succeeded, None),
                Decision::Refuse(reason) => (RunState::Refused, Some(reason)),
                Decision::Fail(reason) => {
                    tracing::warn!(script = %hook.script.name, run = %run.id, reason, "a PRE trigger failed");
                    // What it said is for its owner, who may not be the one who asks.
                    let told = format!("it failed; who runs it finds the reason in its run {}", run.id);
                    run.result = reason;
                    (RunState::Dead, (!hook.script.fail_open).then_some(told))
                }
            };
            run.state = state;
            count(&run);
            outcome.runs.push(run);
            if let Some(reason) = refusal {
                let mut set = ChangeSet::new(caller.cause.clone());
                for run in &mut outcome.runs {
                    set.create(run);
                }
                self.env.core.store.commit(set).await?;
                return Err(Error::Refused { script: hook.script.name.clone(), reason });
            }
        }
        Ok(outcome)
    }

    /// Runs one entry on the record as the entries before left it.
    async fn ask<D: Draft>(
        &self,
        caller: &Caller,
        record: &mut D,
        hook: &Hook,
        seller: BillingEntityId,
        customer: CustomerId,
    ) -> Result<(ScriptRun, Decision), Error> {
        let (script, entry, now) = (&hook.script, hook.entry(), self.env.core.now());
        let id = derived(script.id, now, &format!("{}:pre:{}", entry.function, record.id()));
        let mut run = draft(script, entry, id, D::OPTION, caller.cause.clone(), now);
        run.resource_id = Some(record.id());
        run.attempts = 1;
        let depth = caller.depth();
        if depth >= DEPTH_MAX {
            return Ok((run, Decision::Fail(format!("stopped: {DEPTH_MAX} runs set each other off before this one"))));
        }
        let (draft, owner, user) = (record.clone(), script.owner, caller.user_id);
        let read = self.env.core.store.read(move |snapshot| {
            let beans = Beans::new(snapshot, owner, FEW);
            let customer = snapshot.get::<Customer>(customer)?.map(|customer| beans.bean(&customer)).transpose()?;
            let user = match user {
                Some(user) => {
                    let user = snapshot.get::<User>(user)?.filter(|user| sees_user(owner, user));
                    user.map(|user| beans.bean(&user)).transpose()?
                }
                None => None,
            };
            Ok((draft.bean(&beans)?, customer, user))
        });
        let (before, customer, user) = read.await?;
        let params = Params {
            input: Input::Bean(before.clone()),
            option: D::OPTION.to_owned(),
            be_uuid: seller.to_string(),
            customer,
            user,
            timestamp_ms: now.0,
        };
        let occasion = Occasion { params, resource: record.id(), depth };
        let outcome = execute(&self.env, script, &run, occasion, self.env.core.settings.pre_deadline_ms).await;
        note(&mut run, &outcome);
        run.result = result(&outcome);
        let decision = match &outcome.exit {
            Exit::Refused(reason) => Decision::Refuse(reason.clone()),
            Exit::Failed(_) | Exit::Stopped(_) => Decision::Fail(run.result.clone()),
            Exit::Success | Exit::Continue => {
                let mut changed = record.clone();
                let taken = match &outcome.input {
                    Some(after) => changed.take(&before, after, owner),
                    None => Ok(Vec::new()),
                };
                let problems = match taken {
                    Ok(ignored) => {
                        if !ignored.is_empty() {
                            tracing::info!(script = %script.name, run = %run.id, ?ignored, "a PRE trigger set what cannot be set");
                            run.log.push_str(&format!(
                                "not changed, for they cannot be set here: {}\n",
                                ignored.join(", ")
                            ));
                        }
                        changed.problems()
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
        Ok((run, decision))
    }
}
