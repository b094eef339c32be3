//! Users and sessions.

use crate::{Caller, Error, System};
#[allow(unused_imports)] use crate::ops::requests::*;
#[allow(unused_imports)] use sutler_model::*;

impl System {
    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<User, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn update_user(&self, caller: &Caller, id: UserId, if_match: Option<u64>, patch: UserPatch) -> Result<User, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn delete_user(&self, caller: &Caller, id: UserId, if_match: Option<u64>) -> Result<(), Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn open_session(&self, user: UserId, secret_hash: String, ttl_ms: i64, cause: Cause) -> Result<Session, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn close_session(&self, id: SessionId, cause: Cause) -> Result<(), Error> { todo!() }

}
