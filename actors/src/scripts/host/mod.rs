//! The platform as scripts see it: [`sutler_lua::Host`] over the store and the operations, within the owner's reach.
//!
//! `adminAPI` acts with the rights of the script's owner; `userAPI` with those that its session user has there, but never
//! beyond the owner's reach. What lies outside is not found. Every write names run and call as its cause; by them a repeated run
//! finds what it has done ([`again`]).

mod absent;
mod accounts;
mod again;
mod ask;
mod blobs;
mod blocks;
mod customers;
mod data;
mod deletion;
mod done;
mod images;
mod keys;
mod later;
pub(super) mod list;
mod measures;
mod metadata;
mod operations;
mod payments;
mod pluggables;
mod reads;
mod refusal;
mod servers;
mod settings;
mod skeleton;
mod taken;
mod views;
mod wait;

pub(in crate::scripts) use blocks::told as block_told;
pub(crate) use data::purge;
pub(super) use later::carry_out;
pub(in crate::scripts) use payments::job as transaction_job;

pub(crate) use keys::Keyed;
pub(in crate::scripts) use keys::tagged;
use refusal::refusal;

use super::{
    Behind,
    beans::{ALL, Beans, seller_of_operator},
    occasion::Tree,
    occasion::within,
    reaching::Reaching,
    schedule::root,
};
use crate::{Caller, System, system::Inner};
use ask::{Args, Ask};
use async_trait::async_trait;
use done::DoneJobs;
use serde_json::Value;
use std::sync::{Arc, OnceLock, Weak};
use sutler_lua::{Api, Bean, Data, Host, HostError, Who};
use sutler_model::{
    BillingEntity, BillingEntityId, Blob, Cause, Customer, CustomerId, Disk, Image, Invoice, Job, PaymentInstance,
    PaymentMethod, Permission, Plan, PluggableResource, Role, Scope, Server, Transaction, User, UserId,
};
use sutler_store::{Error as StoreError, Snapshot, Store};
use uuid::Uuid;

/// See the module. Holds the system weakly, for the system holds the runtime that holds this, and of the rest no more than the
/// store, for Lua threads end a little after the system.
pub(super) struct Platform {
    store: Store,
    system: Weak<Inner>,
    tree: Tree,
    runs: Shared,
    done: DoneJobs,
    usage: data::Usage,
}

/// What is known of the runs in progress, here and where they are tried.
pub(super) struct Shared {
    pub behind: Behind,
    pub reaching: Arc<Reaching>,
}

impl Platform {
    pub(super) fn new(store: Store, system: Weak<Inner>, tree: Tree, runs: Shared) -> Self {
        Self { store, system, tree, runs, done: DoneJobs::default(), usage: data::Usage::default() }
    }

    fn system(&self) -> Result<System, HostError> {
        let inner = self.system.upgrade().ok_or_else(|| HostError::Failed("the program is stopping".to_owned()))?;
        Ok(System { inner })
    }

    /// How far a call that only reads sees: as far as its session user, and without one as the script's owner.
    async fn sight(&self, who: &Who, api: &Api) -> Result<Sight, HostError> {
        let reach = match api {
            // What only reads is the cause of nothing, so it needs no number.
            Api::User(Some(_)) => self.caller(who, api, Cause::run(who.run_id, who.depth)).await?.scope,
            _ => who.owner,
        };
        Ok(Sight { reach, viewer: who.owner })
    }

    /// For whom a call is made, and with which rights.
    async fn caller(&self, who: &Who, api: &Api, cause: Cause) -> Result<Caller, HostError> {
        let (owner, tree) = (who.owner, self.tree.clone());
        let session = match api {
            Api::Admin => None,
            Api::User(Some(text)) => Some(session(text)?),
            Api::User(None) => {
                return Err(HostError::refused(
                    "UNAUTHORISED_ACCESS",
                    "call setSessionUser(\"email/customerUUID\") first",
                ));
            }
        };
        let read = self.store.read(move |snapshot| {
            Ok(match session {
                None => owner_rights(snapshot, owner)?,
                Some((email, customer)) => user_rights(snapshot, &tree, owner, &email, customer)?,
            })
        });
        let rights = read.await.map_err(failed)?;
        let rights = rights.ok_or_else(|| {
            HostError::refused("NO_USER_FOUND", "there is no such session user within the reach of the script's owner")
        })?;
        Ok(Caller {
            user_id: rights.user,
            scope: rights.scope,
            role: rights.role,
            permissions: Permission::ALL.into_iter().filter(|permission| rights.role.allows(*permission)).collect(),
            billing_entity_id: rights.seller,
            customer_id: rights.customer,
            cause,
            request: None,
        })
    }
}

