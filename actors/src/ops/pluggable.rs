//! Pluggable resources: kinds of resource that scripts add, each with its provider's functions behind it.
//!
//! What is asked is committed before the provider's function runs, and the end is committed after it, so a crash in between
//! is taken up at the next start: the same run, under the same id, which scripts use as their idempotency key.

use super::{
    actions::{level_of, read},
    race::{again, go_on},
    reach::{merged_keys, missing, unchanged, valid},
    script_users::Need,
};
use crate::{
    Caller, Error, System,
    family::{Family, open_intervals},
    ops::ActionAnswer,
    remains,
    scripts::{
        Decided, Invocation, Pointed, Subject, Wording,
        beans::{Beans, FEW},
        derived,
    },
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::PoisonError};
use sutler_lua::{Bean, Member};
use sutler_model::{
    BillingEntityId, Cause, CustomerId, FieldError, Noun, Permission, PluggableResource, PluggableResourceId,
    PointKind, ResourceKey, Scope, ScriptId, TriggerType, ValueDef, key,
    pluggable::{Pending, PluggableState},
    point::{Action, Execution, PluggablePoint, fill},
    validate,
};
use sutler_rating::meters;
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Snapshot};

/// Most pluggable resources of one customer, or of a seller's own.
const PER_OWNER_MAX: usize = 1_000;

/// A resource to make.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPluggable {
    /// Its id, where the asker has made one.
    pub id: Option<PluggableResourceId>,
    /// Display name.
    pub name: String,
    /// Its kind.
    pub provider_type: String,
    /// Whose it is; none for a seller's own.
    pub customer_id: Option<CustomerId>,
    /// What is filled in.
    pub values: BTreeMap<String, String>,
    /// Keys to set.
    pub keys: Vec<ResourceKey>,
}

/// Changes to a resource; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluggablePatch {
    /// New name.
    pub name: Option<String>,
    /// Values to set; those left out stay.
    pub values: BTreeMap<String, String>,
    /// New keys, replacing all.
    pub keys: Option<Vec<ResourceKey>>,
}

/// A kind of resource that a caller may make.
#[derive(Clone, Debug, PartialEq)]
pub struct PluggableKind {
    /// The block its provider is in.
    pub script_id: ScriptId,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// Its provider.
    pub provider: PluggablePoint,
    /// Whether the caller may make one.
    pub can_create: bool,
}

