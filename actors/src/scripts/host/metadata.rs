//! What a resource's owner keeps on it for programs. It is read as the bean's `resourceMetadata`.

use super::{
    ask::Ask,
    skeleton::{Skeleton, invalid},
};
use crate::{
    Error, MetadataPatch,
    scripts::beans::{SYSTEM_METADATA, metadata_part, metadata_patch},
};
use serde_json::{Map, Value};
use sutler_lua::HostError;
use sutler_model::{Noun, ResourceMetadata};

/// `updateMetadata(resource UUID, ResourceMetadata)`: yes. A part that is not set stays, an empty one removes it.
pub(super) async fn update(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = ask.args.id(0)?;
    let patch = patch(ask.args.bean(1, "a ResourceMetadata")?)?;
    match super::operations::noun_of(ask.platform, id) {
        Some(noun @ (Noun::Server | Noun::Customer | Noun::Image | Noun::BillingEntity)) => {
            let set = ask.platform.system()?.set_metadata(ask.caller, (noun, id), None, patch).await;
            set.map_err(refusal)?;
            Ok(Value::Bool(true))
        }
        _ => Err(HostError::refused("NO_RESOURCE_FOUND", "there is no such resource that keeps metadata")),
    }
}

/// Metadata of the parts that a bean sets.
pub(super) fn parts(bean: &Map<String, Value>) -> Result<ResourceMetadata, HostError> {
    let MetadataPatch { public, restricted, private } = patch(bean)?;
    let text = Option::unwrap_or_default;
    Ok(ResourceMetadata { public: text(public), restricted: text(restricted), private: text(private) })
}

fn patch(bean: &Map<String, Value>) -> Result<MetadataPatch, HostError> {
    if Skeleton(bean).text("systemMetadata").is_some() {
        return Err(invalid("systemMetadata", SYSTEM_METADATA));
    }
    match metadata_patch(|name| bean.get(name)) {
        (_, problems) if !problems.is_empty() => Err(invalid(&problems[0].field, &problems[0].detail)),
        (patch, _) => Ok(patch),
    }
}

/// A refusal that names parts as the language does.
pub(super) fn refusal(error: Error) -> HostError {
    super::refusal(match error {
        Error::Invalid(problems) => Error::Invalid(problems.into_iter().map(metadata_part).collect()),
        error => error,
    })
}
