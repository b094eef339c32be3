//! Billing entities and customers.

use super::{
    BillingEntityPatch, CustomerPatch, NewBillingEntity, NewCustomer, NewProvider,
    race::{again, go_on},
    reach::{merged_keys, unchanged, valid},
};
use crate::{
    Caller, Error, System,
    scripts::{Decided, Purchase},
};
use sutler_model::{
    BillingEntity, BillingEntityId, Cause, Currency, Customer, CustomerId, CustomerStatus, FieldError, Nanos, Noun,
    Permission, Plan, PlanId, Role, TriggerType, User, UserId, key, translation, validate,
};
use sutler_store::{ChangeSet, Field};

/// Depth of the tree of sellers: more than any real chain of resellers, and it bounds every walk.
const DEPTH_MAX: usize = 16;

impl System {
    /// Creates a reseller below one within the caller's reach.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`].
    pub async fn create_billing_entity(&self, caller: &Caller, new: NewBillingEntity) -> Result<BillingEntity, Error> {
        self.create_billing_entity_as(caller, self.inner.core.new_id(), new, |_| {}).await
    }

    /// The same under an id that the caller has derived, so that asking again cannot make a second one. What else it has
    /// from the start is set by `more`.
    pub(crate) async fn create_billing_entity_as(
        &self,
        caller: &Caller,
        id: BillingEntityId,
        new: NewBillingEntity,
        more: impl Fn(&mut BillingEntity),
    ) -> Result<BillingEntity, Error> {
        caller.must(Permission::CustomersWrite)?;
        valid(validate::name("name", &new.name).err())?;
        again(None, async || {
            let new = new.clone();
            let parent = self.entity(caller, new.parent_id).await?;
            if parent.path.len() >= DEPTH_MAX {
                let detail = format!("has {DEPTH_MAX} levels above it already; choose one further up");
                return Err(Error::Invalid(vec![FieldError::new("parent_id", detail)]));
            }
            let mut path = parent.path.clone();
            path.push(id);
            let mut entity = self.new_entity(id, new.name, Some(parent.id), path, new.currency);
            more(&mut entity);
            valid(key::problems("keys", &entity.keys).into_iter().chain(entity.contact.problems("contact")))?;
            let decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut entity).await?;
            let parent = Decided::left(&[&decided], parent).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.require(&parent).create(&mut entity);
            self.store().commit(set).await?;
            Ok(entity)
        })
        .await
    }

    /// Changes a seller within the caller's reach.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Stale`], [`Error::Refused`].
    pub async fn update_billing_entity(
        &self,
        caller: &Caller,
        id: BillingEntityId,
        if_match: Option<u64>,
        patch: BillingEntityPatch,
    ) -> Result<BillingEntity, Error> {
        caller.must(Permission::CustomersWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let mut old = self.entity(caller, id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            if let Some(name) = patch.name {
                valid(validate::name("name", &name).err())?;
                new.name = name;
            }
            if let Some(language) = patch.language {
                if language.as_ref().is_some_and(|language| !translation::is_language(language)) {
                    return Err(Error::Invalid(vec![FieldError::new(
                        "language",
                        "must be one such as `en` or `de_DE`",
                    )]));
                }
                new.language = language;
            }
            if let Some(contact) = patch.contact {
                contact.apply(&mut new.contact);
                valid(new.contact.problems("contact"))?;
            }
            if let Some(keys) = patch.keys {
                valid(key::problems("keys", &keys))?;
                new.keys = keys;
            }
            if let Some(values) = &patch.provider_values {
                new.provider_values = self.checked_values(caller, &old, &old.provider_values, values).await?;
            }
            valid(patch.metadata.onto(&mut new.metadata))?;
            if new == old {
                return Ok(old);
            }
            let decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            go_on(&[&decided], &mut old, &mut new).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            Ok(new)
        })
        .await
    }

    /// Creates a customer of a seller within the caller's reach. PRE triggers may change or refuse it.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Refused`].
    pub async fn create_customer(&self, caller: &Caller, new: NewCustomer) -> Result<Customer, Error> {
        self.create_customer_as(caller, self.inner.core.new_id(), new, |_| {}).await
    }

    /// The same under an id that the caller has derived, so that asking again cannot make a second one, with what else `set`
    /// says of it.
    pub(crate) async fn create_customer_as(
        &self,
        caller: &Caller,
        id: CustomerId,
        new: NewCustomer,
        set: impl FnOnce(&mut Customer),
    ) -> Result<Customer, Error> {
        caller.must(Permission::CustomersWrite)?;
        valid(validate::name("name", &new.name).err().into_iter().chain(key::problems("keys", &new.keys)))?;
        valid(new.contact.problems("contact"))?;
        let entity = self.entity(caller, new.billing_entity_id).await?;
        self.plan_of(entity.id, new.plan_id).await?;
        let at = self.inner.core.now();
        let mut customer = Customer {
            id,
            version: 0,
            name: new.name,
            billing_entity_id: entity.id,
            status: CustomerStatus::Active,
            plan_id: new.plan_id,
            quota: new.quota.unwrap_or_default(),
            warning_level: None,
            invoiced_until: at,
            provider_values: Default::default(),
            metadata: None,
            keys: new.keys,
            contact: new.contact,
            created_at: at,
            closed_at: None,
        };
        set(&mut customer);
        let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut customer).await?;
        valid(validate::name("name", &customer.name).err().into_iter().chain(key::problems("keys", &customer.keys)))?;
        let _bought = self.before_purchase(caller, &customer).await?;
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut customer);
        self.store().commit(set).await?;
        Ok(customer)
    }

    /// Changes a customer. Customers may change their own name and keys; the rest is their seller's.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Stale`],
    /// [`Error::State`] when it is to be closed and still has servers.
    pub async fn update_customer(
        &self,
        caller: &Caller,
        id: CustomerId,
        if_match: Option<u64>,
        patch: CustomerPatch,
    ) -> Result<Customer, Error> {
        caller.must(Permission::CustomersWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let mut old = self.customer(caller, id).await?;
            unchanged(&old, if_match)?;
            let sellers_part = patch.status.is_some() || patch.plan_id.is_some() || patch.quota.is_some();
            if sellers_part && caller.role.is_customer() {
                return Err(Error::Forbidden(Permission::BillingWrite));
            }
            let mut new = old.clone();
            if let Some(name) = patch.name {
                valid(validate::name("name", &name).err())?;
                new.name = name;
            }
            if let Some(keys) = patch.keys {
                valid(key::problems("keys", &keys))?;
                new.keys = merged_keys(caller, &old.keys, &keys);
            }
            if let Some(contact) = patch.contact {
                contact.apply(&mut new.contact);
                valid(new.contact.problems("contact"))?;
            }
            if let Some(values) = &patch.provider_values {
                new.provider_values = self.checked_values(caller, &old, &old.provider_values, values).await?;
            }
            valid(patch.metadata.onto(&mut new.metadata))?;
            if let Some(plan) = patch.plan_id {
                self.plan_of(old.billing_entity_id, plan).await?;
                new.plan_id = plan;
            }
            if let Some(status) = patch.status {
                let servers = self.store().index().count(Noun::Server, Field::Customer, id.0.as_bytes());
                if status == CustomerStatus::Closed && servers > 0 {
                    let detail = format!("the customer still has {servers} servers; delete them first");
                    return Err(Error::State { noun: Noun::Customer, id: id.into(), detail });
                }
                new.status = status;
            }
            new.quota = patch.quota.unwrap_or(new.quota);
            new.warning_level = patch.warning_level.unwrap_or(new.warning_level);
            let decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            let closes = new.status == CustomerStatus::Closed && old.status != CustomerStatus::Closed;
            let deleted = match closes {
                true => self.inner.scripts.before(caller, TriggerType::PreDelete, &mut new.clone()).await?,
                false => Decided::default(),
            };
            let bought = match new.plan_id == old.plan_id {
                true => Decided::default(),
                false => self.before_purchase(caller, &new).await?,
            };
            go_on(&[&decided, &deleted, &bought], &mut old, &mut new).await?;
            // A script may have set it.
            let status = std::mem::replace(&mut new.status, old.status);
            new.set_status(status, self.inner.core.now());
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            Ok(new)
        })
        .await
    }

    /// Makes the provider, its first plan and its first admin when the store is empty. None: it was not.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn bootstrap(&self, new: NewProvider) -> Result<Option<UserId>, Error> {
        if !self.store().index().all(Noun::BillingEntity).is_empty() {
            return Ok(None);
        }
        let problems = [validate::name("name", &new.name), validate::email("admin_email", &new.admin_email)];
        valid(problems.into_iter().filter_map(Result::err))?;
        let core = &self.inner.core;
        let id: BillingEntityId = core.new_id();
        let mut entity = self.new_entity(id, new.name, None, vec![id], new.currency);
        let cent = |n: i128| Nanos(n * 10_000_000);
        let mut plan = Plan {
            id: core.new_id(),
            version: 0,
            name: "Standard".to_owned(),
            billing_entity_id: id,
            currency: new.currency,
            cpu_hour: cent(1),
            memory_gib_hour: Nanos(5_000_000),
            disk_gib_hour: Nanos(100_000),
            unit_price: Nanos(sutler_model::money::ONE),
            charges: Vec::new(),
            created_at: core.now(),
        };
        let mut admin = User {
            id: core.new_id(),
            version: 0,
            email: new.admin_email.to_lowercase(),
            first_name: "First".to_owned(),
            last_name: "Admin".to_owned(),
            billing_entity_id: id,
            customer_id: None,
            role: Role::ProviderAdmin,
            password_hash: new.password_hash,
            locked: false,
            contact: Default::default(),
            keys: Vec::new(),
            created_at: core.now(),
        };
        let mut set = ChangeSet::new(Cause::system("first start"));
        set.create(&mut entity).create(&mut plan).create(&mut admin);
        self.store().commit(set).await?;
        Ok(Some(admin.id))
    }

    fn new_entity(
        &self,
        id: BillingEntityId,
        name: String,
        parent_id: Option<BillingEntityId>,
        path: Vec<BillingEntityId>,
        currency: Currency,
    ) -> BillingEntity {
        BillingEntity {
            id,
            version: 0,
            name,
            parent_id,
            path,
            currency,
            language: None,
            next_invoice_number: 1,
            provider_values: Default::default(),
            metadata: None,
            keys: Vec::new(),
            contact: Default::default(),
            created_at: self.inner.core.now(),
        }
    }

    /// Lets PRE triggers refuse that a customer takes its plan.
    async fn before_purchase(&self, caller: &Caller, customer: &Customer) -> Result<Decided, Error> {
        let mut purchase = Purchase { customer: customer.clone(), at: self.inner.core.now() };
        self.inner.scripts.before(caller, TriggerType::PrePurchase, &mut purchase).await
    }

    /// Refuses a plan that is not the seller's own.
    async fn plan_of(&self, entity: BillingEntityId, plan: PlanId) -> Result<(), Error> {
        let found = self.store().get::<Plan>(plan).await?;
        if found.is_some_and(|p| p.billing_entity_id == entity) {
            return Ok(());
        }
        Err(Error::Invalid(vec![FieldError::new("plan_id", "is not a price plan of this customer's billing entity")]))
    }
}
