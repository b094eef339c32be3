//! The meter actor: one per customer; adds up what the customer used and closes its periods.
//!
//! Asked by the operations; mailbox of 64. Closing takes a turn, so two closings cannot cover the same time. It owns no
//! state: intervals are committed with the state changes that bound them, and a restart loses nothing.

use crate::{
    Core, Error,
    ops::missing,
    registry::{Ctx, Entity, Handles, LoadError},
    remains,
};
use sutler_model::{
    BillingEntity, Cause, Customer, CustomerId, Evidence, FieldError, Interval, Invoice, InvoiceCharge, Nanos, Noun,
    Plan, Tax, Timestamp, time::DAY_MS,
};
use sutler_rating::{Bill, Period, meters};
use sutler_store::{ChangeSet, Field, Filter, Snapshot, interval_prefix};
use uuid::Uuid;

/// A period can be closed this long after its end, milliseconds: changes that were decided before the end are
/// committed by then.
const SETTLE_MS: i64 = 5_000;
/// Tries of a closing whose intervals change at the same time.
const LOST_RACES_MAX: u32 = 20;

/// Adds up a period without changing anything. Open use counts up to its end, or up to now.
pub(crate) struct Preview {
    /// First moment; by default the end of the last invoice.
    pub from: Option<Timestamp>,
    /// End; by default now.
    pub to: Option<Timestamp>,
    /// What scripts add to it.
    pub adjustments: Adjustments,
}

/// What scripts add to the bill of a period; made before the actor's turn, and good for that period alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adjustments {
    /// First moment of the period.
    pub from: Timestamp,
    /// What billing methods charge.
    pub charges: Vec<InvoiceCharge>,
    /// What was computed as tax, and of which total: good for that total alone.
    pub taxed: Option<(Nanos, Tax)>,
}

impl actix::Message for Preview {
    type Result = Result<Invoice, Error>;
}

/// Closes the period from the end of the last invoice to `to`. Refused for a time that is not over.
pub(crate) struct Close {
    /// First moment no longer covered.
    pub to: Timestamp,
    /// What scripts add to it. Refused as stale when another invoice was closed since.
    pub adjustments: Adjustments,
    /// Who asked.
    pub cause: Cause,
}

impl actix::Message for Close {
    type Result = Result<Invoice, Error>;
}

/// The actor.
pub(crate) struct MeterActor {
    core: Core,
    id: CustomerId,
}

impl Entity for MeterActor {
    type Env = Core;
    const KIND: &'static str = "meter";
    const MAILBOX: usize = 64;

    async fn load(core: Core, id: Uuid) -> Result<Option<Self>, LoadError> {
        let there = core.store.index().version(Noun::Customer, id).is_some();
        Ok(there.then_some(Self { core, id: CustomerId(id) }))
    }

    fn idle(&self) -> bool {
        true
    }
}

impl Handles<Preview> for MeterActor {
    async fn handle(&mut self, ask: Preview, _: &Ctx<Self>) -> Result<Invoice, Error> {
        let (id, now) = (self.id, self.core.now());
        let invoice = self.core.new_id();
        self.core
            .store
            .read(move |s| {
                Ok(books(s, id)?.map(|books| {
                    let from = ask.from.unwrap_or(books.customer.invoiced_until);
                    let period = Period { from, to: ask.to.unwrap_or(now).min(now) };
                    if period.to < period.from {
                        return Err(Error::Invalid(vec![FieldError::new(
                            "to",
                            "lies before `from`, or `from` lies in the future",
                        )]));
                    }
                    let intervals = intervals(s, id, period)?;
                    draw(&books, period, &intervals, &ask.adjustments, now, invoice)
                }))
            })
            .await?
            .unwrap_or_else(|| Err(missing(Noun::Customer, id.into())))
    }
}

impl Handles<Close> for MeterActor {
    async fn handle(&mut self, ask: Close, _: &Ctx<Self>) -> Result<Invoice, Error> {
        let mut lost = 0;
        loop {
            match self.close(&ask).await {
                // The seller's next number went to another invoice: so one was closed, and with as many at once as there
                // are customers this may happen as often.
                Err(Error::Stale { noun: Noun::BillingEntity, .. }) => {}
                Err(Error::Stale { noun, .. } | Error::Gone { noun, .. })
                    if lost < LOST_RACES_MAX && noun != Noun::Customer =>
                {
                    lost += 1
                }
                answer => return answer,
            }
        }
    }
}

/// Refuses a time up to which changes may still be on their way.
pub(crate) fn settled(to: Timestamp, now: Timestamp) -> Result<(), Error> {
    if to.plus_ms(SETTLE_MS) > now {
        let detail = format!("must lie at least {} seconds in the past", SETTLE_MS / 1000);
        return Err(Error::Invalid(vec![FieldError::new("to", detail)]));
    }
    Ok(())
}

/// The records a bill is made from.
struct Books {
    customer: Customer,
    entity: BillingEntity,
    plan: Plan,
}

fn books(s: &Snapshot, id: CustomerId) -> Result<Option<Books>, sutler_store::Error> {
    let Some(customer) = s.get::<Customer>(id)? else { return Ok(None) };
    let Some(entity) = s.get::<BillingEntity>(customer.billing_entity_id)? else { return Ok(None) };
    let Some(plan) = s.get::<Plan>(customer.plan_id)? else { return Ok(None) };
    Ok(Some(Books { customer, entity, plan }))
}

