//! What things cost.

use crate::{BillingEntityId, Currency, Meter, Nanos, PlanId, Timestamp};
use serde::{Deserialize, Serialize};

/// Hourly prices of a seller. Charged by the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name, unique within the seller.
    pub name: String,
    /// Whose plan it is.
    pub billing_entity_id: BillingEntityId,
    /// What the prices are in.
    pub currency: Currency,
    /// One vCPU of a running server, an hour.
    pub cpu_hour: Nanos,
    /// One GiB of memory of a running server, an hour.
    pub memory_gib_hour: Nanos,
    /// One GiB of disk, an hour, running or not.
    pub disk_gib_hour: Nanos,
    /// When it came to be.
    pub created_at: Timestamp,
}

impl Plan {
    /// The price of one unit of `meter` for an hour; see [`Meter`] for the units.
    pub fn hourly(&self, meter: Meter) -> Nanos {
        match meter {
            Meter::Cpu => self.cpu_hour,
            Meter::Memory => self.memory_gib_hour,
            Meter::Disk => self.disk_gib_hour,
        }
    }
}
