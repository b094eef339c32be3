//! What a resource's owner keeps on it for programs, as scripts set it.

use crate::MetadataPatch;
use serde_json::Value;
use sutler_model::{FieldError, ResourceMetadata};

/// Where nothing is kept.
static NOTHING: ResourceMetadata =
    ResourceMetadata { public: String::new(), restricted: String::new(), private: String::new() };

/// What is kept. It is always there, so that scripts set its parts on the bean that they have.
pub(super) fn kept(kept: &Option<Box<ResourceMetadata>>) -> &ResourceMetadata {
    kept.as_deref().unwrap_or(&NOTHING)
}

/// Takes the parts of a ResourceMetadata; one that is not set stays, an empty one goes. Answers what is wrong with them.
pub(super) fn set(kept: &mut Option<Box<ResourceMetadata>>, value: &Value) -> Vec<FieldError> {
    let within = |problem: FieldError| FieldError::new(format!("resourceMetadata.{}", problem.field), problem.detail);
    let (patch, mut problems) = metadata_patch(|name| value.get(name));
    if value.get("systemMetadata").is_some_and(|part| !part.is_null()) {
        problems.push(FieldError::new("systemMetadata", SYSTEM_METADATA));
    }
    problems.extend(patch.onto(kept).into_iter().map(metadata_part));
    problems.into_iter().map(within).collect()
}

/// Why `systemMetadata` is refused.
pub(crate) const SYSTEM_METADATA: &str = "is the platform's own and cannot be set";

/// The parts that a ResourceMetadata sets, by its members, and what is wrong with them.
pub(crate) fn metadata_patch<'v>(get: impl Fn(&str) -> Option<&'v Value>) -> (MetadataPatch, Vec<FieldError>) {
    let mut problems = Vec::new();
    let mut part = |name: &str| match get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => {
            problems.push(FieldError::new(name, "must be a text"));
            None
        }
    };
    let patch = MetadataPatch {
        public: part("publicMetadata"),
        restricted: part("restrictedMetadata"),
        private: part("privateMetadata"),
    };
    (patch, problems)
}

/// A problem of metadata with its part named as the language does.
pub(crate) fn metadata_part(problem: FieldError) -> FieldError {
    match problem.field.as_str() {
        "public" | "restricted" | "private" => FieldError::new(format!("{}Metadata", problem.field), problem.detail),
        _ => problem,
    }
}
