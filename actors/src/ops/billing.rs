//! Plans, previews and invoices.

use super::{
    NewPlan, PlanPatch,
    race::again,
    reach::{missing, unchanged, valid},
    script_users::Need,
};
use crate::{
    Caller, Error, System,
    meter::{Adjustments, Close, Preview, intervals, settled},
};
use sutler_model::{
    Customer, CustomerId, FieldError, Interval, Invoice, Meter, Nanos, Noun, Permission, Plan, PlanId, Timestamp,
    TriggerType, validate,
};
use sutler_rating::Period;
use sutler_store::ChangeSet;

impl System {
    /// Creates a price plan of a seller within the caller's reach.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Refused`].
    pub async fn create_plan(&self, caller: &Caller, new: NewPlan) -> Result<Plan, Error> {
        caller.must(Permission::BillingWrite)?;
        again(None, async || {
            let new = new.clone();
            let entity = self.entity(caller, new.billing_entity_id).await?;
            let mut problems: Vec<FieldError> = validate::name("name", &new.name).err().into_iter().collect();
            if new.currency != entity.currency {
                let detail = format!("is {}; the billing entity invoices in {}", new.currency, entity.currency);
                problems.push(FieldError::new("currency", detail));
            }
            problems.extend(negative([
                ("cpu_hour", Some(new.cpu_hour)),
                ("memory_gib_hour", Some(new.memory_gib_hour)),
                ("disk_gib_hour", Some(new.disk_gib_hour)),
                ("unit_price", Some(new.unit_price)),
            ]));
            valid(problems)?;
            let charges = self.checked_charges(&entity.path, new.charges)?;
            let mut plan = Plan {
                id: self.inner.core.new_id(),
                version: 0,
                name: new.name,
                billing_entity_id: entity.id,
                currency: new.currency,
                cpu_hour: new.cpu_hour,
                memory_gib_hour: new.memory_gib_hour,
                disk_gib_hour: new.disk_gib_hour,
                unit_price: new.unit_price,
                charges,
                created_at: self.inner.core.now(),
            };
            let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut plan).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            self.require_scripts(&mut set, "charges", plan.charges.iter().filter_map(Need::of_charge)).await?;
            set.create(&mut plan);
            self.store().commit(set).await?;
            Ok(plan)
        })
        .await
    }

    /// Changes a price plan. Closed invoices stay as they are.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Stale`], [`Error::Refused`].
    pub async fn update_plan(
        &self,
        caller: &Caller,
        id: PlanId,
        if_match: Option<u64>,
        patch: PlanPatch,
    ) -> Result<Plan, Error> {
        caller.must(Permission::BillingWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let old: Plan = self.find(id).await?;
            self.reach(caller, old.billing_entity_id, None, (Noun::Plan, id.into())).await?;
            unchanged(&old, if_match)?;
            let mut problems: Vec<FieldError> =
                patch.name.as_ref().and_then(|name| validate::name("name", name).err()).into_iter().collect();
            problems.extend(negative([
                ("cpu_hour", patch.cpu_hour),
                ("memory_gib_hour", patch.memory_gib_hour),
                ("disk_gib_hour", patch.disk_gib_hour),
                ("unit_price", patch.unit_price),
            ]));
            valid(problems)?;
            let mut new = old.clone();
            let mut set = ChangeSet::new(caller.cause.clone());
            if let Some(charges) = patch.charges {
                new.charges = self.checked_charges(&self.path(old.billing_entity_id).await?, charges)?;
                self.require_scripts(&mut set, "charges", new.charges.iter().filter_map(Need::of_charge)).await?;
            }
            new.unit_price = patch.unit_price.unwrap_or(new.unit_price);
            new.name = patch.name.unwrap_or(new.name);
            new.cpu_hour = patch.cpu_hour.unwrap_or(new.cpu_hour);
            new.memory_gib_hour = patch.memory_gib_hour.unwrap_or(new.memory_gib_hour);
            new.disk_gib_hour = patch.disk_gib_hour.unwrap_or(new.disk_gib_hour);
            let _decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            Ok(new)
        })
        .await
    }

    /// What a customer owes so far; by default from the last invoice up to now.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn preview_invoice(
        &self,
        caller: &Caller,
        customer: CustomerId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Invoice, Error> {
        caller.must(Permission::BillingRead)?;
        let customer = self.customer(caller, customer).await?;
        let now = self.inner.core.now();
        let period = Period { from: from.unwrap_or(customer.invoiced_until), to: to.unwrap_or(now).min(now) };
        let adjustments = self.charges(caller.sees_runs_of(), &customer, period, true).await?;
        let mut drawn = self.drawn(customer.id, period, adjustments).await?;
        if self.taxed(period) {
            drawn.tax = self.inner.scripts.tax(&caller.into(), &drawn, true).await?;
        }
        Ok(drawn)
    }

    /// What scripts add to a period that is to be closed: charges, and the tax of what they and the use come to.
    async fn adjustments(&self, caller: &Caller, customer: &Customer, period: Period) -> Result<Adjustments, Error> {
        let mut adjustments = self.charges(caller.sees_runs_of(), customer, period, false).await?;
        if self.taxed(period) {
            let drawn = self.drawn(customer.id, period, adjustments.clone()).await?;
            let tax = self.inner.scripts.tax(&caller.into(), &drawn, false).await?;
            adjustments.taxed = tax.map(|tax| (drawn.total, tax));
        }
        Ok(adjustments)
    }

    /// The invoice of a period, drawn up and not kept.
    async fn drawn(&self, id: CustomerId, period: Period, adjustments: Adjustments) -> Result<Invoice, Error> {
        self.ask_meter(id, Preview { from: Some(period.from), to: Some(period.to), adjustments }).await
    }

    /// Whether scripts are asked about the tax of a period.
    fn taxed(&self, period: Period) -> bool {
        self.inner.scripts.taxes() && period.to > period.from
    }

    /// Closes a customer's period from the last invoice up to `to`, and numbers the invoice.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn close_invoice(&self, caller: &Caller, customer: CustomerId, to: Timestamp) -> Result<Invoice, Error> {
        caller.must(Permission::BillingWrite)?;
        // Another invoice may be closed, or the customer change, while the scripts work.
        again(None, async || {
            let customer = self.customer(caller, customer).await?;
            // Before any script is asked.
            settled(to, self.inner.core.now())?;
            let period = Period { from: customer.invoiced_until, to };
            let adjustments = self.adjustments(caller, &customer, period).await?;
            self.ask_meter(customer.id, Close { to, adjustments, cause: caller.cause.clone() }).await
        })
        .await
    }

    /// The intervals behind an invoice line: those of a resource and meter that touch the period.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn line_intervals(
        &self,
        caller: &Caller,
        customer: CustomerId,
        from: Timestamp,
        to: Timestamp,
        resource: uuid::Uuid,
        meter: Meter,
    ) -> Result<Vec<Interval>, Error> {
        caller.must(Permission::BillingRead)?;
        let id = self.customer(caller, customer).await?.id;
        let period = Period { from, to: to.min(self.inner.core.now()) };
        let mut found = self.store().read(move |s| intervals(s, id, period)).await?;
        found.retain(|interval| interval.key.resource_id == resource && interval.key.meter == meter);
        Ok(found)
    }

    async fn ask_meter<M>(&self, customer: CustomerId, message: M) -> Result<Invoice, Error>
    where
        crate::meter::MeterActor: crate::registry::Handles<M>,
        M: actix::Message<Result = Result<Invoice, Error>> + Send + 'static,
    {
        match self.inner.meters.ask(customer.into(), message).await {
            Ok(answer) => answer,
            Err(crate::registry::AskError::NotFound) => Err(missing(Noun::Customer, customer.into())),
            Err(error) => Err(super::servers::asked(error, customer.into())),
        }
    }
}

fn negative<const N: usize>(prices: [(&'static str, Option<Nanos>); N]) -> impl Iterator<Item = FieldError> {
    let below = prices.into_iter().filter(|(_, price)| price.is_some_and(|p| p < Nanos::ZERO));
    below.map(|(field, _)| FieldError::new(field, "must not be negative"))
}
