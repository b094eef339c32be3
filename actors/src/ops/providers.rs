//! Configuration providers of scripts: their settings on servers, customers and billing entities, and their actions.

use super::{
    pluggable::subject,
    race::go_on,
    reach::{missing, valid},
};
use crate::{
    Caller, Error, System,
    scripts::{Armed, Draft, Invocation, Keyed, Pointed, Subject, Wording},
};
use serde_json::Value;
use std::collections::BTreeMap;
use sutler_lua::{Answer, Dialogue, Exit, Member, Sieve};
use sutler_model::{
    AskedAction, BillingEntity, BillingEntityId, Customer, CustomerId, FieldError, Noun, Permission, Plan,
    PluggableResource, PointKind, RunId, Scope, ScriptId, Server, TriggerType, ValueDef,
    point::{Action, ConfigPoint, Level, ResourceConfig, Validator, fill},
};
use sutler_store::{ChangeSet, Record};
use uuid::Uuid;

/// What an action's run is for, as its record shows it.
const ACTION: &str = "ACTION";

/// What a configuration provider shows on a record.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderForm {
    /// Its unique name.
    pub provider_type: String,
    /// The block it comes from.
    pub script_id: ScriptId,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// Where a console puts it.
    pub group: String,
    /// Its settings with their values; those that are secret have none.
    pub values: Vec<ValueDef>,
    /// What the caller may have done.
    pub actions: Vec<Action>,
}

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

/// A record that providers add settings to.
pub(crate) trait Provided: Draft + Record {
    /// What one must be allowed to, to see it and to change it.
    const PERMISSIONS: [Permission; 2];
    /// Its settings.
    fn settings(&mut self) -> &mut BTreeMap<String, BTreeMap<String, String>>;
}

macro_rules! provided {
    ($($record:ty => $read:ident, $write:ident;)*) => {$(
        impl Provided for $record {
            const PERMISSIONS: [Permission; 2] = [Permission::$read, Permission::$write];

            fn settings(&mut self) -> &mut BTreeMap<String, BTreeMap<String, String>> {
                &mut self.provider_values
            }
        }
    )*};
}
provided! {
    Server => ServersRead, ServersWrite;
    Customer => CustomersRead, CustomersWrite;
    BillingEntity => CustomersRead, CustomersWrite;
}

/// Does the same for whichever kind of record has the id.
macro_rules! for_record {
    ($system:expr, $caller:expr, $id:expr, $record:ident => $body:expr) => {{
        let index = $system.store().index();
        if index.version(Noun::Server, $id).is_some() {
            type $record = Server;
            $body
        } else if index.version(Noun::Customer, $id).is_some() {
            type $record = Customer;
            $body
        } else if index.version(Noun::BillingEntity, $id).is_some() {
            type $record = BillingEntity;
            $body
        } else {
            return Err(missing(Noun::Server, $id));
        }
    }};
}

/// A record with whose it is, as far as providers care.
struct Place {
    id: Uuid,
    kind: &'static str,
    customer: Option<CustomerId>,
    seller: BillingEntityId,
    path: Vec<BillingEntityId>,
    /// References of the components in the customer's plan.
    components: Vec<String>,
    values: BTreeMap<String, BTreeMap<String, String>>,
}

