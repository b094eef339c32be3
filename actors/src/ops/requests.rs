//! What callers ask for.

use crate::{Idempotency, MetadataPatch};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};
use sutler_model::{
    BillingEntityId, Boot, Contact, ContactPatch, Currency, CustomerId, CustomerStatus, DiskId, ImageId,
    ImagePermission, ImageState, Nanos, Permission, PlanCharge, PlanId, Quota, ResourceKey, ResourceMetadata, Role,
    Scope, ServerId, Timestamp, translation::Translations,
};
use uuid::Uuid;

/// What to do with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAction {
    /// Start it.
    Start,
    /// Stop it.
    Stop {
        /// Pull the plug rather than ask.
        force: bool,
    },
    /// Restart it.
    Reboot {
        /// Pull the plug rather than ask.
        force: bool,
    },
    /// Delete it and its disks.
    Delete,
}

/// How an action on a server is asked for; unless said otherwise at once, and of whatever version the server is.
#[derive(Clone, Debug, Default)]
pub struct ActionAsked {
    /// The version the server must be at.
    pub if_match: Option<u64>,
    /// When it is to begin. PRE triggers are asked at once; whether the server's state allows it is seen by then.
    pub start_at: Option<Timestamp>,
    /// Of the run that a start or restart begins: the guest is told its public and its restricted part, triggers all of it,
    /// until the server stops.
    pub metadata: Option<ResourceMetadata>,
    /// The caller's key.
    pub key: Option<Idempotency>,
}

/// Changes to a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerPatch {
    /// New public keys; used when a seed is written next.
    pub ssh_keys: Option<Vec<String>>,
    /// New user data; likewise.
    pub user_data: Option<String>,
    /// New keys, replacing all.
    pub keys: Option<Vec<ResourceKey>>,
    /// Settings of configuration providers to change, held to their forms.
    pub provider_values: Option<BTreeMap<String, BTreeMap<String, String>>>,
    /// Parts of its metadata to set.
    #[serde(default)]
    pub metadata: MetadataPatch,
}

/// The provider to begin with.
#[derive(Clone, Debug)]
pub struct NewProvider {
    /// Display name.
    pub name: String,
    /// What it invoices in.
    pub currency: Currency,
    /// First admin's sign-in name.
    pub admin_email: String,
    /// argon2id, PHC text form.
    pub password_hash: String,
}

/// A reseller to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewBillingEntity {
    /// Who stands above.
    pub parent_id: BillingEntityId,
    /// Display name.
    pub name: String,
    /// What it invoices in.
    pub currency: Currency,
}

/// Changes to a billing entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BillingEntityPatch {
    /// New name.
    pub name: Option<String>,
    /// New language; the inner none: that of the seller above.
    pub language: Option<Option<String>>,
    /// New keys, replacing all.
    pub keys: Option<Vec<ResourceKey>>,
    /// Changes to how it is reached.
    pub contact: Option<ContactPatch>,
    /// Settings of configuration providers to change, held to their forms.
    pub provider_values: Option<BTreeMap<String, BTreeMap<String, String>>>,
    /// Parts of its metadata to set.
    pub metadata: MetadataPatch,
}

/// A customer to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewCustomer {
    /// Display name.
    pub name: String,
    /// Who sells to it.
    pub billing_entity_id: BillingEntityId,
    /// What it pays; a plan of its seller.
    pub plan_id: PlanId,
    /// How much it may hold; the default when none.
    pub quota: Option<Quota>,
    /// Keys to set.
    pub keys: Vec<ResourceKey>,
    /// How it is reached.
    #[serde(default)]
    pub contact: Contact,
}

