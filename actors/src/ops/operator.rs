//! What operators do.

use crate::{Caller, Error, System};
#[allow(unused_imports)] use crate::ops::requests::*;
#[allow(unused_imports)] use sutler_model::*;

impl System {
    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn update_node(&self, caller: &Caller, id: NodeId, if_match: Option<u64>, draining: bool) -> Result<Node, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn quarantines(&self, caller: &Caller) -> Result<Vec<Quarantine>, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn release(&self, caller: &Caller, kind: &str, id: uuid::Uuid) -> Result<(), Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn simulate(&self, caller: &Caller, fault: Fault) -> Result<(), Error> { todo!() }

}
