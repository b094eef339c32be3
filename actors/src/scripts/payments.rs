//! Payment providers: the blocks that take payments, and how one is asked.
//!
//! What the language's payment functions are told and answer is written down nowhere; `docs/reference/triggers.md` says what
//! was chosen.

use super::{
    Invocation, Scripts, Subject,
    beans::{Beans, Described, FEW},
    events::derived,
    host::tagged,
    table::Armed,
    wording::Wording,
};
use crate::Error;
use std::sync::Arc;
use sutler_lua::{Member, Outcome};
use sutler_model::{
    BillingEntityId, Cause, Invoice, Nanos, PaymentFunction, PaymentInstance, PaymentMethod, PointKind, RunId, Scope,
    ScriptId, Transaction, money, point::PaymentPoint,
};
use sutler_store::{Error as StoreError, Snapshot};

/// What is called where a provider has no function of its own for something.
const FALLBACK: &str = "UNDEF";

/// A payment provider of an enabled script.
#[derive(Clone)]
pub(crate) struct Provider {
    script: Arc<Armed>,
    /// Its reference within the block.
    pub reference: String,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// Its forms and functions.
    pub point: PaymentPoint,
}

impl Provider {
    /// The block it is in.
    pub(crate) fn script_id(&self) -> ScriptId {
        self.script.id
    }

    /// Its texts for readers of a language.
    pub(crate) fn wording(&self, language: Option<String>) -> Wording {
        Wording::of(&self.script, language)
    }

    /// The global function that does something, if there is one. Giving all back and giving part back stand in for each
    /// other, for providers tell them apart by the amount alone.
    pub(crate) fn function(&self, asked: PaymentFunction) -> Option<&str> {
        use PaymentFunction as F;
        let twin = match asked {
            F::RefundPayment => Some(F::RefundTransaction),
            F::RefundTransaction => Some(F::RefundPayment),
            _ => None,
        };
        let words = [Some(asked.word()), twin.map(F::word), Some(FALLBACK)];
        words.into_iter().flatten().find_map(|word| self.point.functions.get(word)).map(String::as_str)
    }

    /// Whether a seller with this path, the provider first, may use it.
    fn serves(&self, path: &[BillingEntityId]) -> bool {
        match self.script.owner {
            Scope::Provider => true,
            Scope::Entity(id) => path.contains(&id),
            Scope::Customer(_) => false,
        }
    }
}

impl Scripts {
    /// The payment providers that a seller may use.
    pub(crate) fn payment_providers(&self, path: &[BillingEntityId]) -> Vec<Provider> {
        let providers = self.env.points().into_iter().filter_map(|pointed| {
            let point = pointed.point();
            let PointKind::PaymentProvider(kind) = &point.kind else { return None };
            Some(Provider {
                script: pointed.script.clone(),
                reference: point.reference.clone(),
                name: point.name.clone(),
                description: point.description.clone(),
                point: kind.clone(),
            })
        });
        providers.filter(|provider| provider.serves(path)).collect()
    }

    /// One of them; none while its script is disabled.
    pub(crate) fn payment_provider(
        &self,
        path: &[BillingEntityId],
        script: ScriptId,
        reference: &str,
    ) -> Option<Provider> {
        let mut found = self.payment_providers(path).into_iter();
        found.find(|provider| provider.script_id() == script && provider.reference == reference)
    }

    /// Has a provider do what a transaction asks for. The run follows from the transaction and its step, so that a repeat is
    /// the same run.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn ask_provider(
        &self,
        provider: &Provider,
        function: &str,
        transaction: &Transaction,
    ) -> Result<Outcome, Error> {
        let (asked, form, owner) = (transaction.clone(), provider.point.clone(), provider.script.owner);
        let read = self.env.core.store.read(move |snapshot| told(snapshot, owner, &asked, &form));
        let (bean, more) = read.await?;
        let subject = Subject {
            id: transaction.id.into(),
            customer: transaction.customer_id,
            seller: transaction.billing_entity_id,
            bean: Some(bean),
        };
        let depth = match transaction.cause {
            Cause::Run { depth, .. } => depth,
            _ => 0,
        };
        self.invoke(Invocation {
            script: provider.script.clone(),
            function: function.to_owned(),
            id: run_of(transaction),
            option: transaction.function.word(),
            subject: Some(subject),
            more,
            user: transaction.user_id,
            cause: transaction.cause.clone(),
            depth,
            deadline_ms: self.env.core.settings.post_deadline_ms,
            rehearsal: false,
        })
        .await
    }
}

