//! Blobs. A script has their content as text.

use super::{
    ask::Ask,
    done::Done,
    refusal,
    skeleton::{Skeleton, invalid},
    taken::no_more_than,
};
use crate::{BlobPatch, NewBlob};
use serde_json::Value;
use sutler_lua::HostError;
use sutler_model::{BillingEntityId, BlobId, CustomerId, Noun, blob};

/// `createBlob(Blob, when)`: the blob, of the caller's customer or, for sellers, of the seller.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.any_bean("a Blob")?);
    let id = BlobId(ask.new_id());
    let new = NewBlob {
        name: skeleton.text("resourceName").unwrap_or("blob").to_owned(),
        billing_entity_id: skeleton.id("billingEntityUUID")?.map_or(ask.caller.billing_entity_id, BillingEntityId),
        customer_id: skeleton.id("customerUUID")?.map(CustomerId).or(ask.caller.customer_id),
        media_type: blob::ANY_TYPE.to_owned(),
        public: public(&skeleton).unwrap_or(false),
        content: content(&skeleton)?.unwrap_or_default(),
    };
    let blob = ask.platform.system()?.create_blob_as(ask.caller, id, new).await.map_err(refusal)?;
    ask.answer(blob).await
}

/// `modifyBlob(Blob, when)`: name, content, and whether it is public.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.any_bean("a Blob")?);
    let id = BlobId(skeleton.own_id()?);
    let system = ask.platform.system()?;
    let old = system.blob(ask.caller, id).await.map_err(refusal)?;
    no_more_than(ask, &skeleton, &ask.bean(old).await?, &["resourceName", "publicResource", "value"])?;
    let patch = BlobPatch {
        name: skeleton.text("resourceName").map(str::to_owned),
        media_type: None,
        public: public(&skeleton),
        content: content(&skeleton)?,
    };
    let blob = system.update_blob(ask.caller, id, None, patch).await.map_err(refusal)?;
    ask.done(&Done { noun: Noun::Blob, id: id.into(), name: &blob.name, customer: blob.customer_id })
}

/// `getBlobContent(UUID)`: its text.
pub(super) async fn read(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = BlobId(ask.args.id(0)?);
    let (_, content) = ask.platform.system()?.blob_content(Some(ask.caller), id).await.map_err(refusal)?;
    let text = String::from_utf8(content);
    text.map(Value::String).map_err(|_| HostError::Failed(format!("the content of blob {id} is no text")))
}

fn public(skeleton: &Skeleton<'_>) -> Option<bool> {
    skeleton.0.get("publicResource").and_then(Value::as_bool)
}

fn content(skeleton: &Skeleton<'_>) -> Result<Option<Vec<u8>>, HostError> {
    match skeleton.0.get("value") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone().into_bytes())),
        Some(_) => Err(invalid("value", "must be a text")),
    }
}
