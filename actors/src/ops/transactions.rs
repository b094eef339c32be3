//! Paying invoices, giving back, going on and giving up.

use super::{
    payments::{Draft, Interaction, no_transaction},
    race::again,
    reach::{missing, valid},
};
use crate::{Caller, Error, System};
use std::collections::BTreeMap;
use sutler_model::{
    CustomerId, FieldError, Invoice, InvoiceId, Nanos, Noun, PaymentFunction, PaymentInstance, PaymentInstanceId,
    PaymentMethod, PaymentSetup, Permission, Transaction, TransactionId, TransactionState, TriggerType,
    payment::TEXT_BYTES,
};
use sutler_store::{ChangeSet, Field, Filter, Order};

/// Most values that a browser may come back with.
const PARAMETERS_MAX: usize = 100;

/// How to pay.
#[derive(Clone, Debug, Default)]
pub struct Payment {
    /// The transaction's id; none: a new one. One that is there already is answered as it is.
    pub id: Option<TransactionId>,
    /// With what; none: what the customer uses unless it says otherwise.
    pub payment_instance_id: Option<PaymentInstanceId>,
    /// Whether the customer is there to be asked something.
    pub interaction: Interaction,
}

impl System {
    /// Pays an invoice. The transaction tells in the end whether it was paid. An invoice has one payment that stands or may
    /// still come; PRE_PAYMENT triggers may refuse it.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Refused`], [`Error::State`] for an invoice that
    /// is paid or being paid, and while there is nothing to pay with.
    pub async fn pay_invoice(&self, caller: &Caller, id: InvoiceId, how: Payment) -> Result<Transaction, Error> {
        caller.must(Permission::PaymentsWrite)?;
        again(None, async || {
            let how = how.clone();
            let invoice: Invoice = self.find(id).await?;
            let whose = Some(invoice.customer_id);
            self.reach(caller, invoice.billing_entity_id, whose, (Noun::Invoice, id.into())).await?;
            if let Some(earlier) = self.earlier(how.id).await? {
                return Ok(earlier);
            }
            valid(how.interaction.problem())?;
            let state = |detail: String| Error::State { noun: Noun::Invoice, id: id.into(), detail };
            let due = invoice.due()?;
            if due <= Nanos::ZERO {
                return Err(state("nothing is to be paid on this invoice".to_owned()));
            }
            self.unpaid(id).await?;
            let instance = self.means(invoice.customer_id, how.payment_instance_id).await?;
            let method: PaymentMethod = self.find(instance.payment_method_id).await?;
            if method.billing_entity_id != invoice.billing_entity_id {
                let detail = "belongs to another seller than the one who sent this invoice";
                return Err(Error::Invalid(vec![FieldError::new("payment_instance_id", detail)]));
            }
            self.usable(&method).await?;
            let draft = Draft {
                id: how.id,
                customer: Some(invoice.customer_id),
                instance: Some(instance.id),
                invoices: vec![id],
                amount: due,
                interaction: how.interaction,
                ..Draft::of(PaymentFunction::MakePayment, invoice.currency)
            };
            let mut asked = draft.by(self, &caller.cause, caller.user_id, &method);
            let word = asked.function.word();
            let _decided =
                self.inner.scripts.before_as(&caller.into(), TriggerType::PrePayment, word, &mut asked).await?;
            let begun = self
                .accept(caller, asked, |set| {
                    set.require(&method).require(&instance);
                })
                .await;
            match begun {
                // Somebody else was faster.
                Err(Error::Taken { noun: Noun::Transaction, field: "payment" }) => {
                    self.unpaid(id).await?;
                    Err(state("this invoice is being paid already".to_owned()))
                }
                begun => begun,
            }
        })
        .await
    }

