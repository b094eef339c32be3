//! The texts that a trigger had: the list, one of them, what changed between two, signing, and going back.

use super::{
    Api, Shared,
    common::Answer,
    extract::{Id, IfMatch, Params, Who},
    page::{Listed, Listing, Paging, list},
    problem::Problem,
    reply,
    triggers::{TriggerView, find_script},
};
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::Caller;
use sutler_model::{Entry, Noun, Permission, Point, ScriptId, ScriptRevision, Signature, Timestamp, UserId};
use sutler_store::{Field, Filter, Order};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_revisions))
        .routes(routes!(show_revision))
        .routes(routes!(compare_revision))
        .routes(routes!(sign_revision))
        .routes(routes!(activate_revision))
}

/// A text that a trigger had, has, or is to have once it is signed.
#[derive(Serialize, ToSchema)]
pub struct RevisionView {
    /// Counts the trigger's revisions, from 1.
    number: u32,
    /// Lua source; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// What it registered.
    entries: Vec<Entry>,
    /// What else it registered: providers, billing methods, measurement functions and reports.
    points: Vec<Point>,
    /// What its header says of itself (`FDLINFO`).
    info: BTreeMap<String, String>,
    /// When it was uploaded.
    created_at: Timestamp,
    /// Who uploaded it; null: nobody with a user.
    created_by: Option<UserId>,
    /// Who vouches for it; null: nobody yet.
    signature: Option<Signature>,
}

impl From<ScriptRevision> for RevisionView {
    fn from(revision: ScriptRevision) -> Self {
        Self {
            number: revision.number,
            source: Some(revision.source),
            entries: revision.entries,
            points: revision.points,
            info: revision.info,
            created_at: revision.created_at,
            created_by: revision.created_by,
            signature: revision.signature,
        }
    }
}

/// How two texts of a trigger differ.
#[derive(Serialize, ToSchema)]
pub struct Comparison {
    /// The older one; 0: none, so that all of the newer one is new.
    from: u32,
    /// The newer one.
    to: u32,
    /// A unified diff; empty when they are the same.
    diff: String,
}

/// What to compare with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// The number of the revision to compare with; the one before unless given.
    from: Option<u32>,
}

/// Lines around each change in a diff.
const CONTEXT: usize = 3;

type At = Path<(String, String)>;

/// The trigger and the number in a path.
fn place(Path((id, number)): At) -> Result<(ScriptId, u32), Problem> {
    let id = id.parse().map_err(|_| Problem::malformed("id", "must be a UUID"))?;
    let number = number.parse().map_err(|_| Problem::malformed("number", "must be a number from 1"))?;
    Ok((id, number))
}

fn of(id: ScriptId) -> Filter<ScriptRevision> {
    Filter::new().is(Field::Script, id.0.as_bytes())
}

/// The revision `number` of a trigger, if the caller may see it.
async fn find(api: &Api, caller: &Caller, id: ScriptId, number: u32) -> Result<ScriptRevision, Problem> {
    caller.must(Permission::ScriptsRead)?;
    find_script(api, caller, id).await?;
    let filter = of(id).when(move |revision| revision.number == number);
    let found = api.store().read(move |s| s.first(filter, Order::Descending)).await?;
    found.ok_or_else(|| Problem::not_found(Noun::ScriptRevision, number))
}

/// List the revisions of a trigger.
#[utoipa::path(get, path = "/triggers/{id}/revisions", tag = "triggers", params(("id" = ScriptId, Path), Paging),
    responses((status = 200, description = "A page of revisions, without their sources.",
        body = Listed<RevisionView>)))]
async fn list_revisions(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    listing: Listing<NoFilter>,
) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    find_script(&api, &caller, id).await?;
    let view = |revision, _: &Caller| RevisionView { source: None, ..RevisionView::from(revision) };
    list(&api, &caller, of(id), listing.page, view).await
}

/// A list with no filters of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFilter {}

/// Show a revision of a trigger.
#[utoipa::path(get, path = "/triggers/{id}/revisions/{number}", tag = "triggers",
    params(("id" = ScriptId, Path), ("number" = u32, Path, example = 1)),
    responses((status = 200, description = "The revision.", body = RevisionView)))]
async fn show_revision(State(api): State<Arc<Api>>, Who(caller): Who, at: At) -> Answer {
    let (id, number) = place(at)?;
    let revision = find(&api, &caller, id, number).await?;
    reply::versioned(revision.version, &RevisionView::from(revision))
}

/// Compare two revisions of a trigger.
#[utoipa::path(get, path = "/triggers/{id}/revisions/{number}/diff", tag = "triggers",
    params(("id" = ScriptId, Path), ("number" = u32, Path, example = 2), Against),
    responses((status = 200, description = "What changed.", body = Comparison)))]
async fn compare_revision(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    at: At,
    Params(against): Params<Against>,
) -> Answer {
    let (id, to) = place(at)?;
    let new = find(&api, &caller, id, to).await?.source;
    let from = against.from.unwrap_or(to - 1);
    let old = match from {
        0 => String::new(),
        from => find(&api, &caller, id, from).await?.source,
    };
    let compare = move || {
        let diff = similar::TextDiff::from_lines(&old, &new);
        diff.unified_diff()
            .context_radius(CONTEXT)
            .header(&format!("revision {from}"), &format!("revision {to}"))
            .to_string()
    };
    // Two long texts with little in common take their time.
    let diff = tokio::task::spawn_blocking(compare).await.map_err(|e| Problem::internal(&e))?;
    reply::ok(&Comparison { from, to, diff })
}

/// Vouch for a revision.
///
/// The provider's staff only. Where the installation requires signatures and it is the newest revision, it takes effect.
#[utoipa::path(post, path = "/triggers/{id}/revisions/{number}/sign", tag = "triggers",
    params(("id" = ScriptId, Path), ("number" = u32, Path, example = 1)),
    responses((status = 200, description = "It is signed.", body = RevisionView)))]
async fn sign_revision(State(api): State<Arc<Api>>, Who(caller): Who, at: At) -> Answer {
    let (id, number) = place(at)?;
    let revision = api.system.sign_revision(&caller, id, number).await?;
    reply::versioned(revision.version, &RevisionView { source: None, ..RevisionView::from(revision) })
}

/// Put a revision in force, be it an older one.
#[utoipa::path(post, path = "/triggers/{id}/revisions/{number}/activate", tag = "triggers",
    params(("id" = ScriptId, Path), ("number" = u32, Path, example = 1)),
    responses((status = 200, description = "The trigger as it is now.", body = TriggerView)))]
async fn activate_revision(State(api): State<Arc<Api>>, Who(caller): Who, at: At, if_match: IfMatch) -> Answer {
    let (id, number) = place(at)?;
    let work = async |demand| api.system.activate_revision(&caller, id, number, demand).await;
    let reader = api.system.reader(&caller).await?;
    if_match.change(&api, id, work, |script| TriggerView::of(&reader, script)).await
}
