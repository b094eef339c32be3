//! How soon a run makes way for others.

use std::time::Duration;

/// When a run makes way, and how long it may go on where it cannot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long a run that does not wait keeps its thread to itself, at least; twice as long and a tick at most.
    pub turn: Duration,
    /// Looks in one turn before a run makes way, at least one, so that it goes on by a step in each.
    pub looks: u32,
    /// How long a run may go on, by its thread's own time, where it cannot make way: in a metamethod or a search by a pattern.
    /// Others of its thread wait so long.
    pub held: Duration,
}

impl Pace {
    const USUAL: Self = Self { turn: Duration::from_millis(3), looks: 1, held: Duration::from_millis(200) };

    /// That of this thread's runs.
    #[cfg(not(test))]
    pub fn current() -> Self {
        Self::USUAL
    }
}

/// In tests of this crate's own, runs count steps instead.
#[cfg(test)]
mod set {
    use super::Pace;
    use std::{cell::Cell, time::Duration};

    thread_local! {
        static PACE: Cell<Pace> = const { Cell::new(Pace { turn: Duration::ZERO, looks: 37, ..Pace::USUAL }) };
    }

    impl Pace {
        pub fn current() -> Self {
            PACE.get()
        }

        /// Has the runs of this thread make way after so many steps from now on; none: never.
        pub fn set(looks: Option<u32>) {
            let (turn, looks) = looks.map_or((Duration::MAX, u32::MAX), |looks| (Duration::ZERO, looks));
            PACE.set(Pace { turn, looks, held: Duration::MAX });
        }
    }
}
