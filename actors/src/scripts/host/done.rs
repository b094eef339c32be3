//! Jobs of what is done at once.
//!
//! The language answers almost every operation with a job. Here only what takes time on a node has one; of all else the
//! script gets a bean of a job that has ended well, made in this one place. Its UUID derives from run and call, so that a
//! repeated run gets the same, and `waitForJob` and `getResource` know it for as long as the run can ask.

use super::{ask::Ask, keys::tagged};
use crate::scripts::{
    beans::{operator_id, unrecorded_job},
    words::deed_type,
};
use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};
use sutler_lua::{Bean, HostError};
use sutler_model::{CustomerId, Noun, Scope};
use uuid::Uuid;

/// Most jobs known at once. A script asks about its job right after the call, so the oldest are not missed.
const KNOWN_MAX: usize = 10_000;

/// The jobs of what was done lately.
#[derive(Default)]
pub(super) struct DoneJobs(Mutex<Known>);

#[derive(Default)]
struct Known {
    jobs: HashMap<Uuid, (Scope, Bean)>,
    order: VecDeque<Uuid>,
}

impl DoneJobs {
    /// A job that a script of `owner` was told of.
    pub fn get(&self, owner: Scope, id: Uuid) -> Option<Bean> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.jobs.get(&id).filter(|(whose, _)| *whose == owner).map(|(_, bean)| bean.clone())
    }

    fn put(&self, owner: Scope, id: Uuid, bean: Bean) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.jobs.insert(id, (owner, bean)).is_none() {
            known.order.push_back(id);
        }
        if known.order.len() > KNOWN_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.jobs.remove(&oldest);
        }
    }
}

/// What was done, to which record.
pub(super) struct Done<'a> {
    pub noun: Noun,
    pub id: Uuid,
    pub name: &'a str,
    pub customer: Option<CustomerId>,
}

impl Ask<'_> {
    /// The job of what this call has done.
    pub fn done(&self, done: &Done<'_>) -> Result<Value, HostError> {
        let id = Uuid::new_v5(&self.who.run_id.0, format!("job:{}", self.call_no).as_bytes());
        let now = self.platform.store.now();
        let kind = job_type(self.args.operation, done.noun);
        let seller = self.caller.billing_entity_id;
        let customer = done.customer.or(self.caller.customer_id).map_or_else(|| operator_id(seller), Uuid::from);
        let mut bean = unrecorded_job(id, &kind, "SUCCESSFUL", now, (done.noun, done.id))
            .with("itemName", done.name)
            .with("itemDescription", done.name)
            .with("endTime", now.0)
            .with("billingEntityUUID", seller.to_string())
            .with("customerUUID", customer.to_string());
        if let Some(user) = self.caller.user_id {
            bean = bean.with("userUUID", user.to_string());
        }
        self.platform.done.put(self.who.owner, id, bean.clone());
        Ok(tagged(bean))
    }
}

/// JobType of an operation on a kind of record.
pub(super) fn job_type(operation: &str, noun: Noun) -> String {
    match operation {
        "payInvoice" => "MAKE_PAYMENT".to_owned(),
        "cancelTransaction" => "CANCEL_TRANSACTION".to_owned(),
        "resumeTransaction" => "RESUME_TRANSACTION".to_owned(),
        "testPaymentMethod" => "TEST_PAYMENT_METHOD".to_owned(),
        "invokeAction" => "INVOKE_PCT_ACTION".to_owned(),
        _ if operation.starts_with("create") => deed_type("CREATE", noun),
        _ if operation.starts_with("delete") => deed_type("DELETE", noun),
        _ => deed_type("MODIFY", noun),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_operations_are_called_as_in_the_original() {
        assert_eq!(job_type("createAPIKeyUser", Noun::User), "CREATE_USER");
        assert_eq!(job_type("modifyResource", Noun::Server), "MODIFY_SERVER");
        assert_eq!(job_type("updateFDLCodeBlock", Noun::Script), "MODIFY_FDL");
        assert_eq!(job_type("deleteResource", Noun::Image), "DELETE_IMAGE_TEMPLATE");
        assert_eq!(job_type("payInvoice", Noun::Invoice), "MAKE_PAYMENT");
    }

    #[test]
    fn jobs_are_known_to_their_owner_alone_and_the_oldest_go() {
        let jobs = DoneJobs::default();
        let own = Scope::Customer(CustomerId(Uuid::from_u128(1)));
        for n in 0..=KNOWN_MAX as u128 {
            jobs.put(own, Uuid::from_u128(n), Bean::new("Job").with("itemName", n.to_string()));
        }
        assert_eq!(jobs.get(own, Uuid::from_u128(0)), None);
        let last = Uuid::from_u128(KNOWN_MAX as u128);
        assert_eq!(jobs.get(own, last).and_then(|job| job.text("itemName")), Some("10000".to_owned()));
        assert_eq!(jobs.get(Scope::Provider, last), None);
    }
}
