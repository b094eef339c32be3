//! Has payment providers do what transactions ask for.
//!
//! ```text
//! accepted ─▶ IN PROGRESS ─▶ provider's function ─┬▶ success, failure, cancelled: recorded with what follows from it
//!                  ▲                              ├▶ awaiting input ── resumed ──┐
//!                  ├────────── no answer, again ──┘                              │
//!                  └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! A transaction is in the store before its provider is asked, outside any actor's turn. After a crash it is taken up again,
//! under the same run and the same key for the provider, so that nothing is paid twice. An invoice has one payment at most that
//! stands or may still come: the store holds that ([`Transaction::settles`]).

mod ending;
mod verdict;

pub(crate) use ending::{of_customer, shown};

use crate::{
    Error, System,
    scripts::{pause_ms, run_of},
};
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use sutler_model::{
    BillingEntity, Cause, PaymentMethod, Transaction, TransactionId, TransactionState, payment::TEXT_BYTES,
};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter};
use tokio::task::JoinSet;
use verdict::{Verdict, verdict};

/// While the store's disk is full, what was done is offered to it this often.
const DISK_FULL: Duration = Duration::from_secs(1);

/// Transactions that are worked on here and now.
#[derive(Default)]
pub(crate) struct Payments {
    busy: Mutex<HashSet<TransactionId>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Payments {
    /// Drops what is under way; it is taken up at the next start.
    pub(crate) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    fn begin(&self, id: TransactionId) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn end(&self, id: TransactionId) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl System {
    /// Takes up the transactions that a stop or crash cut off.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn resume_payments(&self) -> Result<(), Error> {
        let read = self.store().read(|snapshot| {
            let due = Filter::<Transaction>::new().is(Field::Pending, b"1").when(|transaction| !transaction.unclear);
            snapshot.records(due).map(|transaction| Ok(transaction?.id)).collect::<Result<Vec<_>, _>>()
        });
        for id in read.await? {
            self.drive(id);
        }
        Ok(())
    }

    /// Has a transaction worked on until its provider has answered, without waiting for it.
    pub(crate) fn drive(&self, id: TransactionId) {
        let payments = &self.inner.payments;
        if !payments.begin(id) {
            return;
        }
        // Weak, so that a task does not keep alive what it is part of.
        let inner = std::sync::Arc::downgrade(&self.inner);
        let mut tasks = payments.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(
            async move {
                while let Some(inner) = inner.upgrade() {
                    let system = Self { inner };
                    let worked = system.work(id).await;
                    system.inner.payments.end(id);
                    match worked {
                        Err(error) => {
                            tracing::warn!(%error, transaction = %id, "a transaction is taken up at the next start");
                            return;
                        }
                        // Somebody may have resumed it while it was being laid down.
                        Ok(()) if system.is_due(id).await && system.inner.payments.begin(id) => {}
                        Ok(()) => return,
                    }
                }
            },
            &self.inner.core.runtime,
        );
    }

    async fn is_due(&self, id: TransactionId) -> bool {
        let found = self.store().get::<Transaction>(id).await;
        found.is_ok_and(|found| found.is_some_and(|transaction| transaction.is_due() && !transaction.unclear))
    }

    /// Asks the provider until it has answered or the tries are used up.
    async fn work(&self, id: TransactionId) -> Result<(), Error> {
        let settings = &self.inner.core.settings;
        loop {
            let Some(old) = self.store().get::<Transaction>(id).await? else { return Ok(()) };
            if !old.is_due() || old.unclear {
                return Ok(());
            }
            let path = self.store().get::<BillingEntity>(old.billing_entity_id).await?;
            let path = path.map(|entity| entity.path).unwrap_or_default();
            let method = self.method_of(&old).await?;
            let provider = method
                .as_ref()
                .and_then(|method| self.inner.scripts.payment_provider(&path, old.script_id, &method.provider));
            let Some(provider) = provider else {
                let reason = "its payment provider is not enabled";
                // What has begun may have been done.
                if old.state == TransactionState::InProgress {
                    return self.leave_unclear(&old, reason).await;
                }
                let mut failed = old.clone();
                failed.state = TransactionState::Failure;
                failed.told.error_reason = Some(reason.to_owned());
                self.end_of(&old, failed, Default::default(), &[]).await?;
                continue;
            };
            let function = provider.function(old.function).map(str::to_owned);
            let forms = [provider.point.method_values.clone(), provider.point.instance_values.clone()].concat();
            let Some(function) = function else {
                // The language lets a provider leave out what it has nothing to do for.
                let mut done = old.clone();
                done.state =
                    if old.function.moves_money() { TransactionState::Failure } else { TransactionState::Success };
                if done.state == TransactionState::Failure {
                    done.told.error_reason = Some("the payment provider cannot do this".to_owned());
                }
                self.end_of(&old, done, Default::default(), &forms).await?;
                continue;
            };
            let mut now = old.clone();
            now.state = TransactionState::InProgress;
            now.attempts += 1;
            (now.told.error_code, now.told.error_reason) = (None, None);
            let run = run_of(&now);
            if now.run_ids.last() != Some(&run) {
                now.run_ids.push(run);
            }
            match self.change(&old, &mut now).await {
                Err(Error::Stale { .. } | Error::Gone { .. }) => continue,
                changed => changed?,
            }
            let outcome = self.inner.scripts.ask_provider(&provider, &function, &now).await?;
            match verdict(&now, &outcome) {
                Verdict::Told(ended, values) => self.end_of(&now, *ended, values, &forms).await?,
                Verdict::Unknown(reason) if now.attempts < settings.run_tries_max.max(1) => {
                    tracing::warn!(transaction = %id, reason, "a payment provider did not say what it did");
                    let pause = pause_ms(settings.retry_base_ms, now.attempts, rand::random());
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Verdict::Unknown(reason) => return self.leave_unclear(&now, &reason).await,
            }
        }
    }

    /// Leaves a transaction to people: it may have been done or not.
    async fn leave_unclear(&self, old: &Transaction, reason: &str) -> Result<(), Error> {
        tracing::error!(transaction = %old.id, reason, "a transaction needs somebody to find out what became of it");
        let mut new = old.clone();
        new.unclear = true;
        let reason = &reason[..reason.floor_char_boundary(TEXT_BYTES)];
        new.told.error_reason = Some(format!("it is not known whether this was done: {reason}"));
        match self.change(old, &mut new).await {
            Err(Error::Stale { .. } | Error::Gone { .. }) => Ok(()),
            changed => changed,
        }
    }

    /// Stores a transaction in place of what it was; waits while the disk is full, for what a provider has done cannot be
    /// done again.
    pub(crate) async fn change(&self, old: &Transaction, new: &mut Transaction) -> Result<(), Error> {
        loop {
            let mut set = ChangeSet::new(cause_of(old));
            set.update(old, new);
            match self.store().commit(set).await {
                Err(StoreError::DiskFull { .. }) => tokio::time::sleep(DISK_FULL).await,
                changed => return changed.map(drop).map_err(Error::from),
            }
        }
    }

    async fn method_of(&self, transaction: &Transaction) -> Result<Option<PaymentMethod>, Error> {
        Ok(self.store().get::<PaymentMethod>(transaction.payment_method_id).await?)
    }
}

/// What changes of a transaction are put down to: its last run, once there is one.
fn cause_of(transaction: &Transaction) -> Cause {
    let depth = match transaction.cause {
        Cause::Run { depth, .. } => depth,
        _ => 0,
    };
    match transaction.run_ids.last() {
        Some(run_id) => Cause::run(*run_id, depth.saturating_add(1)),
        None => transaction.cause.clone(),
    }
}
