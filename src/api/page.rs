//! Lists: pages by cursor, order, selected fields, straight from records.

use super::{
    Api,
    extract::{parse_params, query},
    problem::Problem,
    reply,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
    response::Response,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::sync::Arc;
use sutler_actors::Caller;
use sutler_store::{Filter, Order, Page, PageRequest, Record, Snapshot};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// Records on a page unless asked otherwise.
const LIMIT_DEFAULT: usize = 50;
/// Most records on a page: keeps the longest answer near a megabyte.
const LIMIT_MAX: usize = 200;

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct Listed<T> {
    /// The records.
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// Parameters of every list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub struct Paging {
    /// At most this many records on the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// Where to go on: `next` of the page before. Filters and order must be the same.
    pub cursor: Option<String>,
    /// Oldest first (`asc`) or newest first (`desc`).
    #[param(inline)]
    pub order: Option<Direction>,
    /// Only these fields of each record, comma-separated: `id,name,state`.
    #[param(example = "id,name")]
    pub fields: Option<String>,
}

/// Direction of a list, by creation.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// Parameters of every single record.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// Only these fields, comma-separated: `id,name,state`.
    #[param(example = "id,name")]
    pub fields: Option<String>,
}

/// A list's parameters, taken apart.
pub struct Listing<F> {
    /// Which page, and which fields.
    pub page: (PageRequest, Option<String>),
    /// The noun's own filters.
    pub filter: F,
}

impl<F: DeserializeOwned> FromRequestParts<Arc<Api>> for Listing<F> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        const COMMON: [&str; 4] = ["limit", "cursor", "order", "fields"];
        let mut rest = query(parts)?;
        let common = COMMON.iter().filter_map(|name| rest.remove_entry(*name)).collect();
        let common: Paging = parse_params(common, &[])?;
        let filter = parse_params(rest, &COMMON)?;
        let limit = common.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::malformed("limit", format!("is {limit}; must be from 1 to {LIMIT_MAX}")));
        }
        let order = match common.order.unwrap_or_default() {
            Direction::Asc => Order::Ascending,
            Direction::Desc => Order::Descending,
        };
        Ok(Self { page: (PageRequest { cursor: common.cursor, limit, order }, common.fields), filter })
    }
}

/// Reads a page and writes it as JSON, on a thread where blocking is allowed. `view` makes of each record what the
/// caller is shown.
///
/// # Errors
/// A bad cursor, an unknown field, the store's.
pub async fn list<R: Record, V: Serialize + ToSchema + 'static>(
    api: &Api,
    caller: &Caller,
    filter: Filter<R>,
    (page, fields): (PageRequest, Option<String>),
    view: fn(R, &Caller) -> V,
) -> Result<Response, Problem> {
    list_with(api, caller, filter, (page, fields), move |record, caller, _| Ok(view(record, caller))).await
}

/// Like [`list`], for views that are made from more than the record.
///
/// # Errors
/// Those of [`list`].
pub async fn list_with<R: Record, V: Serialize + ToSchema + 'static>(
    api: &Api,
    caller: &Caller,
    filter: Filter<R>,
    (page, fields): (PageRequest, Option<String>),
    view: impl Fn(R, &Caller, &Snapshot) -> Result<V, sutler_store::Error> + Send + 'static,
) -> Result<Response, Problem> {
    let fields = fields.map(|text| Fields::parse::<V>(&text)).transpose()?;
    let caller = caller.clone();
    let body = api
        .store()
        .read(move |s| {
            let Page { items, next } = s.page(&filter, &page)?;
            let items: Result<Vec<V>, _> = items.into_iter().map(|item| view(item, &caller, s)).collect();
            let items = items?;
            Ok(render(items, next, fields.as_ref()))
        })
        .await?;
    Ok(reply::json(body.map_err(|e| Problem::internal(&e))?))
}

/// A page as JSON.
fn render<V: Serialize>(
    items: Vec<V>,
    next: Option<String>,
    fields: Option<&Fields>,
) -> Result<Vec<u8>, serde_json::Error> {
    let Some(fields) = fields else { return serde_json::to_vec(&Listed { items, next }) };
    let items = items.iter().map(|item| fields.pick(item)).collect::<Result<Vec<_>, _>>()?;
    serde_json::to_vec(&Listed { items, next })
}

/// One record as JSON, with the fields asked for.
///
/// # Errors
/// An unknown field.
pub fn show<V: Serialize + ToSchema>(version: u64, view: &V, fields: Option<&str>) -> Result<Response, Problem> {
    let Some(text) = fields else { return reply::versioned(version, view) };
    let picked = Fields::parse::<V>(text)?.pick(view).map_err(|e| Problem::internal(&e))?;
    reply::versioned(version, &picked)
}

/// Shows a record as `view` has it, with the fields asked for; only that it is unchanged to a caller who has it already.
///
/// # Errors
/// An unknown field.
pub fn show_record<R: Record, V: Serialize + ToSchema>(
    headers: &HeaderMap,
    shown: &Shown,
    record: R,
    view: impl FnOnce(R) -> V,
) -> Result<Response, Problem> {
    let version = record.version();
    reply::unless_known(headers, version, show(version, &view(record), shown.fields.as_deref()))
}

/// A selection of top-level fields.
pub struct Fields(Vec<String>);

impl Fields {
    /// Reads `a,b`; each must be a field of `V`.
    ///
    /// # Errors
    /// Names the unknown field and those there are.
    pub fn parse<V: PartialSchema>(text: &str) -> Result<Self, Problem> {
        let known = field_names(&V::schema());
        let mut fields = Vec::new();
        for name in text.split(',').map(str::trim) {
            if !known.iter().any(|k| k == name) {
                let shown: String = name.chars().take(100).collect();
                let detail = format!("names `{shown}`; there are: {}", known.join(", "));
                return Err(Problem::malformed("fields", detail));
            }
            fields.push(name.to_owned());
        }
        Ok(Self(fields))
    }

    fn pick(&self, view: &impl Serialize) -> Result<Value, serde_json::Error> {
        let mut value = serde_json::to_value(view)?;
        if let Value::Object(map) = &mut value {
            map.retain(|name, _| self.0.iter().any(|f| f == name));
        }
        Ok(value)
    }
}

fn field_names(schema: &RefOr<Schema>) -> Vec<String> {
    match schema {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        RefOr::T(Schema::AllOf(all)) => all.items.iter().flat_map(field_names).collect(),
        _ => Vec::new(),
    }
}
