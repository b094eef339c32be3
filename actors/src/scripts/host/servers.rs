//! Servers and their jobs.

use super::{
    ask::Ask,
    done::Done,
    failed, list, metadata, refusal,
    skeleton::{Skeleton, invalid},
    taken::taken,
};
use crate::{ActionAsked, MetadataPatch, ServerAction, ServerPatch, scripts::beans::providers};
use serde_json::Value;
use std::collections::BTreeMap;
use sutler_lua::HostError;
use sutler_model::{CustomerId, Image, ImageId, Job, JobId, NewServer, Noun, ResourceMetadata, Server, ServerId};
use uuid::Uuid;

/// `createServer(Server, list of SSH keys, when)`: the job that builds it. As in the original it is not started.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    let skeleton = Skeleton(ask.args.bean(0, "a Server")?);
    let start_at = ask.args.when(2)?;
    let customer = match skeleton.id("customerUUID")?.map(CustomerId).or(ask.caller.customer_id) {
        Some(customer) => customer,
        None => return Err(HostError::refused("REQUIRED_FIELD_NOT_SET", "customerUUID: must be set")),
    };
    // Rather than to leave out what was asked for.
    for (list, what) in [("disks", "disk"), ("nics", "network interface")] {
        if skeleton.list(list).count() > 1 {
            return Err(HostError::Absent {
                nouns: format!("servers with more than one {what}"),
                operation: ask.args.operation.to_owned(),
            });
        }
    }
    let disk = skeleton.list("disks").next();
    let of_disk = disk.as_ref().map(|disk| disk.id("imageUUID")).transpose()?.flatten();
    let image = skeleton.id("imageUUID")?.or(of_disk);
    let image_id =
        image.map(ImageId).ok_or_else(|| HostError::refused("REQUIRED_FIELD_NOT_SET", "imageUUID: must be set"))?;
    let size = disk.as_ref().map(|disk| disk.whole("size")).transpose()?.flatten();
    let disk_gib = match size {
        Some(size) => size,
        None => image_size(ask, image_id).await?,
    };
    let cpu = skeleton.whole("cpu")?.unwrap_or(1);
    let new = NewServer {
        name: skeleton.required("resourceName")?.to_owned(),
        cpu: cpu.try_into().map_err(|_| invalid("cpu", "is too large"))?,
        memory_mib: skeleton
            .whole("ram")?
            .ok_or_else(|| HostError::refused("REQUIRED_FIELD_NOT_SET", "ram: must be set"))?,
        disk_gib,
        image_id,
        start: false,
        user_data: user_data(&skeleton),
        ssh_keys: ssh_keys(ask, &skeleton)?,
        keys: skeleton.keys(ask.caller.scope)?,
        provider_values: match skeleton.0.get("providers") {
            Some(values) => providers(values).map_err(|detail| invalid("providers", &detail))?,
            None => BTreeMap::new(),
        },
    };
    let metadata = match skeleton.0.get("resourceMetadata").and_then(Value::as_object) {
        Some(metadata) => super::metadata::parts(metadata)?,
        None => ResourceMetadata::default(),
    };
    let job = ask.platform.system()?.create_server_with(ask.caller, customer, new, metadata, start_at, None).await;
    ask.answer(job.map_err(super::metadata::refusal)?).await
}

/// The size of an image that the caller is offered; of any other nothing is known.
async fn image_size(ask: &Ask<'_>, id: ImageId) -> Result<u64, HostError> {
    let (scope, tree) = (ask.caller.scope, ask.platform.tree.clone());
    let read = ask.platform.store.read(move |snapshot| {
        let Some(image) = snapshot.get::<Image>(id)? else { return Ok(None) };
        Ok(list::sees(snapshot, &tree, scope, &image)?.then_some(image.size_gib))
    });
    let missing = || HostError::refused("NO_IMAGE_FOUND", format!("there is no image `{id}`"));
    read.await.map_err(failed)?.ok_or_else(missing)
}

/// What `addCloudInitData` gathered, as one text.
fn user_data(skeleton: &Skeleton<'_>) -> Option<String> {
    let parts = skeleton.0.get("cloudInitData").and_then(Value::as_array)?;
    let text: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
    (!text.is_empty()).then(|| text.join("\n"))
}

