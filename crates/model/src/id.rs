//! Ids as types, so that a disk's id can never be passed where a server's is meant.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The kinds of record the store holds. Stored by number: append, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[repr(u8)]
pub enum Noun {
    /// [`crate::BillingEntity`]
    BillingEntity = 1,
    /// [`crate::Customer`]
    Customer = 2,
    /// [`crate::User`]
    User = 3,
    /// [`crate::ApiKey`]
    ApiKey = 4,
    /// [`crate::Session`]
    Session = 5,
    /// [`crate::Plan`]
    Plan = 6,
    /// [`crate::Node`]
    Node = 7,
    /// [`crate::Image`]
    Image = 8,
    /// [`crate::Server`]
    Server = 9,
    /// [`crate::Disk`]
    Disk = 10,
    /// [`crate::Job`]
    Job = 11,
    /// [`crate::Script`]
    Script = 12,
    /// [`crate::ScriptRun`]
    ScriptRun = 13,
    /// [`crate::Interval`]
    Interval = 14,
    /// [`crate::Invoice`]
    Invoice = 15,
    /// [`crate::Receipt`]
    Receipt = 16,
    /// [`crate::ScriptRevision`]
    ScriptRevision = 17,
    /// [`crate::Notice`]
    Notice = 18,
    /// [`crate::Blob`]
    Blob = 19,
    /// [`crate::Datum`]
    Datum = 20,
    /// [`crate::PluggableResource`]
    PluggableResource = 21,
    /// [`crate::Measurement`]
    Measurement = 22,
    /// [`crate::PaymentMethod`]
    PaymentMethod = 23,
    /// [`crate::PaymentInstance`]
    PaymentInstance = 24,
    /// [`crate::Transaction`]
    Transaction = 25,
    /// [`crate::BlobContent`]
    BlobContent = 26,
    /// [`crate::Remains`]
    Remains = 27,
}

impl Noun {
    /// Every noun, in stored order.
    pub const ALL: [Noun; 27] = [
        Noun::BillingEntity,
        Noun::Customer,
        Noun::User,
        Noun::ApiKey,
        Noun::Session,
        Noun::Plan,
        Noun::Node,
        Noun::Image,
        Noun::Server,
        Noun::Disk,
        Noun::Job,
        Noun::Script,
        Noun::ScriptRun,
        Noun::Interval,
        Noun::Invoice,
        Noun::Receipt,
        Noun::ScriptRevision,
        Noun::Notice,
        Noun::Blob,
        Noun::Datum,
        Noun::PluggableResource,
        Noun::Measurement,
        Noun::PaymentMethod,
        Noun::PaymentInstance,
        Noun::Transaction,
        Noun::BlobContent,
        Noun::Remains,
    ];

    /// The largest number a noun is stored under.
    pub const MAX: usize = Self::ALL[Self::ALL.len() - 1] as usize;

    /// The word that programs read, in events and metrics: `server`, `billing_entity`. [`Display`](fmt::Display) says it for people:
    /// `billing entity`.
    pub const fn name(self) -> &'static str {
        match self {
            Noun::BillingEntity => "billing_entity",
            Noun::Customer => "customer",
            Noun::User => "user",
            Noun::ApiKey => "api_key",
            Noun::Session => "session",
            Noun::Plan => "plan",
            Noun::Node => "node",
            Noun::Image => "image",
            Noun::Server => "server",
            Noun::Disk => "disk",
            Noun::Job => "job",
            Noun::Script => "script",
            Noun::ScriptRun => "script_run",
            Noun::Interval => "interval",
            Noun::Invoice => "invoice",
            Noun::Receipt => "receipt",
            Noun::ScriptRevision => "script_revision",
            Noun::Notice => "notice",
            Noun::Blob => "blob",
            Noun::Datum => "datum",
            Noun::PluggableResource => "pluggable_resource",
            Noun::Measurement => "measurement",
            Noun::PaymentMethod => "payment_method",
            Noun::PaymentInstance => "payment_instance",
            Noun::Transaction => "transaction",
            Noun::BlobContent => "blob_content",
            Noun::Remains => "remains",
        }
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident => $noun:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The kind of record this id names.
            pub const NOUN: Noun = Noun::$noun;

            /// An id whose order is the order of creation (UUID version 7, RFC 9562).
            /// `at_ms` is milliseconds since the epoch; `random` fills the other 74 bits.
            pub fn new(at_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(at_ms, &random).into_uuid())
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// Who sells: a node of the tree provider → resellers.
    BillingEntityId => BillingEntity,
    /// An account that owns resources and is invoiced.
    CustomerId => Customer,
    /// A person who signs in.
    UserId => User,
    /// A key for programs.
    ApiKeyId => ApiKey,
    /// One sign-in.
    SessionId => Session,
    /// A price plan.
    PlanId => Plan,
    /// A hypervisor.
    NodeId => Node,
    /// A guest image.
    ImageId => Image,
    /// A virtual server.
    ServerId => Server,
    /// A disk.
    DiskId => Disk,
    /// A durable unit of work.
    JobId => Job,
    /// A Lua code block.
    ScriptId => Script,
    /// One run of a script's entry.
    RunId => ScriptRun,
    /// An invoice.
    InvoiceId => Invoice,
    /// A remembered answer.
    ReceiptId => Receipt,
    /// A text that a script had.
    RevisionId => ScriptRevision,
    /// A resource of a kind that a script adds.
    PluggableResourceId => PluggableResource,
    /// Something that happened.
    NoticeId => Notice,
    /// Something a script keeps.
    DatumId => Datum,
    /// A way to be paid.
    PaymentMethodId => PaymentMethod,
    /// What a customer pays with.
    PaymentInstanceId => PaymentInstance,
    /// Something asked of a payment provider.
    TransactionId => Transaction,
    /// A file that scripts bring along.
    BlobId => Blob,
    /// The bytes of one.
    BlobContentId => BlobContent,
    /// What is kept of a resource that is gone.
    RemainsId => Remains,
}

impl RunId {
    /// The time in it, which is that of the event that set the run off.
    pub fn event_at(self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
        let ms = seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000));
        Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
    }
}
