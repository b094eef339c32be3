//! Blobs: small files that scripts and their packages bring along. Public ones can be fetched without signing in, at the
//! original's address too.

use super::{
    Api, Shared,
    common::{Answer, find, folded, wrong},
    extract::{Id, IfMatch, Input, Params, Who},
    once::create,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, key},
    reply,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::{BlobPatch, NewBlob};
use sutler_model::{BillingEntityId, Blob, BlobId, CustomerId, Noun, Permission, blob};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Longest value of a header that a caller chooses.
const HEADER_BYTES: usize = 256;
/// What a page may do that somebody else has made and we serve: nothing but look like something.
const SANDBOX: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";
/// Headers of the answer that whoever fetches a blob may choose. Others are left out.
const CHOSEN: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_DISPOSITION, header::CONTENT_LANGUAGE, header::CACHE_CONTROL];

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_blobs, create_blob))
        .routes(routes!(show_blob, put_blob, update_blob, delete_blob))
        .routes(routes!(download_blob))
}

/// The route that needs no credential.
pub fn open_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(download_public_blob))
}

/// Filters of the list of blobs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BlobFilter {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// Of this seller and its customers.
    billing_entity_id: Option<BillingEntityId>,
    /// With this name.
    name: Option<String>,
}

/// A file to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "logo.png", "media_type": "image/png", "public": true, "content": "iVBORw0KGgo="}))]
pub struct CreateBlob {
    /// Display name.
    name: String,
    /// Whose it is; the caller's own customer, or for sellers the seller, unless given.
    customer_id: Option<CustomerId>,
    /// The seller whose it is, where it is no customer's.
    billing_entity_id: Option<BillingEntityId>,
    /// What it is.
    #[serde(default = "any_type")]
    #[schema(default = "application/octet-stream")]
    media_type: String,
    /// Whether anybody who knows its id may fetch it, without signing in.
    #[serde(default)]
    public: bool,
    /// Its bytes, in Base64; at most 512 KiB of them.
    content: String,
}

/// Changes to a blob; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"public": true}))]
pub struct ChangeBlob {
    /// New name.
    name: Option<String>,
    /// New media type.
    media_type: Option<String>,
    /// Let anybody fetch it, or no longer.
    public: Option<bool>,
    /// New bytes, in Base64.
    content: Option<String>,
}

/// How a blob is fetched.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// A JSON object of headers for the answer: `Content-Type`, `Content-Disposition`, `Content-Language`, `Cache-Control`.
    #[param(example = r#"{"Content-Type": "text/css"}"#)]
    headers: Option<String>,
}

fn any_type() -> String {
    blob::ANY_TYPE.to_owned()
}

fn decoded(content: &str) -> Result<Vec<u8>, Problem> {
    BASE64_STANDARD.decode(content).map_err(|_| wrong("content", "must be Base64 with padding, in one line"))
}

fn new(caller: &sutler_actors::Caller, asked: CreateBlob) -> Result<NewBlob, Problem> {
    Ok(NewBlob {
        name: asked.name,
        customer_id: asked.customer_id.or(caller.customer_id),
        billing_entity_id: asked.billing_entity_id.unwrap_or(caller.billing_entity_id),
        media_type: asked.media_type,
        public: asked.public,
        content: decoded(&asked.content)?,
    })
}

/// List blobs.
#[utoipa::path(get, path = "/blobs", tag = "blobs", params(BlobFilter, Paging),
    responses((status = 200, description = "A page of blobs, without their content.", body = Listed<Blob>)))]
async fn list_blobs(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<BlobFilter>) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    let asked = listing.filter;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = asked.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(id) = asked.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    if let Some(name) = &asked.name {
        filter = filter.is(Field::Name, folded(name));
    }
    list(&api, &caller, filter, listing.page, |blob: Blob, _| blob).await
}

/// Keep a file.
#[utoipa::path(post, path = "/blobs", tag = "blobs", request_body = CreateBlob,
    responses((status = 201, description = "Kept.", body = Blob)))]
async fn create_blob(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateBlob>,
) -> Answer {
    let new = new(&caller, asked)?;
    create(&api, &caller, key, "blobs", api.system.create_blob(&caller, new), |blob| blob).await
}

/// Keep a package's file.
///
/// Under the version 5 UUID of its name, in place of what was there. For sellers' staff; putting it again changes nothing.
#[utoipa::path(put, path = "/blobs/{id}", tag = "blobs", params(("id" = BlobId, Path)), request_body = CreateBlob,
    responses((status = 200, description = "As it is now.", body = Blob),
        (status = 201, description = "Kept.", body = Blob)))]
async fn put_blob(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BlobId>,
    Input { value: asked, .. }: Input<CreateBlob>,
) -> Answer {
    match api.system.put_blob(&caller, id, new(&caller, asked)?).await? {
        (blob, true) => reply::created(&format!("/api/v1/blobs/{}", blob.id), blob.version, &blob),
        (blob, false) => reply::versioned(blob.version, &blob),
    }
}

/// Show what is known of a blob.
#[utoipa::path(get, path = "/blobs/{id}", tag = "blobs", params(("id" = BlobId, Path), Shown),
    responses((status = 200, description = "The blob.", body = Blob)))]
async fn show_blob(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BlobId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    let blob: Blob = find(&api, &caller, id).await?;
    show_record(&headers, &shown, blob, |blob| blob)
}

/// Change a blob.
#[utoipa::path(patch, path = "/blobs/{id}", tag = "blobs", params(("id" = BlobId, Path)),
    request_body = ChangeBlob, responses((status = 200, description = "As it is now.", body = Blob)))]