/// Public keys, from the bean and from the list. SSH keys are texts here, no resources with a UUID.
fn ssh_keys(ask: &Ask<'_>, skeleton: &Skeleton<'_>) -> Result<Vec<String>, HostError> {
    let mut keys: Vec<String> =
        skeleton.list("sshkeys").filter_map(|key| key.text("publicKey").map(str::to_owned)).collect();
    for key in ask.args.get(1).as_array().map(Vec::as_slice).unwrap_or_default() {
        let key = key.as_str().unwrap_or_default();
        if Uuid::parse_str(key).is_ok() {
            return Err(HostError::Absent {
                nouns: "SSH keys of their own (give the public key itself)".to_owned(),
                operation: ask.args.operation.to_owned(),
            });
        }
        keys.push(key.trim().to_owned());
    }
    Ok(keys)
}

/// `modifyServer(Server, when)`: keys, provider values and metadata; size and name are not changed behind the guest's back.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.bean(0, "a Server")?);
    let id = ServerId(skeleton.own_id()?);
    let system = ask.platform.system()?;
    let old: Server = system.find(id).await.map_err(refusal)?;
    let place = (Noun::Server, id.into());
    system.reach(ask.caller, old.billing_entity_id, Some(old.customer_id), place).await.map_err(refusal)?;
    let new = taken(ask, &skeleton, &old).await?;
    let patch = ServerPatch {
        metadata: MetadataPatch::between(old.metadata.as_deref(), new.metadata.as_deref()),
        keys: (new.keys != old.keys).then_some(new.keys),
        provider_values: (new.provider_values != old.provider_values).then_some(new.provider_values),
        ..ServerPatch::default()
    };
    let server = if patch == ServerPatch::default() {
        old
    } else {
        system.update_server(ask.caller, id, None, patch).await.map_err(refusal)?
    };
    ask.done(&Done { noun: Noun::Server, id: id.into(), name: &server.name, customer: Some(server.customer_id) })
}

/// `changeServerStatus(UUID, ServerStatus, safe, metadata, when)`: the metadata is for the run that a start or restart begins.
pub(super) async fn change_status(ask: &Ask<'_>) -> Result<Value, HostError> {
    let force = !ask.args.flag(2);
    let action = match ask.args.text(1)? {
        "RUNNING" => ServerAction::Start,
        "STOPPED" => ServerAction::Stop { force },
        "REBOOTING" => ServerAction::Reboot { force },
        other => {
            let detail = format!("a server can be asked for RUNNING, STOPPED or REBOOTING, not for {other}");
            return Err(HostError::refused("INVALID_SERVER_STATUS", detail));
        }
    };
    let metadata = match ask.args.get(3) {
        Value::Null => None,
        _ => Some(metadata::parts(ask.args.bean(3, "a ResourceMetadata or nil")?)?),
    };
    act(ask, action, 4, metadata).await
}

/// `startServer(UUID, when)` and the like, as the administrator's API has them.
pub(super) async fn named(ask: &Ask<'_>) -> Result<Value, HostError> {
    let action = match ask.args.operation {
        "startServer" => ServerAction::Start,
        "killServer" => ServerAction::Stop { force: true },
        "rebootServer" => ServerAction::Reboot { force: false },
        _ => ServerAction::Stop { force: false },
    };
    act(ask, action, 1, None).await
}

async fn act(
    ask: &Ask<'_>,
    action: ServerAction,
    when: usize,
    metadata: Option<ResourceMetadata>,
) -> Result<Value, HostError> {
    let (id, start_at) = (ServerId(ask.args.id(0)?), ask.args.when(when)?);
    let asked = ActionAsked { if_match: None, start_at, metadata, key: None };
    let job = ask.platform.system()?.act_on_server(ask.caller, id, action, asked).await;
    ask.answer(job.map_err(metadata::refusal)?).await
}

/// `cancelJob(UUID)`.
pub(super) async fn cancel(ask: &Ask<'_>) -> Result<Value, HostError> {
    let job = ask.platform.system()?.cancel_job(ask.caller, JobId(ask.args.id(0)?)).await;
    ask.answer(job.map_err(refusal)?).await
}

/// `deleteJob(UUID)`: takes back what is still to come. Jobs that have begun are kept for the record.
pub(super) async fn delete_job(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = JobId(ask.args.id(0)?);
    let system = ask.platform.system()?;
    let job: Job = system.find(id).await.map_err(refusal)?;
    if job.state.is_final() {
        let place = (Noun::Job, id.into());
        system.reach(ask.caller, job.billing_entity_id, job.customer_id, place).await.map_err(refusal)?;
        return ask.answer(job).await;
    }
    cancel(ask).await
}
