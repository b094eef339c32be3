//! What operators do: nodes, quarantines, faults.

use super::{Fault, Quarantine, race::again, reach::unchanged};
use crate::{Caller, Error, System, jobs};
use sutler_drivers::simulated::{self, FaultError, Simulated};
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
        again(if_match, async || {
            let old: Node = self.find(id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            new.state = if draining { NodeState::Draining } else { NodeState::Up };
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            self.inner.core.placement.set_node(&new);
            Ok(new)
        })
        .await
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

    /// Makes the next calls of the simulated drivers, or the next steps of jobs, fail or wait.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Invalid`] when the drivers are real or the fault makes no sense.
    pub async fn simulate(&self, caller: &Caller, fault: Fault) -> Result<(), Error> {
        let world = self.simulated(caller, Permission::OperatorWrite)?;
        let order = ordered(&fault).map_err(|problem| Error::Invalid(vec![problem]))?;
        world.fault(order);
        Ok(())
    }

    /// The faults that are still to be suffered, oldest first.
    ///
    /// # Errors
    /// As [`System::simulate`].
    pub async fn faults(&self, caller: &Caller) -> Result<Vec<Fault>, Error> {
        let world = self.simulated(caller, Permission::OperatorRead)?;
        Ok(world.faults().into_iter().map(Fault::from).collect())
    }

    /// Takes all faults back that were not suffered yet.
    ///
    /// # Errors
    /// As [`System::simulate`].
    pub async fn clear_faults(&self, caller: &Caller) -> Result<(), Error> {
        self.simulated(caller, Permission::OperatorWrite)?.clear_faults();
        Ok(())
    }

    fn simulated(&self, caller: &Caller, permission: Permission) -> Result<&Simulated, Error> {
        caller.must(permission)?;
        self.inner.core.simulated.as_ref().ok_or_else(|| {
            let detail = "faults can be ordered in simulated mode only: start with `compute.simulated = true`";
            Error::Invalid(vec![FieldError::new("call", detail)])
        })
    }
}

/// A fault as the simulated world takes it.
fn ordered(fault: &Fault) -> Result<simulated::Fault, FieldError> {
    let call = match (&fault.call, &fault.job) {
        (Some(call), None) if simulated::Fault::is_known_call(call) => call.clone(),
        (Some(call), None) => return Err(FieldError::new("call", format!("`{call}` is no driver call; `*` is any"))),
        (None, Some(job)) => {
            let Some(steps) = jobs::steps(job) else {
                return Err(FieldError::new(
                    "job",
                    format!("`{job}` is no kind of job; give {}", jobs::KINDS.join(", ")),
                ));
            };
            let step = fault.step.as_deref().unwrap_or(steps[0]);
            if !steps.contains(&step) {
                let known = steps.join(", ");
                return Err(FieldError::new("step", format!("`{step}` is no step of `{job}`; give one of {known}")));
            }
            jobs::fault_name(job, step)
        }
        _ => return Err(FieldError::new("call", "give either a driver call or a kind of job")),
    };
    if fault.step.is_some() && fault.job.is_none() {
        return Err(FieldError::new("step", "goes with a kind of job"));
    }
    if fault.times == 0 {
        return Err(FieldError::new("times", "must be at least 1"));
    }
    if fault.error.is_none() && fault.delay_ms == 0 {
        return Err(FieldError::new("error", "give an error or a delay; a fault without either does nothing"));
    }
    let error = match &fault.error {
        Some(word) => Some(word.parse::<FaultError>().map_err(|fix| FieldError::new("error", fix))?),
        None => None,
    };
    Ok(simulated::Fault { call, times: fault.times, error, delay_ms: fault.delay_ms, hang: false })
}

impl From<simulated::Fault> for Fault {
    fn from(fault: simulated::Fault) -> Self {
        let (call, job, step) = match fault.call.split_once('/') {
            Some((job, step)) => (None, Some(job.to_owned()), Some(step.to_owned())),
            None => (Some(fault.call), None, None),
        };
        let error = fault.error.map(|error| error.to_string());
        Self { call, job, step, times: fault.times, error, delay_ms: fault.delay_ms }
    }
}
