//! Disks: made and deleted with their servers, so they are read here.

use super::{
    Api, Shared,
    common::{Answer, find, folded, hide_keys, words},
    extract::{Id, Params, Who},
    page::{Listed, Listing, Paging, Shown, list, show_record},
    reach::{Reach, key},
};
use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use std::sync::Arc;
use sutler_actors::Caller;
use sutler_model::{CustomerId, Disk, DiskId, DiskState, Permission, ServerId};
use sutler_store::{Field, Filter};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_disks)).routes(routes!(show_disk))
}

/// Filters of the list of disks.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DiskFilter {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// Of this server.
    server_id: Option<ServerId>,
    /// In one of these states, comma-separated.
    state: Option<String>,
    /// With this name.
    name: Option<String>,
}

/// A disk as `caller` sees it.
fn view(mut disk: Disk, caller: &Caller) -> Disk {
    hide_keys(&mut disk.keys, caller);
    disk
}

/// List disks.
#[utoipa::path(get, path = "/disks", tag = "disks", params(DiskFilter, Paging),
    responses((status = 200, description = "A page of disks.", body = Listed<Disk>)))]
async fn list_disks(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<DiskFilter>) -> Answer {
    caller.must(Permission::ServersRead)?;
    let asked = listing.filter;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = asked.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(id) = asked.server_id {
        filter = filter.is(Field::Subject, key(id));
    }
    if let Some(states) = &asked.state {
        filter = filter.any(Field::State, words::<DiskState>("state", states)?);
    }
    if let Some(name) = &asked.name {
        filter = filter.is(Field::Name, folded(name));
    }
    list(&api, &caller, filter, listing.page, view).await
}

/// Show a disk.
#[utoipa::path(get, path = "/disks/{id}", tag = "disks", params(("id" = DiskId, Path), Shown),
    responses((status = 200, description = "The disk.", body = Disk)))]
async fn show_disk(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<DiskId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ServersRead)?;
    let disk: Disk = find(&api, &caller, id).await?;
    show_record(&headers, &shown, disk, |disk| view(disk, &caller))
}
