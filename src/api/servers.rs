//! Servers: lists, records, actions. Everything that takes time answers with a job.

use super::{
    Api, Shared,
    common::{Answer, find, folded, hide_keys, words, wrong, yes},
    extract::{Id, IfMatch, Input, Key, Params, Who},
    jobs::JobView,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, key},
    reply,
};
use axum::{extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::{ActionAsked, Caller, Error, ServerAction, ServerPatch};
use sutler_model::{
    BillingEntityId, CustomerId, ImageId, NodeId, Noun, Permission, ResourceKey, ResourceMetadata, Server, ServerId,
    ServerState, Timestamp, server::NewServer,
};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_servers, create_server))
        .routes(routes!(show_server, update_server, delete_server))
        .routes(routes!(act_on_server))
        .routes(routes!(show_server_statistics))
}

/// Filters of the list of servers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ServerFilter {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// Of this seller's customers.
    billing_entity_id: Option<BillingEntityId>,
    /// In one of these states, comma-separated.
    #[param(example = "running,stopped")]
    state: Option<String>,
    /// With this name.
    name: Option<String>,
    /// On this node.
    node_id: Option<NodeId>,
    /// Made from this image.
    image_id: Option<ImageId>,
    /// With a key of this name (`env`) or this name and value (`env=prod`).
    key: Option<String>,
}

/// A server to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "web-1", "cpu": 1, "memory_mib": 512, "disk_gib": 4, "image_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50",
    "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE… ada"], "keys": [{"name": "env", "value": "prod"}]
}))]
pub struct CreateServer {
    /// Whose it will be; the caller's own customer unless given.
    customer_id: Option<CustomerId>,
    /// Host name, unique within the customer: 1–63 small letters, digits and hyphens.
    name: String,
    /// vCPUs, 1–128.
    cpu: u32,
    /// Memory, MiB, from 32.
    memory_mib: u64,
    /// Boot disk, GiB; at least the image's size.
    disk_gib: u64,
    /// What to clone.
    image_id: ImageId,
    /// Start it once it is built.
    #[serde(default = "yes")]
    #[schema(default = true)]
    start: bool,
    /// cloud-init user data, at most 16 KiB.
    user_data: Option<String>,
    /// OpenSSH public keys for the first user.
    #[serde(default)]
    ssh_keys: Vec<String>,
    /// Keys to set.
    #[serde(default)]
    keys: Vec<ResourceKey>,
    /// Settings of configuration providers, by provider type.
    #[serde(default)]
    provider_values: BTreeMap<String, BTreeMap<String, String>>,
    /// Build it at this time, at most a year ahead; at once unless given. Its name and quota are taken at once.
    start_at: Option<Timestamp>,
}

/// Changes to a server; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"keys": [{"name": "env", "value": "test"}]}))]
pub struct ChangeServer {
    /// New public keys; used when its seed is written next.
    ssh_keys: Option<Vec<String>>,
    /// New user data; likewise.
    user_data: Option<String>,
    /// New keys, replacing all.
    keys: Option<Vec<ResourceKey>>,
    /// Settings of configuration providers, by provider type; what is left out stays.
    provider_values: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

/// What a guest has used since it started. What its node cannot tell, or while it does not run, is left out.
#[derive(Serialize, ToSchema)]
pub struct StatisticsView {
    /// The server.
    server_id: ServerId,
    /// CPU time, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ns: Option<u64>,
    /// Memory its process holds, KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_rss_kib: Option<u64>,
    /// Bytes read from all disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_read_bytes: Option<u64>,
    /// Bytes written to all disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_write_bytes: Option<u64>,
    /// Bytes received over all interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    net_rx_bytes: Option<u64>,
    /// Bytes sent over all interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tx_bytes: Option<u64>,
}

/// Something to do with a server.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "stop", "force": false}))]
pub struct ActOnServer {
    /// What to do.
    action: Action,
    /// Pull the plug rather than ask the guest.
    #[serde(default)]
    force: bool,
    /// Do it at this time, at most a year ahead; at once unless given. Whether the server's state allows it is seen then.
    start_at: Option<Timestamp>,
    /// Of a start or restart: XML for this run alone. The guest is told its public and restricted part, triggers all of it.
    metadata: Option<ResourceMetadata>,
}

/// When something is done.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Do it at this time, at most a year ahead; at once unless given.
    start_at: Option<Timestamp>,
}

/// What can be done with a server.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Restart it.
    Reboot,
}

/// A server as `caller` sees it.
pub fn view(mut server: Server, caller: &Caller) -> Server {
    hide_keys(&mut server.keys, caller);
    // Shown as forms, without their secrets.
    server.provider_values.clear();
    server.metadata = None;
    server.runtime_metadata = None;
    server
}

/// List servers.
#[utoipa::path(get, path = "/servers", tag = "servers", params(ServerFilter, Paging),
    responses((status = 200, description = "A page of servers.", body = Listed<Server>)))]
async fn list_servers(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<ServerFilter>) -> Answer {
    caller.must(Permission::ServersRead)?;
    let asked = listing.filter;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = asked.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(id) = asked.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    if let Some(states) = &asked.state {
        filter = filter.any(Field::State, words::<ServerState>("state", states)?);
    }
    if let Some(name) = &asked.name {
        filter = filter.is(Field::Name, folded(name));
    }
    if let Some(id) = asked.node_id {
        filter = filter.is(Field::Node, key(id));
    }
    if let Some(id) = asked.image_id {
        filter = filter.is(Field::Image, key(id));
    }
    if let Some(name) = &asked.key {
        filter = filter.is(Field::Key, name);
    }
    list(&api, &caller, filter, listing.page, view).await
}

