//! Users and sessions.

use super::{
    NewUser, UserPatch,
    race::{again, go_on},
    reach::{merged_keys, missing, unchanged, valid},
};
use crate::{Caller, Error, System, scripts::Decided};
use sutler_model::{
    Cause, FieldError, Noun, Permission, Role, Scope, Session, SessionId, TriggerType, User, UserId, key, validate,
};
use sutler_store::{ChangeSet, Field, Filter};

impl System {
    /// Creates a user of a customer, or staff of a seller, within the caller's reach.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`].
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<User, Error> {
        self.create_user_as(caller, self.inner.core.new_id(), new).await
    }

    /// The same under an id that the caller has derived, so that asking again cannot make a second one.
    pub(crate) async fn create_user_as(&self, caller: &Caller, id: UserId, new: NewUser) -> Result<User, Error> {
        caller.must(Permission::CustomersWrite)?;
        let mut problems: Vec<FieldError> = [
            validate::email("email", &new.email),
            validate::name("first_name", &new.first_name),
            validate::name("last_name", &new.last_name),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect();
        if new.role.is_customer() != new.customer_id.is_some() {
            problems.push(if new.role.is_customer() {
                FieldError::new("customer_id", "is missing: this role belongs to a customer")
            } else {
                FieldError::new("customer_id", "must be left out: this role belongs to a seller's staff")
            });
        }
        problems.extend(new.contact.problems("contact"));
        valid(problems)?;
        let entity = match new.customer_id {
            Some(customer) => {
                let customer = self.customer(caller, customer).await?;
                if customer.billing_entity_id != new.billing_entity_id {
                    return Err(Error::Invalid(vec![FieldError::new("billing_entity_id", "is not the customer's")]));
                }
                self.find(customer.billing_entity_id).await?
            }
            None => self.entity(caller, new.billing_entity_id).await?,
        };
        may_grant(caller, new.role, &entity)?;
        let mut user = User {
            id,
            version: 0,
            email: new.email.to_lowercase(),
            first_name: new.first_name,
            last_name: new.last_name,
            billing_entity_id: entity.id,
            customer_id: new.customer_id,
            role: new.role,
            password_hash: new.password_hash,
            locked: false,
            contact: new.contact,
            keys: Vec::new(),
            created_at: self.inner.core.now(),
        };
        let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut user).await?;
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut user);
        self.store().commit(set).await?;
        Ok(user)
    }

    /// Changes a user. Everyone may change their own names and password.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`].
    pub async fn update_user(
        &self,
        caller: &Caller,
        id: UserId,
        if_match: Option<u64>,
        patch: UserPatch,
    ) -> Result<User, Error> {
        let own = caller.user_id == Some(id);
        again(if_match, async || {
            let patch = patch.clone();
            let mut old = self.user(caller, id).await?;
            if !own || patch.role.is_some() || patch.locked.is_some() || patch.keys.is_some() {
                caller.must(Permission::CustomersWrite)?;
            }
            may_act_on(caller, &old)?;
            unchanged(&old, if_match)?;
            if own && (patch.locked == Some(true) || patch.role.is_some_and(|role| role != old.role)) {
                let detail = "you cannot lock yourself or change your own role; ask another admin".to_owned();
                return Err(Error::State { noun: Noun::User, id: id.into(), detail });
            }
            let mut new = old.clone();
            if let Some(role) = patch.role {
                if role.is_customer() != old.customer_id.is_some() {
                    return Err(Error::Invalid(vec![FieldError::new(
                        "role",
                        "does not fit: staff stay staff, customers' users stay theirs",
                    )]));
                }
                may_grant(caller, role, &self.find(old.billing_entity_id).await?)?;
                new.role = role;
            }
            new.first_name = patch.first_name.unwrap_or(new.first_name);
            new.last_name = patch.last_name.unwrap_or(new.last_name);
            new.locked = patch.locked.unwrap_or(new.locked);
            new.password_hash = patch.password_hash.unwrap_or(new.password_hash);
            if let Some(contact) = patch.contact {
                contact.apply(&mut new.contact);
            }
            if let Some(keys) = &patch.keys {
                valid(key::problems("keys", keys))?;
                new.keys = merged_keys(caller, &old.keys, keys);
            }
            let names = [validate::name("first_name", &new.first_name), validate::name("last_name", &new.last_name)];
            valid(names.into_iter().filter_map(Result::err).chain(new.contact.problems("contact")))?;
            let decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            go_on(&[&decided], &mut old, &mut new).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.end_credentials(&old, &new, &mut set).await?;
            self.store().commit(set).await?;
            Ok(new)
        })
        .await
    }

    /// Deletes a user with their sessions and keys.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::State`] for oneself.
    pub async fn delete_user(&self, caller: &Caller, id: UserId, if_match: Option<u64>) -> Result<(), Error> {
        caller.must(Permission::CustomersWrite)?;
        again(if_match, async || {
            let user = self.user(caller, id).await?;
            may_act_on(caller, &user)?;
            unchanged(&user, if_match)?;
            if caller.user_id == Some(id) {
                let detail = "you cannot delete yourself; ask another admin".to_owned();
                return Err(Error::State { noun: Noun::User, id: id.into(), detail });
            }
            let decided = self.inner.scripts.before(caller, TriggerType::PreDelete, &mut user.clone()).await?;
            let user = Decided::left(&[&decided], user).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            for session in self.of_user::<Session>(id).await? {
                set.delete(&session);
            }
            for key in self.of_user::<sutler_model::ApiKey>(id).await? {
                set.delete(&key);
            }
            set.delete(&user);
            self.store().commit(set).await?;
            Ok(())
        })
        .await
    }

    /// Records a sign-in of a user whose password the caller has checked. None when that is theirs no longer, or they are locked or
    /// gone: triggers may have taken their time since.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn open_session(
        &self,
        checked: &User,
        secret_hash: String,
        ttl_ms: i64,
        cause: Cause,
    ) -> Result<Option<Session>, Error> {
        let opened = self.decided(None, async || {
            let user = self.store().get::<User>(checked.id).await?;
            let user = user.filter(|user| !user.locked && user.password_hash == checked.password_hash);
            let mut set = ChangeSet::new(cause.clone());
            let Some(user) = user else { return Ok((set, None)) };
            let now = self.inner.core.now();
            let mut session = Session {
                id: self.inner.core.new_id(),
                version: 0,
                user_id: user.id,
                secret_hash: secret_hash.clone(),
                expires_at: now.plus_ms(ttl_ms),
                created_at: now,
            };
            set.require(&user).create(&mut session);
            for old in self.of_user::<Session>(user.id).await?.iter().filter(|old| old.expires_at <= now) {
                set.delete(old);
            }
            Ok((set, Some(session)))
        });
        opened.await
    }

    /// Ends a session; no error when it has ended. It stays until its user signs in again, for it tells when they last did.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn close_session(&self, id: SessionId, cause: Cause) -> Result<(), Error> {
        let now = self.inner.core.now();
        let session = self.store().get::<Session>(id).await?.filter(|session| session.expires_at > now);
        let Some(session) = session else { return Ok(()) };
        let mut set = ChangeSet::new(cause);
        set.update(&session, &mut session.ended(now));
        match self.store().commit(set).await {
            Ok(_) | Err(sutler_store::Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn user(&self, caller: &Caller, id: UserId) -> Result<User, Error> {
        let user: User = self.find(id).await?;
        if caller.user_id != Some(id) {
            self.reach(caller, user.billing_entity_id, user.customer_id, (Noun::User, id.into())).await?;
        }
        Ok(user)
    }

    /// A lock or a new password ends all sessions; a lock also all keys.
    async fn end_credentials(&self, old: &User, new: &User, set: &mut ChangeSet) -> Result<(), Error> {
        if new.locked || new.password_hash != old.password_hash {
            let now = self.inner.core.now();
            for session in self.of_user::<Session>(old.id).await?.iter().filter(|session| session.expires_at > now) {
                set.update(session, &mut session.ended(now));
            }
        }
        Ok(())
    }

    async fn of_user<R: sutler_store::Record>(&self, id: UserId) -> Result<Vec<R>, Error> {
        let filter = Filter::<R>::new().is(Field::User, id.0.as_bytes());
        Ok(self.store().read(move |s| s.all(filter)).await?)
    }
}

/// Nobody grants more than they have: sellers' roles are granted by sellers, the provider's by the provider.
fn may_grant(caller: &Caller, role: Role, entity: &sutler_model::BillingEntity) -> Result<(), Error> {
    let allowed = match role {
        Role::ProviderAdmin => caller.role == Role::ProviderAdmin && entity.parent_id.is_none(),
        Role::ResellerAdmin => !caller.role.is_customer() && entity.parent_id.is_some(),
        Role::CustomerAdmin | Role::CustomerMember | Role::CustomerViewer => true,
    };
    if allowed {
        return Ok(());
    }
    let detail = match role {
        Role::ProviderAdmin => "only the provider's admins can make one, at the provider",
        _ => "only a seller's admins can make one, at a reseller",
    };
    Err(Error::Invalid(vec![FieldError::new("role", detail)]))
}

/// A reseller's admin does not change the provider's staff, nor a customer's admin its seller's.
fn may_act_on(caller: &Caller, user: &User) -> Result<(), Error> {
    let below = match caller.scope {
        Scope::Provider => true,
        Scope::Entity(_) => user.role != Role::ProviderAdmin,
        Scope::Customer(own) => user.customer_id == Some(own),
    };
    if below { Ok(()) } else { Err(missing(Noun::User, user.id.into())) }
}
