//! What things cost.

use crate::{BillingEntityId, Currency, Meter, Nanos, PlanId, ScriptId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// What one unit of the language's virtual currency costs, for billing methods that charge in units.
    #[serde(default = "one")]
    pub unit_price: Nanos,
    /// What else it charges for, by billing methods of scripts.
    #[serde(default)]
    pub charges: Vec<PlanCharge>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// One of the seller's currency: what a unit costs unless the plan says otherwise.
fn one() -> Nanos {
    Nanos(crate::money::ONE)
}

/// A component of a plan that a billing method of a script charges for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanCharge {
    /// The component: `TYPE_REFERENCE` of a provider's, or a word of the seller's own.
    pub component: String,
    /// The type of resource charged for, in the language's words: `SERVER`, `DISK`, `PLUGGABLE_RESOURCE`, `CUSTOMER`.
    pub resource_type: String,
    /// The block with the billing method; none: the component only makes its provider's settings available.
    #[serde(default)]
    pub script_id: Option<ScriptId>,
    /// The method's function; may be left out where the block has one.
    #[serde(default)]
    pub function: Option<String>,
    /// What the method asks a plan to fill in.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

impl Plan {
    /// The price of one unit of `meter` for an hour; see [`Meter`] for the units. Zero for what has none.
    pub fn hourly(&self, meter: Meter) -> Nanos {
        match meter {
            Meter::Cpu => self.cpu_hour,
            Meter::Memory => self.memory_gib_hour,
            Meter::Disk => self.disk_gib_hour,
            Meter::PluggableResource => Nanos::ZERO,
        }
    }
}
