//! Each owner's share of the Lua threads: so much CPU time a second, saved up for a minute. What is used up delays the
//! owner's POST and scheduled runs, never anybody else's, and loses none. The provider has no limit.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use sutler_model::Scope;
use uuid::Uuid;

/// How much of its share an owner can save up.
const SAVED: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Budgets {
    /// Microseconds of CPU time for each second.
    share_us: u64,
    /// By the owner's id: what it has left, in microseconds, and when that was so.
    left: Mutex<HashMap<Uuid, (f64, Instant)>>,
}

impl Budgets {
    pub(super) fn new(share_ms: u64) -> Self {
        Self { share_us: share_ms.max(1).saturating_mul(1000), left: Mutex::default() }
    }

    /// Waits until the owner has something left.
    pub(super) async fn turn(&self, owner: Scope) {
        let Some(id) = key(owner) else { return };
        loop {
            let wait = self.wait(id);
            if wait.is_zero() {
                return;
            }
            metrics::counter!("sutler_trigger_budget_waits_total").increment(1);
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes what a run used.
    pub(super) fn charge(&self, owner: Scope, used_us: u64) {
        let Some(id) = key(owner) else { return };
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (saved, at) = left.entry(id).or_insert((self.most(), now));
        #[allow(clippy::cast_precision_loss)]
        let used = used_us as f64;
        *saved = self.refilled(*saved, *at, now) - used;
        *at = now;
    }

    #[allow(clippy::cast_precision_loss)]
    fn most(&self) -> f64 {
        self.share_us as f64 * SAVED.as_secs_f64()
    }

    #[allow(clippy::cast_precision_loss)]
    fn refilled(&self, saved: f64, at: Instant, now: Instant) -> f64 {
        (saved + (now - at).as_secs_f64() * self.share_us as f64).min(self.most())
    }

    #[allow(clippy::cast_precision_loss)]
    fn wait(&self, id: Uuid) -> Duration {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((saved, at)) = left.get(&id) else { return Duration::ZERO };
        let owed = -self.refilled(*saved, *at, Instant::now());
        if owed <= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(owed / self.share_us as f64) }
    }
}

fn key(owner: Scope) -> Option<Uuid> {
    match owner {
        Scope::Provider => None,
        Scope::Entity(id) => Some(id.0),
        Scope::Customer(id) => Some(id.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::CustomerId;

    fn owner(n: u128) -> Scope {
        Scope::Customer(CustomerId(Uuid::from_u128(n)))
    }

    #[test]
    fn who_used_up_a_share_waits_and_nobody_else_does() {
        let budgets = Budgets::new(100);
        let wait = |owner| key(owner).map_or(Duration::ZERO, |id| budgets.wait(id));
        assert_eq!(wait(owner(1)), Duration::ZERO);
        budgets.charge(owner(1), 6_000_000);
        // All that was saved up is gone; half a second of Lua more is five seconds of the share.
        budgets.charge(owner(1), 500_000);
        budgets.charge(Scope::Provider, u64::MAX);
        let owed = wait(owner(1));
        assert!(owed <= Duration::from_secs(5) && owed > Duration::from_secs(1), "{owed:?}");
        assert_eq!((wait(owner(2)), wait(Scope::Provider)), (Duration::ZERO, Duration::ZERO));
    }
}