    /// Refuses an invoice that has a payment.
    async fn unpaid(&self, id: InvoiceId) -> Result<(), Error> {
        let read = self.store().read(move |snapshot| snapshot.holder::<Transaction>("payment", &[id.0.as_bytes()]));
        let detail = match read.await? {
            None => return Ok(()),
            Some(paid) if paid.state == TransactionState::Success => {
                format!("this invoice was paid by the transaction {}", paid.id)
            }
            Some(paid) if paid.unclear => format!(
                "it is not known whether the transaction {} has paid this invoice; resume or cancel that first",
                paid.id
            ),
            Some(paid) => format!("this invoice is being paid by the transaction {}", paid.id),
        };
        Err(Error::State { noun: Noun::Invoice, id: id.into(), detail })
    }

    /// What a customer pays with.
    async fn means(&self, customer: CustomerId, id: Option<PaymentInstanceId>) -> Result<PaymentInstance, Error> {
        let wrong = |detail: &str| Error::Invalid(vec![FieldError::new("payment_instance_id", detail)]);
        let instance = match id {
            Some(id) => self.store().get::<PaymentInstance>(id).await?.filter(|found| found.customer_id == customer),
            None => {
                let read = self.store().read(move |snapshot| {
                    let filter = Filter::<PaymentInstance>::new()
                        .is(Field::Customer, customer.0.as_bytes())
                        .when(|instance| instance.is_default && instance.state == PaymentSetup::Ready);
                    snapshot.first(filter, Order::Ascending)
                });
                return read.await?.ok_or_else(|| {
                    wrong("must be given, for the customer has not said what it pays with unless told otherwise")
                });
            }
        };
        let instance = instance.ok_or_else(|| wrong("is nothing that this customer pays with"))?;
        if instance.state != PaymentSetup::Ready {
            let detail = "is not ready to pay with; its provider has not taken it, or it is being removed".to_owned();
            return Err(Error::State { noun: Noun::PaymentInstance, id: instance.id.into(), detail });
        }
        Ok(instance)
    }

    /// Gives a payment back: an amount of it, or all that is left. Its seller's part.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Refused`], [`Error::State`] for what was not
    /// paid or was given back.
    pub async fn refund(
        &self,
        caller: &Caller,
        id: TransactionId,
        amount: Option<Nanos>,
        transaction: Option<TransactionId>,
    ) -> Result<Transaction, Error> {
        caller.must(Permission::BillingWrite)?;
        again(None, async || {
            let paid = self.transaction(caller, id).await?;
            if let Some(earlier) = self.earlier(transaction).await? {
                return Ok(earlier);
            }
            let left = paid.refundable();
            if left <= Nanos::ZERO {
                let detail =
                    "nothing of it can be given back: it is no payment that succeeded, or was given back".to_owned();
                return Err(Error::State { noun: Noun::Transaction, id: id.into(), detail });
            }
            let sum = amount.unwrap_or(left);
            let coin = sum.mul_div_round(1, 1, paid.currency.places())?;
            if sum <= Nanos::ZERO || sum > left || coin != sum {
                let places = paid.currency.places();
                let detail = format!("must be more than nothing, at most {} and of whole coins", left.to_text(places));
                return Err(Error::Invalid(vec![FieldError::new("amount", detail)]));
            }
            let function =
                if amount.is_some() { PaymentFunction::RefundPayment } else { PaymentFunction::RefundTransaction };
            let method: PaymentMethod = self.find(paid.payment_method_id).await?;
            self.able_provider(&method, function).await?;
            let draft = Draft {
                id: transaction,
                customer: paid.customer_id,
                instance: paid.payment_instance_id,
                invoices: paid.invoice_ids.clone(),
                amount: sum,
                linked: Some(paid.id),
                ..Draft::of(function, paid.currency)
            };
            let mut asked = draft.by(self, &caller.cause, caller.user_id, &method);
            let _decided = self
                .inner
                .scripts
                .before_as(&caller.into(), TriggerType::PrePayment, function.word(), &mut asked)
                .await?;
            // Set aside at once, so that two refunds together never give back more than was paid.
            let mut less = Transaction { refunded: paid.refunded.add(sum)?, ..paid.clone() };
            self.accept(caller, asked, |set| {
                set.update(&paid, &mut less);
            })
            .await
        })
        .await
    }

