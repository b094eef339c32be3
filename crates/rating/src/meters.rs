//! From state changes to intervals.
//!
//! What is metered: CPU and memory of a server while [`ServerState::is_metered`](sutler_model::ServerState::is_metered);
//! a disk while it is [`DiskState::Ready`], so neither its making nor the grace period after its deletion was asked for
//! costs anything; a pluggable resource from the end of its making until it is gone.
//!
//! (resource, meter, start) stays unique, and no two intervals of a resource and meter overlap, as long as the changes
//! of one server get times that strictly increase: take them from [`moment`]. A clock that goes back then shortens use,
//! never counts it twice.

use sutler_model::{
    BillingEntityId, Cause, CustomerId, Disk, DiskState, Evidence, Interval, IntervalKey, Meter, PluggableResource,
    Server, Timestamp, pluggable::PluggableState,
};
use uuid::Uuid;

/// What a change means for the intervals; to be committed together with the change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// Open intervals and what takes their place: the first has the key of the old one (an update of that record), the
    /// others are new records.
    pub closed: Vec<(Interval, Vec<Interval>)>,
    /// New open intervals.
    pub opened: Vec<Interval>,
}

/// A change seen from the meters: whose use of what begins, ends or goes on, and when.
struct Change<'a> {
    customer_id: CustomerId,
    billing_entity_id: BillingEntityId,
    resource_id: Uuid,
    resource_name: &'a str,
    /// The kind of a pluggable resource.
    provider_type: Option<&'a str>,
    /// When what is no longer used ends.
    end: Timestamp,
    /// When what is now used begins.
    begin: Timestamp,
    evidence: Evidence,
    open: &'a [Interval],
    cause: &'a Cause,
}

/// The time of the next change of a server: `at`, unless the clock has not moved on since its last one.
pub fn moment(old: Option<&Server>, at: Timestamp) -> Timestamp {
    old.map_or(at, |old| at.max(old.state_since.plus_ms(1)))
}

/// Closes an open interval at `at`, in pieces of at most one UTC day, cut at midnight. The first has the key of `open`;
/// the last has `evidence`, the earlier ones [`Evidence::Cut`]; together they count what the whole does.
///
/// An `at` before the start (the clock went back) closes at the start: one piece of zero length, because the record of
/// `open` is there and needs an end. Other pieces always have a length. Versions are left to the store.
pub fn close(open: &Interval, at: Timestamp, evidence: Evidence, cause: &Cause) -> Vec<Interval> {
    let end = at.max(open.key.start);
    let mut pieces = Vec::new();
    let mut start = open.key.start;
    loop {
        let cut = start.next_midnight();
        let last = end <= cut;
        pieces.push(Interval {
            key: IntervalKey { start, ..open.key },
            version: if pieces.is_empty() { open.version } else { 1 },
            end: Some(if last { end } else { cut }),
            evidence: Some(if last { evidence } else { Evidence::Cut }),
            ended_by: Some(cause.clone()),
            ..open.clone()
        });
        if last {
            return pieces;
        }
        start = cut;
    }
}

/// The intervals that a change of a server closes and opens. `new` is none once its record is gone; `open` are its open
/// intervals (others are left alone). `evidence` says how the end of what closes is known.
///
/// What opens begins at [`moment`]`(old, at)`, and never before the end of what it replaces.
pub fn on_server_change(
    old: Option<&Server>,
    new: Option<&Server>,
    at: Timestamp,
    evidence: Evidence,
    open: &[Interval],
    cause: &Cause,
) -> Turn {
    let mut turn = Turn::default();
    let Some(known) = new.or(old) else { return turn };
    let change = Change {
        customer_id: known.customer_id,
        billing_entity_id: known.billing_entity_id,
        resource_id: known.id.into(),
        resource_name: &known.name,
        provider_type: None,
        end: at,
        begin: moment(old, at),
        evidence,
        open,
        cause,
    };
    let running = new.filter(|s| s.state.is_metered());
    change.set(Meter::Cpu, running.map(|s| s.cpu.into()), &mut turn);
    change.set(Meter::Memory, running.map(|s| s.memory_mib), &mut turn);
    turn
}

