//! Images. Those of files are taken in by the provider's staff; scripts make them of servers and disks, offer, take back and
//! change them.

use super::{
    ask::Ask,
    done::Done,
    operations::noun_of,
    refusal,
    skeleton::{Skeleton, invalid},
    taken::taken,
};
use crate::{Error, ImagePatch, ImageSource, MetadataPatch, NewImageOf, scripts::beans::permission_of};
use serde_json::Value;
use sutler_lua::HostError;
use sutler_model::{BillingEntityId, DiskId, FieldError, ImageId, ImagePermission, ImageState, Noun, ServerId};

/// `createImage(Image, when)`: the job that makes an image of the server or disk that `baseUUID` names. It does not run.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    let skeleton = Skeleton(ask.args.any_bean("an Image")?);
    let start_at = ask.args.when(1)?;
    let base = skeleton.id("baseUUID")?;
    let base = base.ok_or_else(|| HostError::refused("REQUIRED_FIELD_NOT_SET", "baseUUID: must be set"))?;
    let source = match noun_of(ask.platform, base) {
        Some(Noun::Disk) => ImageSource::Disk(DiskId(base)),
        _ => ImageSource::Server(ServerId(base)),
    };
    let new = NewImageOf {
        id: Some(ImageId(ask.new_id())),
        name: skeleton.required("resourceName")?.to_owned(),
        source,
        owner_permission: allowed(&skeleton, "ownerPermission")?,
        user_permission: allowed(&skeleton, "userPermission")?,
    };
    match ask.platform.system()?.create_image(ask.caller, new, start_at, None).await {
        Ok(job) => ask.answer(job).await,
        Err(error @ Error::State { noun: Noun::Server, .. }) => {
            Err(HostError::refused("SERVER_NOT_STOPPED", error.to_string()))
        }
        // What is out of reach is told from what does not exist by nothing.
        Err(Error::NotFound { noun: Noun::Server | Noun::Disk, .. }) => {
            Err(HostError::refused("NO_RESOURCE_FOUND", "baseUUID: there is no such server or disk"))
        }
        Err(error) => Err(refusal(error)),
    }
}

fn allowed(skeleton: &Skeleton<'_>, property: &str) -> Result<Option<ImagePermission>, HostError> {
    permission_of(skeleton.0.get(property)).map_err(|detail| invalid(property, &detail))
}

/// `modifyImage(Image, when)`: its name, keys and metadata, and what it lets people do.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.bean(0, "an Image")?);
    let id = ImageId(skeleton.own_id()?);
    let system = ask.platform.system()?;
    let old = system.image(ask.caller, id).await.map_err(refusal)?;
    let new = taken(ask, &skeleton, &old).await?;
    let patch = ImagePatch {
        name: (new.name != old.name).then_some(new.name),
        owner_permission: allowed(&skeleton, "ownerPermission")?,
        user_permission: allowed(&skeleton, "userPermission")?,
        keys: (new.keys != old.keys).then_some(new.keys),
        metadata: MetadataPatch::between(old.metadata.as_deref(), new.metadata.as_deref()),
        ..ImagePatch::default()
    };
    let image = system.update_image(ask.caller, id, None, patch).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::Image, id: id.into(), name: &image.name, customer: image.customer_id })
}

/// `publishImage(UUID, to whom, exclude)`: offers it to all of its publisher's; `revokeImage`: takes it back from them.
pub(super) async fn publish(ask: &Ask<'_>, offered: bool) -> Result<Value, HostError> {
    let id = ImageId(ask.args.id(0)?);
    let to = match ask.args.get(1) {
        Value::Null => None,
        _ => Some(BillingEntityId(ask.args.id(1)?)),
    };
    let system = ask.platform.system()?;
    let image = system.image(ask.caller, id).await.map_err(refusal)?;
    if to.is_some_and(|to| to != image.billing_entity_id) || ask.args.flag(2) {
        let detail = "an image is offered to all of its publisher's, or to none; leave out to whom and whom not";
        return Err(refusal(Error::Invalid(vec![FieldError::new("publishTo", detail)])));
    }
    let patch = ImagePatch {
        state: Some(if offered { ImageState::Ready } else { ImageState::Retired }),
        published: offered.then_some(true),
        ..ImagePatch::default()
    };
    system.update_image(ask.caller, id, None, patch).await.map_err(refusal)?;
    Ok(Value::Bool(true))
}