    /// Goes on with a transaction whose customer has come back, or asks a provider again that never answered.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::State`] for one that waits for
    /// nothing.
    pub async fn resume_transaction(
        &self,
        caller: &Caller,
        id: TransactionId,
        parameters: BTreeMap<String, String>,
    ) -> Result<Transaction, Error> {
        caller.must(Permission::PaymentsWrite)?;
        again(None, async || {
            let parameters = parameters.clone();
            let old = self.transaction(caller, id).await?;
            let long = |(name, value): (&String, &String)| name.len() + value.len() > TEXT_BYTES;
            if parameters.len() > PARAMETERS_MAX || parameters.iter().any(long) {
                let detail = format!("must be at most {PARAMETERS_MAX} values of at most {TEXT_BYTES} bytes");
                return Err(Error::Invalid(vec![FieldError::new("parameters", detail)]));
            }
            let mut new = old.clone();
            new.attempts = 0;
            if old.state == TransactionState::AwaitingInput {
                // What it waited for has come: a new question to the provider, under a key of its own.
                new.step += 1;
                new.parameters = parameters;
                new.state = TransactionState::InProgress;
            } else if old.unclear {
                // The same question once more, under the same key, and as one that may have been heard.
                new.unclear = false;
                new.attempts = 1;
            } else {
                let detail = format!("it is {} and waits for nothing", old.state.word());
                return Err(Error::State { noun: Noun::Transaction, id: id.into(), detail });
            }
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            self.drive(id);
            Ok(new)
        })
        .await
    }

    /// Gives up a transaction that waits for its customer; its seller may also give up one whose provider never answered. The
    /// answer is the transaction that cancels it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] for one that has ended or is worked on.
    pub async fn cancel_transaction(
        &self,
        caller: &Caller,
        id: TransactionId,
        transaction: Option<TransactionId>,
    ) -> Result<Transaction, Error> {
        caller.must(Permission::PaymentsWrite)?;
        again(None, async || {
            let old = self.transaction(caller, id).await?;
            if let Some(earlier) = self.earlier(transaction).await? {
                return Ok(earlier);
            }
            if old.unclear {
                // Who gives up what may have been paid must answer for it.
                caller.must(Permission::BillingWrite)?;
            } else if old.state != TransactionState::AwaitingInput {
                let detail =
                    format!("it is {}; only one that waits for its customer can be given up", old.state.word());
                return Err(Error::State { noun: Noun::Transaction, id: id.into(), detail });
            }
            let method: PaymentMethod = self.find(old.payment_method_id).await?;
            self.enabled_provider(&method).await?;
            let draft = Draft {
                id: transaction,
                customer: old.customer_id,
                instance: old.payment_instance_id,
                amount: old.amount,
                linked: Some(old.id),
                ..Draft::of(PaymentFunction::CancelTransaction, old.currency)
            };
            let asked = draft.by(self, &caller.cause, caller.user_id, &method);
            self.accept(caller, asked, |set| {
                set.require(&old);
            })
            .await
        })
        .await
    }

    pub(super) async fn transaction(&self, caller: &Caller, id: TransactionId) -> Result<Transaction, Error> {
        let found = self.store().get::<Transaction>(id).await?.ok_or_else(|| no_transaction(id))?;
        self.reach(caller, found.billing_entity_id, found.customer_id, (Noun::Transaction, id.into())).await?;
        Ok(found)
    }

    /// The payment that an invoice has or may still get.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn payment_of(&self, caller: &Caller, id: InvoiceId) -> Result<Option<Transaction>, Error> {
        caller.must(Permission::BillingRead)?;
        let invoice = self.store().get::<Invoice>(id).await?.ok_or_else(|| missing(Noun::Invoice, id.into()))?;
        let whose = Some(invoice.customer_id);
        self.reach(caller, invoice.billing_entity_id, whose, (Noun::Invoice, id.into())).await?;
        Ok(self.store().read(move |snapshot| crate::scripts::payment_of(snapshot, &invoice)).await?)
    }
}
