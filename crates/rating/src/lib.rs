//! From state changes to intervals, from intervals to invoice lines: pure, exact arithmetic.
//!
//! Nothing here reads a clock, does I/O or touches a floating-point number. [`meters`] turns the changes of servers and
//! disks into intervals of use; [`Bill`] adds intervals up to lines, each rounded once; [`explain`] says a line in words.

mod bill;
mod explain;
pub mod meters;

pub use bill::{Bill, Period, rate};
pub use explain::{duration, line as explain, quantity};

use sutler_model::{Meter, Timestamp, money};
use uuid::Uuid;

/// Why usage cannot be rated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The period ends before it begins.
    #[error("the period ends at {to}, before it begins at {from}")]
    Period {
        /// Its first moment.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// A sum or an amount does not fit its type.
    #[error("adding up {} of `{resource_id}`: the amount is too large", .meter.name())]
    TooLarge {
        /// The server or disk.
        resource_id: Uuid,
        /// What was counted.
        meter: Meter,
    },
    /// The lines do not add up within the range of an amount.
    #[error("adding up the lines of a bill")]
    Total(#[source] money::Error),
}
