//! Metadata: XML that a resource's owner keeps on it for programs, in and outside the guest.

use crate::FieldError;
use serde::{Deserialize, Serialize};

/// The parts of a resource's metadata. Each is XML content; an empty one is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ResourceMetadata {
    /// For whoever sees the resource, and its guest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public: String,
    /// For the owner and its sellers, and the guest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restricted: String,
    /// For the owner and its sellers alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private: String,
}

/// Longest part, bytes: a resource is read and written whole.
pub const PART_BYTES: usize = 16 << 10;

impl ResourceMetadata {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.public.is_empty() && self.restricted.is_empty() && self.private.is_empty()
    }

    /// The parts by their names.
    pub fn parts(&self) -> [(&'static str, &str); 3] {
        [("public", &self.public), ("restricted", &self.restricted), ("private", &self.private)]
    }

    /// The parts that are too long.
    pub fn problems(&self) -> Vec<FieldError> {
        let long = |(name, text): (&str, &str)| {
            let detail = || format!("is {} bytes; at most {PART_BYTES} are kept", text.len());
            (text.len() > PART_BYTES).then(|| FieldError::new(name, detail()))
        };
        self.parts().into_iter().filter_map(long).collect()
    }
}
