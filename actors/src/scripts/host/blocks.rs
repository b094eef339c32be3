//! Scripts as resources: an `FDLCodeBlock` for each, and a `TriggerMethod` for each function that it registers.

use super::{
    ask::Ask,
    done::Done,
    failed,
    list::Search,
    refusal,
    skeleton::{Skeleton, invalid},
    taken::no_more_than,
};
use crate::{
    NewScript, ScriptPatch,
    scripts::{
        occasion::{Tree, within},
        schedule::root,
    },
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use sutler_lua::{Bean, HostError};
use sutler_model::{BillingEntity, Customer, Entry, Noun, Scope, Script, ScriptId, ScriptRevision, Timestamp};
use sutler_store::{Error as StoreError, Field, Filter, Order, Snapshot};
use uuid::Uuid;

/// `createFDLCodeBlock(FDLCodeBlock, when)`: a script of the caller's own, named as the bean or its header says.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.any_bean("an FDLCodeBlock")?);
    let id = ScriptId(ask.new_id());
    let new = NewScript {
        name: skeleton.required("resourceName")?.to_owned(),
        owner: ask.caller.scope,
        source: source(&skeleton)?.ok_or_else(|| invalid("unsignedCodeBlock", "must be set"))?,
        enabled: true,
        fail_open: false,
    };
    let script =
        ask.platform.system()?.create_script_as(ask.caller, id, new, BTreeMap::new()).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::Script, id: id.into(), name: &script.name, customer: None })
}

/// `modifyFDLCodeBlock(FDLCodeBlock, when)`: its text.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.any_bean("an FDLCodeBlock")?);
    let id = ScriptId(skeleton.own_id()?);
    let system = ask.platform.system()?;
    let old = system.script(ask.caller, id).await.map_err(refusal)?;
    let read = ask.platform.store.read(move |snapshot| told(snapshot, &old));
    no_more_than(ask, &skeleton, &read.await.map_err(failed)?, &["unsignedCodeBlock"])?;
    let patch = ScriptPatch { source: source(&skeleton)?, ..ScriptPatch::default() };
    let script = system.update_script(ask.caller, id, None, patch).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::Script, id: id.into(), name: &script.name, customer: None })
}

/// The text of a bean. What the original keeps signed is the same text in an envelope of its own.
fn source(skeleton: &Skeleton<'_>) -> Result<Option<String>, HostError> {
    match skeleton.0.get("unsignedCodeBlock") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid("unsignedCodeBlock", "must be a text")),
    }
}

/// The code blocks (or with `methods` what they register) of all owners within a scope.
pub(super) fn list(search: &Search<'_>, methods: bool) -> Result<Vec<Bean>, StoreError> {
    let (snapshot, tree, scope) = (search.snapshot, search.tree, search.sight.reach);
    let mut beans = Vec::new();
    for script in snapshot.records(Filter::<Script>::new()) {
        let script = script?;
        if !owned_within(snapshot, tree, scope, script.owner)? {
            continue;
        }
        if methods {
            for entry in &script.entries {
                beans.push(owned(snapshot, script.owner, method(&script, entry, search.now))?);
            }
        } else {
            beans.push(owned(snapshot, script.owner, bean(snapshot, &script)?)?);
        }
    }
    Ok(beans)
}

/// The code block with an id, within a scope.
pub(super) fn find(snapshot: &Snapshot, tree: &Tree, scope: Scope, id: Uuid) -> Result<Option<Bean>, StoreError> {
    let Some(script) = snapshot.get::<Script>(id)? else { return Ok(None) };
    let seen = owned_within(snapshot, tree, scope, script.owner)?;
    seen.then(|| owned(snapshot, script.owner, bean(snapshot, &script)?)).transpose()
}

/// A code block as a trigger is told of it.
pub(in crate::scripts) fn told(snapshot: &Snapshot, script: &Script) -> Result<Bean, StoreError> {
    owned(snapshot, script.owner, bean(snapshot, script)?)
}

