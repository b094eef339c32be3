//! Guest images.

use super::{
    Api, Shared,
    common::{Answer, folded, hide_keys, words, wrong},
    extract::{Id, IfMatch, Input, Params, Who},
    jobs::JobView,
    once::create,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, above, key},
    reply,
};
use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use sutler_actors::{Caller, ImagePatch, ImageSource, NewImage, NewImageOf};
use sutler_model::{
    BillingEntityId, Boot, CustomerId, DiskId, Image, ImageId, ImagePermission, ImageState, Noun, Permission, Scope,
    ServerId, Timestamp,
};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_images, create_image)).routes(routes!(show_image, update_image))
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

/// An image to make of a server or disk, or to take in from a file of the controller's host.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "web-golden", "server_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50"}))]
pub struct CreateImage {
    /// Display name, unique within the publisher.
    name: String,
    /// The server whose boot disk is copied. It must not run, and the image belongs to its customer.
    server_id: Option<ServerId>,
    /// The disk that is copied; likewise.
    disk_id: Option<DiskId>,
    /// What its customer may do with it: at most what its server's image allows, which is what it is unless given.
    owner_permission: Option<ImagePermission>,
    /// What others may do with it once it is offered to them; likewise.
    user_permission: Option<ImagePermission>,
    /// Copy the disk at this time, at most a year ahead; at once unless given. Its name and quota are taken at once.
    start_at: Option<Timestamp>,
    /// Of a file: who publishes it; the caller's own entity unless given.
    billing_entity_id: Option<BillingEntityId>,
    /// Of a file: the customer it belongs to; offered to all of the publisher's unless given.
    customer_id: Option<CustomerId>,
    /// A raw or qcow2 file on the controller's host, without a backing file. It is copied. For the provider's staff.
    #[schema(value_type = Option<String>)]
    file: Option<PathBuf>,
    /// Of a file: smallest disk it fits on, GiB.
    size_gib: Option<u64>,
    /// Of a file: how guests made from it boot: from the disk unless a kernel is given (files on the controller's host).
    boot: Option<Boot>,
    /// Of a file: smallest memory it runs in, MiB; 128 unless given.
    memory_mib_min: Option<u64>,
}

/// Changes to an image; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "web-golden-2", "user_permission": {"can_console": false}}))]
pub struct ChangeImage {
    /// New name.
    name: Option<String>,
    /// `ready`, or `retired`: no longer offered. A retired image that was made of a disk goes once nothing is made from it.
    state: Option<ImageState>,
    /// True: offer it to all of its publisher's, for the publisher's staff.
    published: Option<bool>,
    /// What its customer may do with it; what is left out is allowed. Customers only take away.
    owner_permission: Option<ImagePermission>,
    /// What others may do with it; likewise.
    user_permission: Option<ImagePermission>,
}

/// Enough for the smallest of today's distributions to boot.
const MEMORY_MIB_DEFAULT: u64 = 128;

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
    hide_keys(&mut image.keys, caller);
    // Where an offered image came from is not for those to whom it is offered.
    let owns = match caller.scope {
        Scope::Provider => true,
        Scope::Entity(id) => image.customer_id.is_some() || image.billing_entity_id == id,
        Scope::Customer(id) => image.customer_id == Some(id),
    };
    if !owns {
        image.base = None;
        image.keys.clear();
    }
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

/// Make an image of a server or disk, or take one in from a file.
///
/// PRE triggers may change or refuse it.
#[utoipa::path(post, path = "/images", tag = "images", request_body = CreateImage,
    responses((status = 201, description = "Taken in from a file.", body = Image),
              (status = 202, description = "Accepted; the job copies the disk.", body = JobView)))]
async fn create_image(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateImage>,
) -> Answer {
    let source = match (asked.server_id, asked.disk_id, &asked.file) {
        (Some(id), None, None) => Some(ImageSource::Server(id)),
        (None, Some(id), None) => Some(ImageSource::Disk(id)),
        (None, None, Some(_)) => None,
        _ => {
            return Err(wrong("server_id", "give one of `server_id`, `disk_id` and `file`: what the image is made of"));
        }
    };
    if let Some(source) = source {
        let of_file = [
            ("billing_entity_id", asked.billing_entity_id.is_some()),
            ("customer_id", asked.customer_id.is_some()),
            ("size_gib", asked.size_gib.is_some()),
            ("boot", asked.boot.is_some()),
            ("memory_mib_min", asked.memory_mib_min.is_some()),
        ];
        if let Some((field, _)) = of_file.into_iter().find(|(_, given)| *given) {
            return Err(wrong(field, "is that of the server or disk; leave it out"));
        }
        let new = NewImageOf {
            id: None,
            name: asked.name,
            source,
            owner_permission: asked.owner_permission,
            user_permission: asked.user_permission,
        };
        let job = api.system.create_image(&caller, new, asked.start_at, key).await?;
        return reply::accepted(&job, &JobView::of(job.clone(), &caller));
    }
    for (field, given) in [
        ("start_at", asked.start_at.is_some()),
        ("owner_permission", asked.owner_permission.is_some()),
        ("user_permission", asked.user_permission.is_some()),
    ] {
        if given {
            return Err(wrong(field, "has no meaning for an image of a file; leave it out"));
        }
    }
    let Some(size_gib) = asked.size_gib else {
        return Err(wrong("size_gib", "is required with `file`: the smallest disk the image fits on"));
    };
    let new = NewImage {
        name: asked.name,
        billing_entity_id: asked.billing_entity_id.unwrap_or(caller.billing_entity_id),
        customer_id: asked.customer_id,
        file: asked.file.unwrap_or_default(),
        size_gib,
        boot: asked.boot.unwrap_or(Boot::Disk),
        memory_mib_min: asked.memory_mib_min.unwrap_or(MEMORY_MIB_DEFAULT),
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

/// Change an image.
///
/// Servers made from it stay.
#[utoipa::path(patch, path = "/images/{id}", tag = "images", params(("id" = ImageId, Path)),
    request_body = ChangeImage, responses((status = 200, description = "As it is now.", body = Image)))]
async fn update_image(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ImageId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeImage>,
) -> Answer {
    let patch = ImagePatch {
        name: asked.name,
        state: asked.state,
        published: asked.published,
        owner_permission: asked.owner_permission,
        user_permission: asked.user_permission,
        ..ImagePatch::default()
    };
    let work = async |demand| api.system.update_image(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, |image| view(image, &caller)).await
}
