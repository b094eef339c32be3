//! Configuration providers: forms and actions that scripts add to servers, customers and billing entities.

use super::{
    Api, Shared,
    common::Answer,
    extract::{Id, Input, Who},
    once::once_by_run,
    problem::Problem,
    reply,
};
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::{ActionAnswer, ProviderForm};
use sutler_model::{RunId, ScriptId, ValueDef, point::Action};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_providers))
        .routes(routes!(set_provider_values))
        .routes(routes!(invoke_action))
        .routes(routes!(invoke_static_action))
}

/// What a configuration provider shows on a record.
#[derive(Serialize, ToSchema)]
pub struct ProviderView {
    /// Its unique name.
    provider_type: String,
    /// The block it comes from.
    script_id: ScriptId,
    /// Display name.
    name: String,
    /// Display text.
    description: String,
    /// Where a console puts it.
    group: String,
    /// Its settings; `value` is what is set, and is never told of a password.
    values: Vec<ValueDef>,
    /// What you may have done.
    actions: Vec<Action>,
}

/// The providers of a record.
#[derive(Serialize, ToSchema)]
pub struct ProvidersView {
    /// Each of them.
    items: Vec<ProviderView>,
}

impl From<ProviderForm> for ProviderView {
    fn from(form: ProviderForm) -> Self {
        Self {
            provider_type: form.provider_type,
            script_id: form.script_id,
            name: form.name,
            description: form.description,
            group: form.group,
            values: form.values,
            actions: form.actions,
        }
    }
}

/// Values to set; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"values": {"enabled": "TRUE"}}))]
pub struct SetValues {
    /// By key.
    values: BTreeMap<String, String>,
}

/// What an action asks for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"parameters": {"confirm": "TRUE"}}))]
pub struct InvokeAction {
    /// By key.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// What an action answered.
#[derive(Serialize, ToSchema)]
pub struct ActionView {
    /// The run that did it, or does it.
    run_id: RunId,
    /// `STRING`, `URL`, `URL_POPUP`, `DIALOGUE`, `FUNCTION`, `NUMBER`, `BOOLEAN` or `UUID`; null while it goes on.
    return_type: Option<String>,
    /// What came back: a text, or for URLs and functions an object.
    content: Value,
    /// What a dialogue shows.
    dialogue: Option<DialogueView>,
}

/// A dialogue.
#[derive(Serialize, ToSchema)]
pub struct DialogueView {
    /// Its title.
    title: String,
    /// Text above its values.
    message: String,
    /// The name of an icon; empty: none.
    icon: String,
    /// Its values.
    values: Vec<ValueDef>,
}

impl From<ActionAnswer> for ActionView {
    fn from(answer: ActionAnswer) -> Self {
        let dialogue = answer.dialogue.map(|dialogue| DialogueView {
            title: dialogue.title,
            message: dialogue.message,
            icon: dialogue.icon,
            values: dialogue.values,
        });
        Self {
            run_id: answer.run_id,
            return_type: answer.answer.as_ref().map(|answer| answer.return_type.clone()),
            content: answer.answer.map(|answer| answer.content).unwrap_or_default(),
            dialogue,
        }
    }
}

/// The record in a path.
fn read(id: &str) -> Result<Uuid, Problem> {
    id.parse().map_err(|_| Problem::malformed("id", "must be a UUID"))
}

/// List the configuration providers of a record.
///
/// Each shows the settings it adds to the record, and the actions that you may have done.
#[utoipa::path(get, path = "/resources/{id}/providers", tag = "providers",
    params(("id" = Uuid, Path, description = "A server, customer or billing entity.")),
    responses((status = 200, description = "All of them.", body = ProvidersView)))]
async fn list_providers(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<Uuid>) -> Answer {
    let forms = api.system.provider_forms(&caller, id).await?;
    reply::ok(&ProvidersView { items: forms.into_iter().map(ProviderView::from).collect() })
}

/// Set values of a configuration provider on a record.
#[utoipa::path(patch, path = "/resources/{id}/providers/{provider}", tag = "providers",
    params(("id" = Uuid, Path, description = "A server, customer or billing entity."),
        ("provider" = String, Path, description = "The provider's type.")),
    request_body = SetValues, responses((status = 200, description = "As it is now.", body = ProviderView)))]
async fn set_provider_values(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Path((id, provider)): Path<(String, String)>,
    Input { value: asked, .. }: Input<SetValues>,
) -> Answer {
    let id = read(&id)?;
    let form = api.system.set_provider_values(&caller, id, &provider, &asked.values).await?;
    reply::ok(&ProviderView::from(form))
}

/// Have a configuration provider do something with a record.
///
/// An action that is not waited for answers at once with its run, which tells how it went.
#[utoipa::path(post, path = "/resources/{id}/providers/{provider}/actions/{key}", tag = "providers",
    params(("id" = Uuid, Path, description = "A server, customer or billing entity."),
        ("provider" = String, Path, description = "The provider's type."),
        ("key" = String, Path, description = "The action.")),
    request_body = InvokeAction, responses((status = 200, description = "What it answered.", body = ActionView)))]
async fn invoke_action(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Path((id, provider, action)): Path<(String, String, String)>,
    Input { value: asked, key }: Input<InvokeAction>,
) -> Answer {
    let id = read(&id)?;
    once_by_run(&api, &caller, key, async |caller| {
        let answer = api.system.invoke_action(&caller, id, &provider, &action, &asked.parameters).await?;
        reply::ok(&ActionView::from(answer))
    })
    .await
}

/// Have a provider do something with no record.
///
/// That is what actions with the invocation `STATIC` are for, of providers of settings and of pluggable resources.
#[utoipa::path(post, path = "/providers/{provider}/actions/{key}", tag = "providers",
    params(("provider" = String, Path, description = "The provider's type."),
        ("key" = String, Path, description = "The action.")),
    request_body = InvokeAction, responses((status = 200, description = "What it answered.", body = ActionView)))]
async fn invoke_static_action(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Path((provider, action)): Path<(String, String)>,
    Input { value: asked, key }: Input<InvokeAction>,
) -> Answer {
    once_by_run(&api, &caller, key, async |caller| {
        let answer = api.system.invoke_static_action(&caller, &provider, &action, &asked.parameters).await?;
        reply::ok(&ActionView::from(answer))
    })
    .await
}
