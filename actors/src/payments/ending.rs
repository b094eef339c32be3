//! What follows from the end of a transaction: recorded with it, in one change set.

use super::{DISK_FULL, cause_of};
use crate::{Error, System};
use std::collections::BTreeMap;
use sutler_model::{
    Nanos, PaymentFunction as Function, PaymentInstance, PaymentMethod, PaymentSetup, Transaction,
    TransactionState as State, ValueDef,
};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Snapshot};

impl System {
    /// Records how a step of a transaction ended. `values` are what the provider set, of those that `forms` has.
    pub(crate) async fn end_of(
        &self,
        old: &Transaction,
        mut ended: Transaction,
        values: BTreeMap<String, String>,
        forms: &[ValueDef],
    ) -> Result<(), Error> {
        let new_values = ended.values.clone();
        if ended.state.is_final() {
            ended.ended_at = Some(self.inner.core.now());
            ended.outcome = Some(ended.state).filter(|_| ended.function.moves_money());
            ended.unclear = false;
            ended.values.clear();
            ended.parameters.clear();
        }
        let values: BTreeMap<String, String> =
            values.into_iter().filter(|(key, _)| forms.iter().any(|value| value.key == *key)).collect();
        loop {
            let mut set = ChangeSet::new(cause_of(&ended));
            set.update(old, &mut ended);
            let (about, changes) = (ended.clone(), Changes { values: values.clone(), new: new_values.clone() });
            let forms = forms.to_vec();
            let read = self.store().read(move |snapshot| changes.of(snapshot, &about, &forms));
            for effect in read.await? {
                effect.into(&mut set);
            }
            match self.store().commit(set).await {
                Ok(_) => break,
                Err(StoreError::DiskFull { .. }) => tokio::time::sleep(DISK_FULL).await,
                // One of the others; they are read again. Of the transaction itself, somebody else took it on.
                Err(StoreError::Conflict { .. }) => {
                    let now = self.store().get::<Transaction>(old.id).await?;
                    if now.is_none_or(|now| now.version != old.version) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        metrics::counter!("sutler_transactions_total", "function" => ended.function.word(), "state" => ended.state.word())
            .increment(1);
        Ok(())
    }
}

/// What a transaction's end brings along.
struct Changes {
    values: BTreeMap<String, String>,
    /// What a method's values become.
    new: BTreeMap<String, String>,
}

/// Another record that changes with a transaction.
enum Effect {
    Method(PaymentMethod, PaymentMethod),
    Instance(PaymentInstance, PaymentInstance),
    Gone(PaymentInstance),
    Linked(Box<Transaction>, Box<Transaction>),
}

impl Effect {
    fn into(self, set: &mut ChangeSet) {
        match self {
            Self::Method(old, mut new) => set.update(&old, &mut new),
            Self::Instance(old, mut new) => set.update(&old, &mut new),
            Self::Gone(old) => set.delete(&old),
            Self::Linked(old, mut new) => set.update(&*old, &mut *new),
        };
    }
}

impl Changes {
    fn of(&self, snapshot: &Snapshot, ended: &Transaction, forms: &[ValueDef]) -> Result<Vec<Effect>, StoreError> {
        if !ended.state.is_final() {
            return Ok(Vec::new());
        }
        let done = ended.state == State::Success;
        let reason = || ended.told.error_reason.clone().or_else(|| Some(ended.state.word().to_owned()));
        Ok(match ended.function {
            Function::RegisterPaymentMethod | Function::UpdatePaymentMethod => {
                let Some(old) = snapshot.get::<PaymentMethod>(ended.payment_method_id)? else { return Ok(Vec::new()) };
                let mut new = old.clone();
                if ended.function == Function::RegisterPaymentMethod {
                    new.state = if done { PaymentSetup::Ready } else { PaymentSetup::Failed };
                    new.reason = if done { None } else { reason() };
                } else if done {
                    // Values that satisfy the provider make a method whose first ones did not usable after all.
                    (new.state, new.reason, new.values) = (PaymentSetup::Ready, None, self.new.clone());
                }
                if done {
                    new.values.extend(self.values.clone());
                    new.shown = shown(&new.values, forms);
                }
                vec![Effect::Method(old, new)]
            }
            Function::RegisterPaymentInstance => self.registered(snapshot, ended, forms, reason())?,
            Function::RemovePaymentInstance => {
                let Some(id) = ended.payment_instance_id else { return Ok(Vec::new()) };
                let Some(old) = snapshot.get::<PaymentInstance>(id)? else { return Ok(Vec::new()) };
                let kept = PaymentInstance { state: PaymentSetup::Ready, reason: reason(), ..old.clone() };
                vec![if done { Effect::Gone(old) } else { Effect::Instance(old, kept) }]
            }
            Function::RefundPayment | Function::RefundTransaction if !done => {
                let Some(linked) = linked(snapshot, ended)? else { return Ok(Vec::new()) };
                // What was set aside for it can be given back otherwise.
                let refunded = Nanos((linked.refunded.0 - ended.amount.0).max(0));
                vec![Effect::Linked(Box::new(linked.clone()), Box::new(Transaction { refunded, ..linked }))]
            }
            Function::CancelTransaction if done => {
                let Some(linked) = linked(snapshot, ended)? else { return Ok(Vec::new()) };
                if linked.state.is_final() || !(linked.state == State::AwaitingInput || linked.unclear) {
                    return Ok(Vec::new());
                }
                let mut cancelled = linked.clone();
                cancelled.state = State::Cancelled;
                cancelled.outcome = Some(State::Cancelled).filter(|_| cancelled.function.moves_money());
                cancelled.ended_at = ended.ended_at;
                cancelled.unclear = false;
                cancelled.values.clear();
                cancelled.parameters.clear();
                let mut effects =
                    Changes { values: BTreeMap::new(), new: BTreeMap::new() }.of(snapshot, &cancelled, forms)?;
                effects.push(Effect::Linked(Box::new(linked), Box::new(cancelled)));
                effects
            }
            _ => Vec::new(),
        })
    }

    fn registered(
        &self,
        snapshot: &Snapshot,
        ended: &Transaction,
        forms: &[ValueDef],
        reason: Option<String>,
    ) -> Result<Vec<Effect>, StoreError> {
        let Some(id) = ended.payment_instance_id else { return Ok(Vec::new()) };
        let Some(old) = snapshot.get::<PaymentInstance>(id)? else { return Ok(Vec::new()) };
        let mut new = old.clone();
        if ended.state == State::Success {
            (new.state, new.reason) = (PaymentSetup::Ready, None);
            new.values.extend(self.values.clone());
            new.shown = shown(&new.values, forms);
            // The first that works is the one to pay with, until the customer says otherwise.
            let others = of_customer(snapshot, &old)?;
            let taken = others.iter().any(|other| other.is_default && other.state == PaymentSetup::Ready);
            new.is_default = new.is_default || !taken;
            if new.is_default {
                let mut effects: Vec<Effect> = (others.into_iter().filter(|other| other.is_default))
                    .map(|other| Effect::Instance(other.clone(), PaymentInstance { is_default: false, ..other }))
                    .collect();
                effects.push(Effect::Instance(old, new));
                return Ok(effects);
            }
        } else {
            (new.state, new.reason, new.is_default) = (PaymentSetup::Failed, reason, false);
        }
        Ok(vec![Effect::Instance(old, new)])
    }
}

fn linked(snapshot: &Snapshot, ended: &Transaction) -> Result<Option<Transaction>, StoreError> {
    ended.linked_id.map(|id| snapshot.get::<Transaction>(id)).transpose().map(Option::flatten)
}

/// What else a customer pays with.
pub(crate) fn of_customer(snapshot: &Snapshot, but: &PaymentInstance) -> Result<Vec<PaymentInstance>, StoreError> {
    let id = but.id;
    let filter = Filter::<PaymentInstance>::new()
        .is(Field::Customer, but.customer_id.0.as_bytes())
        .when(move |other| other.id != id);
    snapshot.all(filter)
}

/// Those of the values that may be shown: the ones that a form has, but secrets.
pub(crate) fn shown(values: &BTreeMap<String, String>, forms: &[ValueDef]) -> BTreeMap<String, String> {
    let open = |key: &String| forms.iter().any(|value| value.key == *key && !value.is_secret() && !value.hidden);
    values.iter().filter(|(key, _)| open(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}
