//! What surrounds a call of the API and a sign-in.

use crate::{ApiCall, CallUnderWay, Caller, Error, System, scripts::Exception};
use sutler_model::{Cause, User};

impl System {
    /// Lets triggers refuse a call of the API by a person or a program. Whoever asked holds the answer until the call has
    /// ended, and says how.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Store`].
    pub async fn begin_call(&self, caller: &Caller, call: ApiCall<'_>) -> Result<Option<CallUnderWay>, Error> {
        self.inner.scripts.begin_call(caller, call).await
    }

    /// Lets triggers refuse a sign-in. The caller has checked the password.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Store`].
    pub async fn before_sign_in(&self, user: &User, cause: Cause) -> Result<(), Error> {
        self.inner.scripts.before_sign_in(user, cause).await
    }

    /// Tells the provider's triggers that a request was answered with an internal error; does not wait for it.
    pub fn request_broke(&self, method: &str, path: &str, request_id: &str) {
        self.inner.scripts.raise(Exception {
            source: "API",
            code: "internal",
            message: format!("{method} {path} was answered with an internal error; the log tells why"),
            request_id: Some(request_id.to_owned()),
            item: None,
        });
    }

    /// Tells triggers of a sign-in of a known user that failed; does not wait for it.
    pub fn sign_in_failed(&self, user: &User, cause: Cause) {
        self.inner.scripts.sign_in_failed(user, cause);
    }
}
