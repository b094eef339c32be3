//! Triggers: Lua code blocks and what they registered.

use super::{
    Api, Shared,
    common::{Answer, folded, yes},
    extract::{Id, IfMatch, Input, Params, Who},
    once::create,
    page::{Listed, Listing, Paging, Shown, list_with, show_record},
    problem::Problem,
    reach::Reach,
};
use axum::{extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::{Caller, NewScript, Reader, ScriptPatch};
use sutler_model::{
    Customer, Entry, Noun, Permission, Point, Scope, Script, ScriptId, Timestamp, translation::Translations,
};
use sutler_store::{Field, Filter, Record, Snapshot, Store};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_triggers, create_trigger)).routes(routes!(
        show_trigger,
        update_trigger,
        delete_trigger
    ))
}

/// Filters of the list of triggers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TriggerFilter {
    /// With this name.
    name: Option<String>,
}

/// A Lua code block.
#[derive(Serialize, ToSchema)]
pub struct TriggerView {
    /// Its id.
    id: ScriptId,
    /// Counts changes, from 1.
    version: u64,
    /// Display name, unique within its owner.
    name: String,
    /// Whose it is, and so what it sees and may do.
    owner: Scope,
    /// The source in force; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// What it registered.
    entries: Vec<Entry>,
    /// What else it registered: providers, billing methods, measurement functions and reports.
    points: Vec<Point>,
    /// What its header says of itself (`FDLINFO`).
    info: BTreeMap<String, String>,
    /// The texts of its package, by language and key; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    translations: Option<Translations>,
    /// The number of the revision in force; 0 while the first awaits its signature.
    revision: u32,
    /// The number of the newest revision.
    latest_revision: u32,
    /// Whether its entries run.
    enabled: bool,
    /// Whether its POST and scheduled runs are held back.
    paused: bool,
    /// A failing PRE entry lets the event pass instead of refusing it.
    fail_open: bool,
    /// When it came to be.
    created_at: Timestamp,
    /// When its source last changed.
    modified_at: Timestamp,
}

impl TriggerView {
    /// As a reader sees it.
    pub fn of(reader: &Reader, script: Script) -> Self {
        let script = reader.reads(script);
        Self {
            id: script.id,
            version: script.version,
            name: script.name,
            owner: script.owner,
            source: Some(script.source),
            entries: script.entries,
            points: script.points,
            info: script.info,
            translations: Some(script.translations),
            revision: script.revision,
            latest_revision: script.latest_revision,
            enabled: script.enabled,
            paused: script.paused,
            fail_open: script.fail_open,
            created_at: script.created_at,
            modified_at: script.modified_at,
        }
    }
}

/// A trigger to load.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "no-gpu-names", "source": "function register() return {\"check\"} end …"}))]
pub struct CreateTrigger {
    /// Display name, unique within its owner.
    name: String,
    /// Whose it is; the caller's own reach unless given.
    owner: Option<Scope>,
    /// Lua source with a `register` function.
    source: String,
    /// Whether its entries run.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
    /// A failing PRE entry lets the event pass instead of refusing it.
    #[serde(default)]
    fail_open: bool,
    /// The texts of its package, by language (`en`, `de_DE`) and key.
    #[serde(default)]
    translations: Translations,
}

/// Changes to a trigger; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"enabled": false}))]
pub struct ChangeTrigger {
    /// New source.
    source: Option<String>,
    /// Enable or disable.
    enabled: Option<bool>,
    /// Hold back its POST and scheduled runs, or let them go on: what happens meanwhile is kept for them. PRE entries, which
    /// cannot wait, run all the same.
    paused: Option<bool>,
    /// A failing PRE entry lets the event pass instead of refusing it.
    fail_open: Option<bool>,
    /// The texts of its package, replacing all.
    translations: Option<Translations>,
}

/// Narrows a list of scripts or runs to what `caller` may see. `owner` reads a record's owner.
pub fn narrow<R: Record>(caller: &Caller, store: &Store, owner: fn(&R) -> Scope) -> Filter<R> {
    match Reach::of(caller, store) {
        Reach::All => Filter::new(),
        reach @ Reach::Customer(_) => reach.narrow(Filter::new()),
        // Scripts of customers are indexed under the customer alone; a seller's list is small enough for a predicate.
        reach => {
            let customers = Customers::of(&reach, store);
            Filter::new().when(move |record| reach.covers_owner(owner(record), |c| customers.entity_of(c)))
        }
    }
}

/// The customers of some sellers, as the index has them.
struct Customers(std::collections::HashSet<uuid::Uuid>, sutler_model::BillingEntityId);

