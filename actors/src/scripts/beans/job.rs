//! Jobs.

use super::{Described, Property, date, described, id};
use crate::scripts::words::{job_status, job_type, resource_type};
use serde_json::Value;
use sutler_model::{Job, User};

impl Described for Job {
    const KIND: &'static str = "Job";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Job>;
        const PROPERTIES: &[P] = &[
            P::new("jobType", |j, _| Ok(job_type(&j.input).into())),
            P::new("status", |j, _| Ok(job_status(j.state).into())),
            P::new("itemType", |j, _| Ok(resource_type(j.item_noun).into())),
            P::new("itemUUID", |j, _| Ok(id(Some(j.item_id)))),
            P::new("itemName", |j, _| Ok(j.item_name.as_str().into())),
            P::new("itemDescription", |j, _| Ok(j.item_name.as_str().into())),
            P::new("info", |j, _| Ok(j.error.as_ref().map_or(Value::Null, |e| e.message.as_str().into()))),
            P::new("errorCode", |j, _| Ok(j.error.as_ref().map_or(Value::Null, |e| e.code.to_uppercase().into()))),
            P::new("startTime", |j, _| Ok(date(j.started_at.or(j.start_at)))),
            P::new("endTime", |j, _| Ok(date(j.finished_at))),
            P::new("scheduled", |j, _| Ok(j.scheduled.into())),
            P::new("userUUID", |j, _| Ok(id(j.user_id))),
            P::new("userName", |j, b| match j.user_id {
                Some(user) => b.name_of::<User>(user.into()),
                None => Ok(Value::Null),
            }),
            P::new("parentJobUUID", |j, _| Ok(id(j.parent_id))),
        ];
        PROPERTIES
    }

    described! {
        label: |j| job_type(&j.input).to_owned();
        created_at: |j| j.created_at;
        customer: |j| j.customer_id;
        billing_entity: |j| j.billing_entity_id;
        runtime_metadata: |j| j.metadata.as_deref();
    }
}
