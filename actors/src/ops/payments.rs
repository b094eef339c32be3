//! Payment methods of sellers, and what transactions are made from.

use super::{
    race::again,
    reach::{missing, unchanged, valid},
    script_users::Need,
};
use crate::{Caller, Error, System, payments::shown, scripts::Provider};
use std::collections::BTreeMap;
use sutler_model::{
    BillingEntityId, Cause, Currency, CustomerId, FieldError, InvoiceId, Nanos, Noun, PaymentFunction,
    PaymentInstanceId, PaymentMethod, PaymentMethodId, PaymentSetup, Permission, ScriptId, Told, Transaction,
    TransactionId, TransactionState, TriggerType, UserId, ValueDef, payment::TEXT_BYTES, point, validate,
};
use sutler_store::{ChangeSet, Field};

/// A provider of payments that a seller may set up a method with.
#[derive(Clone, Debug)]
pub struct PaymentProvider {
    /// The block it is in.
    pub script_id: ScriptId,
    /// Its reference within the block.
    pub reference: String,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// What a seller fills in.
    pub method_values: Vec<ValueDef>,
    /// What a customer fills in.
    pub instance_values: Vec<ValueDef>,
    /// What it can be asked for, in the language's words.
    pub functions: Vec<String>,
}

impl PaymentProvider {
    /// For readers of a language.
    fn of(provider: Provider, language: Option<String>) -> Self {
        let wording = provider.wording(language);
        Self {
            script_id: provider.script_id(),
            reference: provider.reference,
            name: wording.text(&provider.name),
            description: wording.text(&provider.description),
            method_values: wording.form(provider.point.method_values),
            instance_values: wording.form(provider.point.instance_values),
            functions: provider.point.functions.into_keys().collect(),
        }
    }
}

/// A payment method to set up.
#[derive(Clone, Debug)]
pub struct NewPaymentMethod {
    /// Its id; none: a new one. One that is there already is answered as it is.
    pub id: Option<PaymentMethodId>,
    /// Display name.
    pub name: String,
    /// Who is paid.
    pub billing_entity_id: BillingEntityId,
    /// The block of its provider.
    pub script_id: ScriptId,
    /// The provider's reference; none: the block has one alone.
    pub provider: Option<String>,
    /// What the provider's form asks for.
    pub values: BTreeMap<String, String>,
}

/// Changes to a payment method.
#[derive(Clone, Debug, Default)]
pub struct PaymentMethodPatch {
    /// New name.
    pub name: Option<String>,
    /// New values; what is left out stays. They take effect once the provider has taken them.
    pub values: Option<BTreeMap<String, String>>,
}

/// Whether the customer is there to be asked something by a provider.
#[derive(Clone, Debug, Default)]
pub struct Interaction {
    /// It is.
    pub allowed: bool,
    /// Where its browser comes back to.
    pub return_url: Option<String>,
}

impl Interaction {
    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<FieldError> {
        let url = self.return_url.as_deref()?;
        let ok = url.len() <= TEXT_BYTES && (url.starts_with("https://") || url.starts_with("http://"));
        (!ok).then(|| FieldError::new("return_url", "must be an address that begins with https:// or http://"))
    }
}

/// A transaction that nothing has become of yet.
pub(super) struct Draft {
    pub id: Option<TransactionId>,
    pub function: PaymentFunction,
    pub customer: Option<CustomerId>,
    pub instance: Option<PaymentInstanceId>,
    pub invoices: Vec<InvoiceId>,
    pub amount: Nanos,
    pub currency: Currency,
    pub linked: Option<TransactionId>,
    pub interaction: Interaction,
    pub values: BTreeMap<String, String>,
}

impl Draft {
    /// For what moves nothing.
    pub fn of(function: PaymentFunction, currency: Currency) -> Self {
        Self {
            id: None,
            function,
            customer: None,
            instance: None,
            invoices: Vec::new(),
            amount: Nanos::ZERO,
            currency,
            linked: None,
            interaction: Interaction::default(),
            values: BTreeMap::new(),
        }
    }

    pub fn by(self, system: &System, cause: &Cause, user: Option<UserId>, method: &PaymentMethod) -> Transaction {
        let core = &system.inner.core;
        Transaction {
            id: self.id.unwrap_or_else(|| core.new_id()),
            version: 0,
            billing_entity_id: method.billing_entity_id,
            customer_id: self.customer,
            function: self.function,
            state: TransactionState::NotStarted,
            outcome: None,
            script_id: method.script_id,
            payment_method_id: method.id,
            payment_instance_id: self.instance,
            invoice_ids: self.invoices,
            amount: self.amount,
            currency: self.currency,
            refunded: Nanos::ZERO,
            linked_id: self.linked,
            allow_interactive: self.interaction.allowed,
            return_url: self.interaction.return_url,
            parameters: BTreeMap::new(),
            values: self.values,
            told: Told::default(),
            step: 0,
            attempts: 0,
            unclear: false,
            confirmed_later: false,
            run_ids: Vec::new(),
            user_id: user,
            cause: cause.clone(),
            created_at: core.now(),
            ended_at: None,
        }
    }
}