impl System {
    /// The kinds of resource that scripts add for a caller.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn pluggable_kinds(&self, caller: &Caller) -> Result<Vec<PluggableKind>, Error> {
        caller.must(Permission::ServersRead)?;
        let path = self.path(caller.billing_entity_id).await?;
        let language = self.inner.scripts.language(caller.billing_entity_id).await?;
        let kind = |(pointed, mut provider): (Pointed, PluggablePoint)| {
            let wording = Wording::of(&pointed.script, language.clone());
            let reword = |part| wording.component(part);
            provider.components = provider.components.into_iter().map(reword).collect();
            provider.actions = provider.actions.into_iter().map(|action| wording.action(action)).collect();
            PluggableKind {
                script_id: pointed.script.id,
                name: wording.text(&pointed.point().name),
                description: wording.text(&pointed.point().description),
                can_create: provider.create.as_ref().is_some_and(|create| may(caller, create)),
                provider,
            }
        };
        Ok(self.kinds(&path, caller.customer_id).into_iter().map(kind).collect())
    }

    /// Makes a resource: PRE triggers are asked, then its provider, who may change or refuse it.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Quota`], [`Error::Refused`].
    pub async fn create_pluggable(&self, caller: &Caller, new: NewPluggable) -> Result<PluggableResource, Error> {
        self.create_pluggable_by(caller, None, new).await
    }

    /// The same for a script. That in which its provider is sets also what its form leaves to the provider.
    pub(crate) async fn create_pluggable_by(
        &self,
        caller: &Caller,
        script: Option<ScriptId>,
        new: NewPluggable,
    ) -> Result<PluggableResource, Error> {
        caller.must(Permission::ServersWrite)?;
        // The same each time: what is committed is never made twice.
        let id = new.id.unwrap_or_else(|| self.inner.core.new_id());
        again(None, async || {
            let new = new.clone();
            let seller = match new.customer_id {
                Some(customer) => self.customer(caller, customer).await?.billing_entity_id,
                None if caller.customer_id.is_none() => caller.billing_entity_id,
                None => return Err(Error::Invalid(vec![FieldError::new("customer_id", "is missing")])),
            };
            valid(validate::name("name", &new.name).err().into_iter().chain(key::problems("keys", &new.keys)))?;
            let (pointed, provider) = self.kind(seller, new.customer_id, &new.provider_type).await?;
            if !provider.create.as_ref().is_some_and(|create| may(caller, create)) {
                let detail = format!("you may not make a resource of the type {}", provider.provider_type);
                return Err(Error::Invalid(vec![FieldError::new("provider_type", detail)]));
            }
            self.room_for_pluggable(new.customer_id, seller)?;
            let wording = Wording::of(&pointed.script, self.inner.scripts.language(caller.billing_entity_id).await?);
            let mut definitions = wording.form(definitions(&provider));
            if script == Some(pointed.script.id) {
                unlock(&mut definitions, &new.values);
            }
            let values = fill(&definitions, &BTreeMap::new(), &new.values, "values").map_err(Error::Invalid)?;
            self.resources_there(caller, &definitions, &new.values, "values").await?;
            let mut resource = PluggableResource {
                id,
                version: 0,
                name: new.name,
                provider_type: provider.provider_type.clone(),
                script_id: pointed.script.id,
                customer_id: new.customer_id,
                billing_entity_id: seller,
                values,
                pending: None,
                state: PluggableState::Creating,
                turns: 1,
                state_reason: None,
                keys: merged_keys(caller, &[], &new.keys),
                created_at: self.inner.core.now(),
            };
            let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut resource).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            self.require_scripts(
                &mut set,
                "provider_type",
                [(resource.script_id, Need::Resources(resource.provider_type.clone()))],
            )
            .await?;
            set.create(&mut resource);
            self.accept_turn(set, resource, caller).await?.ok_or_else(|| missing(Noun::PluggableResource, id.into()))
        })
        .await
    }

    /// Changes a resource: PRE triggers are asked, then its provider, who may change or refuse what is to be.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::State`] while something
    /// else is being done with it, [`Error::Refused`].
    pub async fn update_pluggable(
        &self,
        caller: &Caller,
        id: PluggableResourceId,
        if_match: Option<u64>,
        patch: PluggablePatch,
    ) -> Result<PluggableResource, Error> {
        self.update_pluggable_by(caller, None, id, if_match, patch).await
    }

    /// The same for a script. That in which its provider is sets also what its form leaves to the provider.
    pub(crate) async fn update_pluggable_by(
        &self,
        caller: &Caller,
        script: Option<ScriptId>,
        id: PluggableResourceId,
        if_match: Option<u64>,
        patch: PluggablePatch,
    ) -> Result<PluggableResource, Error> {
        caller.must(Permission::ServersWrite)?;
        again(if_match, async || {
            let mut old = self.pluggable(caller, id).await?;
            unchanged(&old, if_match)?;
            at_rest(&old)?;
            let (pointed, provider) = self.kind(old.billing_entity_id, old.customer_id, &old.provider_type).await?;
            if provider.modify.as_ref().is_some_and(|modify| !may(caller, modify)) {
                return Err(Error::Forbidden(Permission::ServersWrite));
            }
            let wording = Wording::of(&pointed.script, self.inner.scripts.language(caller.billing_entity_id).await?);
            let mut definitions = wording.form(definitions(&provider));
            if script == Some(pointed.script.id) {
                unlock(&mut definitions, &patch.values);
            }
            let mut new = old.clone();
            new.values = fill(&definitions, &old.values, &patch.values, "values").map_err(Error::Invalid)?;
            self.resources_there(caller, &definitions, &patch.values, "values").await?;
            new.name = patch.name.clone().unwrap_or(new.name);
            if let Some(keys) = &patch.keys {
                new.keys = merged_keys(caller, &old.keys, keys);
            }
            valid(validate::name("name", &new.name).err().into_iter().chain(key::problems("keys", &new.keys)))?;
            let decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            go_on(&[&decided], &mut old, &mut new).await?;
            // What is to be stands beside what is, until the provider has had its say.
            let pending = Pending { name: new.name, values: new.values };
            (new.name, new.values) = (old.name.clone(), old.values.clone());
            (new.pending, new.state, new.turns) = (Some(pending), PluggableState::Modifying, old.turns + 1);
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.accept_turn(set, new, caller).await?.ok_or_else(|| missing(Noun::PluggableResource, id.into()))
        })
        .await
    }

    /// Deletes a resource, once its provider has let it go.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::State`], [`Error::Refused`].
    pub async fn delete_pluggable(
        &self,
        caller: &Caller,
        id: PluggableResourceId,
        if_match: Option<u64>,
    ) -> Result<(), Error> {
        caller.must(Permission::ServersWrite)?;
        again(if_match, async || {
            let old = self.pluggable(caller, id).await?;
            unchanged(&old, if_match)?;
            at_rest(&old)?;
            // Its provider may be gone; then there is nobody to ask.
            let kind = self.kind(old.billing_entity_id, old.customer_id, &old.provider_type).await.ok();
            let delete = kind.as_ref().and_then(|(_, provider)| provider.delete.as_ref());
            if delete.is_some_and(|delete| !may(caller, delete)) {
                return Err(Error::Forbidden(Permission::ServersWrite));
            }
            let decided = self.inner.scripts.before(caller, TriggerType::PreDelete, &mut old.clone()).await?;
            let old = Decided::left(&[&decided], old).await?;
            let mut new = old.clone();
            (new.state, new.turns) = (PluggableState::Deleting, old.turns + 1);
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.accept_turn(set, new, caller).await.map(drop)
        })
        .await
    }

    /// Has a resource's provider do something with it. `advertise` is the provider's own function for showing itself.
    ///
    /// # Errors
    /// As [`System::invoke_action`].
    pub async fn invoke_pluggable(
        &self,
        caller: &Caller,
        id: PluggableResourceId,
        key: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<ActionAnswer, Error> {
        caller.must(Permission::ServersRead)?;
        let resource = self.pluggable(caller, id).await?;
        let (pointed, provider) =
            self.kind(resource.billing_entity_id, resource.customer_id, &resource.provider_type).await?;
        let advertise = provider.advertise.as_ref().filter(|_| key == "advertise").map(|execution| Action {
            key: key.to_owned(),
            function: execution.function.clone(),
            levels: execution.levels.clone(),
            return_type: "BOOLEAN".to_owned(),
            synchronous: true,
            available: true,
            ..Action::default()
        });
        let found = provider.all_actions().find(|action| action.key == key && action.available);
        let action = found.cloned().or(advertise);
        let writes = caller.must(Permission::ServersWrite);
        let action = action.filter(|action| level_of(caller, &action.levels).unwrap_or(writes.is_ok()));
        let Some(action) = action else {
            // Who may not change it is told that, rather than what there is.
            writes?;
            let detail = format!("the resource has no action `{key}` for you");
            return Err(Error::Invalid(vec![FieldError::new("key", detail)]));
        };
        let subject = self.pluggable_subject(pointed.script.owner, &resource).await?;
        self.act(caller, &pointed, &action, Some(subject), given, &provider.provider_type).await
    }

    /// A resource within the caller's reach.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn pluggable(&self, caller: &Caller, id: PluggableResourceId) -> Result<PluggableResource, Error> {
        let resource: PluggableResource = self.find(id).await?;
        let place = (Noun::PluggableResource, id.into());
        self.reach(caller, resource.billing_entity_id, resource.customer_id, place).await?;
        Ok(resource)
    }

    /// A resource once nothing is being done with it; none: it is gone.
    pub(super) async fn rested(&self, id: PluggableResourceId) -> Result<Option<PluggableResource>, Error> {
        // Before the first look, so that no change falls between.
        let mut feed = self.store().watch();
        loop {
            match self.store().get::<PluggableResource>(id).await? {
                Some(busy) if busy.state != PluggableState::Active => {
                    if feed.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                rested => return Ok(rested),
            }
        }
    }

    /// Takes up what a crash interrupted.
    pub(crate) async fn resume_pluggables(&self) -> Result<(), Error> {
        let read = self.store().read(|snapshot| {
            let filter = Filter::<PluggableResource>::new().is(Field::Pending, b"1");
            snapshot.all(filter)
        });
        for resource in read.await? {
            let system = self.clone();
            self.inner.core.runtime.spawn(async move {
                let id = resource.id;
                match system.turn(resource, &Cause::system("resume"), 0, None).await {
                    Ok(_) | Err(Error::Refused { .. }) => {}
                    Err(error) => tracing::error!(%error, %id, "a pluggable resource waits for the next start"),
                }
            });
        }
        Ok(())
    }

    /// Commits what is asked and has the provider do it. Once that is begun it comes to its end, also when whoever asked goes
    /// away.
    async fn accept_turn(
        &self,
        set: ChangeSet,
        resource: PluggableResource,
        caller: &Caller,
    ) -> Result<Option<PluggableResource>, Error> {
        let (system, cause, depth) = (self.clone(), caller.cause.clone(), caller.depth());
        let scope = caller.sees_runs_of();
        let turn = self.inner.core.runtime.spawn(async move {
            system.store().commit(set).await?;
            system.turn(resource, &cause, depth, scope).await
        });
        match turn.await {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(sutler_store::Error::Stopped("the program ends".to_owned()).into()),
        }
    }

    /// Runs the provider's function for a resource's state and commits how it ended; none: the resource is gone.
    async fn turn(
        &self,
        mut resource: PluggableResource,
        cause: &Cause,
        depth: u8,
        asked_by: Option<Scope>,
    ) -> Result<Option<PluggableResource>, Error> {
        let kind = self.kind(resource.billing_entity_id, resource.customer_id, &resource.provider_type).await;
        let (pointed, provider) = match (kind, resource.state) {
            (Ok(kind), _) => kind,
            // Nobody is left to ask.
            (Err(_), PluggableState::Deleting) => return self.settle(resource, cause, Ok(None)).await,
            (Err(error), _) => return self.settle(resource, cause, Err(error)).await,
        };
        let (execution, option) = match resource.state {
            PluggableState::Creating => (&provider.create, "CREATE"),
            PluggableState::Modifying => (&provider.modify, "MODIFY"),
            PluggableState::Deleting => (&provider.delete, "DELETE"),
            PluggableState::Active => return Ok(Some(resource)),
        };
        if let Some(pending) = resource.pending.clone() {
            (resource.name, resource.values) = (pending.name, pending.values);
        }
        let Some(execution) = execution else { return self.settle(resource, cause, Ok(None)).await };
        let run_id = derived(pointed.script.id, resource.created_at, &format!("{}:{}", resource.id, resource.turns));
        let ask = Invocation {
            script: pointed.script.clone(),
            function: execution.function.clone(),
            id: run_id,
            option,
            subject: Some(self.pluggable_subject(pointed.script.owner, &resource).await?),
            more: vec![
                ("resourceValues", Member::Texts(resource.values.clone())),
                ("parameters", Member::Texts(resource.values.clone())),
                ("providerType", Member::Value(Value::from(provider.provider_type.as_str()))),
            ],
            user: None,
            cause: cause.clone(),
            depth,
            deadline_ms: self.inner.core.settings.post_deadline_ms,
            rehearsal: false,
        };
        let outcome = self.inner.scripts.invoke(ask).await?;
        // The reason stays on the resource, which others see; who asked may be told more.
        let told = read(&pointed.script, run_id, asked_by, &outcome).err();
        let ended = read(&pointed.script, run_id, None, &outcome).and_then(|answer| match answer.is_no() {
            true => {
                let reason = "its provider said no".to_owned();
                Err(Error::Refused { script: pointed.script.name.clone(), reason })
            }
            false => Ok(outcome.resource),
        });
        match (self.settle(resource, cause, ended).await, told) {
            (Err(Error::Refused { .. }), Some(told)) => Err(told),
            (settled, _) => settled,
        }
    }

    /// Commits how a provider's function ended, with the intervals that this bounds. `resource` has the name and values that were
    /// to be.
    async fn settle(
        &self,
        resource: PluggableResource,
        cause: &Cause,
        ended: Result<Option<Bean>, Error>,
    ) -> Result<Option<PluggableResource>, Error> {
        // What asked for it stands behind its end too: else a script could set itself off without end. The call has been noted.
        let cause = match cause {
            Cause::Run { run_id, depth, .. } => Cause::run(*run_id, *depth),
            other => other.clone(),
        };
        let refused = ended.is_err();
        let id = resource.id;
        let (left, settled) = again(None, async || {
            let read = self.store().read(move |s| Ok((s.get(id)?, open_intervals(s, id.into())?)));
            let (Some(old), open): (Option<PluggableResource>, _) = read.await? else { return Ok((None, false)) };
            if old.turns != resource.turns || old.state != resource.state {
                // Somebody else has settled it.
                return Ok((Some(old), false));
            }
            let mut new = old.clone();
            (new.state, new.pending) = (PluggableState::Active, None);
            let mut set = ChangeSet::new(cause.clone());
            let gone = match &ended {
                Ok(left) => {
                    (new.name, new.values) = (resource.name.clone(), resource.values.clone());
                    if let Some(left) = left {
                        take(&mut new, left);
                    }
                    new.state_reason = None;
                    old.state == PluggableState::Deleting
                }
                Err(error) => {
                    new.state_reason = Some(error.to_string());
                    old.state == PluggableState::Creating
                }
            };
            let now = self.inner.core.now();
            let turn = meters::on_pluggable_change(&old, (!gone).then_some(&new), now, &open, &cause);
            Family { open, ..Family::default() }.take(turn, &mut set);
            if gone {
                set.delete(&old);
                // What was refused was never there.
                if !refused {
                    remains::keep_pluggable(&self.inner.core, &old, now, &mut set);
                }
            } else {
                set.update(&old, &mut new);
            }
            self.store().commit(set).await?;
            Ok(((!gone).then_some(new), true))
        })
        .await?;
        match ended {
            Err(error) if settled => Err(error),
            _ => Ok(left),
        }
    }

    /// A resource as its provider's functions get it: with the name and values that are to be.
    async fn pluggable_subject(&self, viewer: Scope, resource: &PluggableResource) -> Result<Subject, Error> {
        let record = resource.clone();
        Ok(self.store().read(move |snapshot| subject(snapshot, viewer, record)).await?)
    }

    fn room_for_pluggable(&self, customer: Option<CustomerId>, seller: BillingEntityId) -> Result<(), Error> {
        let index = self.store().index();
        let used = match customer {
            Some(customer) => index.count(Noun::PluggableResource, Field::Customer, customer.0.as_bytes()),
            None => index.count(Noun::PluggableResource, Field::BillingEntity, seller.0.as_bytes()),
        };
        if used < PER_OWNER_MAX {
            return Ok(());
        }
        Err(Error::Quota { what: "pluggable resources", limit: PER_OWNER_MAX as u64, used: used as u64, asked: 1 })
    }

    /// What is shown of what is filled in: without what is secret, and nothing while its block's form does not tell.
    pub fn shown_values(&self, resource: &PluggableResource) -> BTreeMap<String, String> {
        let enabled = self.inner.core.enabled.read().unwrap_or_else(PoisonError::into_inner);
        let mut shown = resource.values.clone();
        enabled.hide_values(resource.script_id, &resource.provider_type, &mut shown);
        shown
    }

    /// The pluggable providers that an owner has.
    fn kinds(&self, path: &[BillingEntityId], customer: Option<CustomerId>) -> Vec<(Pointed, PluggablePoint)> {
        let covers = |owner: Scope| owner.covers(path, customer);
        let is_one = |pointed: Pointed| {
            let PointKind::PluggableProvider(provider) = &pointed.point().kind else { return None };
            let provider = provider.as_ref().clone();
            Some((pointed, provider))
        };
        self.inner
            .scripts
            .points()
            .into_iter()
            .filter(|pointed| covers(pointed.script.owner))
            .filter_map(is_one)
            .collect()
    }

    async fn kind(
        &self,
        seller: BillingEntityId,
        customer: Option<CustomerId>,
        provider_type: &str,
    ) -> Result<(Pointed, PluggablePoint), Error> {
        let wanted = provider_type.to_uppercase();
        let path = self.path(seller).await?;
        let found = self.kinds(&path, customer).into_iter().find(|(_, provider)| provider.provider_type == wanted);
        found.ok_or_else(|| {
            let detail = format!("there is no provider of resources of the type `{provider_type}`");
            Error::Invalid(vec![FieldError::new("provider_type", detail)])
        })
    }
}