/// The run of a transaction's present step.
pub(crate) fn run_of(transaction: &Transaction) -> RunId {
    let text = format!("payment:{}:{}", transaction.id, transaction.step);
    derived(transaction.script_id, transaction.created_at, &text)
}

/// Further members of `p`.
type Members = Vec<(&'static str, Member)>;

/// The transaction's bean, and the members of `p` beside it.
fn told(
    snapshot: &Snapshot,
    owner: Scope,
    asked: &Transaction,
    form: &PaymentPoint,
) -> Result<(sutler_lua::Bean, Members), StoreError> {
    fn member<R: Described>(beans: &Beans<'_>, record: R) -> Result<Member, StoreError> {
        Ok(Member::Value(tagged(beans.bean(record)?)))
    }
    let beans = Beans::new(snapshot, owner, FEW);
    let text = |text: &str| Member::Value(text.into());
    let mut more = vec![
        ("transaction", Member::Resource),
        ("paymentFunction", text(asked.function.word())),
        ("idempotencyKey", text(&format!("{}-{}", asked.id, asked.step))),
        ("resumed", Member::Value((asked.step > 0).into())),
        ("parameters", Member::Texts(asked.parameters.clone())),
        // A script's numbers cannot hold an amount exactly, so it gets the text and the number of smallest coins.
        ("amount", text(&asked.amount.to_text(asked.currency.places()))),
        ("amountMinor", Member::Value(minor(asked.amount, asked.currency.places()).into())),
        ("currency", text(asked.currency.as_str())),
    ];
    if let Some(url) = &asked.return_url {
        more.push(("returnURL", text(url)));
    }
    let secret = |definitions: &[sutler_model::ValueDef]| -> Vec<String> {
        definitions.iter().filter(|value| value.is_secret()).map(|value| value.key.clone()).collect()
    };
    if let Some(method) = snapshot.get::<PaymentMethod>(asked.payment_method_id)? {
        more.push(("paymentMethod", member(&beans, method.clone())?));
        let is_update = asked.function == PaymentFunction::UpdatePaymentMethod;
        let values = if is_update { &asked.values } else { &method.values };
        more.push(("methodValues", Member::Secrets(values.clone(), secret(&form.method_values))));
        if is_update {
            more.push(("oldMethodValues", Member::Secrets(method.values.clone(), secret(&form.method_values))));
        }
    }
    if let Some(id) = asked.payment_instance_id
        && let Some(instance) = snapshot.get::<PaymentInstance>(id)?
    {
        more.push(("paymentMethodInstance", member(&beans, instance.clone())?));
        more.push(("instanceValues", Member::Secrets(instance.values.clone(), secret(&form.instance_values))));
    }
    let mut invoices = Vec::new();
    for id in &asked.invoice_ids {
        if let Some(invoice) = snapshot.get::<Invoice>(*id)? {
            invoices.push(tagged(beans.bean(invoice)?));
        }
    }
    if let Some(first) = invoices.first() {
        more.push(("invoice", Member::Value(first.clone())));
    }
    if let Some(id) = asked.linked_id
        && let Some(linked) = snapshot.get::<Transaction>(id)?
    {
        more.push(("linkedTransaction", member(&beans, linked)?));
    }
    Ok((beans.bean(asked.clone())?, more))
}

/// How many of the smallest coins an amount is.
fn minor(amount: Nanos, places: u8) -> i64 {
    let unit = money::ONE / 10_i128.pow(u32::from(places.min(9)));
    i64::try_from(amount.0 / unit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_counted_in_the_smallest_coin() {
        for (text, places, count) in [("12.34", 2, 1234), ("500", 0, 500), ("1.005", 3, 1005), ("0", 2, 0)] {
            assert_eq!(minor(text.parse().unwrap(), places), count);
        }
    }
}
