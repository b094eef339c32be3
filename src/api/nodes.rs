//! Nodes: hypervisors, for operators.

use super::{
    Api, Shared,
    common::{Answer, folded, words},
    extract::{Id, IfMatch, Input, Params, Who},
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
};
use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use std::sync::Arc;
use sutler_model::{Node, NodeId, NodeState, Noun, Permission};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_nodes)).routes(routes!(show_node, update_node))
}

/// Filters of the list of nodes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct NodeFilter {
    /// In one of these states, comma-separated: `up`, `unresponsive`, `draining`.
    state: Option<String>,
    /// With this name.
    name: Option<String>,
}

/// Changes to a node.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"draining": true}))]
pub struct ChangeNode {
    /// True: it keeps its servers and takes no new ones.
    draining: bool,
}

/// List nodes.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(NodeFilter, Paging),
    responses((status = 200, description = "A page of nodes.", body = Listed<Node>)))]
async fn list_nodes(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<NodeFilter>) -> Answer {
    caller.must(Permission::OperatorRead)?;
    let mut filter = Filter::new();
    if let Some(states) = &listing.filter.state {
        filter = filter.any(Field::State, words::<NodeState>("state", states)?);
    }
    if let Some(name) = &listing.filter.name {
        filter = filter.is(Field::Name, folded(name));
    }
    list(&api, &caller, filter, listing.page, |node: Node, _| node).await
}

/// Show a node.
#[utoipa::path(get, path = "/nodes/{id}", tag = "nodes", params(("id" = NodeId, Path), Shown),
    responses((status = 200, description = "The node.", body = Node)))]
async fn show_node(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<NodeId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::OperatorRead)?;
    let found: Option<Node> = api.store().get(id).await?;
    let node = found.ok_or_else(|| Problem::not_found(Noun::Node, id))?;
    show_record(&headers, &shown, node, |node| node)
}

/// Drain a node, or let it take servers again.
#[utoipa::path(patch, path = "/nodes/{id}", tag = "nodes", params(("id" = NodeId, Path)),
    request_body = ChangeNode, responses((status = 200, description = "As it is now.", body = Node)))]
async fn update_node(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<NodeId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeNode>,
) -> Answer {
    let work = async |demand| api.system.update_node(&caller, id, demand, asked.draining).await;
    if_match.change(&api, id, work, |node| node).await
}