/// Changes to a customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CustomerPatch {
    /// New name.
    pub name: Option<String>,
    /// New status.
    pub status: Option<CustomerStatus>,
    /// New plan.
    pub plan_id: Option<PlanId>,
    /// New quota.
    pub quota: Option<Quota>,
    /// Balance below which a warning is due; the inner none: no warning.
    pub warning_level: Option<Option<Nanos>>,
    /// New keys, replacing all.
    pub keys: Option<Vec<ResourceKey>>,
    /// Changes to how it is reached.
    #[serde(default)]
    pub contact: Option<ContactPatch>,
    /// Settings of configuration providers to change, held to their forms.
    #[serde(default)]
    pub provider_values: Option<BTreeMap<String, BTreeMap<String, String>>>,
    /// Parts of its metadata to set.
    #[serde(default)]
    pub metadata: MetadataPatch,
}

/// A user to create.
#[derive(Clone, Debug, PartialEq)]
pub struct NewUser {
    /// Sign-in name.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Whose staff, or whose customer's seller.
    pub billing_entity_id: BillingEntityId,
    /// The customer, for customers' users.
    pub customer_id: Option<CustomerId>,
    /// What they may do.
    pub role: Role,
    /// argon2id, PHC text form.
    pub password_hash: String,
    /// How they are reached.
    pub contact: Contact,
}

/// Changes to a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserPatch {
    /// New given name.
    pub first_name: Option<String>,
    /// New family name.
    pub last_name: Option<String>,
    /// New role.
    pub role: Option<Role>,
    /// Lock or unlock.
    pub locked: Option<bool>,
    /// New password, hashed.
    pub password_hash: Option<String>,
    /// Changes to how they are reached.
    pub contact: Option<ContactPatch>,
    /// New keys, replacing all.
    pub keys: Option<Vec<ResourceKey>>,
}

/// An API key to create, for the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct NewApiKey {
    /// What it is for.
    pub name: String,
    /// What it may do at most; empty: all that the caller may.
    pub scopes: Vec<Permission>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the secret part, hex.
    pub secret_hash: String,
}

/// A price plan to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewPlan {
    /// Display name.
    pub name: String,
    /// Whose plan.
    pub billing_entity_id: BillingEntityId,
    /// What the prices are in; the seller's currency.
    pub currency: Currency,
    /// One vCPU for an hour.
    pub cpu_hour: Nanos,
    /// One GiB of memory for an hour.
    pub memory_gib_hour: Nanos,
    /// One GiB of disk for an hour.
    pub disk_gib_hour: Nanos,
    /// One unit of billing methods that charge in units.
    pub unit_price: Nanos,
    /// What billing methods of scripts charge for.
    pub charges: Vec<PlanCharge>,
}

/// Changes to a plan. Prices in force when an invoice closes apply to all of its period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanPatch {
    /// New name.
    pub name: Option<String>,
    /// New price of one vCPU for an hour.
    pub cpu_hour: Option<Nanos>,
    /// New price of one GiB of memory for an hour.
    pub memory_gib_hour: Option<Nanos>,
    /// New price of one GiB of disk for an hour.
    pub disk_gib_hour: Option<Nanos>,
    /// New price of one unit.
    pub unit_price: Option<Nanos>,
    /// What billing methods charge for from now on, replacing all.
    pub charges: Option<Vec<PlanCharge>>,
}

/// A script to load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewScript {
    /// Display name.
    pub name: String,
    /// Whose it is.
    pub owner: Scope,
    /// Lua source.
    pub source: String,
    /// Whether its entries run.
    pub enabled: bool,
    /// A failing PRE entry lets the event pass.
    pub fail_open: bool,
}

/// Changes to a script.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScriptPatch {
    /// New source.
    pub source: Option<String>,
    /// Enable or disable.
    pub enabled: Option<bool>,
    /// Hold back its runs, or let them go on.
    pub paused: Option<bool>,
    /// A failing PRE entry lets the event pass.
    pub fail_open: Option<bool>,
    /// The texts of its package, replacing all.
    pub translations: Option<Translations>,
}