/// Whether what an owner has lies within a scope.
pub(super) fn owned_within(snapshot: &Snapshot, tree: &Tree, scope: Scope, owner: Scope) -> Result<bool, StoreError> {
    match owner {
        Scope::Provider => Ok(scope == Scope::Provider),
        Scope::Entity(id) => within(snapshot, tree, scope, id, None),
        Scope::Customer(id) => match snapshot.get::<Customer>(id)? {
            Some(customer) => within(snapshot, tree, scope, customer.billing_entity_id, Some(id)),
            None => Ok(scope == Scope::Provider),
        },
    }
}

/// What a script's owner has, with whose it is.
pub(super) fn owned(snapshot: &Snapshot, owner: Scope, mut bean: Bean) -> Result<Bean, StoreError> {
    let seller = match owner {
        Scope::Provider => root(snapshot)?,
        Scope::Entity(id) => Some(id),
        Scope::Customer(id) => {
            let customer = snapshot.get::<Customer>(id)?;
            bean = bean.with("customerUUID", id.to_string());
            bean = bean.with("customerName", customer.as_ref().map(|customer| customer.name.clone()));
            customer.map(|customer| customer.billing_entity_id)
        }
    };
    let seller = seller.map(|id| snapshot.get::<BillingEntity>(id)).transpose()?.flatten();
    Ok(match seller {
        Some(seller) => bean.with("billingEntityUUID", seller.id.to_string()).with("billingEntityName", seller.name),
        None => bean,
    })
}

/// The signed text of the language is the one in force, the unsigned one the newest.
fn bean(snapshot: &Snapshot, script: &Script) -> Result<Bean, StoreError> {
    let of_it = || Filter::<ScriptRevision>::new().is(Field::Script, script.id.0.as_bytes());
    let newest = match script.latest_revision {
        latest if latest == script.revision => None,
        _ => snapshot.first(of_it(), Order::Descending)?.map(|newest| newest.source),
    };
    let number = script.revision;
    let in_force = snapshot.first(of_it().when(move |revision| revision.number == number), Order::Descending)?;
    let signature = in_force.and_then(|revision| revision.signature);
    let signatory = signature.as_ref().and_then(|signature| signature.by);
    Ok(Bean::new("FDLCodeBlock")
        .with("resourceUUID", script.id.to_string())
        .with("resourceName", script.name.as_str())
        .with("resourceType", "FDL")
        .with("resourceState", if script.enabled { "ACTIVE" } else { "HIDDEN" })
        .with("resourceCreateDate", script.created_at.0)
        .with("lastModifiedTime", script.modified_at.0)
        .with("editable", true)
        .with("unsignedCodeBlock", newest.unwrap_or_else(|| script.source.clone()))
        .with("signedCodeBlock", Some(script.source.as_str()).filter(|_| number > 0))
        .with("signatoryUUID", signatory.map(|by| by.to_string()))
        .with("signingTimestamp", signature.map(|signature| signature.at.0))
        .with("fdlProviderInfo", json!(script.info)))
}

fn method(script: &Script, entry: &Entry, now: Timestamp) -> Bean {
    let id = Uuid::new_v5(&script.id.0, format!("method:{}", entry.function).as_bytes());
    let kind = serde_json::to_value(entry.trigger_type).unwrap_or_default();
    let mut bean = Bean::new("TriggerMethod")
        .with("resourceUUID", id.to_string())
        .with("resourceName", entry.name.as_str())
        .with("resourceType", "TRIGGER_METHOD")
        .with("resourceState", if script.enabled { "ACTIVE" } else { "HIDDEN" })
        .with("resourceCreateDate", script.created_at.0)
        .with("lastModifiedTime", script.modified_at.0)
        .with("fdlName", entry.name.as_str())
        .with("fdlDescription", entry.description.as_str())
        .with("fdlPriority", entry.priority)
        .with("fdlTriggerOptions", json!(entry.options))
        .with("fdlTriggerType", kind)
        .with("fdlUUID", script.id.to_string());
    if let Some(schedule) = entry.schedule {
        bean = bean.with("scheduledRepeatFrequency", schedule.interval_ms(script.modified_at, now));
        // Milliseconds, as all times of runs; of one that does not run there is none.
        if script.enabled {
            bean = bean.with("nextScheduledInvoke", schedule.next_due(script.modified_at, now).0);
        }
    }
    bean
}
