//! API keys.

use super::{
    NewApiKey,
    race::again,
    reach::{missing, valid},
};
use crate::{Caller, Error, System};
use sutler_model::{ApiKey, ApiKeyId, FieldError, Noun, Permission, User, validate};
use sutler_store::ChangeSet;

impl System {
    /// Creates a key that acts for the caller.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Forbidden`].
    pub async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<ApiKey, Error> {
        caller.must(Permission::KeysWrite)?;
        let Some(user_id) = caller.user_id else { return Err(Error::Forbidden(Permission::KeysWrite)) };
        again(None, async || {
            let new = new.clone();
            let now = self.inner.core.now();
            let mut problems: Vec<FieldError> = validate::name("name", &new.name).err().into_iter().collect();
            for (i, scope) in new.scopes.iter().enumerate().filter(|(_, scope)| !caller.permissions.contains(scope)) {
                problems.push(FieldError::new(
                    format!("scopes.{i}"),
                    format!("{scope:?} is more than you may do yourself"),
                ));
            }
            if new.expires_at.is_some_and(|at| at <= now) {
                problems.push(FieldError::new("expires_at", "lies in the past"));
            }
            valid(problems)?;
            let user: User = self.find(user_id).await?;
            let mut key = ApiKey {
                id: self.inner.core.new_id(),
                version: 0,
                name: new.name,
                user_id,
                billing_entity_id: user.billing_entity_id,
                customer_id: user.customer_id,
                secret_hash: new.secret_hash,
                // A key made with a limited key stays within it, also when no limit is asked for.
                scopes: if new.scopes.is_empty() && !all_of(&user, caller) {
                    caller.permissions.clone()
                } else {
                    new.scopes
                },
                expires_at: new.expires_at,
                created_at: now,
            };
            let mut set = ChangeSet::new(caller.cause.clone());
            set.require(&user).create(&mut key);
            self.store().commit(set).await?;
            Ok(key)
        })
        .await
    }

    /// Deletes a key: one's own, or one of a user within the caller's reach.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn revoke_api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<(), Error> {
        caller.must(Permission::KeysWrite)?;
        let key: ApiKey = self.find(id).await?;
        if caller.user_id != Some(key.user_id) {
            self.reach(caller, key.billing_entity_id, key.customer_id, (Noun::ApiKey, id.into())).await?;
            if !caller.permissions.contains(&Permission::CustomersWrite) {
                return Err(missing(Noun::ApiKey, id.into()));
            }
        }
        let mut set = ChangeSet::new(caller.cause.clone());
        set.delete(&key);
        self.store().commit(set).await?;
        Ok(())
    }
}

/// Whether the caller may do all that the user may.
fn all_of(user: &User, caller: &Caller) -> bool {
    Permission::ALL.iter().filter(|p| user.role.allows(**p)).all(|p| caller.permissions.contains(p))
}