/// How far a call sees, and to whom what it sees is shown.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    /// What lies outside is not found.
    pub reach: Scope,
    /// Keys and the like are shown as to this one: a script's session user narrows what is found, not what is shown of it.
    pub viewer: Scope,
}

impl Sight {
    /// Of one who asks for themselves.
    pub const fn of(scope: Scope) -> Self {
        Self { reach: scope, viewer: scope }
    }
}

struct Rights {
    user: Option<UserId>,
    scope: Scope,
    role: Role,
    seller: BillingEntityId,
    customer: Option<CustomerId>,
}

/// What a script's owner may do.
fn owner_rights(snapshot: &Snapshot, owner: Scope) -> Result<Option<Rights>, StoreError> {
    let rights = |role, seller, customer| Rights { user: None, scope: owner, role, seller, customer };
    Ok(match owner {
        Scope::Provider => root(snapshot)?.map(|root| rights(Role::ProviderAdmin, root, None)),
        Scope::Entity(id) => Some(rights(Role::ResellerAdmin, id, None)),
        Scope::Customer(id) => {
            let customer = snapshot.get::<Customer>(id)?;
            customer.map(|customer| rights(Role::CustomerAdmin, customer.billing_entity_id, Some(id)))
        }
    })
}

/// `email/customerUUID`, as people sign in with in the language's world.
fn session(text: &str) -> Result<(String, CustomerId), HostError> {
    let wrong = || HostError::refused("UNAUTHORISED_ACCESS", "a session user is named `email/customerUUID`");
    let (email, customer) = text.rsplit_once('/').ok_or_else(wrong)?;
    Ok((email.trim().to_lowercase(), customer.trim().parse().map_err(|_| wrong())?))
}

/// What a session user may do with a customer: one of its own, or staff of its seller or of one above.
fn user_rights(
    snapshot: &Snapshot,
    tree: &Tree,
    owner: Scope,
    email: &str,
    customer: CustomerId,
) -> Result<Option<Rights>, StoreError> {
    let Some(user) = snapshot.holder::<User>("email", &[email.as_bytes()])?.filter(|user| !user.locked) else {
        return Ok(None);
    };
    let Some(customer) = snapshot.get::<Customer>(customer)? else {
        return staff_rights(snapshot, tree, owner, &user, customer.0);
    };
    let seller = customer.billing_entity_id;
    let acts_for_it = match user.customer_id {
        Some(own) => own == customer.id,
        None => tree.path(snapshot, seller)?.contains(&user.billing_entity_id),
    };
    if !acts_for_it || !within(snapshot, tree, owner, seller, Some(customer.id))? {
        return Ok(None);
    }
    // A customer's script must not reach its seller's rights through one of the seller's people.
    let role = match (owner, user.role.is_customer()) {
        (Scope::Customer(_), false) => Role::CustomerAdmin,
        _ => user.role,
    };
    let scope = Scope::Customer(customer.id);
    Ok(Some(Rights { user: Some(user.id), scope, role, seller, customer: Some(customer.id) }))
}

/// What a member of staff may do as one of the people of a seller's own customer.
fn staff_rights(
    snapshot: &Snapshot,
    tree: &Tree,
    owner: Scope,
    user: &User,
    customer: Uuid,
) -> Result<Option<Rights>, StoreError> {
    let Some(seller) = seller_of_operator(snapshot, customer)? else { return Ok(None) };
    let works_for_it = user.customer_id.is_none() && seller.path.contains(&user.billing_entity_id);
    if !works_for_it || matches!(owner, Scope::Customer(_)) || !within(snapshot, tree, owner, seller.id, None)? {
        return Ok(None);
    }
    let scope = if seller.parent_id.is_none() { Scope::Provider } else { Scope::Entity(seller.id) };
    Ok(Some(Rights { user: Some(user.id), scope, role: user.role, seller: seller.id, customer: None }))
}

