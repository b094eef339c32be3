//! Billing entities and customers.

use crate::{Caller, Error, System};
#[allow(unused_imports)] use crate::ops::requests::*;
#[allow(unused_imports)] use sutler_model::*;

impl System {
    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn create_billing_entity(&self, caller: &Caller, new: NewBillingEntity) -> Result<BillingEntity, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn create_customer(&self, caller: &Caller, new: NewCustomer) -> Result<Customer, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn update_customer(&self, caller: &Caller, id: CustomerId, if_match: Option<u64>, patch: CustomerPatch) -> Result<Customer, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn bootstrap(&self, new: NewProvider) -> Result<Option<UserId>, Error> { todo!() }

}
