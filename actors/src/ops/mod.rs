//! What callers can have done: one file per noun, each method checking permission and scope itself.

mod billing;
mod blobs;
mod calls;
mod charges;
mod customers;
mod deferred;
mod deletion;
mod errands;
mod images;
mod jobs;
mod keys;
mod measurements;
mod metadata;
mod operator;
mod payments;
mod pluggable;
mod providers;
mod race;
mod reach;
mod rehearsals;
mod reports;
mod requests;
mod revisions;
mod script_users;
mod scripts;
pub(crate) mod servers;
mod transactions;
mod users;

pub(crate) use deferred::{CARRY_OUT, DeferredItem};
pub(crate) use deletion::DELETE_SERVERS;
pub use measurements::Measurements;
pub use metadata::MetadataPatch;
pub(crate) use metadata::problems as metadata_problems;
pub use payments::{
    Interaction, NewPaymentInstance, NewPaymentMethod, PaymentInstancePatch, PaymentMethodPatch, PaymentProvider,
};
pub use pluggable::{NewPluggable, PluggableKind, PluggablePatch};
pub(crate) use providers::Provided;
pub use providers::{ActionAnswer, ProviderForm};
pub(crate) use reach::missing;
pub use reports::ReportForm;
pub use requests::*;
pub use transactions::Payment;
