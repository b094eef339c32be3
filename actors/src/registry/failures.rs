//! What is remembered of entities that crashed: when to restart them, and when to give up.

use std::time::{Duration, Instant, SystemTime};

use rand::Rng;
use uuid::Uuid;

use super::config::Config;

/// An entity that crashed too often and is not restarted until it is released.
#[derive(Clone, Debug)]
pub struct Quarantine {
    /// The kind of the entity, as in [`Entity::KIND`](super::Entity::KIND).
    pub kind: &'static str,
    /// Which entity.
    pub id: Uuid,
    /// What the last crash said.
    pub reason: String,
    /// When it crashed last.
    pub since: SystemTime,
}

/// The crashes of one entity. Kept beside the map of the living, because it outlasts activations.
#[derive(Default)]
pub(super) struct Crashes {
    /// Oldest first, none older than the window at the time of the last crash.
    at: Vec<Instant>,
    restart_at: Option<Instant>,
    quarantine: Option<Quarantine>,
}

/// Whether an entity may be activated.
pub(super) enum Verdict {
    /// It may; `true` when this is the restart after a crash.
    Go(bool),
    /// Not before the back-off is over.
    Wait(Instant),
    /// It is in quarantine, for this reason.
    Refuse(String),
}

impl Crashes {
    /// Notes a crash; the quarantine when this was one too many.
    pub(super) fn note(
        &mut self,
        now: Instant,
        config: &Config,
        quarantine: impl FnOnce() -> Quarantine,
    ) -> Option<Quarantine> {
        let window = Duration::from_millis(config.window_ms);
        self.at.retain(|&at| now.duration_since(at) < window);
        self.at.push(now);
        if self.at.len() > config.restarts {
            self.quarantine = Some(quarantine());
            return self.quarantine.clone();
        }
        let longest_ms = back_off_ms(self.at.len(), config);
        // Half of the wait is drawn, so that entities that fell together do not rise together.
        let wait_ms = rand::rng().random_range(longest_ms / 2..=longest_ms);
        self.restart_at = Some(now + Duration::from_millis(wait_ms));
        None
    }

    /// Whether the entity may be activated at `now`.
    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        if let Some(quarantine) = &self.quarantine {
            return Verdict::Refuse(quarantine.reason.clone());
        }
        match self.restart_at {
            Some(at) if at > now => Verdict::Wait(at),
            due => {
                self.restart_at = None;
                Verdict::Go(due.is_some())
            }
        }
    }

    pub(super) fn quarantine(&self) -> Option<&Quarantine> {
        self.quarantine.as_ref()
    }

    /// Whether nothing of it counts any more at `now`.
    pub(super) fn forgotten(&self, now: Instant, window: Duration) -> bool {
        self.quarantine.is_none()
            && self.restart_at.is_none_or(|at| at <= now)
            && self.at.iter().all(|&at| now.duration_since(at) >= window)
    }
}

/// The longest wait before the restart after the `crashes`-th crash in a row.
fn back_off_ms(crashes: usize, config: &Config) -> u64 {
    let doublings = u32::try_from(crashes.saturating_sub(1)).unwrap_or(u32::MAX);
    let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
    config.back_off_ms.saturating_mul(factor).min(config.back_off_max_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { restarts: 2, window_ms: 1_000, back_off_ms: 100, back_off_max_ms: 350, ..Config::default() }
    }

    fn quarantine() -> Quarantine {
        Quarantine { kind: "test", id: Uuid::nil(), reason: "why".into(), since: SystemTime::now() }
    }

    #[test]
    fn the_back_off_doubles_up_to_its_limit() {
        let waits: Vec<_> = [1, 2, 3, 64, 65, usize::MAX].map(|crashes| back_off_ms(crashes, &config())).into();
        assert_eq!(waits, [100, 200, 350, 350, 350, 350]);
    }

    #[test]
    fn a_crash_is_waited_out_and_its_restart_is_told_once() {
        let (mut crashes, now) = (Crashes::default(), Instant::now());
        assert!(crashes.note(now, &config(), quarantine).is_none());
        let Verdict::Wait(at) = crashes.judge(now) else { panic!("no back-off") };
        assert!((50..=100).contains(&at.duration_since(now).as_millis()));
        assert!(matches!(crashes.judge(at), Verdict::Go(true)));
        assert!(matches!(crashes.judge(at), Verdict::Go(false)));
    }

    #[test]
    fn only_crashes_within_the_window_add_up_to_a_quarantine() {
        let (mut crashes, start) = (Crashes::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        for ms in [0, 600, 1_200, 1_800] {
            assert!(crashes.note(after(ms), &config(), quarantine).is_none(), "at {ms} ms");
        }
        assert!(crashes.note(after(1_900), &config(), quarantine).is_some());
        assert!(matches!(crashes.judge(after(100_000)), Verdict::Refuse(reason) if reason == "why"));
        assert!(!crashes.forgotten(after(100_000), Duration::from_secs(1)));
    }

    #[test]
    fn a_crash_older_than_the_window_is_forgotten() {
        let (mut crashes, start) = (Crashes::default(), Instant::now());
        crashes.note(start, &config(), quarantine);
        let window = Duration::from_secs(1);
        assert!(!crashes.forgotten(start + window / 2, window));
        assert!(crashes.forgotten(start + window, window));
    }
}
