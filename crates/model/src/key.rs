//! Resource keys: small named values that people and scripts put on any record.

use crate::Nanos;
use serde::{Deserialize, Serialize};

/// Who a key is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Set and seen by the customer.
    #[default]
    User,
    /// Set and seen by the billing entity.
    BillingEntity,
    /// Set by the system.
    System,
    /// Meant for placement: kept for staff and scripts.
    Placement,
    /// Set by the provider of a pluggable resource to make it known.
    Advertise,
}

/// A named value on a record. A name may occur more than once with different values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceKey {
    /// Name, 1–100 characters.
    pub name: String,
    /// Value, at most 4096 bytes.
    pub value: String,
    /// Who it is for.
    #[serde(default)]
    pub kind: KeyKind,
    /// How much what carries the key is drawn to others that carry it; 0: not at all. Kept for staff and scripts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: Nanos,
    /// Whether what was placed by the key stays where it is. Kept for staff and scripts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sticky: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Longest value of a key, bytes.
pub const VALUE_BYTES: usize = 4096;
/// Most keys on one record.
pub const KEYS_MAX: usize = 100;

/// Everything wrong with the keys in `field`.
pub fn problems(field: &str, keys: &[ResourceKey]) -> Vec<crate::FieldError> {
    let mut problems = Vec::new();
    if keys.len() > KEYS_MAX {
        problems
            .push(crate::FieldError::new(field, format!("has {} keys; at most {KEYS_MAX} are allowed", keys.len())));
    }
    for (i, key) in keys.iter().enumerate() {
        problems.extend(crate::validate::name(&format!("{field}.{i}.name"), &key.name).err());
        if key.value.len() > VALUE_BYTES {
            problems.push(crate::FieldError::new(
                format!("{field}.{i}.value"),
                format!("is longer than {VALUE_BYTES} bytes"),
            ));
        }
    }
    problems
}
