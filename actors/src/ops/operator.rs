//! What operators do: nodes, quarantines, faults.

use super::{Fault, Quarantine, reach::unchanged};
use crate::{Caller, Error, System};
use sutler_model::{FieldError, Node, NodeId, NodeState, Permission, Timestamp};
use sutler_store::ChangeSet;
use uuid::Uuid;

impl System {
    /// Drains a node (it keeps its servers and takes no new ones) or opens it again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`].
    pub async fn update_node(
        &self,
        caller: &Caller,
        id: NodeId,
        if_match: Option<u64>,
        draining: bool,
    ) -> Result<Node, Error> {
        caller.must(Permission::OperatorWrite)?;
        loop {
            let old: Node = self.find(id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            new.state = if draining { NodeState::Draining } else { NodeState::Up };
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            match self.store().commit(set).await {
                Ok(_) => {
                    self.inner.core.placement.set_node(&new);
                    return Ok(new);
                }
                // The node was looked at meanwhile.
                Err(sutler_store::Error::Conflict { found: Some(_), .. }) if if_match.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Entities out of service, longest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub async fn quarantines(&self, caller: &Caller) -> Result<Vec<Quarantine>, Error> {
        caller.must(Permission::OperatorRead)?;
        let mut all = self.inner.customers.quarantined();
        all.extend(self.inner.servers.quarantined());
        all.extend(self.inner.meters.quarantined());
        all.extend(self.inner.node_actors.quarantined());
        all.extend(self.inner.scripts.quarantined());
        Ok(all
            .into_iter()
            .map(|q| {
                let since = q.since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
                Quarantine {
                    kind: q.kind.to_owned(),
                    id: q.id,
                    reason: q.reason,
                    since: Timestamp(i64::try_from(since).unwrap_or(i64::MAX)),
                }
            })
            .collect())
    }

    /// Takes an entity back into service.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a kind that there is not, [`Error::State`] when it is not in quarantine,
    /// [`Error::Forbidden`].
    pub async fn release(&self, caller: &Caller, kind: &str, id: Uuid) -> Result<(), Error> {
        caller.must(Permission::OperatorWrite)?;
        let (noun, released) = match kind {
            "customer" => (sutler_model::Noun::Customer, self.inner.customers.release(id)),
            "server" => (sutler_model::Noun::Server, self.inner.servers.release(id)),
            "meter" => (sutler_model::Noun::Customer, self.inner.meters.release(id)),
            "node" => (sutler_model::Noun::Node, self.inner.node_actors.release(id)),
            "trigger" => (sutler_model::Noun::Script, self.inner.scripts.release(id)),
            _ => {
                let detail = "must be customer, server, meter, node or trigger";
                return Err(Error::Invalid(vec![FieldError::new("kind", detail)]));
            }
        };
        if released {
            return Ok(());
        }
        Err(Error::State { noun, id, detail: format!("no {kind} `{id}` is in quarantine") })
    }

    /// Orders a fault of the simulated drivers.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Invalid`] when the drivers are real or the fault makes no sense.
    pub async fn simulate(&self, caller: &Caller, fault: Fault) -> Result<(), Error> {
        caller.must(Permission::OperatorWrite)?;
        let Some(order) = &self.inner.faults else {
            let detail = "faults can be ordered in simulated mode only: start with `simulated:///` nodes";
            return Err(Error::Invalid(vec![FieldError::new("call", detail)]));
        };
        order(&fault).map_err(|problem| Error::Invalid(vec![problem]))
    }
}
