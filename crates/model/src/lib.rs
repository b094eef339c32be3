//! The nouns of Sutler: ids as types, records, states, units, checked money and permissions.
//!
//! Nothing here does I/O or reads a clock; every other crate stands on this one.

pub mod api_key;
pub mod billing_entity;
pub mod blob;
pub mod cause;
pub mod contact;
pub mod customer;
pub mod datum;
pub mod deferred;
pub mod disk;
pub mod id;
pub mod image;
pub mod invoice;
pub mod job;
pub mod key;
pub mod measurement;
pub mod metadata;
pub mod meter;
pub mod money;
pub mod node;
pub mod notice;
pub mod payment;
pub mod permission;
pub mod plan;
pub mod pluggable;
pub mod point;
pub mod receipt;
pub mod remains;
pub mod schedule;
#[cfg(feature = "openapi")]
mod schema;
pub mod script;
pub mod server;
pub mod time;
pub mod translation;
pub mod user;
pub mod validate;

pub use api_key::{ApiKey, Session};
pub use billing_entity::BillingEntity;
pub use blob::{Blob, BlobContent};
pub use cause::{Cause, RunCall};
pub use contact::{Contact, ContactPatch};
pub use customer::{Customer, CustomerStatus, Quota};
pub use datum::{DataSpace, DataWrite, Datum};
pub use deferred::Deferred;
pub use disk::{Disk, DiskState};
pub use id::*;
pub use image::{Boot, Image, ImageBase, ImagePermission, ImageState};
pub use invoice::{Invoice, InvoiceCharge, InvoiceLine, Tax};
pub use job::{Answered, Job, JobError, JobInput, JobState, StepState};
pub use key::{KeyKind, ResourceKey};
pub use measurement::{MeasuredValue, Measurement};
pub use metadata::ResourceMetadata;
pub use meter::{Evidence, Interval, IntervalKey, Meter};
pub use money::{Currency, Money, Nanos};
pub use node::{Kvm, Node, NodeState};
pub use notice::{Happening, Notice};
pub use payment::{
    PaymentFunction, PaymentInstance, PaymentMethod, PaymentSetup, RedirectMethod, Told, Transaction, TransactionState,
};
pub use permission::{Permission, Role, Scope};
pub use plan::{Plan, PlanCharge};
pub use pluggable::PluggableResource;
pub use point::{Point, PointKind, ValueDef};
pub use receipt::{Receipt, Reply};
pub use remains::{Remains, Remnant};
pub use schedule::{Missed, Schedule};
pub use script::{AskedAction, Entry, RunState, Script, ScriptRevision, ScriptRun, Signature, TriggerType};
pub use server::{NewServer, Nic, Server, ServerState, Wanted};
pub use time::Timestamp;
pub use user::User;
pub use validate::FieldError;
