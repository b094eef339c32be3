//! What goes by a script: nobody deletes it from under that, and nothing begins to go by it while it is being deleted.
//!
//! What is to go by a script is committed only if the script is enabled and still as it was read. A deletion disables the
//! script before it looks what goes by it: what came before that is seen, and what comes after is refused.

use crate::{Error, System};
use std::collections::BTreeSet;
use sutler_model::{FieldError, Noun, PaymentMethod, Plan, PluggableResource, Script, ScriptId};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Record, Snapshot};

/// How many of a kind are named.
const NAMED: usize = 3;

impl System {
    /// Has a commit demand that scripts are still there to go by. `field` is what names them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that is disabled or gone.
    pub(super) async fn require_scripts(
        &self,
        set: &mut ChangeSet,
        field: &str,
        scripts: impl IntoIterator<Item = ScriptId>,
    ) -> Result<(), Error> {
        for id in scripts.into_iter().collect::<BTreeSet<_>>() {
            let script = self.store().get::<Script>(id).await?.filter(|script| script.enabled);
            let gone = || Error::Invalid(vec![FieldError::new(field, "names a script that is disabled or gone")]);
            set.require(&script.ok_or_else(gone)?);
        }
        Ok(())
    }

    /// Refuses while something goes by a script.
    ///
    /// # Errors
    /// [`Error::State`] naming it.
    pub(super) async fn refuse_while_used(&self, id: ScriptId) -> Result<(), Error> {
        let users = self.store().read(move |snapshot| users(snapshot, id)).await?;
        if users.is_empty() {
            return Ok(());
        }
        let detail = format!("{} go by this script; delete or change them first, or disable it", users.join(", "));
        Err(Error::State { noun: Noun::Script, id: id.into(), detail })
    }
}

/// What goes by a script, in words.
fn users(snapshot: &Snapshot, id: ScriptId) -> Result<Vec<String>, StoreError> {
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
    // Without it nobody could end what a payment provider has not answered for.
    let methods = Filter::<PaymentMethod>::new().is(Field::Script, key);
    let resources = Filter::<PluggableResource>::new().is(Field::Script, key);
    let plans = Filter::<Plan>::new().when(move |plan| plan.charges.iter().any(|charge| charge.script_id == Some(id)));
    let users = [
        of(snapshot, methods, "payment methods", |method| method.name)?,
        of(snapshot, resources, "pluggable resources", |resource| resource.name)?,
        of(snapshot, plans, "price plans", |plan| plan.name)?,
    ];
    Ok(users.into_iter().flatten().collect())
}
