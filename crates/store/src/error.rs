//! What can go wrong with the store.

use std::path::PathBuf;
use sutler_model::Noun;
use uuid::Uuid;

/// A store error. A variant exists when a caller behaves differently for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The record is not at the version the change set was made from.
    #[error("{noun} {id} is at version {found:?}, not at {expected:?}")]
    Conflict {
        /// Kind of record.
        noun: Noun,
        /// Which.
        id: Uuid,
        /// Version the change set was made from; none: expected to be absent.
        expected: Option<u64>,
        /// Version in the store; none: absent.
        found: Option<u64>,
    },
    /// Another record already holds a value that must be unique.
    #[error("another {noun} already has this {field}")]
    Taken {
        /// Kind of record.
        noun: Noun,
        /// Which unique field, in the words of the API: `name`, `email`.
        field: &'static str,
        /// The record that holds it.
        holder: Uuid,
    },
    /// Free space is below the reserve: reads go on, writes are refused.
    #[error(
        "the disk of the store is nearly full: {free_mib} MiB left, {reserve_mib} MiB are kept in reserve; free some space"
    )]
    DiskFull {
        /// Free space, MiB.
        free_mib: u64,
        /// The reserve, MiB.
        reserve_mib: u64,
    },
    /// Another process holds the store.
    #[error("the store `{path}` is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a Sutler store.
    #[error("`{path}` is not a Sutler store: {detail}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file was written by a newer Sutler.
    #[error(
        "the store `{path}` has schema version {found}, this program knows up to {known}: run the newer program, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest we know.
        known: u32,
    },
    /// The file is damaged.
    #[error("the store `{path}` is damaged: {detail}; restore it with `sutler restore` or `sutler store rebuild`")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A feed position older than the oldest entry kept.
    #[error("feed entries before {oldest} are gone; {asked} was asked for")]
    Trimmed {
        /// The position asked for.
        asked: u64,
        /// The oldest position still there.
        oldest: u64,
    },
    /// The cursor text was not made by us.
    #[error("the cursor is not one this API handed out")]
    BadCursor,
    /// The writer has stopped after an error and takes nothing more.
    #[error("the store has stopped: {0}")]
    Stopped(String),
    /// Reading or writing failed.
    #[error("{attempted}")]
    Io {
        /// What was attempted, on what.
        attempted: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Reading or writing failed while doing what `attempted` says.
    pub(crate) fn io(
        attempted: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Io { attempted: attempted.into(), source: source.into() }
    }
}

/// Names what failed.
pub(crate) trait Attempt<T> {
    /// The value, or [`Error::Io`] that says `attempted`.
    fn attempt(self, attempted: &str) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Attempt<T> for Result<T, E> {
    fn attempt(self, attempted: &str) -> Result<T, Error> {
        self.map_err(|e| Error::io(attempted, e))
    }
}
