//! What a resource's owner keeps on it for programs. It is read as the bean's `resourceMetadata`.

use super::{
    ask::Ask,
    skeleton::{Skeleton, invalid},
};
use crate::{Error, MetadataPatch};
use serde_json::{Map, Value};
use sutler_lua::HostError;
use sutler_model::{FieldError, Noun, ResourceMetadata};

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

/// Metadata with the parts that a bean sets.
pub(super) fn parts(mut metadata: ResourceMetadata, bean: &Map<String, Value>) -> Result<ResourceMetadata, HostError> {
    let patch = patch(bean)?;
    metadata.public = patch.public.unwrap_or(metadata.public);
    metadata.restricted = patch.restricted.unwrap_or(metadata.restricted);
    metadata.private = patch.private.unwrap_or(metadata.private);
    Ok(metadata)
}

fn patch(bean: &Map<String, Value>) -> Result<MetadataPatch, HostError> {
    if Skeleton(bean).text("systemMetadata").is_some() {
        return Err(invalid("systemMetadata", "is the platform's own and cannot be set"));
    }
    let part = |name: &str| match bean.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(name, "must be a text")),
    };
    Ok(MetadataPatch {
        public: part("publicMetadata")?,
        restricted: part("restrictedMetadata")?,
        private: part("privateMetadata")?,
    })
}

/// A refusal that names parts as the language does.
pub(super) fn refusal(error: Error) -> HostError {
    super::refusal(match error {
        Error::Invalid(problems) => Error::Invalid(problems.into_iter().map(renamed).collect()),
        error => error,
    })
}

fn renamed(problem: FieldError) -> FieldError {
    match problem.field.as_str() {
        "public" | "restricted" | "private" => FieldError::new(format!("{}Metadata", problem.field), problem.detail),
        _ => problem,
    }
}