#[async_trait]
impl Host for Platform {
    async fn list(
        &self,
        who: &Who,
        api: &Api,
        resource_type: &str,
        equal: &[(String, Vec<String>)],
    ) -> Result<Vec<Bean>, HostError> {
        list::list(self, self.sight(who, api).await?, resource_type, equal).await
    }

    async fn get(&self, who: &Who, api: &Api, uuid: &str, children: bool) -> Result<Option<Bean>, HostError> {
        let Ok(id) = uuid.parse::<Uuid>() else { return Ok(None) };
        if let Some(job) = self.done.get(who.owner, id) {
            return Ok(Some(job));
        }
        let (sight, tree) = (self.sight(who, api).await?, self.tree.clone());
        let read = self.store.read(move |snapshot| find(snapshot, &tree, sight, id, children));
        read.await.map_err(failed)
    }

    async fn reaches_out(&self, who: &Who) -> Result<(), HostError> {
        self.runs.reaching.persist(&self.store, who.run_id, who.depth).await.map_err(failed)
    }

    async fn data(&self, who: &Who, request: Data) -> Result<Value, HostError> {
        data::data(self, who, request).await
    }

    async fn call(
        &self,
        who: &Who,
        api: Api,
        operation: &str,
        args: Vec<Value>,
        call_no: u32,
    ) -> Result<Value, HostError> {
        let args = Args { operation, values: args };
        if operation == "waitForJob" {
            // The one call of userAPI that scripts make without a session user.
            let sight = self.sight(who, &api).await?;
            return wait::wait_for_job(self, who, sight.reach, &args).await;
        }
        // What is not here is told as such, whoever asks.
        if let Some(nouns) = absent::nouns(operation) {
            return Err(HostError::Absent { nouns: nouns.to_owned(), operation: operation.to_owned() });
        }
        if !operations::offers(operation) {
            return Err(HostError::Unsupported(operation.to_owned()));
        }
        let cause = args.cause(who, call_no, None);
        let made = if who.repeated { again::made(self, &cause).await? } else { None };
        let caller = match (self.caller(who, &api, cause.clone()).await, &made) {
            // Who asked may be gone by what the run did since.
            (Err(_), Some(_)) => self.caller(who, &Api::Admin, cause).await,
            (caller, _) => caller,
        }?;
        let ask = Ask { platform: self, caller: &caller, who, args: &args, call_no, later: OnceLock::new() };
        if let Some(made) = made
            && let Some(answer) = again::answer(&ask, &made).await?
        {
            return Ok(answer);
        }
        match (operations::answer(&ask).await, ask.later.get()) {
            // Nothing was done: the operation's first question is whether it is for now.
            (Err(_), Some(later)) => later::defer(&ask, &api, *later).await,
            (answer, _) => answer,
        }
    }
}

/// The bean of whatever has this id, within sight.
pub(super) fn find(
    snapshot: &Snapshot,
    tree: &Tree,
    sight: Sight,
    id: Uuid,
    children: bool,
) -> Result<Option<Bean>, StoreError> {
    let beans = Beans::new(snapshot, sight.viewer, if children { ALL } else { 0 });
    macro_rules! first_of {
        ($($record:ty),*) => {$(
            if let Some(record) = snapshot.get::<$record>(id)? {
                let seen = list::sees(snapshot, tree, sight.reach, &record)?;
                return seen.then(|| beans.bean(record)).transpose();
            }
        )*};
    }
    first_of!(
        Server,
        Customer,
        Job,
        Disk,
        User,
        BillingEntity,
        Image,
        Invoice,
        PaymentMethod,
        PaymentInstance,
        Transaction,
        PluggableResource,
        Blob,
        Plan
    );
    views::find(snapshot, tree, sight, id)
}

/// The store failed, which no script can mend.
fn failed(error: StoreError) -> HostError {
    tracing::error!(%error, "a script's call could not be answered");
    HostError::Failed("the platform could not read or write its records".to_owned())
}