async fn update_blob(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BlobId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeBlob>,
) -> Answer {
    let patch = BlobPatch {
        name: asked.name,
        media_type: asked.media_type,
        public: asked.public,
        content: asked.content.as_deref().map(decoded).transpose()?,
    };
    let work = async |demand| api.system.update_blob(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, |blob| blob).await
}

/// Delete a blob.
#[utoipa::path(delete, path = "/blobs/{id}", tag = "blobs", params(("id" = BlobId, Path)),
    responses((status = 204, description = "Deleted with its content.")))]
async fn delete_blob(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<BlobId>, if_match: IfMatch) -> Answer {
    let work = async |demand| api.system.delete_blob(&caller, id, demand).await;
    if_match.delete(&api, (Noun::Blob, id.into()), work).await
}

/// Fetch a blob's content.
#[utoipa::path(get, path = "/blobs/{id}/content", tag = "blobs", params(("id" = BlobId, Path), Download),
    responses((status = 200, description = "The content.", body = [u8], content_type = "application/octet-stream")))]
async fn download_blob(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BlobId>,
    Params(asked): Params<Download>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    let (blob, content) = api.system.blob_content(Some(&caller), id).await?;
    served(&blob, content, &asked, &headers)
}

/// Fetch a public blob's content.
///
/// Without signing in, at the address that scripts written for the original hand out.
#[utoipa::path(get, path = "/rest/open/current/resources/blob/{id}/download", tag = "blobs", security(()),
    params(("id" = BlobId, Path), Download),
    responses((status = 200, description = "The content.", body = [u8], content_type = "application/octet-stream")))]
async fn download_public_blob(
    State(api): State<Arc<Api>>,
    Id(id): Id<BlobId>,
    Params(asked): Params<Download>,
    headers: HeaderMap,
) -> Answer {
    let (blob, content) = api.system.blob_content(None, id).await?;
    served(&blob, content, &asked, &headers)
}

/// The content with what was asked for about it. What a browser would show as a page of ours is a download, and may do
/// nothing wherever it is opened.
fn served(blob: &Blob, content: Vec<u8>, asked: &Download, request: &HeaderMap) -> Answer {
    let tag = HeaderValue::from_str(&format!("\"{}\"", blob.sha256)).map_err(|e| Problem::internal(&e))?;
    if request.get_all(header::IF_NONE_MATCH).iter().any(|known| known == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut chosen = chosen(asked.headers.as_deref())?;
    let own = HeaderValue::from_str(&blob.media_type).map_err(|e| Problem::internal(&e))?;
    let kind = chosen.remove(header::CONTENT_TYPE).unwrap_or(own);
    if is_document(&kind) {
        chosen.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    let caching = if blob.public { "public, max-age=300" } else { "no-store" };
    chosen.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(caching));
    let mut response = Response::new(Body::from(content));
    let headers = response.headers_mut();
    headers.extend(chosen);
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::ETAG, tag);
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    Ok(response)
}

/// The headers that the caller may choose, of those asked for.
fn chosen(asked: Option<&str>) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    let Some(asked) = asked else { return Ok(headers) };
    let object = "must be a JSON object from names of headers to texts";
    let asked: BTreeMap<String, String> =
        serde_json::from_str(asked).map_err(|_| Problem::malformed("headers", object))?;
    for (name, value) in asked {
        let Some(known) = CHOSEN.iter().find(|known| known.as_str().eq_ignore_ascii_case(name.trim())) else {
            continue;
        };
        // No line end, and nothing that reads differently to different readers.
        let plain = value.len() <= HEADER_BYTES && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let value = HeaderValue::from_str(value.trim()).ok().filter(|_| plain);
        let detail = format!("{name}: must be at most {HEADER_BYTES} visible ASCII characters");
        let value = value.ok_or_else(|| Problem::malformed("headers", detail))?;
        if *known == header::CONTENT_TYPE {
            let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
            blob::media_type("headers", &text)
                .map_err(|e| Problem::malformed("headers", format!("{name}: {}", e.detail)))?;
        }
        headers.insert(known.clone(), value);
    }
    Ok(headers)
}

/// Whether a browser would show it as a page, in which scripts could run.
fn is_document(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.contains("html") || kind.contains("xml") || kind == "application/pdf" || kind.starts_with("multipart/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(asked: &str) -> Result<Vec<(String, String)>, String> {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let chosen = chosen(Some(asked)).map_err(|problem| format!("{problem:?}"))?;
        Ok(chosen.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    #[test]
    fn only_harmless_headers_are_taken_over_and_none_holds_another() {
        let both = headers(r#"{"content-TYPE": "text/css", "Set-Cookie": "a=b", "Location": "http://x/"}"#).unwrap();
        assert_eq!(both, [("content-type".to_owned(), "text/css".to_owned())]);
        for bad in [
            r#"{"Content-Type": "text/css\r\nSet-Cookie: a=b"}"#,
            r#"{"Cache-Control": "a\nb"}"#,
            r#"{"Content-Type": "nonsense"}"#,
            r#"["Content-Type"]"#,
            r#"{"Content-Language": 5}"#,
        ] {
            assert!(headers(bad).is_err(), "{bad}");
        }
        assert!(headers(&format!(r#"{{"Content-Language": "{}"}}"#, "x".repeat(257))).is_err());
    }

    #[test]
    fn what_a_browser_shows_as_a_page_is_known() {
        for page in ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml"] {
            assert!(is_document(&page.parse().unwrap()), "{page}");
        }
        for other in ["image/png", "text/css", "text/javascript", "application/octet-stream"] {
            assert!(!is_document(&other.parse().unwrap()), "{other}");
        }
    }
}
