//! Who may do what, and over whom.

use crate::{BillingEntityId, CustomerId};
use serde::{Deserialize, Serialize};

/// Something an API call does. Key scopes are made of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Look at servers, disks, images and jobs.
    ServersRead,
    /// Create, change, start, stop and delete servers and disks.
    ServersWrite,
    /// Open a server's console.
    ServersConsole,
    /// Look at customers and users.
    CustomersRead,
    /// Create, change and close customers and users.
    CustomersWrite,
    /// Look at plans, usage and invoices.
    BillingRead,
    /// Set plans and close invoices.
    BillingWrite,
    /// Pay, and keep what is paid with.
    PaymentsWrite,
    /// Look at scripts and their runs.
    ScriptsRead,
    /// Upload, enable and run scripts.
    ScriptsWrite,
    /// Vouch for a script's text, where that is asked for before it takes effect.
    ScriptsSign,
    /// Make and revoke one's own keys.
    KeysWrite,
    /// Publish and delete images.
    ImagesWrite,
    /// Look at nodes, quarantines and the whole event stream.
    OperatorRead,
    /// Drain nodes, release quarantines, copy the store, order faults in simulated mode.
    OperatorWrite,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Permission; 15] = [
        Permission::ServersRead,
        Permission::ServersWrite,
        Permission::ServersConsole,
        Permission::CustomersRead,
        Permission::CustomersWrite,
        Permission::BillingRead,
        Permission::BillingWrite,
        Permission::PaymentsWrite,
        Permission::ScriptsRead,
        Permission::ScriptsWrite,
        Permission::ScriptsSign,
        Permission::KeysWrite,
        Permission::ImagesWrite,
        Permission::OperatorRead,
        Permission::OperatorWrite,
    ];
}

/// What a user may do, within their scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the installation.
    ProviderAdmin,
    /// Runs a reseller: its customers, plans and invoices.
    ResellerAdmin,
    /// Runs a customer's account.
    CustomerAdmin,
    /// Uses a customer's servers.
    CustomerMember,
    /// Sees a customer's servers and invoices.
    CustomerViewer,
}

impl Role {
    /// Whether this role includes `permission`.
    pub fn allows(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Role::ProviderAdmin => true,
            Role::ResellerAdmin => !matches!(permission, P::OperatorRead | P::OperatorWrite | P::ScriptsSign),
            Role::CustomerAdmin => {
                !matches!(permission, P::OperatorRead | P::OperatorWrite | P::ScriptsSign | P::BillingWrite)
            }
            Role::CustomerMember => {
                matches!(
                    permission,
                    P::ServersRead | P::ServersWrite | P::ServersConsole | P::BillingRead | P::KeysWrite
                )
            }
            Role::CustomerViewer => matches!(permission, P::ServersRead | P::BillingRead | P::KeysWrite),
        }
    }

    /// Whether users of this role belong to a customer rather than to a seller's staff.
    pub fn is_customer(self) -> bool {
        matches!(self, Role::CustomerAdmin | Role::CustomerMember | Role::CustomerViewer)
    }
}

/// Over whom a caller's rights reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Scope {
    /// The whole installation.
    Provider,
    /// A billing entity, those below it and their customers.
    Entity(BillingEntityId),
    /// One customer.
    Customer(CustomerId),
}

impl Scope {
    /// Whether a record of `customer` sold by the entity with `path` (root first) lies within this scope.
    pub fn covers(self, path: &[BillingEntityId], customer: Option<CustomerId>) -> bool {
        match self {
            Scope::Provider => true,
            Scope::Entity(id) => path.contains(&id),
            Scope::Customer(id) => customer == Some(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BillingEntityId, CustomerId};

    #[test]
    fn a_scope_reaches_down_and_never_sideways() {
        let id = |n: u8| BillingEntityId::new(1, [n; 10]);
        let customer = CustomerId::new(1, [9; 10]);
        let path = [id(1), id(2)];
        assert!(Scope::Provider.covers(&path, None));
        assert!(Scope::Entity(id(1)).covers(&path, Some(customer)));
        assert!(Scope::Entity(id(2)).covers(&path, None));
        assert!(!Scope::Entity(id(3)).covers(&path, Some(customer)));
        assert!(Scope::Customer(customer).covers(&path, Some(customer)));
        assert!(!Scope::Customer(customer).covers(&path, None));
        assert!(!Scope::Customer(CustomerId::new(1, [8; 10])).covers(&path, Some(customer)));
    }
}