/// All intervals of a customer that may touch a period: closed ones are at most a day long, open ones are indexed.
pub(crate) fn intervals(s: &Snapshot, id: CustomerId, period: Period) -> Result<Vec<Interval>, sutler_store::Error> {
    let bound = |at| interval_prefix(id.0, at);
    let mut found = open_intervals(s, id)?;
    s.scan::<Interval>(&bound(period.from.plus_ms(-DAY_MS)), &bound(period.to), |interval| {
        if interval.end.is_some() && period.overlap_ms(&interval) > 0 {
            found.push(interval);
        }
        true
    })?;
    found.retain(|interval| period.overlap_ms(interval) > 0);
    found.sort_by_key(|interval| interval.key);
    Ok(found)
}

fn open_intervals(s: &Snapshot, id: CustomerId) -> Result<Vec<Interval>, sutler_store::Error> {
    let filter = Filter::<Interval>::new().is(Field::Customer, id.0.as_bytes()).is(Field::Pending, b"1");
    s.all(filter)
}

/// The invoice of a period, without a number.
fn draw(
    books: &Books,
    period: Period,
    intervals: &[Interval],
    adjustments: &Adjustments,
    issued_at: Timestamp,
    id: sutler_model::InvoiceId,
) -> Result<Invoice, Error> {
    let too_large = |e: sutler_rating::Error| Error::State {
        noun: Noun::Customer,
        id: books.customer.id.into(),
        detail: e.to_string(),
    };
    let mut bill = Bill::new(period, &books.plan).map_err(too_large)?;
    for interval in intervals {
        bill.add(interval).map_err(too_large)?;
    }
    let (lines, mut total) = bill.finish().map_err(too_large)?;
    for charge in &adjustments.charges {
        total = total.add(charge.amount)?;
    }
    let tax = match adjustments.taxed {
        // Use was recorded late: the tax is computed anew, of the total as it is now.
        Some((of, _)) if of != total => {
            let (id, found) = (books.customer.id.into(), books.customer.version);
            return Err(Error::Stale { noun: Noun::Customer, id, found });
        }
        Some((_, tax)) => Some(tax),
        None => None,
    };
    Ok(Invoice {
        id,
        version: 1,
        number: None,
        billing_entity_id: books.entity.id,
        customer_id: books.customer.id,
        from: period.from,
        to: period.to,
        currency: books.plan.currency,
        lines,
        charges: adjustments.charges.clone(),
        total,
        tax,
        issued_at,
    })
}

impl MeterActor {
    /// One try: reads, cuts what is open at the end of the period, adds up and commits it all together.
    async fn close(&self, ask: &Close) -> Result<Invoice, Error> {
        let (id, to, now) = (self.id, ask.to, self.core.now());
        settled(to, now)?;
        let read = self
            .core
            .store
            .read(move |s| {
                let Some(books) = books(s, id)? else { return Ok(None) };
                let period = Period { from: books.customer.invoiced_until, to };
                let intervals = if period.to > period.from { intervals(s, id, period)? } else { Vec::new() };
                Ok(Some((books, period, intervals, remains::invoiced(s, id, to)?)))
            })
            .await?;
        let (books, period, mut intervals, remains) = read.ok_or_else(|| missing(Noun::Customer, id.into()))?;
        if ask.adjustments.from != period.from && period.to > period.from {
            return Err(Error::Stale { noun: Noun::Customer, id: id.into(), found: books.customer.version });
        }
        if period.to <= period.from {
            let detail = format!("is invoiced already; the last invoice covers up to {}", period.from);
            return Err(Error::Invalid(vec![FieldError::new("to", detail)]));
        }
        let mut set = ChangeSet::new(ask.cause.clone());
        let mut cut = Vec::new();
        intervals.retain(|interval| {
            if interval.end.is_none() {
                cut.push(interval.clone());
            }
            interval.end.is_some()
        });
        for open in &cut {
            let mut pieces = meters::close(open, to, Evidence::Cut, &ask.cause);
            for (i, piece) in pieces.iter_mut().enumerate() {
                if i == 0 {
                    set.update(open, piece);
                } else {
                    set.create(piece);
                }
            }
            intervals.extend(pieces);
            let mut rest = Interval {
                key: sutler_model::IntervalKey { start: to, ..open.key },
                version: 0,
                began_by: ask.cause.clone(),
                ..open.clone()
            };
            set.create(&mut rest);
        }
        let mut invoice = draw(&books, period, &intervals, &ask.adjustments, now, self.core.new_id())?;
        let (mut customer, mut entity) = (books.customer.clone(), books.entity.clone());
        invoice.number = Some(entity.next_invoice_number);
        entity.next_invoice_number += 1;
        customer.invoiced_until = to;
        set.update(&books.customer, &mut customer).update(&books.entity, &mut entity).create(&mut invoice);
        set.require(&books.plan);
        remains.iter().for_each(|remains| _ = set.sweep(remains));
        self.core.store.commit(set).await?;
        Ok(invoice)
    }
}
