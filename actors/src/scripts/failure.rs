//! What is told of a run that failed: why, to those who may see the run, and to others where they find it.

use super::{Env, Scripts, attempt::result, table::Armed};
use sutler_lua::Outcome;
use sutler_model::{BillingEntityId, RunId, Scope};
use sutler_store::Error;

/// A run that failed.
pub(super) struct Failure<'a> {
    /// Of which script.
    pub script: &'a Armed,
    /// Who sells what it was about.
    pub seller: BillingEntityId,
    /// The run; none: it is not recorded.
    pub run: Option<RunId>,
    /// What it raised, or which limit it passed.
    pub reason: &'a str,
}

impl Scripts {
    /// What is told of a run that failed, about something of `seller`, to somebody who sees the runs of a scope.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn told_failure(
        &self,
        script: &Armed,
        seller: BillingEntityId,
        run: Option<RunId>,
        outcome: &Outcome,
        asked_by: Option<Scope>,
    ) -> Result<String, Error> {
        let reason = result(outcome);
        Failure { script, seller, run, reason: &reason }.told(&self.env, asked_by).await
    }
}

impl Failure<'_> {
    /// In words, for somebody who sees the runs of a scope; none: nobody's.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn told(&self, env: &Env, asked_by: Option<Scope>) -> Result<String, Error> {
        let known = match asked_by {
            Some(scope) => self.is_known_to(env, scope).await?,
            None => false,
        };
        Ok(match (known, self.run) {
            (true, Some(run)) => format!("it failed: {} (run {run})", self.reason),
            (true, None) => format!("it failed: {}", self.reason),
            (false, Some(run)) => format!("it failed; who runs it finds the reason in its run {run}"),
            (false, None) => "it failed; who runs it is told why when they try the same".to_owned(),
        })
    }

    /// Whether the run lies within a scope. What it was about does: so does its owner, if that is a customer or seller there.
    async fn is_known_to(&self, env: &Env, scope: Scope) -> Result<bool, Error> {
        let (owner, seller) = (self.script.owner, self.seller);
        let (seller, customer) = match owner {
            _ if scope == Scope::Provider || scope == owner => return Ok(true),
            Scope::Provider => return Ok(false),
            Scope::Entity(id) => (id, None),
            Scope::Customer(id) => (seller, Some(id)),
        };
        let tree = env.tree.clone();
        env.core.store.read(move |snapshot| super::occasion::within(snapshot, &tree, scope, seller, customer)).await
    }
}
