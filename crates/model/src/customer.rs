//! Accounts that own resources and are invoiced.

use crate::{BillingEntityId, Contact, CustomerId, Nanos, PlanId, ResourceKey, ResourceMetadata, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a customer may use what it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CustomerStatus {
    /// Everything allowed.
    Active,
    /// May look, not start or create.
    Suspended,
    /// Gone; kept for its invoices.
    Closed,
}

/// The most a customer may hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quota {
    /// Servers.
    pub servers: u32,
    /// Virtual CPUs over all servers.
    pub cpus: u32,
    /// Memory over all servers, MiB.
    pub memory_mib: u64,
    /// Disk space over all disks, GiB.
    pub disk_gib: u64,
}

impl Default for Quota {
    /// Room for a small customer's first projects; the seller raises it.
    fn default() -> Self {
        Self { servers: 20, cpus: 40, memory_mib: 80 * 1024, disk_gib: 2000 }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// Counts its changes, from 1.
    pub version: u64,
    /// Display name, unique within the billing entity.
    pub name: String,
    /// Who sells to it.
    pub billing_entity_id: BillingEntityId,
    /// What it may do.
    pub status: CustomerStatus,
    /// What it pays.
    pub plan_id: PlanId,
    /// How much it may hold.
    pub quota: Quota,
    /// Balance below which a warning is due, in the seller's currency; none: no warning.
    pub warning_level: Option<Nanos>,
    /// End of the last period invoiced; usage from here on is not yet invoiced.
    pub invoiced_until: Timestamp,
    /// Keys set by people and scripts.
    pub keys: Vec<ResourceKey>,
    /// Settings of configuration providers, by provider type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provider_values: BTreeMap<String, BTreeMap<String, String>>,
    /// What its owner keeps on it for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub metadata: Option<Box<ResourceMetadata>>,
    /// Where it is and how it is reached.
    #[serde(default, skip_serializing_if = "Contact::is_empty")]
    pub contact: Contact,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it was closed; none: it is not, or was closed before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

impl Customer {
    /// Gives it a status, with the time at which it was closed.
    pub fn set_status(&mut self, status: CustomerStatus, at: Timestamp) {
        let closed = status == CustomerStatus::Closed;
        self.closed_at = if closed && self.status == status { self.closed_at } else { closed.then_some(at) };
        self.status = status;
    }
}