impl Customers {
    fn of(reach: &Reach, store: &Store) -> Self {
        let Reach::Entities(entities) = reach else { return Self(Default::default(), uuid::Uuid::nil().into()) };
        let ids = entities.iter().flat_map(|e| store.index().ids(Noun::Customer, Field::BillingEntity, e.0.as_bytes()));
        let first = entities.first().copied().unwrap_or(uuid::Uuid::nil().into());
        Self(ids.collect(), first)
    }

    /// Any of the sellers will do: the question is only whether the customer is one of theirs.
    fn entity_of(&self, customer: sutler_model::CustomerId) -> Option<sutler_model::BillingEntityId> {
        self.0.contains(&customer.0).then_some(self.1)
    }
}

/// Whether `caller` may see what `owner` owns.
///
/// # Errors
/// The store's.
pub async fn sees(api: &Api, caller: &Caller, owner: Scope) -> Result<bool, Problem> {
    let reach = Reach::of(caller, api.store());
    let customer = match owner {
        Scope::Customer(id) => api.store().get::<Customer>(id).await?,
        _ => None,
    };
    Ok(reach.covers_owner(owner, |_| customer.map(|c| c.billing_entity_id)))
}

/// The script `id`, if the caller may see it.
pub async fn find_script(api: &Api, caller: &Caller, id: ScriptId) -> Result<Script, Problem> {
    if let Some(script) = api.store().get::<Script>(id).await?
        && sees(api, caller, script.owner).await?
    {
        return Ok(script);
    }
    Err(Problem::not_found(Noun::Script, id))
}

/// List triggers.
#[utoipa::path(get, path = "/triggers", tag = "triggers", params(TriggerFilter, Paging),
    responses((status = 200, description = "A page of triggers, without their sources.", body = Listed<TriggerView>)))]
async fn list_triggers(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<TriggerFilter>) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    let mut filter = narrow(&caller, api.store(), |script: &Script| script.owner);
    if let Some(name) = &listing.filter.name {
        filter = filter.is(Field::Name, folded(name));
    }
    let reader = api.system.reader(&caller).await?;
    let view = move |script, _: &Caller, _: &Snapshot| {
        Ok(TriggerView { source: None, translations: None, ..TriggerView::of(&reader, script) })
    };
    list_with(&api, &caller, filter, listing.page, view).await
}

/// Load a trigger.
///
/// The source is compiled and its `register` function run; what is wrong with it is told with the line.
#[utoipa::path(post, path = "/triggers", tag = "triggers", request_body = CreateTrigger,
    responses((status = 201, description = "Loaded.", body = TriggerView)))]
async fn create_trigger(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateTrigger>,
) -> Answer {
    let new = NewScript {
        name: asked.name,
        owner: asked.owner.unwrap_or(caller.scope),
        source: asked.source,
        enabled: asked.enabled,
        fail_open: asked.fail_open,
    };
    let reader = api.system.reader(&caller).await?;
    let work = api.system.create_package(&caller, new, asked.translations);
    create(&api, &caller, key, "triggers", work, |script| TriggerView::of(&reader, script)).await
}

/// Show a trigger.
#[utoipa::path(get, path = "/triggers/{id}", tag = "triggers", params(("id" = ScriptId, Path), Shown),
    responses((status = 200, description = "The trigger.", body = TriggerView)))]
async fn show_trigger(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    let script = find_script(&api, &caller, id).await?;
    let reader = api.system.reader(&caller).await?;
    show_record(&headers, &shown, script, |script| TriggerView::of(&reader, script))
}

/// Change a trigger.
#[utoipa::path(patch, path = "/triggers/{id}", tag = "triggers", params(("id" = ScriptId, Path)),
    request_body = ChangeTrigger, responses((status = 200, description = "As it is now.", body = TriggerView)))]
async fn update_trigger(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeTrigger>,
) -> Answer {
    let patch = ScriptPatch {
        source: asked.source,
        enabled: asked.enabled,
        paused: asked.paused,
        fail_open: asked.fail_open,
        translations: asked.translations,
    };
    let work = async |demand| api.system.update_script(&caller, id, demand, patch).await;
    let reader = api.system.reader(&caller).await?;
    if_match.change(&api, id, work, |script| TriggerView::of(&reader, script)).await
}

/// Delete a trigger.
#[utoipa::path(delete, path = "/triggers/{id}", tag = "triggers", params(("id" = ScriptId, Path)),
    responses((status = 204, description = "Deleted; its runs are kept.")))]
async fn delete_trigger(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    if_match: IfMatch,
) -> Answer {
    let work = async |demand| api.system.delete_script(&caller, id, demand).await;
    if_match.delete(&api, (Noun::Script, id.into()), work).await
}
