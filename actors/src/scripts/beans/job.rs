//! Jobs.

use super::{Described, Property, date, described, id};
use crate::scripts::words::{job_status, job_type, resource_type};
use serde_json::Value;
use sutler_lua::Bean;
use sutler_model::{Job, Noun, Timestamp, User};
use uuid::Uuid;

impl Described for Job {
    const KIND: &'static str = "Job";
    const PLACED: bool = true;

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Job>;
        const PROPERTIES: &[P] = &[
            P::new("jobType", |j, _| job_type(&j.input).into()),
            P::new("status", |j, _| job_status(j.state).into()),
            P::new("itemType", |j, _| resource_type(j.item_noun).into()),
            P::new("itemUUID", |j, _| id(Some(j.item_id))),
            P::new("itemName", |j, _| j.item_name.as_str().into()),
            P::new("itemDescription", |j, _| j.item_name.as_str().into()),
            P::new("info", |j, _| j.error.as_ref().map_or(Value::Null, |e| e.message.as_str().into())),
            P::new("errorCode", |j, _| j.error.as_ref().map_or(Value::Null, |e| e.code.to_uppercase().into())),
            P::new("startTime", |j, _| date(j.started_at.or(j.start_at))),
            P::new("endTime", |j, _| date(j.finished_at)),
            P::new("scheduled", |j, _| j.scheduled.into()),
            P::new("userUUID", |j, _| id(j.user_id)),
            P::read("userName", |j, b| match j.user_id {
                Some(user) => b.name_of::<User>(user.into()),
                None => Ok(Value::Null),
            }),
            P::new("parentJobUUID", |j, _| id(j.parent_id)),
        ];
        PROPERTIES
    }

    described! {
        label: |j| job_type(&j.input).to_owned();
        created_at: |j| j.created_at;
        modified_at: |j| j.finished_at.or(j.started_at).unwrap_or(j.created_at);
        customer: |j| j.customer_id;
        billing_entity: |j| j.billing_entity_id;
        runtime_metadata: |j| j.metadata.as_deref();
    }
}

/// A job that the language has for what has no record of one here: of which type, how it stands, since when, and on what.
pub(crate) fn unrecorded_job(id: Uuid, kind: &str, status: &str, began: Timestamp, (noun, item): (Noun, Uuid)) -> Bean {
    let bean = Bean::new("Job")
        .with("resourceUUID", id.to_string())
        .with("resourceName", kind)
        .with("resourceType", "JOB")
        .with("resourceState", "ACTIVE")
        .with("resourceCreateDate", began.0)
        .with("lastModifiedTime", began.0)
        .with("jobType", kind)
        .with("status", status)
        .with("itemUUID", item.to_string())
        .with("startTime", began.0)
        .with("scheduled", false);
    match resource_type(noun) {
        Some(kind) => bean.with("itemType", kind),
        None => bean,
    }
}
