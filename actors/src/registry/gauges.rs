//! The metrics of one registry.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Handles resolved once, since looking one up costs more than a turn.
pub(super) struct Gauges {
    pub(super) awake: Gauge,
    pub(super) quarantined: Gauge,
    pub(super) depth: Gauge,
    pub(super) restarts: Counter,
    pub(super) activations: Counter,
    pub(super) panics: Counter,
}

impl Gauges {
    pub(super) fn new(kind: &'static str) -> Self {
        describe_gauge!("sutler_actors_awake", "Actors in memory, by kind.");
        describe_gauge!(
            "sutler_actors_quarantined",
            "Entities that crashed too often and wait for an operator, by kind."
        );
        describe_gauge!("sutler_mailbox_depth", "Work pending at the busiest actor at the last sweep, by kind.");
        describe_counter!("sutler_actor_restarts_total", "Activations that followed a crash, by kind.");
        describe_counter!("sutler_actor_activations_total", "Actors loaded from the store, by kind.");
        describe_counter!("sutler_actor_panics_total", "Panics caught in actors and their loads, by kind.");
        Self {
            awake: gauge!("sutler_actors_awake", "kind" => kind),
            quarantined: gauge!("sutler_actors_quarantined", "kind" => kind),
            depth: gauge!("sutler_mailbox_depth", "kind" => kind),
            restarts: counter!("sutler_actor_restarts_total", "kind" => kind),
            activations: counter!("sutler_actor_activations_total", "kind" => kind),
            panics: counter!("sutler_actor_panics_total", "kind" => kind),
        }
    }
}