impl System {
    /// The payment providers that a seller may use.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn payment_providers(
        &self,
        caller: &Caller,
        seller: BillingEntityId,
    ) -> Result<Vec<PaymentProvider>, Error> {
        caller.must(Permission::BillingWrite)?;
        let entity = self.entity(caller, seller).await?;
        let language = self.inner.scripts.language(caller.billing_entity_id).await?;
        let providers = self.inner.scripts.payment_providers(&entity.path).into_iter();
        Ok(providers.map(|provider| PaymentProvider::of(provider, language.clone())).collect())
    }

    /// What a customer fills in to pay by a method; empty while its provider is disabled.
    pub async fn payment_form(&self, method: &PaymentMethod) -> Vec<ValueDef> {
        let Some(provider) = self.provider_of(method).await else { return Vec::new() };
        let language = self.inner.scripts.language(method.billing_entity_id).await.unwrap_or_default();
        provider.wording(language).form(provider.point.instance_values)
    }

    /// Sets a payment method up. Usable once its provider has taken it.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Refused`].
    pub async fn create_payment_method(&self, caller: &Caller, new: NewPaymentMethod) -> Result<PaymentMethod, Error> {
        caller.must(Permission::BillingWrite)?;
        again(None, async || {
            let new = new.clone();
            let entity = self.entity(caller, new.billing_entity_id).await?;
            if let Some(id) = new.id
                && let Some(earlier) = self.store().get::<PaymentMethod>(id).await?
            {
                return Ok(earlier);
            }
            valid(validate::name("name", &new.name).err())?;
            let of_script = self.inner.scripts.payment_providers(&entity.path).into_iter();
            let mut of_script: Vec<Provider> = of_script.filter(|p| p.script_id() == new.script_id).collect();
            let wrong = |field: &str, detail: String| Error::Invalid(vec![FieldError::new(field, detail)]);
            let provider = match &new.provider {
                Some(reference) => {
                    let known: Vec<String> = of_script.iter().map(|provider| provider.reference.clone()).collect();
                    let found = of_script.into_iter().find(|provider| provider.reference == *reference);
                    found.ok_or_else(|| {
                        wrong("provider", format!("is none of the block's; known are {}", known.join(", ")))
                    })?
                }
                None if of_script.len() > 1 => {
                    let known: Vec<&str> = of_script.iter().map(|provider| provider.reference.as_str()).collect();
                    return Err(wrong("provider", format!("must be one of {}", known.join(", "))));
                }
                None => {
                    let none = "is no enabled script with a payment provider that this seller may use".to_owned();
                    of_script.pop().ok_or_else(|| wrong("script_id", none))?
                }
            };
            let form = &provider.point.method_values;
            let values = point::fill(form, &BTreeMap::new(), &new.values, "values").map_err(Error::Invalid)?;
            let mut method = PaymentMethod {
                id: new.id.unwrap_or_else(|| self.inner.core.new_id()),
                version: 0,
                name: new.name,
                billing_entity_id: entity.id,
                script_id: provider.script_id(),
                provider: provider.reference.clone(),
                shown: shown(&values, form),
                values,
                state: PaymentSetup::Registering,
                reason: None,
                created_at: self.inner.core.now(),
            };
            let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut method).await?;
            let draft = Draft::of(PaymentFunction::RegisterPaymentMethod, entity.currency);
            let mut asked = draft.by(self, &caller.cause, caller.user_id, &method);
            let mut set = ChangeSet::new(caller.cause.clone());
            self.require_scripts(&mut set, "script_id", [(method.script_id, Need::Payments(method.provider.clone()))])
                .await?;
            set.create(&mut method).create(&mut asked);
            self.store().commit(set).await?;
            self.drive(asked.id);
            Ok(method)
        })
        .await
    }

    /// Changes a payment method. New values go to its provider first; the transaction tells what becomes of them.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Stale`], [`Error::Refused`],
    /// [`Error::State`] while its provider is disabled.
    pub async fn update_payment_method(
        &self,
        caller: &Caller,
        id: PaymentMethodId,
        if_match: Option<u64>,
        patch: PaymentMethodPatch,
    ) -> Result<(PaymentMethod, Option<Transaction>), Error> {
        caller.must(Permission::BillingWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let old = self.payment_method(caller, id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            if let Some(name) = patch.name {
                valid(validate::name("name", &name).err())?;
                new.name = name;
            }
            let mut set = ChangeSet::new(caller.cause.clone());
            let mut asked = None;
            if let Some(given) = patch.values {
                let provider = self.enabled_provider(&old).await?;
                let values = point::fill(&provider.point.method_values, &old.values, &given, "values");
                let values = values.map_err(Error::Invalid)?;
                let currency = self.entity(caller, old.billing_entity_id).await?.currency;
                let draft = Draft { values, ..Draft::of(PaymentFunction::UpdatePaymentMethod, currency) };
                let mut transaction = draft.by(self, &caller.cause, caller.user_id, &old);
                set.create(&mut transaction);
                asked = Some(transaction);
            }
            let _decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            if let Some(asked) = &asked {
                self.drive(asked.id);
            }
            Ok((new, asked))
        })
        .await
    }

    /// Asks a method's provider whether it works; the transaction says so in the end.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] while its provider is disabled or cannot say.
    pub async fn test_payment_method(
        &self,
        caller: &Caller,
        id: PaymentMethodId,
        transaction: Option<TransactionId>,
    ) -> Result<Transaction, Error> {
        caller.must(Permission::BillingWrite)?;
        again(None, async || {
            let method = self.payment_method(caller, id).await?;
            if let Some(earlier) = self.earlier(transaction).await? {
                return Ok(earlier);
            }
            self.able_provider(&method, PaymentFunction::SelfTest).await?;
            let currency = self.entity(caller, method.billing_entity_id).await?.currency;
            let draft = Draft { id: transaction, ..Draft::of(PaymentFunction::SelfTest, currency) };
            self.accept(caller, draft.by(self, &caller.cause, caller.user_id, &method), |set| {
                set.require(&method);
            })
            .await
        })
        .await
    }

    /// Removes a payment method that nobody pays by.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::State`] while it is in use, [`Error::Refused`].
    pub async fn delete_payment_method(
        &self,
        caller: &Caller,
        id: PaymentMethodId,
        if_match: Option<u64>,
    ) -> Result<(), Error> {
        caller.must(Permission::BillingWrite)?;
        again(if_match, async || {
            let method = self.payment_method(caller, id).await?;
            unchanged(&method, if_match)?;
            let index = self.store().index();
            let users = index.count(Noun::PaymentInstance, Field::Subject, id.0.as_bytes());
            let under_way = index.count(Noun::Transaction, Field::Subject, id.0.as_bytes());
            if users + under_way > 0 {
                let detail = format!(
                    "{users} customers pay by this method and {under_way} transactions are under way; end them first"
                );
                return Err(Error::State { noun: Noun::PaymentMethod, id: id.into(), detail });
            }
            let _decided = self.inner.scripts.before(caller, TriggerType::PreDelete, &mut method.clone()).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.delete(&method);
            self.store().commit(set).await?;
            Ok(())
        })
        .await
    }

    /// Accepts a transaction together with `more`, and has it worked on.
    pub(super) async fn accept(
        &self,
        caller: &Caller,
        mut transaction: Transaction,
        more: impl FnOnce(&mut ChangeSet),
    ) -> Result<Transaction, Error> {
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut transaction);
        more(&mut set);
        self.store().commit(set).await?;
        self.drive(transaction.id);
        Ok(transaction)
    }

    /// What was accepted under an id before.
    pub(super) async fn earlier(&self, id: Option<TransactionId>) -> Result<Option<Transaction>, Error> {
        match id {
            Some(id) => Ok(self.store().get::<Transaction>(id).await?),
            None => Ok(None),
        }
    }

    /// A method within the caller's reach. Customers reach those of their seller to pay by, not to change.
    pub(super) async fn payment_method(&self, caller: &Caller, id: PaymentMethodId) -> Result<PaymentMethod, Error> {
        let method: PaymentMethod = self.find(id).await?;
        self.reach(caller, method.billing_entity_id, None, (Noun::PaymentMethod, id.into())).await?;
        Ok(method)
    }

    async fn provider_of(&self, method: &PaymentMethod) -> Option<Provider> {
        let path = self.path(method.billing_entity_id).await.unwrap_or_default();
        self.inner.scripts.payment_provider(&path, method.script_id, &method.provider)
    }

    /// The provider of a method whose script is enabled.
    pub(super) async fn enabled_provider(&self, method: &PaymentMethod) -> Result<Provider, Error> {
        self.provider_of(method).await.ok_or_else(|| {
            let detail = "its payment provider is not enabled; the seller must enable the script".to_owned();
            Error::State { noun: Noun::PaymentMethod, id: method.id.into(), detail }
        })
    }

    /// The provider of a method that works.
    pub(super) async fn usable(&self, method: &PaymentMethod) -> Result<Provider, Error> {
        if method.state != PaymentSetup::Ready {
            let detail = "the payment method is not ready to be used; its seller must mend it".to_owned();
            return Err(Error::State { noun: Noun::PaymentMethod, id: method.id.into(), detail });
        }
        self.enabled_provider(method).await
    }

    /// The same, if it can do something.
    pub(super) async fn able_provider(
        &self,
        method: &PaymentMethod,
        function: PaymentFunction,
    ) -> Result<Provider, Error> {
        let provider = self.enabled_provider(method).await?;
        if provider.function(function).is_none() {
            let detail = format!("the payment provider has no function {}", function.word());
            return Err(Error::State { noun: Noun::PaymentMethod, id: method.id.into(), detail });
        }
        Ok(provider)
    }
}

/// The answer for a transaction out of reach.
pub(super) fn no_transaction(id: TransactionId) -> Error {
    missing(Noun::Transaction, id.into())
}
