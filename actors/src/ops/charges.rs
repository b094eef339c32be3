//! What billing methods of scripts charge: checked when a plan names them, run when a period is added up.
//!
//! They run outside the meter actor's turn, once for each component of the plan and resource; the actor takes their charges
//! in with the period they are for, and refuses them when another invoice was faster. A preview's runs have no effects.

use crate::{
    Error, System,
    meter::{Adjustments, intervals},
    remains,
    scripts::{Invocation, Pointed, Subject, derived},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use sutler_lua::{Bean, Charge, Exit, Member};
use sutler_model::{
    BillingEntityId, Cause, Customer, CustomerId, CustomerStatus, Disk, DiskState, FieldError, InvoiceCharge, Meter,
    Nanos, Plan, PlanCharge, PluggableResource, PointKind, Remains, Scope, ScriptId, Server, Timestamp, money::ONE,
    pluggable::PluggableState, point::fill, time::month_ms,
};
use sutler_rating::Period;
use sutler_store::{Field, Filter, Record, Snapshot};
use uuid::Uuid;

/// Billing methods of one customer that run at the same time.
const RUNS_AT_ONCE: usize = 8;
/// Most components of a plan.
const CHARGES_MAX: usize = 100;
/// Types of resource that a plan can charge for.
const TYPES: [&str; 4] = ["SERVER", "DISK", "PLUGGABLE_RESOURCE", "CUSTOMER"];

/// Something to charge for: a resource, there or gone.
struct Billed {
    id: Uuid,
    name: String,
    /// The kind of a pluggable resource.
    provider_type: Option<String>,
    /// Whether its record is gone.
    gone: bool,
    /// What it had when it was counted last; of one that is gone.
    counted: BTreeMap<Meter, u64>,
    /// What else remains of it.
    remains: Option<Remains>,
    /// Whether this is its last charge.
    last: bool,
    /// The part of the period in which it was there.
    part: Period,
}

/// A charge of a plan with its method, for one resource.
struct Due {
    charge: PlanCharge,
    pointed: Pointed,
    billed: Billed,
}

impl System {
    /// The charges of a plan, each with its values filled in and its function named.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming each charge.
    pub(crate) fn checked_charges(
        &self,
        path: &[BillingEntityId],
        charges: Vec<PlanCharge>,
    ) -> Result<Vec<PlanCharge>, Error> {
        let mut problems = Vec::new();
        if charges.len() > CHARGES_MAX {
            problems.push(FieldError::new("charges", format!("has more than {CHARGES_MAX} components")));
        }
        let mut checked = Vec::new();
        for (n, charge) in charges.into_iter().enumerate() {
            match self.checked_charge(path, charge, &format!("charges.{n}")) {
                Ok(charge) => checked.push(charge),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(checked) } else { Err(Error::Invalid(problems)) }
    }

    fn checked_charge(
        &self,
        path: &[BillingEntityId],
        mut charge: PlanCharge,
        field: &str,
    ) -> Result<PlanCharge, Vec<FieldError>> {
        let wrong = |name: &str, detail: String| vec![FieldError::new(format!("{field}.{name}"), detail)];
        if charge.component.trim().is_empty() || charge.component.len() > 200 {
            return Err(wrong("component", "must have 1 to 200 characters".to_owned()));
        }
        charge.resource_type = charge.resource_type.to_uppercase();
        if !TYPES.contains(&charge.resource_type.as_str()) {
            return Err(wrong("resource_type", format!("must be one of {}", TYPES.join(", "))));
        }
        let Some(script) = charge.script_id else {
            return match charge.values.is_empty() && charge.function.is_none() {
                true => Ok(charge),
                false => Err(wrong("script_id", "is missing: whose billing method is it?".to_owned())),
            };
        };
        let pointed = self.billing_method(path, script, charge.function.as_deref());
        let Some(pointed) = pointed else {
            return Err(wrong("script_id", "names no enabled block of yours with this billing method".to_owned()));
        };
        if let PointKind::Billing(method) = &pointed.point().kind {
            if !method.permitted.is_empty() && !method.permitted.contains(&charge.component) {
                let permitted = method.permitted.join(", ");
                return Err(wrong("component", format!("its method charges only for {permitted}")));
            }
            charge.values = fill(&method.values, &BTreeMap::new(), &charge.values, &format!("{field}.values"))?;
        }
        charge.function = Some(pointed.point().function.clone());
        Ok(charge)
    }

    fn billing_method(&self, path: &[BillingEntityId], script: ScriptId, function: Option<&str>) -> Option<Pointed> {
        let is_one = |pointed: &Pointed| {
            pointed.script.id == script
                && matches!(pointed.point().kind, PointKind::Billing(_))
                && pointed.script.owner.covers(path, None)
                && function.is_none_or(|function| pointed.point().function == function)
        };
        let mut found = self.inner.scripts.points().into_iter().filter(is_one);
        let one = found.next();
        // Without a name there must be no doubt.
        if function.is_none() && found.next().is_some() { None } else { one }
    }

    /// Runs the billing methods of a customer's plan over a period. Who asks may see the runs of `asked_by`.
    ///
    /// # Errors
    /// [`Error::Refused`] when one of them fails: a bill is complete or it is not made.
    pub(crate) async fn charges(
        &self,
        asked_by: Option<Scope>,
        customer: &Customer,
        period: Period,
        rehearsal: bool,
    ) -> Result<Adjustments, Error> {
        let plan: Plan = self.find(customer.plan_id).await?;
        let mut adjustments = Adjustments { from: period.from, ..Adjustments::default() };
        if plan.charges.iter().all(|charge| charge.script_id.is_none()) || period.to <= period.from {
            return Ok(adjustments);
        }
        let path = self.path(customer.billing_entity_id).await?;
        let mut due = Vec::new();
        for charge in plan.charges.iter().filter(|charge| charge.script_id.is_some()) {
            let pointed =
                charge.script_id.and_then(|script| self.billing_method(&path, script, charge.function.as_deref()));
            let Some(pointed) = pointed else {
                let reason = format!("the billing method of component `{}` is not enabled any more", charge.component);
                return Err(Error::Refused { script: plan.name.clone(), reason });
            };
            for billed in self.billed(customer, period, &charge.resource_type).await? {
                due.push(Due { charge: charge.clone(), pointed: pointed.clone(), billed });
            }
        }
        let runs = due.into_iter().map(|due| self.charge(asked_by, customer, &plan, period, due, rehearsal));
        let charged: Vec<Vec<InvoiceCharge>> = stream::iter(runs).buffered(RUNS_AT_ONCE).try_collect().await?;
        adjustments.charges = charged.into_iter().flatten().collect();
        Ok(adjustments)
    }

    /// The resources of a type that a customer had in a period, by id.
    async fn billed(&self, customer: &Customer, period: Period, resource_type: &str) -> Result<Vec<Billed>, Error> {
        let Some(meter) = meter_of(resource_type) else {
            return Ok(account(customer, period).into_iter().collect());
        };
        let id = customer.id;
        let read = self.store().read(move |s| {
            let there = match meter {
                Meter::Cpu | Meter::Memory => {
                    named::<Server>(s, id, |server| Some((server.id.into(), server.name.clone(), server.created_at)))?
                }
                Meter::Disk => named::<Disk>(s, id, |disk| {
                    // One in its time of grace ended when its deletion was asked for, as its intervals tell.
                    let there = disk.state != DiskState::Deleting;
                    there.then(|| (disk.id.into(), disk.name.clone(), disk.created_at))
                })?,
                Meter::PluggableResource => named::<PluggableResource>(s, id, |resource| {
                    // One that is being made may be refused yet.
                    let made = resource.state != PluggableState::Creating;
                    made.then(|| (resource.id.into(), resource.name.clone(), resource.created_at))
                })?,
            };
            let is_there = |id, name, at| Billed {
                id,
                name,
                provider_type: None,
                gone: false,
                counted: BTreeMap::new(),
                remains: None,
                last: false,
                part: Period { from: period.from.max(at), to: period.to },
            };
            let mut billed: BTreeMap<Uuid, Billed> = there
                .into_iter()
                .filter(|(_, _, created_at)| *created_at < period.to)
                .map(|(id, name, at)| (id, is_there(id, name, at)))
                .collect();
            for interval in intervals(s, id, period)? {
                let (id, counted) = (interval.key.resource_id, interval.key.meter);
                if counted != meter {
                    // A server's memory begins to count with its CPUs, and comes behind them.
                    if let Some(gone) = billed.get_mut(&id).filter(|billed| billed.gone) {
                        gone.counted.insert(counted, interval.quantity);
                    }
                    continue;
                }
                let used = Period {
                    from: interval.key.start.max(period.from),
                    to: interval.end.unwrap_or(period.to).min(period.to),
                };
                let (name, provider_type) = (interval.resource_name, interval.provider_type);
                let is_gone = Billed {
                    id,
                    name: name.clone(),
                    provider_type,
                    gone: true,
                    counted: BTreeMap::new(),
                    remains: None,
                    last: false,
                    part: used,
                };
                let gone = billed.entry(id).or_insert(is_gone);
                if gone.gone {
                    // They come in the order of time: its last name is the one by which it is known.
                    gone.name = name;
                    gone.counted.insert(counted, interval.quantity);
                    gone.part = Period { from: gone.part.from.min(used.from), to: gone.part.to.max(used.to) };
                }
            }
            let gone: Vec<&mut Billed> = billed.values_mut().filter(|billed| billed.gone).collect();
            let later = if gone.is_empty() { HashSet::new() } else { used_after(s, id, meter, period.to)? };
            for gone in gone {
                gone.last = !later.contains(&gone.id);
                gone.gone = meter != Meter::Disk || s.get::<Disk>(gone.id)?.is_none();
                gone.remains = remains::find(s, gone.id)?;
            }
            Ok(billed.into_values().collect())
        });
        Ok(read.await?)
    }

    /// Runs one billing method about one resource.
    async fn charge(
        &self,
        asked_by: Option<Scope>,
        customer: &Customer,
        plan: &Plan,
        period: Period,
        due: Due,
        rehearsal: bool,
    ) -> Result<Vec<InvoiceCharge>, Error> {
        let Due { charge, pointed, mut billed } = due;
        let script = pointed.script.clone();
        let text = format!("charge:{}:{}:{}:{}", customer.id, billed.id, charge.component, period.from);
        let run_id = derived(script.id, period.to, &text);
        let bean = match billed.remains.take() {
            Some(remains) => {
                let viewer = script.owner;
                Some(self.store().read(move |s| remains::bean(s, viewer, remains)).await?)
            }
            None => billed.gone.then(|| gone(&charge.resource_type, &billed, customer)),
        };
        let (from, to) = (number(billed.part.from), number(billed.part.to));
        #[allow(clippy::cast_precision_loss)] // a share for the script; no amount of ours is computed from it
        let factor = billed.part.to.since_ms(billed.part.from) as f64 / month_ms(period.from) as f64;
        let ask = Invocation {
            script: script.clone(),
            function: pointed.point().function.clone(),
            id: run_id,
            option: "BILLING",
            subject: Some(Subject {
                id: billed.id,
                customer: Some(customer.id),
                seller: customer.billing_entity_id,
                bean,
            }),
            more: vec![
                ("measureComp", Member::Measures(billed.id)),
                ("billingComp", Member::Billing(charge.values.clone())),
                ("lastBillingTime", from),
                ("currentBillingTime", to),
                ("billingFactor", Member::Value(Value::from(factor))),
                ("lastBillingRun", Member::Value(Value::from(billed.last))),
            ],
            user: None,
            cause: Cause::system("billing"),
            depth: 0,
            deadline_ms: self.inner.core.settings.post_deadline_ms,
            rehearsal,
        };
        let outcome = self.inner.scripts.invoke(ask).await?;
        let refused = |reason: String| Error::Refused { script: script.name.clone(), reason };
        match &outcome.exit {
            Exit::Success | Exit::Continue => {}
            Exit::Refused(reason) => return Err(refused(reason.clone())),
            Exit::Failed(_) | Exit::Stopped(_) => {
                let (seller, run) = (customer.billing_entity_id, (!rehearsal).then_some(run_id));
                let told = self.inner.scripts.told_failure(&script, seller, run, &outcome, asked_by).await?;
                return Err(refused(format!("about {} {}: {told}", charge.component, billed.name)));
            }
        }
        let charges = Charge::read(&outcome.returned).map_err(|what| refused(format!("its billing method {what}")))?;
        charges.into_iter().map(|read| priced(plan, &charge, &billed, run_id, read)).collect()
    }
}

/// A customer with the part of a period in which it was not closed; none: it was closed before.
fn account(customer: &Customer, period: Period) -> Option<Billed> {
    let closed = customer.status == CustomerStatus::Closed;
    // Of one that was closed before that time was kept, nothing tells that it was charged for the last time.
    let end = customer.closed_at.unwrap_or(period.to);
    let part = Period { from: period.from.max(customer.created_at), to: period.to.min(end) };
    let billed = Billed {
        id: customer.id.into(),
        name: customer.name.clone(),
        provider_type: None,
        gone: false,
        counted: BTreeMap::new(),
        remains: None,
        last: closed && end <= period.to,
        part,
    };
    (part.from < part.to).then_some(billed)
}

/// What is used yet after a time, by intervals of a meter: an invoice may be closed long after its period.
fn used_after(
    s: &Snapshot,
    customer: CustomerId,
    meter: Meter,
    at: Timestamp,
) -> Result<HashSet<Uuid>, sutler_store::Error> {
    let later = intervals(s, customer, Period { from: at, to: Timestamp(i64::MAX) })?;
    Ok(later.into_iter().filter(|used| used.key.meter == meter).map(|used| used.key.resource_id).collect())
}

/// A charge with its amount, rounded once to the currency's places.
fn priced(
    plan: &Plan,
    charge: &PlanCharge,
    billed: &Billed,
    run_id: sutler_model::RunId,
    read: Charge,
) -> Result<InvoiceCharge, Error> {
    let places = plan.currency.places();
    let of_units = match read.units {
        Some(units) => plan.unit_price.mul_div_round(units.0, ONE, places)?,
        None => Nanos::ZERO,
    };
    let direct = read.amount.unwrap_or(Nanos::ZERO).mul_div_round(1, 1, places)?;
    Ok(InvoiceCharge {
        resource_id: billed.id,
        resource_name: billed.name.clone(),
        component: charge.component.clone(),
        description: read.description,
        units: read.units,
        unit_price: plan.unit_price,
        amount: of_units.add(direct)?,
        run_id,
        meter: meter_of(&charge.resource_type),
    })
}

fn number(at: Timestamp) -> Member {
    Member::Value(Value::from(at.0))
}

/// What is known of a resource that was invoiced already, or went before anything was kept of it: what its intervals say.
fn gone(resource_type: &str, billed: &Billed, customer: &Customer) -> Bean {
    let kind = match resource_type {
        "DISK" => "Disk",
        "PLUGGABLE_RESOURCE" => "PluggableResource",
        _ => "Server",
    };
    let bean = Bean::new(kind)
        .with("resourceUUID", billed.id.to_string())
        .with("resourceName", billed.name.as_str())
        .with("resourceState", "DELETED")
        .with("customerUUID", customer.id.to_string())
        .with("customerName", customer.name.as_str())
        .with("billingEntityUUID", customer.billing_entity_id.to_string());
    let bean = billed.counted.iter().fold(bean, |bean, (meter, quantity)| match meter {
        Meter::Cpu => bean.with("cpu", *quantity),
        Meter::Memory => bean.with("ram", *quantity),
        Meter::Disk => bean.with("size", *quantity),
        Meter::PluggableResource => bean,
    });
    match &billed.provider_type {
        Some(provider_type) => bean.with("providerType", provider_type.as_str()),
        None => bean,
    }
}

/// What tells by its intervals when a resource of a type was there, or was used; none for a customer.
fn meter_of(resource_type: &str) -> Option<Meter> {
    match resource_type {
        "SERVER" => Some(Meter::Cpu),
        "DISK" => Some(Meter::Disk),
        "PLUGGABLE_RESOURCE" => Some(Meter::PluggableResource),
        _ => None,
    }
}

type Named = Vec<(Uuid, String, Timestamp)>;

fn named<R: Record>(
    s: &Snapshot,
    customer: CustomerId,
    read: fn(&R) -> Option<(Uuid, String, Timestamp)>,
) -> Result<Named, sutler_store::Error> {
    let filter = Filter::<R>::new().is(Field::Customer, customer.0.as_bytes());
    s.records(filter).filter_map(|record| record.map(|record| read(&record)).transpose()).collect()
}
