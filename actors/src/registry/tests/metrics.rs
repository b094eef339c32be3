//! What the registry tells of itself.

use super::{Busy, Panic, fixture, until};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Keeps the last value of each metric, by name.
#[derive(Default)]
struct Recorder(Mutex<HashMap<String, Arc<AtomicU64>>>, AtomicUsize);

impl Recorder {
    fn cell(&self, key: &metrics::Key) -> Arc<AtomicU64> {
        let kind = key.labels().map(|label| format!("{{{}={}}}", label.key(), label.value())).collect::<String>();
        self.0.lock().unwrap().entry(format!("{}{kind}", key.name())).or_default().clone()
    }

    fn raw(&self, name: &str) -> u64 {
        self.0.lock().unwrap()[&format!("{name}{{kind=tally}}")].load(Ordering::SeqCst)
    }

    fn gauge(&self, name: &str) -> u64 {
        f64::from_bits(self.raw(name)) as u64
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        metrics::Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

#[tokio::test]
async fn the_metrics_count_activations_panics_restarts_and_quarantines() {
    let recorder = Recorder::default();
    let f = metrics::with_local_recorder(&recorder, || fixture(|config| (config.restarts, config.idle_ms) = (1, 20)));
    let (steady, failing) = (f.record(), f.record());
    f.registry.ask(steady, Busy(true)).await.unwrap();
    let release = f.hold(steady).await;
    for _ in 0..2 {
        assert!(f.registry.ask(failing, Panic).await.is_err());
    }
    until("a sweep saw the turn", || recorder.gauge("sutler_mailbox_depth") == 1).await;
    drop(release);
    assert_eq!(recorder.gauge("sutler_actors_awake"), 1);
    assert_eq!(recorder.gauge("sutler_actors_quarantined"), 1);
    assert_eq!(recorder.raw("sutler_actor_activations_total"), 3);
    assert_eq!(recorder.raw("sutler_actor_restarts_total"), 1);
    assert_eq!(recorder.raw("sutler_actor_panics_total"), 2);
    assert!(f.registry.release(failing));
    assert_eq!(recorder.gauge("sutler_actors_quarantined"), 0);
    assert_eq!(recorder.1.load(Ordering::SeqCst), 6, "each metric is described");
}