/// The intervals that a change of a disk closes and opens. `new` is none once its record is gone.
pub fn on_disk_change(
    old: Option<&Disk>,
    new: Option<&Disk>,
    at: Timestamp,
    evidence: Evidence,
    open: &[Interval],
    cause: &Cause,
) -> Turn {
    let mut turn = Turn::default();
    let Some(known) = new.or(old) else { return turn };
    let change = Change {
        customer_id: known.customer_id,
        billing_entity_id: known.billing_entity_id,
        resource_id: known.id.into(),
        resource_name: &known.name,
        provider_type: None,
        end: at,
        begin: at,
        evidence,
        open,
        cause,
    };
    change.set(Meter::Disk, new.filter(|d| d.state == DiskState::Ready).map(|d| d.size_gib), &mut turn);
    turn
}

/// The intervals that a change of a pluggable resource closes and opens; none of a seller's own. `new` is none once it is gone.
///
/// One that was there before it was metered counts from when it came to be.
pub fn on_pluggable_change(
    old: &PluggableResource,
    new: Option<&PluggableResource>,
    at: Timestamp,
    open: &[Interval],
    cause: &Cause,
) -> Turn {
    let mut turn = Turn::default();
    let Some(customer_id) = old.customer_id else { return turn };
    let meter = Meter::PluggableResource;
    let is_there = |resource: &PluggableResource| resource.state != PluggableState::Creating;
    let unmetered = is_there(old) && !open.iter().any(|i| i.key.resource_id == old.id.0 && i.key.meter == meter);
    let change = Change {
        customer_id,
        billing_entity_id: old.billing_entity_id,
        resource_id: old.id.into(),
        resource_name: &new.unwrap_or(old).name,
        provider_type: Some(&old.provider_type),
        end: at,
        begin: if unmetered { old.created_at } else { at },
        evidence: Evidence::Seen,
        open,
        cause,
    };
    change.set(meter, new.is_some_and(is_there).then_some(1), &mut turn);
    if unmetered && new.is_none() {
        let whole = change.interval(meter, 1, old.created_at);
        turn.opened = close(&whole, at, Evidence::Seen, cause);
    }
    turn
}

impl Change<'_> {
    /// Brings one meter to `quantity`; none: not in use.
    fn set(&self, meter: Meter, quantity: Option<u64>, turn: &mut Turn) {
        let running = self.open.iter().find(|i| i.key.resource_id == self.resource_id && i.key.meter == meter);
        // By its last interval a pluggable resource that is gone is known; its name may have changed.
        let renamed = |i: &Interval| self.provider_type.is_some() && i.resource_name != self.resource_name;
        if running.map(|i| i.quantity) == quantity && !running.is_some_and(renamed) {
            return;
        }
        let start = running.map_or(self.begin, |i| self.begin.max(i.key.start));
        let next = quantity.map(|quantity| self.interval(meter, quantity, start));
        match (running, next) {
            // Nothing was counted yet: the new quantity takes the old one's place under the same key.
            (Some(old), Some(next)) if next.key == old.key => {
                turn.closed.push((old.clone(), vec![Interval { version: old.version, ..next }]));
            }
            (Some(old), next) => {
                // What replaces it begins where it ends: use that goes on has no gap.
                let end = next.as_ref().map_or(self.end, |n| n.key.start);
                turn.closed.push((old.clone(), close(old, end, self.evidence, self.cause)));
                turn.opened.extend(next);
            }
            (None, next) => turn.opened.extend(next),
        }
    }

    /// An open interval that begins with the change.
    fn interval(&self, meter: Meter, quantity: u64, start: Timestamp) -> Interval {
        Interval {
            key: IntervalKey { customer_id: self.customer_id, start, resource_id: self.resource_id, meter },
            version: 1,
            billing_entity_id: self.billing_entity_id,
            resource_name: self.resource_name.to_owned(),
            provider_type: self.provider_type.map(str::to_owned),
            quantity,
            end: None,
            evidence: None,
            began_by: self.cause.clone(),
            ended_by: None,
        }
    }
}

#[cfg(test)]
mod tests;
