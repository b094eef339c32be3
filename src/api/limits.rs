//! Rate limits: one bucket for each address and credential, in bounded memory.
//!
//! The generic cell rate algorithm keeps one moment for each key (when its bucket will be full again), so that a key
//! whose moment has passed can be forgotten without losing anything.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Most keys one limiter remembers; beyond it, those with full buckets are forgotten, then new ones share a bucket.
const KEYS_MAX: usize = 50_000;

/// Lets each key through `per_second` times a second, with bursts.
pub struct Limiter<K> {
    interval: Duration,
    tolerance: Duration,
    keys: Mutex<State<K>>,
}

struct State<K> {
    full_at: HashMap<K, Instant>,
    others_full_at: Option<Instant>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// `rate` requests each `per`, at most `burst` at once.
    pub fn new(rate: u32, per: Duration, burst: u32) -> Self {
        let interval = per / rate.max(1);
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.max(1)),
            keys: Mutex::new(State { full_at: HashMap::new(), others_full_at: None }),
        }
    }

    /// Takes one from the bucket of `key`.
    ///
    /// # Errors
    /// How long to wait when the bucket is empty.
    pub fn take(&self, key: K) -> Result<(), Duration> {
        self.take_at(key, Instant::now())
    }

    fn take_at(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut state = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if state.full_at.len() >= KEYS_MAX && !state.full_at.contains_key(&key) {
            state.full_at.retain(|_, full_at| *full_at > now);
        }
        let known = state.full_at.get(&key).copied();
        let shared = known.is_none() && state.full_at.len() >= KEYS_MAX;
        let before = if shared { state.others_full_at } else { known };
        let full_at = before.map_or(now, |at| at.max(now)) + self.interval;
        let ahead = full_at.saturating_duration_since(now);
        if ahead > self.tolerance {
            return Err(ahead - self.tolerance);
        }
        if shared {
            state.others_full_at = Some(full_at);
        } else {
            state.full_at.insert(key, full_at);
        }
        Ok(())
    }
}

/// The address that counts: an IPv6 customer holds a /64, so that is what one bucket is for.
pub fn bucket_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let limiter = Limiter::new(10, Duration::from_secs(1), 3);
        let now = Instant::now();
        for _ in 0..3 {
            limiter.take_at("a", now).unwrap();
        }
        assert_eq!(limiter.take_at("a", now), Err(Duration::from_millis(100)));
        limiter.take_at("b", now).unwrap();
        limiter.take_at("a", now + Duration::from_millis(100)).unwrap();
        assert!(limiter.take_at("a", now + Duration::from_millis(150)).is_err());
    }

    #[test]
    fn memory_is_bounded_and_strangers_share_what_is_left() {
        let limiter = Limiter::new(1, Duration::from_secs(1), 1);
        let now = Instant::now();
        for key in 0..KEYS_MAX {
            limiter.take_at(key, now).unwrap();
        }
        limiter.take_at(KEYS_MAX, now).unwrap();
        assert!(limiter.take_at(KEYS_MAX + 1, now).is_err(), "the shared bucket is empty");
        assert_eq!(limiter.keys.lock().unwrap().full_at.len(), KEYS_MAX);
        limiter.take_at(KEYS_MAX + 1, now + Duration::from_secs(2)).unwrap();
        assert_eq!(limiter.keys.lock().unwrap().full_at.len(), 1, "full buckets are forgotten");
    }

    #[test]
    fn a_whole_ipv6_network_is_one_address() {
        let of = |text: &str| bucket_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
