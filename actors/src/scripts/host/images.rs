//! Images. They are taken in from files by the provider's staff; scripts offer, take back and rename them.

use super::{ask::Ask, done::Done, refusal, skeleton::Skeleton};
use crate::{Error, ImagePatch};
use serde_json::Value;
use sutler_lua::HostError;
use sutler_model::{BillingEntityId, FieldError, ImageId, ImageState, Noun};

/// `modifyImage(Image, when)`: its name.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.bean(0, "an Image")?);
    let id = ImageId(skeleton.own_id()?);
    let patch = ImagePatch { name: skeleton.text("resourceName").map(str::to_owned), ..ImagePatch::default() };
    let image = ask.platform.system()?.update_image(ask.caller, id, None, patch).await.map_err(refusal)?;
    ask.done(&Done {
        kind: "MODIFY_IMAGE_TEMPLATE",
        noun: Noun::Image,
        id: id.into(),
        name: &image.name,
        customer: image.customer_id,
    })
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
