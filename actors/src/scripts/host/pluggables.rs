//! Pluggable resources, actions and reports, by scripts.

use super::{ask::Ask, done::Done, operations::noun_of, refusal, skeleton::Skeleton, taken::no_more_than};
use crate::{ActionAnswer, NewPluggable, PluggablePatch, scripts::beans::point_id};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use sutler_lua::HostError;
use sutler_model::{CustomerId, Noun, PluggableResource, PluggableResourceId, Scope, ScriptId};

/// `createPluggableResource(skeleton, when)`: a job that has ended; its item is the resource.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.bean(0, "a PluggableResource")?);
    let id = PluggableResourceId(ask.new_id());
    let customer_id = match ask.caller.scope {
        Scope::Customer(own) => Some(own),
        _ => skeleton.id("customerUUID")?.map(CustomerId),
    };
    let new = NewPluggable {
        id: Some(id),
        name: skeleton.required("resourceName")?.to_owned(),
        provider_type: skeleton.required("providerType")?.to_owned(),
        customer_id,
        values: texts(skeleton.0.get("resourceValues")),
        keys: skeleton.keys(ask.caller.scope)?,
    };
    let made = ask.platform.system()?.create_pluggable_by(ask.caller, ask.who.script, new).await.map_err(refusal)?;
    done(ask, &made)
}

/// `modifyPluggableResource(updated, when)`: name, values and keys.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let updated = Skeleton(ask.args.bean(0, "a PluggableResource")?);
    let id = PluggableResourceId(updated.own_id()?);
    let system = ask.platform.system()?;
    let old = system.pluggable(ask.caller, id).await.map_err(refusal)?;
    let before = ask.bean(old.clone()).await?;
    no_more_than(ask, &updated, &before, &["resourceName", "resourceValues", "resourceKey"])?;
    let (name, values) = (updated.text("resourceName").unwrap_or(&old.name), texts(updated.0.get("resourceValues")));
    let keys = if updated.0.contains_key("resourceKey") { updated.keys(ask.caller.scope)? } else { old.keys.clone() };
    let changed = values.into_iter().filter(|(key, value)| old.values.get(key) != Some(value)).collect();
    let patch = PluggablePatch {
        name: (name != old.name).then(|| name.to_owned()),
        values: changed,
        keys: (keys != old.keys).then_some(keys),
    };
    let new = match patch == PluggablePatch::default() {
        true => old,
        false => system.update_pluggable_by(ask.caller, ask.who.script, id, None, patch).await.map_err(refusal)?,
    };
    done(ask, &new)
}

/// Deletes a pluggable resource.
pub(super) async fn delete(ask: &Ask<'_>, id: PluggableResourceId) -> Result<Value, HostError> {
    let system = ask.platform.system()?;
    let old = system.pluggable(ask.caller, id).await.map_err(refusal)?;
    system.delete_pluggable(ask.caller, id, None).await.map_err(refusal)?;
    done(ask, &old)
}

/// `invokeAction(resource UUID, action key, parameters, provider type or nil, when)`: a job that has ended; what the action
/// answered is its info.
pub(super) async fn invoke(ask: &Ask<'_>) -> Result<Value, HostError> {
    let (id, key) = (ask.args.id(0)?, ask.args.text(1)?);
    let given = texts(ask.args.values.iter().skip(2).find(|value| value.is_object()));
    let system = ask.platform.system()?;
    let answer = if ask.platform.store.index().version(Noun::PluggableResource, id).is_some() {
        system.invoke_pluggable(ask.caller, PluggableResourceId(id), key, &given).await
    } else {
        let provider = ask.args.values.iter().skip(2).find_map(Value::as_str).unwrap_or_default();
        let forms = system.provider_forms(ask.caller, id).await.map_err(refusal)?;
        let has = |form: &&crate::ProviderForm| form.actions.iter().any(|action| action.key == key);
        let found = forms.iter().filter(|form| provider.is_empty() || form.provider_type == provider).find(has);
        let provider = found.map(|form| form.provider_type.clone()).unwrap_or_else(|| provider.to_owned());
        system.invoke_action(ask.caller, id, &provider, key, &given).await
    };
    let answer = answer.map_err(refusal)?;
    let mut job =
        ask.done(&Done { noun: noun_of(ask.platform, id).unwrap_or(Noun::Server), id, name: key, customer: None })?;
    job["info"] = content(answer);
    Ok(job)
}

/// `invokeReportMethod(UUID of the method or of its block, values [, function])`: what the report answered. A block with one
/// report needs no function.
pub(super) async fn report(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = ask.args.id(0)?;
    let system = ask.platform.system()?;
    let reports = system.reports(ask.caller).await.map_err(refusal)?;
    let method = reports.iter().find(|report| point_id(report.script_id, &report.function) == id);
    let script = method.map_or(ScriptId(id), |report| report.script_id);
    let named = ask.args.values.iter().skip(1).find_map(Value::as_str);
    let function = match named {
        Some(name) => name.to_owned(),
        None if method.is_some() => method.map(|report| report.function.clone()).unwrap_or_default(),
        None => {
            let found = reports.iter().find(|report| report.script_id == script).map(|report| report.function.clone());
            found.ok_or_else(|| HostError::refused("NO_RESOURCE_FOUND", "there is no such report"))?
        }
    };
    let given = match ask.args.values.iter().skip(1).find(|value| value.is_object() || value.is_array()) {
        // Value beans, as the language has it, or a plain map.
        Some(Value::Array(beans)) => {
            let pair = |bean: &Value| Some((bean.get("key")?.as_str()?.to_owned(), word(bean.get("value")?)));
            beans.iter().filter_map(pair).collect()
        }
        other => texts(other),
    };
    let answer = system.make_report(ask.caller, script, &function, &given).await.map_err(refusal)?;
    Ok(content(answer))
}

fn content(answer: ActionAnswer) -> Value {
    match answer.answer.map(|answer| answer.content) {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) => Value::String(text),
        Some(other) => Value::String(other.to_string()),
    }
}

fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let none = Map::new();
    let map = map.and_then(Value::as_object).unwrap_or(&none);
    let pairs = map.iter().filter(|(key, value)| !value.is_null() && !key.starts_with('@'));
    pairs.map(|(key, value)| (key.clone(), word(value))).collect()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn done(ask: &Ask<'_>, resource: &PluggableResource) -> Result<Value, HostError> {
    ask.done(&Done {
        noun: Noun::PluggableResource,
        id: resource.id.into(),
        name: &resource.name,
        customer: resource.customer_id,
    })
}
