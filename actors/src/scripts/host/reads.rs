//! Questions that change nothing.

use super::{
    Platform, Sight,
    ask::Ask,
    failed, find,
    skeleton::{Skeleton, invalid},
};
use crate::scripts::words::resource_type;
use serde_json::{Map, Value, json};
use sutler_lua::{Bean, HostError};
use sutler_model::{Noun, Permission};
use uuid::Uuid;

/// `isPermitted(resource UUID, Permission)`: whether the caller may do that with the resource.
pub(super) async fn is_permitted(ask: &Ask<'_>) -> Result<Value, HostError> {
    let bean = seen(ask.platform, ask, ask.args.id(0)?).await?;
    let permission = Skeleton(ask.args.bean(1, "a Permission")?);
    let capability = permission.required("capability")?;
    let allowed = allows(ask, &bean.text("resourceType").unwrap_or_default(), capability)?;
    let asked = permission.0.get("permitted").and_then(Value::as_bool).unwrap_or(true);
    Ok(Value::Bool(allowed == asked))
}

/// `checkPermissions(resource UUID, list of CapabilityAction)`: a map from each of them to whether it is allowed.
pub(super) async fn check_permissions(ask: &Ask<'_>) -> Result<Value, HostError> {
    let bean = seen(ask.platform, ask, ask.args.id(0)?).await?;
    let own = bean.text("resourceType").unwrap_or_default();
    let mut answers = Map::new();
    for action in ask.args.get(1).as_array().map(Vec::as_slice).unwrap_or_default() {
        let action = Skeleton(action.as_object().ok_or_else(|| ask.args.wrong(1, "a list of CapabilityAction"))?);
        let kind = action.text("resourceType").unwrap_or(&own);
        let capability = action.required("capability")?;
        answers.insert(format!("{kind}:{capability}"), allows(ask, kind, capability)?.into());
    }
    Ok(Value::Object(answers))
}

/// A resource within the caller's reach.
async fn seen(platform: &Platform, ask: &Ask<'_>, id: Uuid) -> Result<Bean, HostError> {
    let (scope, tree) = (ask.caller.scope, platform.tree.clone());
    let read = platform.store.read(move |snapshot| find(snapshot, &tree, Sight::of(scope), id, false));
    let missing = || HostError::refused("NO_RESOURCE_FOUND", "there is no such resource");
    read.await.map_err(failed)?.ok_or_else(missing)
}

/// Whether the caller's role includes a capability over a kind of resource.
fn allows(ask: &Ask<'_>, kind: &str, capability: &str) -> Result<bool, HostError> {
    use Permission as P;
    let (read, write) = match kind {
        "CUSTOMER" | "USER" | "BILLING_ENTITY" => (P::CustomersRead, P::CustomersWrite),
        "INVOICE" => (P::BillingRead, P::BillingWrite),
        "FDL" | "TRIGGER_METHOD" => (P::ScriptsRead, P::ScriptsWrite),
        "IMAGE" => (P::ServersRead, P::ImagesWrite),
        _ => (P::ServersRead, P::ServersWrite),
    };
    let needed = match capability {
        "INTERACT" if kind == "SERVER" => P::ServersConsole,
        "FETCH" | "INTERACT" => read,
        "PUBLISH" => P::ImagesWrite,
        "DO_TRANSACTION" => P::BillingWrite,
        "ALL" | "CREATE" | "DELETE" | "MODIFY" | "ATTACH_DETACH" | "START_STOP" | "CLONE" | "CHANGE_PERMISSIONS" => {
            write
        }
        other => return Err(invalid("capability", &format!("there is no capability {other}"))),
    };
    Ok(ask.caller.permissions.contains(&needed))
}

/// `getResourceTypes()`: what can be listed here.
pub(super) fn resource_types() -> Value {
    let listed = Noun::ALL.into_iter().filter_map(|noun| Some((resource_type(noun)?, noun)));
    let types = listed.map(|(kind, noun)| {
        let billable = matches!(noun, Noun::Server | Noun::Disk | Noun::PluggableResource);
        let description = noun.to_string();
        let definition = json!({
            "@bean": "ResourceTypeDefinition", "resourceType": kind, "billable": billable, "description": description,
        });
        (kind.to_owned(), definition)
    });
    Value::Object(types.collect())
}

/// `listResourceKeysForResource(resource UUID)`: its keys that the script may see.
pub(super) async fn keys(ask: &Ask<'_>) -> Result<Value, HostError> {
    let mut bean = seen(ask.platform, ask, ask.args.id(0)?).await?;
    let keys = bean.properties.remove("resourceKey").unwrap_or_default();
    let keys: Vec<Value> = match keys {
        Value::Array(keys) => keys,
        _ => Vec::new(),
    };
    let keys: Vec<Value> = keys
        .into_iter()
        .map(|mut key| {
            key["@bean"] = "ResourceKey".into();
            key
        })
        .collect();
    let count = keys.len();
    Ok(json!({"@bean": "ListResult", "totalCount": count, "listFrom": 0, "listTo": count, "list": keys}))
}
