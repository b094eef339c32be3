//! What is counted: intervals bounded by state changes.

use crate::{BillingEntityId, Cause, CustomerId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What an interval counts. Stored by number in keys: append, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Meter {
    /// vCPUs of a running server.
    Cpu = 1,
    /// Memory of a running server, MiB; priced by the GiB.
    Memory = 2,
    /// Size of an existing disk, GiB.
    Disk = 3,
    /// A pluggable resource that is there: 1. It has no price an hour; billing methods of scripts charge for it.
    PluggableResource = 4,
}

impl Meter {
    /// Every meter.
    pub const ALL: [Meter; 4] = [Meter::Cpu, Meter::Memory, Meter::Disk, Meter::PluggableResource];

    /// Whether plans have a price for it, so that it makes lines on invoices.
    pub const fn is_priced(self) -> bool {
        !matches!(self, Meter::PluggableResource)
    }

    /// How many counted units make one priced unit: 1024 for memory (MiB counted, GiB priced).
    pub const fn units_per_priced(self) -> u64 {
        match self {
            Meter::Memory => 1024,
            Meter::Cpu | Meter::Disk | Meter::PluggableResource => 1,
        }
    }

    /// The priced unit in words, as on an invoice.
    pub const fn priced_unit(self) -> &'static str {
        match self {
            Meter::Cpu => "vCPU-hour",
            Meter::Memory | Meter::Disk => "GiB-hour",
            Meter::PluggableResource => "hour",
        }
    }

    /// The word used in the API and on metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Meter::Cpu => "cpu",
            Meter::Memory => "memory",
            Meter::Disk => "disk",
            Meter::PluggableResource => "pluggable_resource",
        }
    }
}

/// Identifies an interval. Clustered by customer, so a month streams; (resource, meter, start) is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IntervalKey {
    /// Who pays.
    pub customer_id: CustomerId,
    /// First moment counted.
    pub start: Timestamp,
    /// The server, disk or pluggable resource counted.
    pub resource_id: Uuid,
    /// What is counted.
    pub meter: Meter,
}

/// How the end of an interval is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// We saw or made the change.
    Seen,
    /// Nobody saw the end; this is the last time the guest was seen alive.
    LastSeenAlive,
    /// The use goes on; cut at a period's or a day's end.
    Cut,
}

/// A stretch of use at a constant quantity. At most one UTC day long once closed; never edited after that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its identity.
    pub key: IntervalKey,
    /// Counts changes, from 1: 1 open, 2 closed.
    pub version: u64,
    /// Who sells.
    pub billing_entity_id: BillingEntityId,
    /// The name of the resource when the interval began.
    pub resource_name: String,
    /// The kind of a pluggable resource: its provider's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_type: Option<String>,
    /// Counted units, see [`Meter`].
    pub quantity: u64,
    /// First moment no longer counted; none while the use goes on.
    pub end: Option<Timestamp>,
    /// How the end is known; none while open.
    pub evidence: Option<Evidence>,
    /// What began it.
    pub began_by: Cause,
    /// What ended it.
    pub ended_by: Option<Cause>,
}