/// Create a server.
///
/// PRE triggers may change or refuse the request; then a job builds the server.
#[utoipa::path(post, path = "/servers", tag = "servers", request_body = CreateServer,
    responses((status = 202, description = "Accepted; the job builds it.", body = JobView)))]
async fn create_server(State(api): State<Arc<Api>>, Who(caller): Who, input: Input<CreateServer>) -> Answer {
    let Input { value: asked, key } = input;
    let Some(customer) = asked.customer_id.or(caller.customer_id) else {
        return Err(wrong("customer_id", "is required, for you do not belong to a customer"));
    };
    let new = NewServer {
        name: asked.name,
        cpu: asked.cpu,
        memory_mib: asked.memory_mib,
        disk_gib: asked.disk_gib,
        image_id: asked.image_id,
        start: asked.start,
        user_data: asked.user_data,
        ssh_keys: asked.ssh_keys,
        keys: asked.keys,
        provider_values: asked.provider_values,
    };
    let job = api.system.create_server_at(&caller, customer, new, asked.start_at, key).await?;
    reply::accepted(&job, &JobView::of(job.clone(), &caller))
}

/// Show a server.
#[utoipa::path(get, path = "/servers/{id}", tag = "servers", params(("id" = ServerId, Path), Shown),
    responses((status = 200, description = "The server.", body = Server)))]
async fn show_server(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ServersRead)?;
    let server: Server = find(&api, &caller, id).await?;
    show_record(&headers, &shown, server, |server| view(server, &caller))
}

/// Change a server.
#[utoipa::path(patch, path = "/servers/{id}", tag = "servers", params(("id" = ServerId, Path)),
    request_body = ChangeServer, responses((status = 200, description = "As it is now.", body = Server)))]
async fn update_server(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeServer>,
) -> Answer {
    let patch = ServerPatch {
        ssh_keys: asked.ssh_keys,
        user_data: asked.user_data,
        keys: asked.keys,
        provider_values: asked.provider_values,
        ..ServerPatch::default()
    };
    let work = async |demand| api.system.update_server(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, |server| view(server, &caller)).await
}

/// Delete a server and its disks.
///
/// Its disks' data is kept for the grace period.
#[utoipa::path(delete, path = "/servers/{id}", tag = "servers", params(("id" = ServerId, Path), When),
    responses((status = 202, description = "Accepted; the job deletes it.", body = JobView)))]
async fn delete_server(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    Params(when): Params<When>,
    if_match: IfMatch,
    Key(key): Key,
) -> Answer {
    let asked = ActionAsked { start_at: when.start_at, key, ..ActionAsked::default() };
    act(&api, &caller, id, ServerAction::Delete, if_match, asked).await
}

/// Start, stop or restart a server.
#[utoipa::path(post, path = "/servers/{id}/actions", tag = "servers", params(("id" = ServerId, Path)),
    request_body = ActOnServer, responses((status = 202, description = "Accepted; the job does it.", body = JobView)))]
async fn act_on_server(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    if_match: IfMatch,
    Input { value: asked, key }: Input<ActOnServer>,
) -> Answer {
    let force = asked.force;
    let action = match asked.action {
        Action::Start if force => return Err(wrong("force", "has no meaning for start; leave it out")),
        Action::Start => ServerAction::Start,
        Action::Stop => ServerAction::Stop { force },
        Action::Reboot => ServerAction::Reboot { force },
    };
    if asked.metadata.is_some() && !matches!(action, ServerAction::Start | ServerAction::Reboot { force: false }) {
        return Err(wrong("metadata", "has no meaning here, for nothing is told to the guest; leave it out"));
    }
    let asked = ActionAsked { if_match: None, start_at: asked.start_at, metadata: asked.metadata, key };
    act(&api, &caller, id, action, if_match, asked).await
}

async fn act(
    api: &Api,
    caller: &Caller,
    id: ServerId,
    action: ServerAction,
    if_match: IfMatch,
    mut asked: ActionAsked,
) -> Answer {
    asked.if_match = if_match.demand(api.store().index().version(Noun::Server, id.0));
    match api.system.act_on_server(caller, id, action, asked).await {
        Ok(job) => reply::accepted(&job, &JobView::of(job.clone(), caller)),
        Err(error @ Error::State { .. }) => {
            // The state is often another job's doing; naming it lets the caller follow or cancel that.
            let server: Option<Server> = api.store().get(id).await?;
            Err(Problem::from(error).with_job(server.and_then(|server| server.job_id)))
        }
        Err(error) => Err(if_match.problem(error)),
    }
}

/// Show what a server uses.
///
/// Counters of its running guest, about a second old at most.
#[utoipa::path(get, path = "/servers/{id}/statistics", tag = "servers", params(("id" = ServerId, Path)),
    responses((status = 200, description = "What it has used since it started.", body = StatisticsView)))]
async fn show_server_statistics(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<ServerId>) -> Answer {
    let used = api.system.server_statistics(&caller, id).await?;
    reply::ok(&StatisticsView {
        server_id: id,
        cpu_ns: used.cpu_ns,
        memory_rss_kib: used.memory_rss_kib,
        disk_read_bytes: used.disk_read_bytes,
        disk_write_bytes: used.disk_write_bytes,
        net_rx_bytes: used.net_rx_bytes,
        net_tx_bytes: used.net_tx_bytes,
    })
}
