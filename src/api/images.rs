//! Guest images.

use super::{
    Api, Shared,
    common::{Answer, folded, words},
    extract::{Id, Input, Params, Who},
    once::create,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, above, key},
};
use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use sutler_actors::{Caller, NewImage};
use sutler_model::{BillingEntityId, Boot, CustomerId, Image, ImageId, ImageState, Noun, Permission, Scope};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_images, create_image)).routes(routes!(show_image))
}

/// Filters of the list of images.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImageFilter {
    /// Published by this seller.
    billing_entity_id: Option<BillingEntityId>,
    /// In one of these states, comma-separated: `ready`, `retired`.
    state: Option<String>,
    /// With this name.
    name: Option<String>,
}

/// An image to take in, from a file of the controller's host.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "debian-12", "file": "/var/lib/sutler/import/debian-12.qcow2", "size_gib": 4, "memory_mib_min": 256}))]
pub struct CreateImage {
    /// Display name, unique within the publisher.
    name: String,
    /// Who publishes it; the caller's own entity unless given.
    billing_entity_id: Option<BillingEntityId>,
    /// The customer it belongs to; offered to all of the publisher's unless given.
    customer_id: Option<CustomerId>,
    /// A raw or qcow2 file on the controller's host, without a backing file. It is copied.
    #[schema(value_type = String)]
    file: PathBuf,
    /// Smallest disk it fits on, GiB.
    size_gib: u64,
    /// How guests made from it boot: from the disk unless a kernel is given (files on the controller's host).
    boot: Option<Boot>,
    /// Smallest memory it runs in, MiB.
    #[serde(default = "memory_default")]
    #[schema(default = 128)]
    memory_mib_min: u64,
}

/// Enough for the smallest of today's distributions to boot.
fn memory_default() -> u64 {
    128
}

/// Which publishers' images a caller is offered: those above it in the tree, its own and those below.
struct Offered {
    /// None: all.
    publishers: Option<BTreeSet<BillingEntityId>>,
    reach: Reach,
    customer: Option<CustomerId>,
}

impl Offered {
    async fn to(api: &Api, caller: &Caller) -> Result<Self, Problem> {
        let reach = Reach::of(caller, api.store());
        if caller.scope == Scope::Provider {
            return Ok(Self { publishers: None, reach, customer: None });
        }
        let own = caller.billing_entity_id;
        let mut publishers: BTreeSet<_> = api.store().read(move |s| above(s, own)).await?.into_iter().collect();
        if let Reach::Entities(below) = &reach {
            publishers.extend(below);
        }
        Ok(Self { publishers: Some(publishers), reach, customer: caller.customer_id })
    }

    fn covers(&self, image: &Image) -> bool {
        let published = self.publishers.as_ref().is_none_or(|p| p.contains(&image.billing_entity_id));
        let private = match (image.customer_id, self.customer) {
            (None, _) => true,
            (Some(owner), Some(own)) => owner == own,
            (Some(_), None) => self.reach.covers(image.customer_id, image.billing_entity_id),
        };
        published && private
    }
}

/// An image as `caller` sees it: where its files lie is for operators.
fn view(mut image: Image, caller: &Caller) -> Image {
    image.metadata = None;
    if caller.scope != Scope::Provider {
        image.storage_key = String::new();
        image.boot = match image.boot {
            Boot::Disk => Boot::Disk,
            Boot::Kernel { command_line, .. } => {
                Boot::Kernel { kernel: String::new(), initrd: String::new(), command_line }
            }
        };
    }
    image
}

/// List images.
#[utoipa::path(get, path = "/images", tag = "images", params(ImageFilter, Paging),
    responses((status = 200, description = "A page of images.", body = Listed<Image>)))]
async fn list_images(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<ImageFilter>) -> Answer {
    caller.must(Permission::ServersRead)?;
    let asked = listing.filter;
    let offered = Offered::to(&api, &caller).await?;
    let mut filter = Filter::new();
    if let Some(publishers) = &offered.publishers {
        filter = filter.any(Field::BillingEntity, publishers.iter().map(|id| key(*id)));
    }
    if let Some(id) = asked.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    if let Some(states) = &asked.state {
        filter = filter.any(Field::State, words::<ImageState>("state", states)?);
    }
    if let Some(name) = &asked.name {
        filter = filter.is(Field::Name, folded(name));
    }
    filter = filter.when(move |image: &Image| offered.covers(image));
    list(&api, &caller, filter, listing.page, view).await
}

/// Take an image in.
#[utoipa::path(post, path = "/images", tag = "images", request_body = CreateImage,
    responses((status = 201, description = "Taken in.", body = Image)))]
async fn create_image(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateImage>,
) -> Answer {
    let new = NewImage {
        name: asked.name,
        billing_entity_id: asked.billing_entity_id.unwrap_or(caller.billing_entity_id),
        customer_id: asked.customer_id,
        file: asked.file,
        size_gib: asked.size_gib,
        boot: asked.boot.unwrap_or(Boot::Disk),
        memory_mib_min: asked.memory_mib_min,
    };
    let work = api.system.import_image(&caller, new);
    create(&api, &caller, key, "images", work, |image| view(image, &caller)).await
}

/// Show an image.
#[utoipa::path(get, path = "/images/{id}", tag = "images", params(("id" = ImageId, Path), Shown),
    responses((status = 200, description = "The image.", body = Image)))]
async fn show_image(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ImageId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ServersRead)?;
    let offered = Offered::to(&api, &caller).await?;
    let found: Option<Image> = api.store().get(id).await?;
    let image = found.filter(|image| offered.covers(image)).ok_or_else(|| Problem::not_found(Noun::Image, id))?;
    show_record(&headers, &shown, image, |image| view(image, &caller))
}
