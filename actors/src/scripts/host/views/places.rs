//! Where things stand: the one cluster, a customer's place in it, and the interfaces of its servers.

use super::super::{Sight, list::Search};
use crate::scripts::{
    beans::{Beans, WHOSE, derived, nics as nics_of},
    schedule::root,
};
use sutler_lua::Bean;
use sutler_model::{BillingEntity, Customer, Server, server::MAC_PREFIX};
use sutler_store::{Error as StoreError, Snapshot};

/// What a place takes from the bean of the customer whose it is.
const OF_THE_CUSTOMER: [&str; 10] = [
    "resourceName",
    "resourceState",
    "resourceCreateDate",
    "lastModifiedTime",
    "billingEntityUUID",
    "billingEntityName",
    "customerUUID",
    "customerName",
    "productOfferUUID",
    "productOfferName",
];

/// What a cluster may do and this one does not.
const NOT_OFFERED: [&str; 8] = [
    "ctSupport",
    "diskDetachSupport",
    "fetchDiskSupport",
    "fetchISOSupport",
    "fetchServerSupport",
    "isoDetachSupport",
    "ucsIntegration",
    "vlanQinQmode",
];

/// A customer's one place, which is called after it.
pub(super) fn vdc(snapshot: &Snapshot, sight: Sight, customer: &Customer) -> Result<Bean, StoreError> {
    let beans = Beans::new(snapshot, sight.viewer, 0);
    let of = beans.bean(customer.clone())?;
    let mut bean =
        Bean::new("VDC").with("resourceUUID", derived(customer.id.0).to_string()).with("resourceType", "VDC");
    for name in OF_THE_CUSTOMER {
        if let Some(value) = of.properties.get(name) {
            bean = bean.with(name, value.into_owned());
        }
    }
    bean = bean.with("vdcUUID", derived(customer.id.0).to_string()).with("vdcName", customer.name.as_str());
    if let Some((id, name)) = beans.cluster()? {
        bean = bean.with("clusterUUID", id.to_string()).with("clusterName", name);
    }
    Ok(bean)
}

pub(super) fn vdcs(search: &Search<'_>) -> Result<Vec<Bean>, StoreError> {
    let mut found = Vec::new();
    search.each(|customer: Customer| {
        found.push(vdc(search.snapshot, search.sight, &customer)?);
        Ok(found.len())
    })?;
    Ok(found)
}

/// All nodes together, called after the provider.
pub(super) fn cluster(snapshot: &Snapshot) -> Result<Option<Bean>, StoreError> {
    let provider = root(snapshot)?.map(|id| snapshot.get::<BillingEntity>(id)).transpose()?.flatten();
    Ok(provider.map(|provider| {
        let cluster = Bean::new("Cluster")
            .with("resourceUUID", derived(provider.id.0).to_string())
            .with("resourceName", provider.name.as_str())
            .with("resourceType", "CLUSTER")
            .with("resourceState", "ACTIVE")
            .with("resourceCreateDate", provider.created_at.0)
            .with("lastModifiedTime", provider.created_at.0)
            .with("billingEntityUUID", provider.id.to_string())
            .with("billingEntityName", provider.name.as_str())
            .with("hypervisor", "KVM")
            .with("macAddressPrefix", MAC_PREFIX)
            .with("vmSupport", true)
            // Each customer has its place.
            .with("createDefaultVDC", true);
        NOT_OFFERED.into_iter().fold(cluster, |cluster, name| cluster.with(name, false))
    }))
}

/// The interfaces of all servers.
pub(super) fn nics(search: &Search<'_>) -> Result<Vec<Bean>, StoreError> {
    let beans = Beans::new(search.snapshot, search.sight.viewer, 0);
    let mut found = Vec::new();
    search.each(|server: Server| {
        let of = beans.bean(server.clone())?;
        for nic in nics_of(&server) {
            let mut bean = Bean { kind: "Nic".into(), properties: nic.into() };
            for name in WHOSE {
                if let Some(value) = of.properties.get(name) {
                    bean = bean.with(name, value.into_owned());
                }
            }
            found.push(bean);
        }
        Ok(found.len())
    })?;
    Ok(found)
}
