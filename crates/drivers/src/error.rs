//! What can go wrong outside.

/// A driver's answer.
pub type Result<T> = std::result::Result<T, Error>;

/// A driver error. A variant exists when a caller behaves differently for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// May succeed later: try again.
    #[error("{attempted} (may be tried again)")]
    Transient {
        /// What was attempted, on what.
        attempted: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The call ran into its deadline; the node is to be held unresponsive. May or may not have had its effect.
    #[error("{attempted}: no answer in {deadline_ms} ms")]
    Deadline {
        /// What was attempted, on what.
        attempted: String,
        /// The deadline, milliseconds.
        deadline_ms: u64,
    },
    /// The connection to the node is lost; it is being made anew.
    #[error("{attempted}: not connected to the node")]
    Disconnected {
        /// What was attempted, on what.
        attempted: String,
    },
    /// Will not succeed by trying again.
    #[error("{attempted}")]
    Permanent {
        /// What was attempted, on what.
        attempted: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What was given is not an image; the text is fit for the customer.
    #[error("not a usable image: {0}")]
    NotAnImage(String),
    /// No room left.
    #[error("{attempted}: no space left")]
    NoSpace {
        /// What was attempted, on what.
        attempted: String,
    },
}

/// A cause of any kind.
type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    /// A failure that may pass.
    pub(crate) fn transient(attempted: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Transient { attempted: attempted.into(), source: Some(source.into()) }
    }

    /// A failure that stays.
    pub(crate) fn permanent(attempted: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Permanent { attempted: attempted.into(), source: Some(source.into()) }
    }

    /// What a failed system call means to a caller.
    pub(crate) fn from_io(attempted: String, e: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        match e.kind() {
            K::StorageFull | K::QuotaExceeded => Self::NoSpace { attempted },
            K::NotFound
            | K::PermissionDenied
            | K::ReadOnlyFilesystem
            | K::InvalidInput
            | K::NotADirectory
            | K::IsADirectory
            | K::FileTooLarge => Self::permanent(attempted, e),
            _ => Self::transient(attempted, e),
        }
    }

    /// Whether trying again makes sense.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Deadline { .. } | Self::Disconnected { .. })
    }
}
