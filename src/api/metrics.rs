//! `/metrics` in Prometheus' text format.
//!
//! Counters and histograms are recorded where things happen, through the `metrics` crate; what is a state rather than an
//! event (records, guests, capacity) is read when asked for.

use super::{Api, Peer, Shared, common::Answer, problem::Problem};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, Method, header},
    response::IntoResponse,
};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::{sync::Arc, time::Duration};
use sutler_model::{JobState, Kvm, Node, Noun, Permission, ServerState};
use sutler_store::{Field, Filter, Store};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Half a millisecond to ten seconds: from an in-memory page to a slow driver.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Change sets in one commit.
const SIZES: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0];

/// Installs the process's recorder. Once, before anything records.
///
/// # Errors
/// A recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    use metrics_exporter_prometheus::Matcher;
    let handle = PrometheusBuilder::new()
        .set_buckets(&SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &SIZES)?
        .install_recorder()?;
    sutler_store::describe_metrics();
    describe_histogram!("sutler_http_request_seconds", Unit::Seconds, "Time to answer a request, by route");
    describe_gauge!("sutler_http_connections", "Open connections");
    describe_counter!("sutler_http_panics_total", "Handlers that panicked");
    describe_gauge!("sutler_records", "Live records in the store, by noun");
    describe_gauge!("sutler_servers", "Servers by state");
    describe_gauge!("sutler_jobs_unfinished", "Unfinished jobs by state");
    describe_gauge!("sutler_trigger_runs_pending", "Trigger runs that wait or are retried");
    describe_gauge!("sutler_store_oldest_seq", "Oldest position kept of the change feed");
    describe_gauge!("sutler_follower_seq", "Last position of the change feed that is safe in the continuous copy");
    describe_gauge!("sutler_node_up", "Whether a node answers");
    describe_gauge!("sutler_node_cpus", "CPUs a node gives to guests");
    describe_gauge!("sutler_node_memory_bytes", Unit::Bytes, "Memory a node gives to guests");
    describe_gauge!("sutler_node_guests", "Servers placed on a node");
    describe_gauge!("sutler_node_kvm_usable", "Whether the self-test found that KVM works");
    describe_gauge!("sutler_build_info", "The program's version");
    gauge!("sutler_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Folds what was recorded into the histograms from time to time, so that memory stays bounded without a reader.
pub async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.run_upkeep();
    }
}

/// Records an answered request. `route` is the template, so the number of series is bounded.
pub fn answered(route: &str, method: &Method, status: u16, took: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let class = match status {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    histogram!("sutler_http_request_seconds", "route" => route.to_owned(), "method" => method, "status" => class)
        .record(took.as_secs_f64());
}

/// The route of metrics, outside `/api/v1`.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_metrics))
}

/// Read the metrics.
///
/// From the host itself without a credential; from elsewhere with one that may read as an operator.
#[utoipa::path(get, path = "/metrics", tag = "operation", security((), ("token" = [])),
    responses((status = 200, description = "Prometheus' text format.", content_type = "text/plain", body = String)))]
async fn show_metrics(State(api): State<Arc<Api>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Answer {
    // What a proxy on this host passes on does not come from this host.
    let passed_on = headers.contains_key(header::FORWARDED) || headers.contains_key("x-forwarded-for");
    let local = peer.address.ip().to_canonical().is_loopback() && !passed_on;
    if !local || headers.contains_key(header::AUTHORIZATION) {
        let (caller, _) = api.auth.check(api.store(), &headers).await?;
        caller.must(Permission::OperatorRead)?;
    }
    states(api.store()).await?;
    let text = api.metrics.render();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Sets the gauges that show a state.
async fn states(store: &Store) -> Result<(), Problem> {
    let stats = store.stats();
    gauge!("sutler_store_oldest_seq").set(stats.oldest_seq as f64);
    for (noun, count) in stats.records {
        gauge!("sutler_records", "noun" => noun.name()).set(count as f64);
    }
    let index = store.index();
    for state in ServerState::ALL {
        let count = index.count(Noun::Server, Field::State, state.name().as_bytes());
        gauge!("sutler_servers", "state" => state.name()).set(count as f64);
    }
    for state in [JobState::NotStarted, JobState::InProgress, JobState::Waiting, JobState::Undoing] {
        let count = index.count(Noun::Job, Field::State, state.name().as_bytes());
        gauge!("sutler_jobs_unfinished", "state" => state.name()).set(count as f64);
    }
    gauge!("sutler_trigger_runs_pending").set(index.count(Noun::ScriptRun, Field::Pending, b"1") as f64);
    let nodes = store.read(|s| s.all(Filter::<Node>::new())).await?;
    for node in nodes {
        let guests = index.count(Noun::Server, Field::Node, node.id.0.as_bytes());
        let up = node.state != sutler_model::NodeState::Unresponsive;
        for (name, value) in [
            ("sutler_node_up", f64::from(u8::from(up))),
            ("sutler_node_cpus", f64::from(node.cpus)),
            ("sutler_node_memory_bytes", node.memory_mib as f64 * 1_048_576.0),
            ("sutler_node_guests", guests as f64),
            ("sutler_node_kvm_usable", f64::from(u8::from(node.kvm == Kvm::Usable))),
        ] {
            gauge!(name, "node" => node.name.clone()).set(value);
        }
    }
    Ok(())
}
