//! The one way to the host's operations: numbered, and in a rehearsal noted rather than carried out.

use super::{acting, api::raise, reaching_out};
use crate::{Api, meter::Meter, shard::Shard};
use mlua::Result;
use serde_json::{Value, json};

/// Operations that change nothing, by how their names begin.
const READS: [&str; 8] = ["get", "list", "find", "count", "has", "is", "calculate", "query"];
/// Operations that answer with a job, by how their names begin.
const JOBS: [&str; 16] = [
    "create", "delete", "change", "start", "stop", "shutdown", "kill", "reboot", "clone", "attach", "detach", "resize",
    "revert", "cancel", "modify", "fetch",
];
/// Operations that answer with the record whose keys they change.
const KEYS: [&str; 3] = ["addKey", "modifyKey", "removeKey"];

/// Calls an operation of the host for the run in progress.
///
/// # Errors
/// `CODE: message`, as scripts see a refusal.
pub(super) async fn call(shard: &Shard, api: Api, operation: &str, args: Vec<Value>) -> Result<Value> {
    let reads = begins(operation, &READS);
    let (meter, who) = if reads { acting()? } else { reaching_out(shard).await? };
    let call_no = meter.next_call_no();
    if !who.rehearsal || reads {
        return shard.host.call(&who, api, operation, args, call_no).await.map_err(raise);
    }
    let first = args.first().cloned().unwrap_or_default();
    let answer = if KEYS.contains(&operation) {
        let found = shard.host.get(&who, &api, first.as_str().unwrap_or_default(), true).await.map_err(raise)?;
        let found = found.ok_or_else(|| mlua::Error::runtime("NO_RESOURCE_FOUND: there is no such resource"))?;
        let mut answer = Value::from(found.properties);
        answer["@bean"] = found.kind.into();
        answer
    } else if operation == "waitForJob" || begins(operation, &JOBS) {
        job(&meter, &first, call_no)
    } else if first.is_object() {
        first
    } else {
        Value::Bool(true)
    };
    if operation != "waitForJob" {
        meter.would(operation, args);
    }
    Ok(answer)
}

/// Whether a name begins with one of the words: `createServer` with `create`, and `issueInvoice` not with `is`.
fn begins(operation: &str, words: &[&str]) -> bool {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(char::is_uppercase);
    words.iter().any(|word| operation.strip_prefix(word).is_some_and(ends))
}

/// A job that is done already.
fn job(meter: &Meter, item: &Value, call_no: u32) -> Value {
    let run = meter.who.as_ref().map(|who| who.run_id.0).unwrap_or_default();
    let id = uuid::Uuid::new_v5(&run, &call_no.to_be_bytes());
    json!({"@bean": "Job", "resourceUUID": id, "status": "SUCCESSFUL", "itemUUID": item})
}
