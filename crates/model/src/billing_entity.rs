//! Who sells.

use crate::{BillingEntityId, Contact, Currency, ResourceKey, ResourceMetadata, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A seller: owns price plans, brand, invoice numbers and customers. The root of the tree is the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BillingEntity {
    /// Its id.
    pub id: BillingEntityId,
    /// Counts its changes, from 1.
    pub version: u64,
    /// Display name, unique among siblings.
    pub name: String,
    /// Who stands above; none for the provider.
    pub parent_id: Option<BillingEntityId>,
    /// From the provider down to and including this one; decides who sees whom.
    pub path: Vec<BillingEntityId>,
    /// What it invoices in.
    pub currency: Currency,
    /// The language of its people and customers, such as `en` or `de_DE`; none: that of the seller above, or English.
    #[serde(default)]
    pub language: Option<String>,
    /// The number its next invoice gets, from 1, without gaps.
    pub next_invoice_number: u64,
    /// Keys set by people and scripts.
    pub keys: Vec<ResourceKey>,
    /// Settings of configuration providers, by provider type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provider_values: BTreeMap<String, BTreeMap<String, String>>,
    /// Where it is and how it is reached.
    #[serde(default, skip_serializing_if = "Contact::is_empty")]
    pub contact: Contact,
    /// What its people keep on it for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub metadata: Option<Box<ResourceMetadata>>,
    /// When it came to be.
    pub created_at: Timestamp,
}
