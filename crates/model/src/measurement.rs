//! What measurement functions of scripts found.

use crate::{BillingEntityId, CustomerId, Nanos, RunId, ScriptId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// All that one function measured of one resource at one time. Never changed; the same function measures a resource at one
/// time once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Of which resource.
    pub resource_id: Uuid,
    /// When it was due; what was measured counts from here on.
    pub at: Timestamp,
    /// By which block.
    pub script_id: ScriptId,
    /// By which of its functions.
    pub function: String,
    /// Always 1.
    pub version: u64,
    /// Whose resource it is; none for a seller's own.
    pub customer_id: Option<CustomerId>,
    /// Its seller.
    pub billing_entity_id: BillingEntityId,
    /// The run that measured.
    pub run_id: RunId,
    /// By key: `providers.TYPE.key` of a provider's function, else the bare key.
    pub values: BTreeMap<String, MeasuredValue>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeasuredValue {
    /// How much.
    pub value: Nanos,
    /// In the language's words: `GB`; empty: a bare number.
    pub unit: String,
}
