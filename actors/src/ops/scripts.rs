//! Scripts and their runs.

use crate::{Caller, Error, System};
#[allow(unused_imports)] use crate::ops::requests::*;
#[allow(unused_imports)] use sutler_model::*;

impl System {
    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn create_script(&self, caller: &Caller, new: NewScript) -> Result<Script, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn update_script(&self, caller: &Caller, id: ScriptId, if_match: Option<u64>, patch: ScriptPatch) -> Result<Script, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn delete_script(&self, caller: &Caller, id: ScriptId, if_match: Option<u64>) -> Result<(), Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn retry_run(&self, caller: &Caller, id: RunId) -> Result<ScriptRun, Error> { todo!() }

    /// See the name.
    ///
    /// # Errors
    /// See [`Error`].
    #[allow(unused_variables)]
    pub async fn skip_run(&self, caller: &Caller, id: RunId) -> Result<ScriptRun, Error> { todo!() }

}
