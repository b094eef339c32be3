//! Faults on request.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What the next matching calls suffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Name of the driver's method, such as `start` or `ensure_disk`; `*` is any. Whoever else suffers faults names
    /// what it does with a slash in it, which no `*` reaches.
    pub call: String,
    /// How many calls suffer it.
    pub times: u32,
    /// How they fail; none: they only take longer.
    pub error: Option<FaultError>,
    /// How much longer they take.
    pub delay_ms: u64,
    /// They do nothing and run into their deadline.
    pub hang: bool,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultError {
    /// Did nothing; may succeed later.
    Transient,
    /// Did nothing; never will.
    Permanent,
    /// Did nothing: no room.
    NoSpace,
    /// **Did its work**, and the answer was lost: the case that shows whether a step can be repeated.
    Deadline,
    /// Did nothing: not connected.
    Disconnected,
}

impl std::fmt::Display for FaultError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::NoSpace => "no_space",
            Self::Deadline => "deadline",
            Self::Disconnected => "disconnected",
        })
    }
}

impl std::str::FromStr for FaultError {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Ok(match text {
            "transient" => Self::Transient,
            "permanent" => Self::Permanent,
            "no_space" => Self::NoSpace,
            "deadline" => Self::Deadline,
            "disconnected" => Self::Disconnected,
            _ => return Err("must be `transient`, `permanent`, `no_space`, `deadline` or `disconnected`".into()),
        })
    }
}

/// The calls a fault can name.
pub(super) const CALLS: [&str; 24] = [
    "define",
    "start",
    "stop",
    "reset",
    "undefine",
    "see",
    "see_all",
    "stats",
    "console",
    "capacity",
    "test_kvm",
    "ensure_disk",
    "delete_disk",
    "list_disks",
    "ensure_seed",
    "delete_seed",
    "import_image",
    "capture_image",
    "share_image",
    "delete_image",
    "space",
    "ensure_nic",
    "remove_nics",
    "addresses",
];

impl Fault {
    /// Whether `call` names a driver call, or any.
    pub fn is_known_call(call: &str) -> bool {
        call == "*" || CALLS.contains(&call)
    }
}

/// Faults that are still to be suffered.
#[derive(Default)]
pub(super) struct Faults {
    /// Spares the lock on every call of a world without faults.
    any: AtomicBool,
    list: Mutex<Vec<Fault>>,
}

/// What one call suffers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suffering {
    /// How much longer it takes.
    pub delay: Duration,
    pub(super) hang: bool,
    pub(super) error: Option<FaultError>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(fault);
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn left(&self) -> Vec<Fault> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter(|fault| fault.times > 0).cloned().collect()
    }

    pub(super) fn clear(&self) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.clear();
        self.any.store(false, Ordering::Release);
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Takes the first fault that matches, once.
    pub(super) fn take(&self, call: &str) -> Suffering {
        if !self.any() {
            return Suffering::default();
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|f| f.times > 0);
        let found = list.iter_mut().find(|f| f.call == call || (f.call == "*" && !call.contains('/'))).map(|f| {
            f.times -= 1;
            Suffering { delay: Duration::from_millis(f.delay_ms), hang: f.hang, error: f.error }
        });
        self.any.store(!list.is_empty(), Ordering::Release);
        found.unwrap_or_default()
    }
}

impl Suffering {
    /// The failure that comes instead of the work.
    ///
    /// # Errors
    /// The one asked for.
    pub fn before(&self, attempted: impl Fn() -> String) -> Result<()> {
        let asked_for = || Some("a fault was asked for".into());
        match self.error {
            None | Some(FaultError::Deadline) => Ok(()),
            Some(FaultError::Transient) => Err(Error::Transient { attempted: attempted(), source: asked_for() }),
            Some(FaultError::Permanent) => Err(Error::Permanent { attempted: attempted(), source: asked_for() }),
            Some(FaultError::NoSpace) => Err(Error::NoSpace { attempted: attempted() }),
            Some(FaultError::Disconnected) => Err(Error::Disconnected { attempted: attempted() }),
        }
    }
    /// The failure that comes though the work was done.
    ///
    /// # Errors
    /// [`Error::Deadline`], when that was asked for.
    pub fn after(&self, attempted: impl Fn() -> String, deadline: Duration) -> Result<()> {
        if self.error != Some(FaultError::Deadline) {
            return Ok(());
        }
        Err(Error::Deadline {
            attempted: attempted(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