impl System {
    /// What configuration providers show on a server, customer or billing entity.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn provider_forms(&self, caller: &Caller, id: Uuid) -> Result<Vec<ProviderForm>, Error> {
        let place = for_record!(self, caller, id, R => self.place(&self.provided::<R>(caller, id, 0).await?).await?);
        let language = self.inner.scripts.language(caller.billing_entity_id).await?;
        let form = |(pointed, provider): &(Pointed, ConfigPoint)| {
            form(caller, &place, pointed, provider, &Wording::of(&pointed.script, language.clone()))
        };
        Ok(self.providers(&place).iter().map(form).collect())
    }

    /// Sets values of a provider on a record; what is left out stays. PRE triggers may change or refuse it.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming each value, [`Error::NotFound`], [`Error::Forbidden`], [`Error::Refused`].
    pub async fn set_provider_values(
        &self,
        caller: &Caller,
        id: Uuid,
        provider_type: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<ProviderForm, Error> {
        for_record!(self, caller, id, R => self.set_values::<R>(caller, id, provider_type, given).await)
    }

    /// The settings that a record is given as it comes to be, by provider type, with the defaults of each provider named.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming each value, and providers that the record does not have.
    pub(super) async fn first_values<R: Provided>(
        &self,
        caller: &Caller,
        record: &R,
        given: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        self.checked_values(caller, record, &BTreeMap::new(), given).await
    }

    /// The settings that a record has once it is given these: those left out, and providers left out, stay as they were. What is
    /// as it was is not checked again, for its provider may be gone.
    ///
    /// # Errors
    /// As [`System::first_values`].
    pub(super) async fn checked_values<R: Provided>(
        &self,
        caller: &Caller,
        record: &R,
        before: &BTreeMap<String, BTreeMap<String, String>>,
        given: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        let mut values = before.clone();
        let none = BTreeMap::new();
        let old = |name: &str| before.get(name).unwrap_or(&none);
        if given.iter().all(|(name, given)| before.contains_key(name) && old(name) == given) {
            return Ok(values);
        }
        let place = self.place(record).await?;
        let providers = self.providers(&place);
        let (mut problems, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
        for (name, given) in given {
            if before.contains_key(name) && old(name) == given {
                continue;
            }
            let field = format!("provider_values.{name}");
            let wanted = name.to_uppercase();
            let Some((_, provider)) = providers.iter().find(|(_, provider)| provider.provider_type == wanted) else {
                let detail = format!("a {} of this customer has no such provider", place.kind.to_lowercase());
                problems.push(FieldError::new(field, detail));
                continue;
            };
            let definitions = definitions(provider_config(provider, &place));
            // A script gives all there is back: what it left alone is not set again.
            let changed: BTreeMap<String, String> =
                given.iter().filter(|(key, value)| old(&wanted).get(*key) != Some(value)).map(owned).collect();
            let given = &changed;
            match fill(&definitions, old(&wanted), given, &field) {
                Ok(filled) => {
                    match self.resources_there(caller, &definitions, given, &field).await {
                        Err(Error::Invalid(wrong)) => problems.extend(wrong),
                        other => other?,
                    }
                    if !seen.insert(wanted.clone()) {
                        problems.push(FieldError::new(field, "is given twice, in different letter case"));
                    }
                    values.insert(wanted, filled);
                }
                Err(wrong) => problems.extend(wrong),
            }
        }
        valid(problems)?;
        Ok(values)
    }

    async fn set_values<R: Provided + Keyed>(
        &self,
        caller: &Caller,
        id: Uuid,
        provider_type: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<ProviderForm, Error> {
        let language = self.inner.scripts.language(caller.billing_entity_id).await?;
        let (new, pointed, provider, _decided) = self
            .decided(None, async || {
                let mut old: R = self.provided(caller, id, 1).await?;
                let place = self.place(&old).await?;
                let (pointed, provider) = self.provider(&place, provider_type)?;
                let wording = Wording::of(&pointed.script, language.clone());
                let definitions = wording.form(definitions(provider_config(&provider, &place)));
                let empty = BTreeMap::new();
                let before = place.values.get(&provider.provider_type).unwrap_or(&empty);
                let filled = fill(&definitions, before, given, "values").map_err(Error::Invalid)?;
                self.resources_there(caller, &definitions, given, "values").await?;
                let mut new = old.clone();
                new.settings().insert(provider.provider_type.clone(), filled);
                let decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
                go_on(&[&decided], &mut old, &mut new).await?;
                let mut set = ChangeSet::new(caller.cause.clone());
                set.update(&old, &mut new);
                Ok((set, (new, pointed, provider, decided)))
            })
            .await?;
        let place = self.place(&new).await?;
        Ok(form(caller, &place, &pointed, &provider, &Wording::of(&pointed.script, language)))
    }

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
        let place = for_record!(self, caller, id, R => self.place(&self.provided::<R>(caller, id, 0).await?).await?);
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
        self.act(caller, &pointed, action, subject, given, &provider.provider_type).await
    }

    /// Runs an action's function about a subject.
    pub(crate) async fn act(
        &self,
        caller: &Caller,
        pointed: &Pointed,
        action: &Action,
        subject: Subject,
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
    fn action(&self, bare: Invocation, subject: Subject, asked: AskedAction) -> Invocation {
        let mut more = vec![
            ("parameters", Member::Texts(asked.parameters)),
            ("actionKey", Member::Value(Value::from(asked.key))),
            ("providerType", Member::Value(Value::from(asked.provider_type))),
        ];
        // Every function of a pluggable resource's provider finds them in the same place.
        let values = subject.bean.as_ref().and_then(|bean| bean.properties.get("resourceValues"));
        if let Some(values) = values.and_then(|values| serde_json::from_value(values.into_owned()).ok()) {
            more.push(("resourceValues", Member::Texts(values)));
        }
        Invocation { subject: Some(subject), more, deadline_ms: self.inner.core.settings.post_deadline_ms, ..bare }
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
            let Some(subject) = self.subject_of(script.owner, run.resource_id.unwrap_or_default()).await? else {
                self.inner.scripts.give_up(&run, "what it was to be done with is gone").await?;
                continue;
            };
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

    /// The record, for reading (0) or changing (1).
    async fn provided<R: Provided>(&self, caller: &Caller, id: Uuid, right: usize) -> Result<R, Error> {
        let record: R = self.find(id).await?;
        // What is out of reach is not found, whatever one may do with what is within.
        let seller = if R::NOUN == Noun::BillingEntity { id.into() } else { record.seller() };
        self.reach(caller, seller, record.customer(), (R::NOUN, id)).await?;
        caller.must(R::PERMISSIONS[right])?;
        Ok(record)
    }

    async fn place<R: Provided>(&self, record: &R) -> Result<Place, Error> {
        let customer = record.customer();
        // A billing entity stands among its own.
        let seller = if R::NOUN == Noun::BillingEntity { Draft::id(record).into() } else { record.seller() };
        let components = match customer {
            Some(customer) => {
                let customer: Customer = self.find(customer).await?;
                let plan: Plan = self.find(customer.plan_id).await?;
                plan.charges.into_iter().map(|charge| charge.component).collect()
            }
            None => Vec::new(),
        };
        Ok(Place {
            id: Draft::id(record),
            kind: R::OPTION,
            customer,
            seller,
            path: self.path(seller).await?,
            components,
            values: record.clone().settings().clone(),
        })
    }

    /// The providers that a record has.
    fn providers(&self, place: &Place) -> Vec<(Pointed, ConfigPoint)> {
        let covers = |owner: Scope| owner.covers(&place.path, place.customer);
        let has = |pointed: Pointed| {
            let PointKind::ConfigProvider(provider) = &pointed.point().kind else { return None };
            let provider = provider.clone();
            let config = provider_config(&provider, place);
            let charged = |config: &ResourceConfig| {
                config.components.iter().any(|component| {
                    let reference = format!("{}_{}", provider.provider_type, component.reference);
                    place.components.contains(&reference)
                })
            };
            let there =
                config.is_some_and(|config| !config.use_with_billing || place.customer.is_none() || charged(config));
            there.then_some((pointed, provider))
        };
        self.inner.scripts.points().into_iter().filter(|pointed| covers(pointed.script.owner)).filter_map(has).collect()
    }

    fn provider(&self, place: &Place, provider_type: &str) -> Result<(Pointed, ConfigPoint), Error> {
        let wanted = provider_type.to_uppercase();
        let found = self.providers(place).into_iter().find(|(_, provider)| provider.provider_type == wanted);
        found.ok_or_else(|| {
            let detail = format!("{} {} has no provider `{provider_type}`", place.kind.to_lowercase(), place.id);
            Error::Invalid(vec![FieldError::new("provider", detail)])
        })
    }

    /// Refuses values that must name a resource and name none within the caller's reach, and dates that are none.
    pub(crate) async fn resources_there(
        &self,
        caller: &Caller,
        definitions: &[ValueDef],
        given: &BTreeMap<String, String>,
        field: &str,
    ) -> Result<(), Error> {
        let mut problems = Vec::new();
        for definition in definitions {
            let Some(text) = given.get(&definition.key).filter(|text| !text.is_empty()) else { continue };
            let Some(validator) = &definition.validator else { continue };
            for part in validator.parts(text) {
                let wrong = match validator.kind.as_str() {
                    "RESOURCE" => self.unnamed(caller.scope, validator, part).await?,
                    "DATE" if sutler_lua::date_ms(part).is_none() => {
                        Some("must be a date such as 2026-11-30 or 2026-11-30T12:00:00+0000".to_owned())
                    }
                    _ => None,
                };
                if let Some(detail) = wrong {
                    let detail = validator.error.clone().unwrap_or(detail);
                    problems.push(FieldError::new(format!("{field}.{}", definition.key), detail));
                }
            }
        }
        valid(problems)
    }

    /// What is wrong with a text that must name a resource within reach: by the property that the definition says, or by its
    /// id, which names whatever is meant.
    async fn unnamed(&self, reach: Scope, validator: &Validator, text: &str) -> Result<Option<String>, Error> {
        let (kind, field) = validator.resource();
        let id = text.parse::<Uuid>().ok();
        if kind.is_empty() && validator.filter.is_empty() {
            let there = match id {
                Some(id) => self.inner.scripts.sees(reach, id).await?,
                None => false,
            };
            return Ok((!there).then(|| "must be the id of a resource that you see".to_owned()));
        }
        let named = [text.to_owned()];
        for by in [field].into_iter().chain(id.map(|_| "resourceUUID")) {
            let rules = validator.filter.iter();
            let conditions = rules.map(|rule| (rule.field.as_str(), rule.condition.as_str(), &rule.values[..]));
            let there = match Sieve::new(conditions.chain([(by, "IS_EQUAL_TO", &named[..])])) {
                Ok(sieve) => self.inner.scripts.any_such(reach, &kind, &sieve).await,
                Err(reason) => Err(format!("cannot be checked: {reason}")),
            };
            match there {
                Ok(true) => return Ok(None),
                Ok(false) => {}
                Err(reason) => return Ok(Some(reason)),
            }
        }
        let kind = if kind.is_empty() { "resource" } else { &kind };
        let meant = if validator.filter.is_empty() { "" } else { " and that is meant here" };
        Ok(Some(format!("must be the {field} of a {kind} that you see{meant}")))
    }
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
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

fn provider_config<'a>(provider: &'a ConfigPoint, place: &Place) -> Option<&'a ResourceConfig> {
    provider.resources.iter().find(|config| config.resource_type == place.kind)
}

fn definitions(config: Option<&ResourceConfig>) -> Vec<ValueDef> {
    config.into_iter().flat_map(|config| &config.components).flat_map(|component| component.values.clone()).collect()
}

fn form(caller: &Caller, place: &Place, pointed: &Pointed, provider: &ConfigPoint, wording: &Wording) -> ProviderForm {
    let (point, config) = (pointed.point(), provider_config(provider, place));
    let kept = place.values.get(&provider.provider_type);
    let shown = |mut definition: ValueDef| {
        definition.value = match definition.is_secret() {
            true => None,
            false => kept.and_then(|values| values.get(&definition.key)).cloned(),
        };
        definition
    };
    let actions =
        config.into_iter().flat_map(|config| &config.components).flat_map(|component| component.actions.clone());
    ProviderForm {
        provider_type: provider.provider_type.clone(),
        script_id: pointed.script.id,
        name: wording.text(&point.name),
        description: wording.text(&point.description),
        group: provider.provider_group.clone(),
        values: wording.form(definitions(config)).into_iter().map(shown).collect(),
        actions: actions.filter(|action| may(caller, place, action)).map(|action| wording.action(action)).collect(),
    }
}

/// The error of who may not change a record, or else the other one.
fn writes_or(writes: &Result<(), Error>, error: Error) -> Error {
    match writes {
        Err(Error::Forbidden(permission)) => Error::Forbidden(*permission),
        _ => error,
    }
}

impl Place {
    /// What one must be allowed to, to change the record.
    fn writes(&self) -> Permission {
        match self.kind {
            "SERVER" => Permission::ServersWrite,
            _ => Permission::CustomersWrite,
        }
    }
}

/// Whether a caller may have an action done: who stands on its levels, and without any who may change the record.
fn may(caller: &Caller, place: &Place, action: &Action) -> bool {
    action.available && level_of(caller, &action.levels).unwrap_or_else(|| caller.must(place.writes()).is_ok())
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
