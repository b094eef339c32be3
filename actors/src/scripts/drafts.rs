//! What PRE triggers are asked about: what they are shown of it, and what they may change.

use super::beans::{Beans, apply};
use serde_json::Value;
use sutler_lua::{Bean, Input};
use sutler_model::{
    BillingEntity, BillingEntityId, Blob, Customer, CustomerId, Disk, FieldError, Image, NewServer, PaymentInstance,
    PaymentMethod, Plan, PluggableResource, Scope, Server, Timestamp, Transaction, User, key, server, validate,
};
use sutler_store::Error as StoreError;
use uuid::Uuid;

/// What is about to be stored, changed, deleted or done.
pub(crate) trait Draft: Clone + Send + 'static {
    /// Its kind in the language.
    const OPTION: &'static str;
    /// Its id.
    fn id(&self) -> Uuid;
    /// Whose it is; none for a seller's own.
    fn customer(&self) -> Option<CustomerId>;
    /// Whether it is something that who asks does, rather than something done to a record.
    fn is_deed(&self) -> bool {
        false
    }
    /// Whose it is where that is the record itself, which is not there yet.
    fn newcomer(&self) -> Option<&Customer> {
        None
    }
    /// Its seller.
    fn seller(&self) -> BillingEntityId;
    /// What the script gets.
    ///
    /// # Errors
    /// Those of the store.
    fn input(&self, beans: &Beans<'_>) -> Result<Input, StoreError>;
    /// Takes changes in; answers the names of those left alone.
    ///
    /// # Errors
    /// What cannot be set.
    fn take(&mut self, _before: &Bean, _after: &Bean, _viewer: Scope) -> Result<Vec<String>, Vec<FieldError>> {
        Ok(Vec::new())
    }
    /// Takes a changed document in, where the script was given one.
    fn take_document(&mut self, _document: &str) {}
    /// What is wrong with it now.
    fn problems(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

/// A customer's taking of its plan.
#[derive(Clone)]
pub(crate) struct Purchase {
    /// The customer as it will be.
    pub customer: Customer,
    /// When.
    pub at: Timestamp,
}

impl Draft for Purchase {
    const OPTION: &'static str = "ANY";

    fn id(&self) -> Uuid {
        self.customer.id.into()
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.customer.id)
    }

    fn newcomer(&self) -> Option<&Customer> {
        Some(&self.customer)
    }

    fn seller(&self) -> BillingEntityId {
        self.customer.billing_entity_id
    }

    fn input(&self, beans: &Beans<'_>) -> Result<Input, StoreError> {
        beans.purchase(&self.customer, self.at).map(Input::Bean)
    }
}

/// Something that is about to be done with no record of its own.
#[derive(Clone)]
pub(crate) struct Deed {
    /// Whose events it is in order with.
    pub id: Uuid,
    /// Whose it is.
    pub customer: Option<CustomerId>,
    /// Its seller.
    pub seller: BillingEntityId,
    /// What the script gets.
    pub input: Input,
}

impl Draft for Deed {
    const OPTION: &'static str = "ANY";

    fn id(&self) -> Uuid {
        self.id
    }

    fn customer(&self) -> Option<CustomerId> {
        self.customer
    }

    fn is_deed(&self) -> bool {
        true
    }

    fn seller(&self) -> BillingEntityId {
        self.seller
    }

    fn input(&self, _: &Beans<'_>) -> Result<Input, StoreError> {
        Ok(self.input.clone())
    }
}

impl Draft for (Server, Disk) {
    const OPTION: &'static str = "SERVER";

    fn id(&self) -> Uuid {
        self.0.id.into()
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.0.customer_id)
    }

    fn seller(&self) -> BillingEntityId {
        self.0.billing_entity_id
    }

    fn input(&self, beans: &Beans<'_>) -> Result<Input, StoreError> {
        let disk = Value::from(beans.bean(self.1.clone())?.properties);
        Ok(Input::Bean(beans.bean(self.0.clone())?.with("disks", vec![disk])))
    }

    fn take(&mut self, before: &Bean, after: &Bean, viewer: Scope) -> Result<Vec<String>, Vec<FieldError>> {
        let (mut before, mut after) = (before.clone(), after.clone());
        let (Some(old), Some(new)) = (take_disk(&mut before), take_disk(&mut after)) else {
            return Err(vec![FieldError::new("disks", "must stay one boot disk here")]);
        };
        let mut ignored = apply(&before, &after, &mut self.0, viewer)?;
        ignored.extend(apply(&old, &new, &mut self.1, viewer)?.into_iter().map(|name| format!("disks.0.{name}")));
        Ok(ignored)
    }

    fn problems(&self) -> Vec<FieldError> {
        let (server, disk) = self;
        let new = NewServer {
            name: server.name.clone(),
            cpu: server.cpu,
            memory_mib: server.memory_mib,
            disk_gib: disk.size_gib,
            image_id: server.image_id,
            start: false,
            user_data: server.user_data.clone(),
            ssh_keys: server.ssh_keys.clone(),
            keys: server.keys.clone(),
            provider_values: Default::default(),
        };
        let mut problems = new.problems();
        problems.extend(key::problems("disks.0.keys", &disk.keys));
        problems
    }
}