/// A run of a script over a past event, without effects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TestRequest {
    /// A text to run in place of the script's newest one.
    pub source: Option<String>,
    /// Which function; may be absent where there is one.
    pub function: Option<String>,
    /// The event's place in the feed; none: the last that fits.
    pub seq: Option<u64>,
}

/// Runs of a script over a past period, without effects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// A text to run in place of the script's newest one.
    pub source: Option<String>,
    /// Events from here.
    pub from: Timestamp,
    /// Where a replay that was not at its end goes on, in place of `from`.
    pub from_seq: Option<u64>,
    /// Events before here; none: until now.
    pub to: Option<Timestamp>,
    /// At most this many runs, up to 1,000.
    pub limit: usize,
}

/// An image to take in.
#[derive(Clone, Debug, PartialEq)]
pub struct NewImage {
    /// Display name.
    pub name: String,
    /// Who publishes it.
    pub billing_entity_id: BillingEntityId,
    /// The customer it belongs to; none: all of the publisher's.
    pub customer_id: Option<CustomerId>,
    /// The file to copy.
    pub file: PathBuf,
    /// Smallest disk it fits on, GiB.
    pub size_gib: u64,
    /// How it boots.
    pub boot: Boot,
    /// Smallest memory it runs in, MiB.
    pub memory_mib_min: u64,
}

/// What an image is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// A server's boot disk.
    Server(ServerId),
    /// A disk.
    Disk(DiskId),
}

/// An image to make of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImageOf {
    /// Its id; a new one unless given.
    pub id: Option<ImageId>,
    /// Display name.
    pub name: String,
    /// What it is made of.
    pub source: ImageSource,
    /// What its customer may do; never more than with what it is made of, which is what it is unless given.
    pub owner_permission: Option<ImagePermission>,
    /// What others may do once it is offered to them; likewise.
    pub user_permission: Option<ImagePermission>,
}

/// Changes to an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagePatch {
    /// What its customer may do; customers only take away.
    pub owner_permission: Option<ImagePermission>,
    /// What others may do to whom it is offered; likewise.
    pub user_permission: Option<ImagePermission>,
    /// New name.
    pub name: Option<String>,
    /// Offer it, or keep it only for the servers made from it.
    pub state: Option<ImageState>,
    /// True: a customer's image is offered to all of its publisher's from now on.
    pub published: Option<bool>,
    /// New keys, replacing all.
    pub keys: Option<Vec<ResourceKey>>,
    /// Parts of its metadata to set.
    pub metadata: MetadataPatch,
}

/// A file to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlob {
    /// Display name.
    pub name: String,
    /// Whose it is where there is no customer.
    pub billing_entity_id: BillingEntityId,
    /// Whose it is; none: the seller's own.
    pub customer_id: Option<CustomerId>,
    /// What it is: `image/png`.
    pub media_type: String,
    /// Whether anybody who knows its id may fetch it.
    pub public: bool,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Changes to a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobPatch {
    /// New name.
    pub name: Option<String>,
    /// New media type.
    pub media_type: Option<String>,
    /// Let everybody fetch it, or only those in whose reach it lies.
    pub public: Option<bool>,
    /// New bytes.
    pub content: Option<Vec<u8>>,
}

/// A fault to order, in simulated mode: of a driver's call, of a step of a job, or of a job, which is its first step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The driver call that fails (`start`, `ensure_disk`), or `*`.
    pub call: Option<String>,
    /// The kind of job that fails (`create_server`).
    pub job: Option<String>,
    /// The step of that job; none: its first.
    pub step: Option<String>,
    /// How many times.
    pub times: u32,
    /// `transient`, `permanent`, `no_space`, `deadline` or `disconnected`; none: only the delay.
    pub error: Option<String>,
    /// Delay before the call, milliseconds.
    pub delay_ms: u64,
}

/// An entity out of service until an operator releases it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Kind of actor.
    pub kind: String,
    /// Which.
    pub id: Uuid,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}
