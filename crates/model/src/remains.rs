//! What is kept of a resource that is gone.

use crate::{BillingEntityId, CustomerId, Disk, PluggableResource, RemainsId, Server, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is filled into a form, by key.
type Filled = BTreeMap<String, String>;

/// A customer's resource as it was when it ended, without what is secret: what is still to be charged for it is charged by this.
/// Kept until an invoice covers its end, and shown to billing methods alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remains {
    /// Made of the time of the end and the resource's id, so that their order is that of the ends.
    pub id: RemainsId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Which resource it was.
    pub resource_id: Uuid,
    /// Whose it was.
    pub customer_id: CustomerId,
    /// Its owner's seller.
    pub billing_entity_id: BillingEntityId,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it was.
    pub was: Remnant,
}

/// The record of a resource that is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remnant {
    /// A server, and the disks that it had.
    Server(Box<Server>, Vec<Disk>),
    /// A disk.
    Disk(Box<Disk>),
    /// A resource of a kind that a script adds.
    PluggableResource(Box<PluggableResource>),
}

impl Remains {
    /// Those of what ends at `at`; none of a seller's own, for which nobody is charged. `open` leaves out what is secret of what was
    /// filled into a provider's form.
    pub fn new(was: Remnant, at: Timestamp, open: impl Fn(&str, &mut Filled)) -> Option<Self> {
        let (resource_id, customer_id, billing_entity_id) = match &was {
            Remnant::Server(server, _) => (server.id.0, Some(server.customer_id), server.billing_entity_id),
            Remnant::Disk(disk) => (disk.id.0, Some(disk.customer_id), disk.billing_entity_id),
            Remnant::PluggableResource(own) => (own.id.0, own.customer_id, own.billing_entity_id),
        };
        let ms = at.0.max(0).unsigned_abs();
        let [_, _, _, _, _, _, own @ ..] = *resource_id.as_bytes();
        Some(Self {
            id: RemainsId::new(ms, own),
            version: 0,
            resource_id,
            customer_id: customer_id?,
            billing_entity_id,
            ended_at: at,
            was: was.without_secrets(open),
        })
    }
}

impl Remnant {
    fn without_secrets(mut self, open: impl Fn(&str, &mut Filled)) -> Self {
        match &mut self {
            Self::Server(server, _) => {
                // What programs keep on it may be anything, and what it was started with is of no more use.
                (server.metadata, server.runtime_metadata) = (None, None);
                (server.user_data, server.ssh_keys) = (None, Vec::new());
                server.provider_values.iter_mut().for_each(|(provider_type, values)| open(provider_type, values));
            }
            Self::Disk(_) => {}
            Self::PluggableResource(resource) => {
                resource.pending = None;
                open(&resource.provider_type, &mut resource.values);
            }
        }
        self
    }
}
