//! What goes by a script: nobody deletes it from under that, or puts a text in force that lacks what it goes by, and nothing
//! begins to go by it meanwhile.
//!
//! What is to go by a script is committed only if the script is enabled, has what it goes by, and is still as it was read. A
//! deletion disables the script before it looks what goes by it, and a new text is looked after once more when it is in force:
//! what came before that is seen, and what comes after is refused.

use super::race::{again, redone};
use crate::{Caller, Error, System};
use std::collections::BTreeSet;
use sutler_model::{
    FieldError, Noun, PaymentMethod, Plan, PlanCharge, PluggableResource, PointKind, Script, ScriptId, point::Point,
};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Record, Snapshot};

/// How many of a kind are named.
const NAMED: usize = 3;

/// What a record goes by in a script.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A payment provider, by its reference.
    Payments(String),
    /// A provider of resources, by their type.
    Resources(String),
    /// A billing method, by its function; none: the one there is.
    Charges(Option<String>),
}

impl Need {
    /// What a charge of a plan goes by, and where.
    pub(super) fn of_charge(charge: &PlanCharge) -> Option<(ScriptId, Self)> {
        charge.script_id.map(|script| (script, Self::Charges(charge.function.clone())))
    }

    /// Whether a text registers it.
    fn met(&self, points: &[Point]) -> bool {
        let serves = |point: &Point| match (self, &point.kind) {
            (Self::Payments(reference), PointKind::PaymentProvider(_)) => point.reference == *reference,
            (Self::Resources(kind), PointKind::PluggableProvider(provider)) => provider.provider_type == *kind,
            (Self::Charges(function), PointKind::Billing(_)) => {
                function.as_ref().is_none_or(|function| point.function == *function)
            }
            _ => false,
        };
        points.iter().any(serves)
    }
}

/// What becomes of a script that something may go by.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is deleted.
    Deleted,
    /// It comes to register this.
    Registers(Vec<Point>),
}

impl Fate {
    /// Whether something is left without what it goes by.
    fn drops(&self, need: &Need) -> bool {
        match self {
            Self::Deleted => true,
            Self::Registers(points) => !need.met(points),
        }
    }
}

impl System {
    /// Has a commit demand that scripts are still there with what is gone by. `field` is what names them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that is disabled, gone, or without it.
    pub(super) async fn require_scripts(
        &self,
        set: &mut ChangeSet,
        field: &str,
        needs: impl IntoIterator<Item = (ScriptId, Need)>,
    ) -> Result<(), Error> {
        let mut required = BTreeSet::new();
        for (id, need) in needs {
            let script = self.store().get::<Script>(id).await?;
            let script = script.filter(|script| script.enabled && need.met(&script.points));
            let gone = || Error::Invalid(vec![FieldError::new(field, "names a script that is disabled or gone")]);
            let script = script.ok_or_else(gone)?;
            if required.insert(id) {
                set.require(&script);
            }
        }
        Ok(())
    }

    /// Refuses what would leave something without the script that it goes by.
    ///
    /// # Errors
    /// [`Error::State`] naming it.
    pub(super) async fn refuse_while_used(&self, id: ScriptId, fate: Fate) -> Result<(), Error> {
        let then = match fate {
            Fate::Deleted => "go by this script; delete or change them first, or disable it",
            Fate::Registers(_) => "go by what this text does not register; delete or change them first",
        };
        let users = self.store().read(move |snapshot| users(snapshot, id, &fate)).await?;
        if users.is_empty() {
            return Ok(());
        }
        Err(Error::State { noun: Noun::Script, id: id.into(), detail: format!("{} {then}", users.join(", ")) })
    }

    /// Puts a text of a script in force, unless something goes by what it lacks: `set` holds its commit, from `old` to `new`, and
    /// what goes with it, which `back` takes back.
    ///
    /// # Errors
    /// [`Error::State`] naming what goes by what it lacks; those of the store.
    pub(super) async fn put_text_in_force(
        &self,
        caller: &Caller,
        set: ChangeSet,
        (old, new): (&Script, &Script),
        back: impl Fn(&mut ChangeSet),
    ) -> Result<(), Error> {
        if old.points != new.points {
            self.refuse_while_used(old.id, Fate::Registers(new.points.clone())).await?;
        }
        self.commit_text(caller, set, (old, new), back).await
    }

    /// The second half: commits it and looks again. When something came to go by what it lacks just before, all is as it was.
    pub(crate) async fn commit_text(
        &self,
        caller: &Caller,
        set: ChangeSet,
        (old, new): (&Script, &Script),
        back: impl Fn(&mut ChangeSet),
    ) -> Result<(), Error> {
        self.store().commit(set).await?;
        let looked = match old.points == new.points {
            true => Ok(()),
            false => self.refuse_while_used(old.id, Fate::Registers(new.points.clone())).await,
        };
        if looked.is_err() {
            again(None, async || self.take_text_back(caller, (old, new), &back).await).await?;
        }
        self.inner.scripts.reload(old.id).await?;
        looked
    }

    /// Undoes what has just been committed of a script, as far as others have not changed it again.
    async fn take_text_back(
        &self,
        caller: &Caller,
        (old, new): (&Script, &Script),
        back: impl Fn(&mut ChangeSet),
    ) -> Result<(), Error> {
        let now = self.store().get::<Script>(old.id).await?;
        // Another text in its place was looked after then.
        let Some(now) = now.filter(|now| now.revision == new.revision) else { return Ok(()) };
        let mut set = ChangeSet::new(caller.cause.clone());
        set.update(&now, &mut redone(&now, new, old).unwrap_or_else(|| old.clone()));
        back(&mut set);
        self.store().commit(set).await?;
        Ok(())
    }
}

/// What goes by a script and would be left without, in words.
fn users(snapshot: &Snapshot, id: ScriptId, fate: &Fate) -> Result<Vec<String>, StoreError> {
    fn of<R: Record>(
        snapshot: &Snapshot,
        filter: Filter<R>,
        what: &str,
        name: impl Fn(R) -> String,
    ) -> Result<Option<String>, StoreError> {
        let (mut names, mut count) = (Vec::new(), 0);
        for record in snapshot.records(filter) {
            let record = record?;
            count += 1;
            if names.len() < NAMED {
                names.push(format!("`{}`", name(record)));
            }
        }
        let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
        Ok((count > 0).then(|| format!("{count} {what} ({}{more})", names.join(", "))))
    }
    let key = id.0.as_bytes();
    let drops = || {
        let fate = fate.clone();
        move |need: Need| fate.drops(&need)
    };
    let (by_method, by_resource, by_charge) = (drops(), drops(), drops());
    // Without it nobody could end what a payment provider has not answered for.
    let methods = Filter::<PaymentMethod>::new()
        .is(Field::Script, key)
        .when(move |method| by_method(Need::Payments(method.provider.clone())));
    let resources = Filter::<PluggableResource>::new()
        .is(Field::Script, key)
        .when(move |resource| by_resource(Need::Resources(resource.provider_type.clone())));
    let plans = Filter::<Plan>::new().when(move |plan| {
        let mut needs = plan.charges.iter().filter_map(Need::of_charge);
        needs.any(|(script, need)| script == id && by_charge(need))
    });
    let users = [
        of(snapshot, methods, "payment methods", |method| method.name)?,
        of(snapshot, resources, "pluggable resources", |resource| resource.name)?,
        of(snapshot, plans, "price plans", |plan| plan.name)?,
    ];
    Ok(users.into_iter().flatten().collect())
}
