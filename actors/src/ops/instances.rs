//! What customers pay with.

use super::{
    payments::{Draft, Interaction},
    race::again,
    reach::{unchanged, valid},
};
use crate::{
    Caller, Error, System,
    payments::{of_customer, shown},
};
use std::collections::BTreeMap;
use sutler_model::{
    Customer, CustomerId, FieldError, Noun, PaymentFunction, PaymentInstance, PaymentInstanceId, PaymentMethod,
    PaymentMethodId, PaymentSetup, Permission, Transaction, TransactionId, TriggerType, point, validate,
};
use sutler_store::{ChangeSet, Field};
use uuid::Uuid;

/// Something to pay with.
#[derive(Clone, Debug)]
pub struct NewPaymentInstance {
    /// Its id; none: a new one. One that is there already is answered as it is.
    pub id: Option<PaymentInstanceId>,
    /// Display name.
    pub name: String,
    /// Whose.
    pub customer_id: CustomerId,
    /// By which method.
    pub payment_method_id: PaymentMethodId,
    /// What the provider's form asks for.
    pub values: BTreeMap<String, String>,
    /// Whether it is the one that is used when none is named.
    pub is_default: bool,
    /// Whether the customer is there to be asked something.
    pub interaction: Interaction,
}

/// Changes to what a customer pays with.
#[derive(Clone, Debug, Default)]
pub struct PaymentInstancePatch {
    /// New name.
    pub name: Option<String>,
    /// Makes it the one that is used when none is named, or no longer.
    pub is_default: Option<bool>,
}

