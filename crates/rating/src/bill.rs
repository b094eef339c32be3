//! Adding intervals up to invoice lines.

use crate::Error;
use std::collections::BTreeMap;
use sutler_model::{Interval, InvoiceLine, Meter, Nanos, Plan, Timestamp};
use uuid::Uuid;

/// Milliseconds in an hour, the time that prices are for.
const HOUR_MS: i128 = 3_600_000;

/// What a bill covers: `from`, up to and without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// First moment covered.
    pub from: Timestamp,
    /// First moment no longer covered. For a preview of running use: at the latest now.
    pub to: Timestamp,
}

impl Period {
    /// How much of `interval` lies in the period, milliseconds. Use that goes on is counted up to the period's end.
    pub fn overlap_ms(self, interval: &Interval) -> i64 {
        let end = interval.end.unwrap_or(self.to).min(self.to);
        end.since_ms(interval.key.start.max(self.from)).max(0)
    }
}

/// A bill being added up, one interval at a time, so that a month streams. Intervals may come in any order.
pub struct Bill<'a> {
    period: Period,
    plan: &'a Plan,
    sums: BTreeMap<(Uuid, Meter), Sum>,
}

/// What stands behind one line.
struct Sum {
    name: String,
    name_since: Timestamp,
    intervals: u64,
    used_ms: i64,
    unit_ms: i128,
}

impl<'a> Bill<'a> {
    /// An empty bill at the prices of `plan`.
    ///
    /// # Errors
    /// [`Error::Period`].
    pub fn new(period: Period, plan: &'a Plan) -> Result<Self, Error> {
        if period.to < period.from {
            return Err(Error::Period { from: period.from, to: period.to });
        }
        Ok(Self { period, plan, sums: BTreeMap::new() })
    }

    /// Adds what of `interval` lies in the period; nothing when none of it does, or when it counts what has no price.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; the bill is unchanged.
    pub fn add(&mut self, interval: &Interval) -> Result<&mut Self, Error> {
        let overlap_ms = self.period.overlap_ms(interval);
        if overlap_ms == 0 || !interval.key.meter.is_priced() {
            return Ok(self);
        }
        let (resource_id, meter, start) = (interval.key.resource_id, interval.key.meter, interval.key.start);
        let too_large = || Error::TooLarge { resource_id, meter };
        let sum = self.sums.entry((resource_id, meter)).or_insert_with(|| Sum {
            name: interval.resource_name.clone(),
            name_since: start,
            intervals: 0,
            used_ms: 0,
            unit_ms: 0,
        });
        let more = i128::from(interval.quantity).checked_mul(overlap_ms.into()).ok_or_else(too_large)?;
        let unit_ms = sum.unit_ms.checked_add(more).ok_or_else(too_large)?;
        sum.used_ms = sum.used_ms.checked_add(overlap_ms).ok_or_else(too_large)?;
        sum.unit_ms = unit_ms;
        sum.intervals += 1;
        if start > sum.name_since {
            sum.name_since = start;
            sum.name.clone_from(&interval.resource_name);
        }
        Ok(self)
    }

    /// The lines, ordered by resource, then meter, and their sum. Each line is rounded once, half to even, to the
    /// places of the plan's currency; the sum needs no rounding.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Total`].
    pub fn finish(self) -> Result<(Vec<InvoiceLine>, Nanos), Error> {
        let places = self.plan.currency.places();
        let mut total = Nanos::ZERO;
        let mut lines = Vec::with_capacity(self.sums.len());
        for ((resource_id, meter), sum) in self.sums {
            let unit_price = self.plan.hourly(meter);
            let divisor = i128::from(meter.units_per_priced()) * HOUR_MS;
            let amount = unit_price
                .mul_div_round(sum.unit_ms, divisor, places)
                .map_err(|_| Error::TooLarge { resource_id, meter })?;
            total = total.add(amount).map_err(Error::Total)?;
            lines.push(InvoiceLine {
                resource_id,
                resource_name: sum.name,
                meter,
                intervals: sum.intervals,
                used_ms: sum.used_ms,
                unit_ms: sum.unit_ms,
                unit_price,
                amount,
            });
        }
        Ok((lines, total))
    }
}

/// The bill of `intervals` in one call: see [`Bill`].
///
/// # Errors
/// [`Error::Period`], [`Error::TooLarge`], [`Error::Total`].
pub fn rate<'i>(
    period: Period,
    plan: &Plan,
    intervals: impl IntoIterator<Item = &'i Interval>,
) -> Result<(Vec<InvoiceLine>, Nanos), Error> {
    let mut bill = Bill::new(period, plan)?;
    for interval in intervals {
        bill.add(interval)?;
    }
    bill.finish()
}

#[cfg(test)]
mod tests;
