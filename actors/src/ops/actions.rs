//! What providers of scripts do when they are asked to: with a record, or with none.

use super::{
    pluggable::subject,
    providers::{is_sold, may, provider_config, writes},
};
use crate::{
    Caller, Error, System,
    scripts::{Armed, Invocation, Pointed, Subject, Wording},
};
use serde_json::Value;
use std::collections::BTreeMap;
use sutler_lua::{Answer, Dialogue, Exit, Member};
use sutler_model::{
    AskedAction, BillingEntity, Customer, FieldError, Permission, PluggableResource, PointKind, RunId, Scope, Server,
    point::{Action, Level, ResourceConfig, fill},
};
use uuid::Uuid;

/// What an action's run is for, as its record shows it.
const ACTION: &str = "ACTION";
/// How an action is called that needs no record.
const STATIC: &str = "STATIC";

/// What an action answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionAnswer {
    /// The run that did it.
    pub run_id: RunId,
    /// What came back; none when the caller does not wait for it.
    pub answer: Option<Answer>,
    /// The dialogue in it, where it is one.
    pub dialogue: Option<Dialogue>,
}

impl System {
    /// Has a provider do something with a record, and answers what it says.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming each parameter, [`Error::NotFound`] also for an action the caller may not use,
    /// [`Error::Forbidden`], [`Error::Refused`] with the provider's reason.
    pub async fn invoke_action(
        &self,
        caller: &Caller,
        id: Uuid,
        provider_type: &str,
        key: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<ActionAnswer, Error> {
        let place = self.place_of(caller, id).await?;
        // Who may not change it is told that, rather than what there is.
        let writes = caller.must(place.writes());
        let found = self.provider(&place, provider_type).map_err(|error| writes_or(&writes, error))?;
        let (pointed, provider) = found;
        let config = provider_config(&provider, &place);
        let action = config.into_iter().flat_map(|config| &config.components).flat_map(|component| &component.actions);
        let action = action.filter(|action| may(caller, &place, action)).find(|action| action.key == key);
        let action = action.ok_or_else(|| {
            let detail = format!("the provider has no action `{key}` for you here");
            writes_or(&writes, Error::Invalid(vec![FieldError::new("key", detail)]))
        })?;
        let subject = Subject { id, customer: place.customer, seller: place.seller, bean: None };
        self.act(caller, &pointed, action, Some(subject), given, &provider.provider_type).await
    }

    /// Has a provider do something with no record, by an action that its definition calls static.
    ///
    /// # Errors
    /// As [`System::invoke_action`], [`Error::Invalid`] for an action that the caller may not use.
    pub async fn invoke_static_action(
        &self,
        caller: &Caller,
        provider_type: &str,
        key: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<ActionAnswer, Error> {
        let path = self.path(caller.billing_entity_id).await?;
        let sold = self.sold(caller.customer_id).await?;
        let wanted = provider_type.to_uppercase();
        let may = |action: &&Action, writes: Permission| {
            let is_it = action.key == key && action.invocation == STATIC && action.available;
            is_it && level_of(caller, &action.levels).unwrap_or_else(|| caller.must(writes).is_ok())
        };
        let action = |pointed: &Pointed| match &pointed.point().kind {
            PointKind::ConfigProvider(own) if own.provider_type == wanted => {
                let mut configs = own.resources.iter().filter(|config| is_sold(own, config, sold.as_deref()));
                let of = |config: &ResourceConfig| {
                    let mut actions = config.components.iter().flat_map(|component| &component.actions);
                    actions.find(|action| may(action, writes(&config.resource_type))).cloned()
                };
                configs.find_map(of)
            }
            PointKind::PluggableProvider(own) if own.provider_type == wanted => {
                own.all_actions().find(|action| may(action, Permission::ServersWrite)).cloned()
            }
            _ => None,
        };
        let theirs = self.inner.scripts.points().into_iter();
        let mut theirs = theirs.filter(|pointed| pointed.script.owner.covers(&path, caller.customer_id));
        let found = theirs.find_map(|pointed| action(&pointed).map(|action| (pointed, action)));
        let (pointed, action) = found.ok_or_else(|| {
            let detail = format!("no provider `{wanted}` has a static action `{key}` for you");
            writes_or(&caller.must(Permission::ServersWrite), Error::Invalid(vec![FieldError::new("key", detail)]))
        })?;
        self.act(caller, &pointed, &action, None, given, &wanted).await
    }

    /// Runs an action's function about a subject; none: a static one.
    pub(crate) async fn act(
        &self,
        caller: &Caller,
        pointed: &Pointed,
        action: &Action,
        subject: Option<Subject>,
        given: &BTreeMap<String, String>,
        provider_type: &str,
    ) -> Result<ActionAnswer, Error> {
        let wording = Wording::of(&pointed.script, self.inner.scripts.language(caller.billing_entity_id).await?);
        let definitions = wording.form(action.parameters.clone());
        let parameters = fill(&definitions, &BTreeMap::new(), given, "parameters").map_err(Error::Invalid)?;
        self.resources_there(caller, &definitions, given, "parameters").await?;
        let run_id = caller.run_of(&self.inner.core, pointed.script.id);
        let asked = AskedAction {
            key: action.key.clone(),
            provider_type: provider_type.to_owned(),
            parameters,
            user_id: caller.user_id,
            depth: caller.depth(),
        };
        let ask = self.action(
            Invocation::by(caller, pointed.script.clone(), &action.function, run_id, ACTION),
            subject,
            asked.clone(),
        );
        if !action.synchronous {
            self.inner.scripts.invoke_later(ask, asked).await?;
            return Ok(ActionAnswer { run_id, answer: None, dialogue: None });
        }
        let outcome = self.inner.scripts.invoke(ask).await?;
        let mut answer = read(&pointed.script, run_id, caller.sees_runs_of(), &outcome)?;
        // One that does not say what it answers with answers as its definition says.
        if answer.return_type.is_empty() {
            answer.return_type.clone_from(&action.return_type);
        }
        let dialogue = answer.dialogue().map(|dialogue| Dialogue {
            title: wording.text(&dialogue.title),
            message: wording.text(&dialogue.message),
            icon: dialogue.icon,
            values: wording.form(dialogue.values),
        });
        Ok(ActionAnswer { run_id, dialogue, answer: Some(answer) })
    }

    /// What an action's function is told.
    fn action(&self, bare: Invocation, subject: Option<Subject>, asked: AskedAction) -> Invocation {
        let mut more = vec![
            ("parameters", Member::Texts(asked.parameters)),
            ("actionKey", Member::Value(Value::from(asked.key))),
            ("providerType", Member::Value(Value::from(asked.provider_type))),
        ];
        // Every function of a pluggable resource's provider finds them in the same place.
        let bean = subject.as_ref().and_then(|subject| subject.bean.as_ref());
        let values = bean.and_then(|bean| bean.properties.get("resourceValues"));
        if let Some(values) = values.and_then(|values| serde_json::from_value(values.into_owned()).ok()) {
            more.push(("resourceValues", Member::Texts(values)));
        }
        Invocation { subject, more, deadline_ms: self.inner.core.settings.post_deadline_ms, ..bare }
    }

    /// Takes up the actions that nobody waits for and that the end of the program cut off.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn resume_actions(&self) -> Result<(), Error> {
        for run in self.inner.scripts.left_alone().await? {
            let Some(asked) = run.asked.clone() else { continue };
            let Some(script) = self.inner.scripts.enabled(run.script_id) else {
                self.inner.scripts.give_up(&run, "its script is no longer enabled").await?;
                continue;
            };
            let subject = match run.resource_id {
                Some(id) => self.subject_of(script.owner, id).await?,
                None => None,
            };
            if subject.is_none() && run.resource_id.is_some() {
                self.inner.scripts.give_up(&run, "what it was to be done with is gone").await?;
                continue;
            }
            let bare = Invocation {
                script,
                function: run.function.clone(),
                id: run.id,
                option: ACTION,
                subject: None,
                more: Vec::new(),
                user: asked.user_id,
                cause: run.cause.clone(),
                depth: asked.depth,
                deadline_ms: 0,
                rehearsal: false,
            };
            let ask = self.action(bare, subject, *asked);
            self.inner.scripts.take_up(&run, ask).await?;
        }
        Ok(())
    }

    /// A record that actions are about; none: it is gone.
    async fn subject_of(&self, viewer: Scope, id: Uuid) -> Result<Option<Subject>, Error> {
        let plain = move |customer, seller| Some(Subject { id, customer, seller, bean: None });
        let read = self.store().read(move |snapshot| {
            if let Some(server) = snapshot.get::<Server>(id)? {
                return Ok(plain(Some(server.customer_id), server.billing_entity_id));
            }
            if let Some(customer) = snapshot.get::<Customer>(id)? {
                return Ok(plain(Some(customer.id), customer.billing_entity_id));
            }
            if snapshot.get::<BillingEntity>(id)?.is_some() {
                return Ok(plain(None, id.into()));
            }
            let resource = snapshot.get::<PluggableResource>(id)?;
            resource.map(|resource| subject(snapshot, viewer, resource)).transpose()
        });
        Ok(read.await?)
    }
}

/// What an answer means to whoever asked. What a function says of its own failure is for those who run it; others are told
/// where they find it.
pub(crate) fn read(
    script: &Armed,
    run: RunId,
    asked_by: Option<Scope>,
    outcome: &sutler_lua::Outcome,
) -> Result<Answer, Error> {
    let refused = |reason: String| Error::Refused { script: script.name.clone(), reason };
    let runs_it = asked_by.is_some_and(|scope| scope == Scope::Provider || scope == script.owner);
    // What has no line the platform says: a limit was passed, runs set each other off.
    if matches!(&outcome.exit, Exit::Failed(error) if error.line.is_some()) && !runs_it {
        return Err(refused(format!("it failed; who runs it finds the reason in its run {run}")));
    }
    let answer = Answer::read(outcome)
        .map_err(|(code, reason)| refused(if code.is_empty() { reason } else { format!("{reason} ({code})") }))?;
    match answer.bad_url() {
        Some(url) => Err(refused(format!("it answered with `{url}`, which is no web address"))),
        None => Ok(answer),
    }
}

/// The error of who may not change a record, or else the other one.
fn writes_or(writes: &Result<(), Error>, error: Error) -> Error {
    match writes {
        Err(Error::Forbidden(permission)) => Error::Forbidden(*permission),
        _ => error,
    }
}

/// Whether a caller stands on one of the levels or above; none: there are none.
pub(crate) fn level_of(caller: &Caller, levels: &[Level]) -> Option<bool> {
    let lowest = levels.iter().map(|level| *level as u8).min()?;
    let own = match caller.scope {
        Scope::Customer(_) => Level::Customer,
        Scope::Entity(_) => Level::BillingEntity,
        Scope::Provider => Level::Provider,
    };
    Some(own as u8 >= lowest)
}
