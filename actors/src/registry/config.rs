//! The settings of a registry.

use std::{fmt, sync::Arc};

use super::failures::Quarantine;

/// Called once for each entity that goes into quarantine, on a thread that must not block.
pub type OnQuarantine = Arc<dyn Fn(&Quarantine) + Send + Sync>;

/// The settings of a registry.
#[derive(Clone)]
pub struct Config {
    /// How long an entity stays awake after its last message or background future, in milliseconds.
    pub idle_ms: u64,
    /// How many crashes within [`Config::window_ms`] are answered by a restart; one more is a quarantine.
    pub restarts: usize,
    /// How far back crashes count, in milliseconds.
    pub window_ms: u64,
    /// The wait before the first restart, in milliseconds; it doubles with each further crash in the window.
    pub back_off_ms: u64,
    /// The longest wait before a restart, in milliseconds.
    pub back_off_max_ms: u64,
    /// How long an ask, a load and a stop may take, in milliseconds.
    pub ask_timeout_ms: u64,
    /// Above this number of awake entities the least recently used idle ones sleep at once. Soft: nothing is refused,
    /// and an entity that is not idle stays awake.
    pub max_awake: usize,
    /// Announces quarantines.
    pub on_quarantine: Option<OnQuarantine>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle_ms: 60_000,
            restarts: 5,
            window_ms: 60_000,
            back_off_ms: 50,
            back_off_max_ms: 10_000,
            ask_timeout_ms: 30_000,
            // About 300 MB of the smallest entities.
            max_awake: 200_000,
            on_quarantine: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("idle_ms", &self.idle_ms)
            .field("restarts", &self.restarts)
            .field("window_ms", &self.window_ms)
            .field("back_off_ms", &self.back_off_ms)
            .field("back_off_max_ms", &self.back_off_max_ms)
            .field("ask_timeout_ms", &self.ask_timeout_ms)
            .field("max_awake", &self.max_awake)
            .finish_non_exhaustive()
    }
}
