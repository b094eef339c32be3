//! Configuration providers of scripts: their settings on servers, customers and billing entities.

use super::{
    actions::level_of,
    race::go_on,
    reach::{missing, valid},
};
use crate::{
    Caller, Error, System,
    scripts::{Draft, Keyed, Pointed, Wording},
};
use std::collections::BTreeMap;
use sutler_lua::Sieve;
use sutler_model::{
    BillingEntity, BillingEntityId, Customer, CustomerId, FieldError, Noun, Permission, Plan, PointKind, Scope,
    ScriptId, Server, TriggerType, ValueDef,
    point::{Action, ConfigPoint, ResourceConfig, Validator, fill},
};
use sutler_store::{ChangeSet, Record};
use uuid::Uuid;

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
pub(super) struct Place {
    id: Uuid,
    kind: &'static str,
    pub customer: Option<CustomerId>,
    pub seller: BillingEntityId,
    path: Vec<BillingEntityId>,
    /// References of the components in the customer's plan; none: it is of no customer, and has all.
    sold: Option<Vec<String>>,
    values: BTreeMap<String, BTreeMap<String, String>>,
}

impl System {
    /// What configuration providers show on a server, customer or billing entity.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn provider_forms(&self, caller: &Caller, id: Uuid) -> Result<Vec<ProviderForm>, Error> {
        let place = self.place_of(caller, id).await?;
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

    /// The record, for reading (0) or changing (1).
    async fn provided<R: Provided>(&self, caller: &Caller, id: Uuid, right: usize) -> Result<R, Error> {
        let record: R = self.find(id).await?;
        // What is out of reach is not found, whatever one may do with what is within.
        let seller = if R::NOUN == Noun::BillingEntity { id.into() } else { record.seller() };
        self.reach(caller, seller, record.customer(), (R::NOUN, id)).await?;
        caller.must(R::PERMISSIONS[right])?;
        Ok(record)
    }

    /// Whatever has the id, for reading.
    pub(super) async fn place_of(&self, caller: &Caller, id: Uuid) -> Result<Place, Error> {
        Ok(for_record!(self, caller, id, R => self.place(&self.provided::<R>(caller, id, 0).await?).await?))
    }

    async fn place<R: Provided>(&self, record: &R) -> Result<Place, Error> {
        let customer = record.customer();
        // A billing entity stands among its own.
        let seller = if R::NOUN == Noun::BillingEntity { Draft::id(record).into() } else { record.seller() };
        Ok(Place {
            id: Draft::id(record),
            kind: R::OPTION,
            customer,
            seller,
            path: self.path(seller).await?,
            sold: self.sold(customer).await?,
            values: record.clone().settings().clone(),
        })
    }

    /// References of the components in a customer's plan.
    pub(super) async fn sold(&self, customer: Option<CustomerId>) -> Result<Option<Vec<String>>, Error> {
        let Some(customer) = customer else { return Ok(None) };
        let customer: Customer = self.find(customer).await?;
        let plan: Plan = self.find(customer.plan_id).await?;
        Ok(Some(plan.charges.into_iter().map(|charge| charge.component).collect()))
    }

    /// The providers that a record has.
    fn providers(&self, place: &Place) -> Vec<(Pointed, ConfigPoint)> {
        let covers = |owner: Scope| owner.covers(&place.path, place.customer);
        let has = |pointed: Pointed| {
            let PointKind::ConfigProvider(provider) = &pointed.point().kind else { return None };
            let provider = provider.clone();
            let config = provider_config(&provider, place);
            let there = config.is_some_and(|config| is_sold(&provider, config, place.sold.as_deref()));
            there.then_some((pointed, provider))
        };
        self.inner.scripts.points().into_iter().filter(|pointed| covers(pointed.script.owner)).filter_map(has).collect()
    }

    pub(super) fn provider(&self, place: &Place, provider_type: &str) -> Result<(Pointed, ConfigPoint), Error> {
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

pub(super) fn provider_config<'a>(provider: &'a ConfigPoint, place: &Place) -> Option<&'a ResourceConfig> {
    provider.resources.iter().find(|config| config.resource_type == place.kind)
}

/// Whether those are sold what a provider adds to a type of record who have these components in their plan.
pub(super) fn is_sold(provider: &ConfigPoint, config: &ResourceConfig, sold: Option<&[String]>) -> bool {
    let charged = |sold: &[String]| {
        config.components.iter().any(|component| {
            let reference = format!("{}_{}", provider.provider_type, component.reference);
            sold.contains(&reference)
        })
    };
    !config.use_with_billing || sold.is_none_or(charged)
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

impl Place {
    /// What one must be allowed to, to change the record.
    pub fn writes(&self) -> Permission {
        writes(self.kind)
    }
}

/// What one must be allowed to, to change records of a type.
pub(super) fn writes(kind: &str) -> Permission {
    match kind {
        "SERVER" => Permission::ServersWrite,
        _ => Permission::CustomersWrite,
    }
}

/// Whether a caller may have an action done: who stands on its levels, and without any who may change the record.
pub(super) fn may(caller: &Caller, place: &Place, action: &Action) -> bool {
    action.available && level_of(caller, &action.levels).unwrap_or_else(|| caller.must(place.writes()).is_ok())
}