/// The one disk of a server's bean, taken out of it.
fn take_disk(server: &mut Bean) -> Option<Bean> {
    match server.properties.remove("disks")? {
        Value::Array(disks) if disks.len() == 1 => match disks.into_iter().next()? {
            Value::Object(properties) => Some(Bean { kind: "Disk".into(), properties: properties.into() }),
            _ => None,
        },
        _ => None,
    }
}

/// A server that is there: what it is made of is changed by jobs alone.
impl Draft for Server {
    const OPTION: &'static str = "SERVER";

    fn id(&self) -> Uuid {
        self.id.into()
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.customer_id)
    }

    fn seller(&self) -> BillingEntityId {
        self.billing_entity_id
    }

    fn input(&self, beans: &Beans<'_>) -> Result<Input, StoreError> {
        beans.bean(self.clone()).map(Input::Bean)
    }

    fn take(&mut self, before: &Bean, after: &Bean, viewer: Scope) -> Result<Vec<String>, Vec<FieldError>> {
        let mut changed = self.clone();
        let ignored = apply(before, after, &mut changed, viewer)?;
        let fixed = [
            ("resourceName", changed.name != self.name),
            ("cpu", changed.cpu != self.cpu),
            ("ram", changed.memory_mib != self.memory_mib),
        ];
        let problems: Vec<FieldError> = fixed
            .into_iter()
            .filter(|(_, touched)| *touched)
            .map(|(name, _)| FieldError::new(name, "cannot be changed on a server that is there"))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        *self = changed;
        Ok(ignored)
    }

    fn problems(&self) -> Vec<FieldError> {
        key::problems("keys", &self.keys)
    }
}

macro_rules! drafts {
    ($($record:ty, $option:literal, $customer:expr, $seller:expr, $problems:expr $(, newcomer $newcomer:expr)?;)*) => {$(
        impl Draft for $record {
            const OPTION: &'static str = $option;

            fn id(&self) -> Uuid {
                self.id.into()
            }

            fn customer(&self) -> Option<CustomerId> {
                let customer: fn(&Self) -> Option<CustomerId> = $customer;
                customer(self)
            }

            $(fn newcomer(&self) -> Option<&Customer> {
                let newcomer: fn(&Self) -> Option<&Customer> = $newcomer;
                newcomer(self)
            })?

            fn seller(&self) -> BillingEntityId {
                let seller: fn(&Self) -> BillingEntityId = $seller;
                seller(self)
            }

            fn input(&self, beans: &Beans<'_>) -> Result<Input, StoreError> {
                beans.bean(self.clone()).map(Input::Bean)
            }

            fn take(&mut self, before: &Bean, after: &Bean, viewer: Scope) -> Result<Vec<String>, Vec<FieldError>> {
                apply(before, after, self, viewer)
            }

            fn problems(&self) -> Vec<FieldError> {
                let problems: fn(&Self) -> Vec<FieldError> = $problems;
                problems(self)
            }
        }
    )*};
}

drafts! {
    Customer, "CUSTOMER", |c| Some(c.id), |c| c.billing_entity_id,
        |c| validate::name("name", &c.name).err().into_iter().chain(key::problems("keys", &c.keys)).collect(),
        newcomer |c| Some(c).filter(|c| c.version == 0);
    User, "USER", |u| u.customer_id, |u| u.billing_entity_id, |u| {
            let told = [
                validate::email("email", &u.email),
                validate::name("first_name", &u.first_name),
                validate::name("last_name", &u.last_name),
            ];
            let told = told.into_iter().filter_map(Result::err).chain(key::problems("keys", &u.keys));
            told.chain(u.contact.problems("contact")).collect()
        };
    Image, "IMAGE", |i| i.customer_id, |i| i.billing_entity_id,
        |i| validate::name("name", &i.name).err().into_iter().chain(key::problems("keys", &i.keys)).collect();
    PluggableResource, "PLUGGABLE_RESOURCE", |r| r.customer_id, |r| r.billing_entity_id,
        |r| validate::name("name", &r.name).err().into_iter().chain(key::problems("keys", &r.keys)).collect();
    // What is left of these a script sees and cannot set.
    PaymentMethod, "PAYMENT_METHOD", |_| None, |m| m.billing_entity_id, |_| Vec::new();
    PaymentInstance, "PAYMENT_METHOD_INSTANCE", |i| Some(i.customer_id), |i| i.billing_entity_id, |_| Vec::new();
    // Before a payment or refund: what a statement calls it can be set.
    Transaction, "TRANSACTION", |t| t.customer_id, |t| t.billing_entity_id, |_| Vec::new();
    // One that is not there yet is its parent's affair; afterwards its own scripts have their say too.
    BillingEntity, "BILLING_ENTITY", |_| None, |b| b.parent_id.filter(|_| b.version == 0).unwrap_or(b.id),
        |b| {
            let told = validate::name("name", &b.name).err().into_iter().chain(key::problems("keys", &b.keys));
            told.chain(b.contact.problems("contact")).collect()
        };
    Disk, "DISK", |d| Some(d.customer_id), |d| d.billing_entity_id,
        |d| {
            let size = validate::within("size", d.size_gib, server::DISK_GIB, "GiB").err();
            size.into_iter().chain(key::problems("keys", &d.keys)).collect()
        };
    Blob, "BLOB", |b| b.customer_id, |b| b.billing_entity_id,
        |b| b.problems();
    Plan, "PRODUCTOFFER", |_| None, |p| p.billing_entity_id,
        |p| validate::name("name", &p.name).err().into_iter().collect();
}