fn may(caller: &Caller, execution: &Execution) -> bool {
    level_of(caller, &execution.levels).unwrap_or(true)
}

pub(crate) fn definitions(provider: &PluggablePoint) -> Vec<ValueDef> {
    provider.components.iter().flat_map(|component| component.values.clone()).collect()
}

/// Lets what is given of a form be set, also what only the provider sets.
fn unlock(definitions: &mut [ValueDef], given: &BTreeMap<String, String>) {
    definitions.iter_mut().filter(|value| given.contains_key(&value.key)).for_each(|value| value.read_only = false);
}

/// A resource as functions of a block of `viewer` get it.
pub(super) fn subject(snapshot: &Snapshot, viewer: Scope, resource: PluggableResource) -> Result<Subject, StoreError> {
    Ok(Subject {
        id: resource.id.into(),
        customer: resource.customer_id,
        seller: resource.billing_entity_id,
        bean: Some(Beans::new(snapshot, viewer, FEW).bean(resource)?),
    })
}

/// Takes in what the provider's function set: the name and the values.
fn take(resource: &mut PluggableResource, left: &Bean) {
    if let Some(name) = left.text("resourceName").filter(|name| validate::name("name", name).is_ok()) {
        resource.name = name;
    }
    if let Some(Value::Object(values)) = left.properties.get("resourceValues").as_deref() {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let values = values.iter().filter(|(_, value)| !value.is_null());
        resource.values = values.map(|(key, value)| (key.clone(), text(value))).collect();
    }
}

/// Refuses while something else is being done with a resource.
fn at_rest(resource: &PluggableResource) -> Result<(), Error> {
    match resource.state {
        PluggableState::Active => Ok(()),
        _ => Err(Error::State {
            noun: Noun::PluggableResource,
            id: resource.id.into(),
            detail: "something is being done with this resource already; ask again when it is active".to_owned(),
        }),
    }
}
