//! Plans, previews and invoices.

use crate::{Caller, Error, System};
#[allow(unused_imports)] use crate::ops::requests::*;
#[allow(unused_imports)] use sutler_model::*;

impl System {
    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn create_plan(&self, caller: &Caller, new: NewPlan) -> Result<Plan, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn update_plan(&self, caller: &Caller, id: PlanId, if_match: Option<u64>, patch: PlanPatch) -> Result<Plan, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn preview_invoice(&self, caller: &Caller, customer: CustomerId, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Invoice, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn close_invoice(&self, caller: &Caller, customer: CustomerId, to: Timestamp) -> Result<Invoice, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn line_intervals(&self, caller: &Caller, customer: CustomerId, from: Timestamp, to: Timestamp, resource: uuid::Uuid, meter: Meter) -> Result<Vec<Interval>, Error> { todo!() }

}