impl System {
    /// Takes in what a customer wants to pay with. Usable once the provider has taken it, which the transaction tells.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Refused`],
    /// [`Error::State`] while the method cannot be used.
    pub async fn create_payment_instance(
        &self,
        caller: &Caller,
        new: NewPaymentInstance,
    ) -> Result<(PaymentInstance, Transaction), Error> {
        caller.must(Permission::PaymentsWrite)?;
        again(None, async || {
            let new = new.clone();
            let customer: Customer = self.customer(caller, new.customer_id).await?;
            let transaction_id = new.id.map(|id| TransactionId(Uuid::new_v5(&id.0, b"registration")));
            if let (Some(id), Some(transaction)) = (new.id, self.earlier(transaction_id).await?)
                && let Some(instance) = self.store().get::<PaymentInstance>(id).await?
            {
                return Ok((instance, transaction));
            }
            valid(validate::name("name", &new.name).err().into_iter().chain(new.interaction.problem()))?;
            let found = self.store().get::<PaymentMethod>(new.payment_method_id).await?;
            let method = found.filter(|method| method.billing_entity_id == customer.billing_entity_id);
            let not_theirs = || FieldError::new("payment_method_id", "is no payment method of this customer's seller");
            let method = method.ok_or_else(|| Error::Invalid(vec![not_theirs()]))?;
            let provider = self.usable(&method).await?;
            let form = &provider.point.instance_values;
            let values = point::fill(form, &BTreeMap::new(), &new.values, "values").map_err(Error::Invalid)?;
            let mut instance = PaymentInstance {
                id: new.id.unwrap_or_else(|| self.inner.core.new_id()),
                version: 0,
                name: new.name,
                customer_id: customer.id,
                billing_entity_id: customer.billing_entity_id,
                payment_method_id: method.id,
                shown: shown(&values, form),
                values,
                is_default: new.is_default,
                state: PaymentSetup::Registering,
                reason: None,
                created_at: self.inner.core.now(),
            };
            let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut instance).await?;
            let currency = self.find::<sutler_model::BillingEntity>(customer.billing_entity_id).await?.currency;
            let draft = Draft {
                id: transaction_id,
                customer: Some(customer.id),
                instance: Some(instance.id),
                interaction: new.interaction,
                ..Draft::of(PaymentFunction::RegisterPaymentInstance, currency)
            };
            let mut asked = draft.by(self, &caller.cause, caller.user_id, &method);
            let mut set = ChangeSet::new(caller.cause.clone());
            set.require(&method).create(&mut instance).create(&mut asked);
            self.store().commit(set).await?;
            self.drive(asked.id);
            Ok((instance, asked))
        })
        .await
    }

    /// Renames what a customer pays with, or makes it the one that is used when none is named.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Stale`], [`Error::Refused`].
    pub async fn update_payment_instance(
        &self,
        caller: &Caller,
        id: PaymentInstanceId,
        if_match: Option<u64>,
        patch: PaymentInstancePatch,
    ) -> Result<PaymentInstance, Error> {
        caller.must(Permission::PaymentsWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let old = self.payment_instance(caller, id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            if let Some(name) = patch.name {
                valid(validate::name("name", &name).err())?;
                new.name = name;
            }
            new.is_default = patch.is_default.unwrap_or(new.is_default);
            let _decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            if new.is_default && !old.is_default {
                let this = old.clone();
                let others = self.store().read(move |snapshot| of_customer(snapshot, &this)).await?;
                for other in others.into_iter().filter(|other| other.is_default) {
                    set.update(&other, &mut PaymentInstance { is_default: false, ..other.clone() });
                }
            }
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            Ok(new)
        })
        .await
    }

    /// Has the provider forget what a customer paid with; it is gone once the transaction has succeeded. One that never came
    /// to work goes at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::State`] while something is paid with it,
    /// [`Error::Refused`].
    pub async fn remove_payment_instance(
        &self,
        caller: &Caller,
        id: PaymentInstanceId,
        if_match: Option<u64>,
        transaction: Option<TransactionId>,
    ) -> Result<Option<Transaction>, Error> {
        caller.must(Permission::PaymentsWrite)?;
        again(if_match, async || {
            if let Some(earlier) = self.earlier(transaction).await? {
                self.reach(caller, earlier.billing_entity_id, earlier.customer_id, (Noun::PaymentInstance, id.into()))
                    .await?;
                return Ok(Some(earlier));
            }
            let old = self.payment_instance(caller, id).await?;
            unchanged(&old, if_match)?;
            let under_way = self.store().index().count(Noun::Transaction, Field::Subject, id.0.as_bytes());
            if under_way > 0 {
                let detail =
                    format!("{under_way} transactions with it are under way; let them end or cancel them first");
                return Err(Error::State { noun: Noun::PaymentInstance, id: id.into(), detail });
            }
            let _decided = self.inner.scripts.before(caller, TriggerType::PreDelete, &mut old.clone()).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            if old.state == PaymentSetup::Failed {
                set.delete(&old);
                self.store().commit(set).await?;
                return Ok(None);
            }
            let method: PaymentMethod = self.find(old.payment_method_id).await?;
            self.enabled_provider(&method).await?;
            let currency = self.find::<sutler_model::BillingEntity>(old.billing_entity_id).await?.currency;
            let draft = Draft {
                id: transaction,
                customer: Some(old.customer_id),
                instance: Some(old.id),
                ..Draft::of(PaymentFunction::RemovePaymentInstance, currency)
            };
            let asked = draft.by(self, &caller.cause, caller.user_id, &method);
            let mut going = PaymentInstance { state: PaymentSetup::Removing, is_default: false, ..old.clone() };
            let asked = self
                .accept(caller, asked, |set| {
                    set.update(&old, &mut going);
                })
                .await?;
            Ok(Some(asked))
        })
        .await
    }

    pub(crate) async fn payment_instance(
        &self,
        caller: &Caller,
        id: PaymentInstanceId,
    ) -> Result<PaymentInstance, Error> {
        let instance: PaymentInstance = self.find(id).await?;
        let whose = Some(instance.customer_id);
        self.reach(caller, instance.billing_entity_id, whose, (Noun::PaymentInstance, id.into())).await?;
        Ok(instance)
    }
}
