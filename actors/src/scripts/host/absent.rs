//! Operations on what the platform does not have, told by the name of the resource.

/// What an operation's name holds, and what it is then about. The first that fits counts, so longer names stand first.
const NOUNS: &[(&str, &str)] = &[
    ("FirewallTemplate", "firewall templates"),
    ("Firewall", "firewalls"),
    ("DeploymentInstance", "deployment instances"),
    ("DeploymentTemplate", "deployment templates"),
    ("deployTemplate", "deployment templates"),
    ("dryRunTemplate", "deployment templates"),
    ("NetworkInterface", "network interfaces of their own"),
    ("Nic", "network interfaces of their own"),
    ("addIP", "addresses of their own"),
    ("removeIP", "addresses of their own"),
    ("Subnet", "subnets"),
    ("Network", "networks of their own"),
    ("VDC", "virtual data centres"),
    ("Cluster", "clusters"),
    ("HypervisorConfig", "hypervisor settings"),
    ("StorageGroup", "storage groups"),
    ("Snapshot", "snapshots"),
    ("cloneResource", "snapshots and clones"),
    ("revertToResource", "snapshots and clones"),
    ("SSHKey", "SSH keys of their own"),
    ("attachDisk", "disks of their own"),
    ("detachDisk", "disks of their own"),
    ("createDisk", "disks of their own"),
    ("fetchDisk", "fetched disks"),
    ("fetchServer", "fetched servers"),
    ("fetchResource", "fetched resources"),
    ("fetchImage", "fetched images"),
    ("Favourites", "favourites"),
    ("ToGroup", "groups"),
    ("FromGroup", "groups"),
    ("Group", "groups"),
    ("ReferralPromo", "promotions"),
    ("Promo", "promotions"),
    ("ProductPurchase", "product purchases"),
    ("ProductOffer", "product offers made by scripts"),
    // What is used is invoiced afterwards, and a payment pays an invoice: there is nothing to buy beforehand.
    ("purchaseUnits", "units bought beforehand"),
    ("UnitTransaction", "units"),
    ("StatementDetail", "statements"),
    ("describeResource", "product components"),
    ("modifyDisk", "disks that change once they are there (keys are set by addKey)"),
    ("resizeDisk", "disks that change once they are there (keys are set by addKey)"),
    ("Translation", "translations apart from their packages"),
    ("AuthenticationToken", "authentication tokens"),
    ("VNCConnection", "VNC connections"),
    ("PDFInvoice", "printed invoices"),
    ("renderInvoice", "printed invoices"),
    ("setPermissions", "permissions of single resources"),
    ("listPermissions", "permissions of single resources"),
];

/// Resource types of the language that there are none of, and their names in plural.
const TYPES: &[(&str, &str)] = &[
    ("SNAPSHOT", "snapshots"),
    ("FIREWALL", "firewalls"),
    ("FIREWALL_TEMPLATE", "firewall templates"),
    ("NETWORK", "networks of their own"),
    ("SUBNET", "subnets"),
    ("SSHKEY", "SSH keys of their own"),
    ("GROUP", "groups"),
    ("STORAGE_GROUP", "storage groups"),
    ("DEPLOYMENT_INSTANCE", "deployment instances"),
    ("DEPLOYMENT_TEMPLATE", "deployment templates"),
    ("FETCH_RESOURCE", "fetched resources"),
    ("IMAGEINSTANCE", "instances of images"),
    ("CREDIT_NOTE", "credit notes"),
    ("CURRENCY", "currencies made by scripts"),
    ("MEASUREMENT", "measurements listed as resources (see getMeasuredValues)"),
    ("PAYMENTCARD", "payment cards apart from payment method instances"),
    ("PERMISSION", "permissions of single resources"),
    ("PRODUCT", "products apart from their offers"),
    ("PRODUCT_COMP_TYPE", "product components"),
    ("PROMOCODE", "promotions"),
    ("PROMOTION", "promotions"),
    ("PURCHASED_UNITS", "units"),
    ("REFERRAL_PROMOCODE", "promotions"),
    ("REFERRAL_PROMOTION", "promotions"),
    ("STATEMENT_DETAIL", "statements"),
    ("TRANSACTION_LOG", "transaction logs"),
    ("TRANSLATION", "translations listed as resources"),
];

/// The resources of a type that is not here, in plural.
pub(super) fn resources(resource_type: &str) -> Option<&'static str> {
    TYPES.iter().find(|(word, _)| *word == resource_type).map(|(_, nouns)| *nouns)
}

/// What an operation is about that is not here, in plural.
pub(super) fn nouns(operation: &str) -> Option<&'static str> {
    NOUNS.iter().find(|(part, _)| operation.contains(part)).map(|(_, nouns)| *nouns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_told_by_what_it_is_about() {
        assert_eq!(nouns("createSnapshot"), Some("snapshots"));
        assert_eq!(nouns("applyFirewallTemplate"), Some("firewall templates"));
        assert_eq!(nouns("attachNetworkInterface"), Some("network interfaces of their own"));
        assert_eq!(nouns("createImage"), None);
        assert_eq!(nouns("modifyServer"), None);
        assert_eq!(nouns("listResources"), None);
    }
}
