//! Scripts and their runs.

use super::{
    race::again,
    reach::{missing, unchanged, valid},
    script_users::Fate,
};
use crate::{Caller, Error, NewScript, ScriptCounts, ScriptPatch, System, scripts::purge};
use std::collections::BTreeMap;
use sutler_lua::Registration;
use sutler_model::{
    FieldError, Noun, Permission, RunId, RunState, Scope, Script, ScriptId, ScriptRun, Timestamp,
    translation::{self, Translations},
    validate,
};
use sutler_store::{ChangeSet, Field, Filter};
use uuid::Uuid;

/// Longest source. The largest published scripts have 100 KB.
const SOURCE_BYTES: usize = 256 * 1024;
/// Scripts that a reseller or a customer may have: every event of theirs is held against each, and a request waits for all PRE
/// entries that match.
const EACH: usize = 1_000;

impl System {
    /// Loads a script for an owner within the caller's reach. Its POST entries run for events from now on.
    ///
    /// # Errors
    /// [`Error::Script`] with the line for a source that does not compile or register; [`Error::Invalid`],
    /// [`Error::NotFound`] for an owner out of reach, [`Error::Forbidden`], [`Error::Taken`], [`Error::Quota`].
    pub async fn create_script(&self, caller: &Caller, new: NewScript) -> Result<Script, Error> {
        self.create_script_as(caller, self.inner.core.new_id(), new, Translations::new()).await
    }

    /// The same with the texts of its package.
    ///
    /// # Errors
    /// As [`System::create_script`].
    pub async fn create_package(
        &self,
        caller: &Caller,
        new: NewScript,
        translations: Translations,
    ) -> Result<Script, Error> {
        self.create_script_as(caller, self.inner.core.new_id(), new, translations).await
    }

    /// The same under an id that the caller has derived, so that asking again cannot make a second one.
    pub(crate) async fn create_script_as(
        &self,
        caller: &Caller,
        id: ScriptId,
        new: NewScript,
        translations: Translations,
    ) -> Result<Script, Error> {
        caller.must(Permission::ScriptsWrite)?;
        let texts = translation::problems("translations", &translations);
        valid(validate::name("name", &new.name).err().into_iter().chain(texts))?;
        self.owner(caller, new.owner).await?;
        self.room_for_script(new.owner)?;
        let registered = self.compile(&new.source, new.owner, &translations).await?;
        let core = &self.inner.core;
        let at = core.now();
        let mut script = Script {
            id,
            version: 0,
            name: new.name,
            owner: new.owner,
            source: String::new(),
            entries: Vec::new(),
            points: Vec::new(),
            info: BTreeMap::new(),
            translations,
            revision: 0,
            latest_revision: 0,
            enabled: new.enabled,
            fail_open: new.fail_open,
            paused: false,
            from_seq: self.next_seq(),
            created_at: at,
            modified_at: at,
        };
        let mut revision = self.next_revision(caller, &mut script, new.source, registered);
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut script);
        set.create(&mut revision);
        core.store.commit(set).await?;
        self.inner.scripts.reload(script.id).await?;
        Ok(script)
    }

    /// Changes a script. A script that is enabled again runs for events from then on.
    ///
    /// # Errors
    /// As [`System::create_script`]; [`Error::Stale`]; [`Error::State`] naming what goes by what its new text lacks.
    pub async fn update_script(
        &self,
        caller: &Caller,
        id: ScriptId,
        if_match: Option<u64>,
        patch: ScriptPatch,
    ) -> Result<Script, Error> {
        caller.must(Permission::ScriptsWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let old = self.script(caller, id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            let mut revision = None;
            if let Some(translations) = patch.translations {
                valid(translation::problems("translations", &translations))?;
                new.translations = translations;
            }
            if let Some(source) = patch.source
                && source != self.latest_source(&old).await?
            {
                let registered = self.compile(&source, new.owner, &new.translations).await?;
                revision = Some(self.next_revision(caller, &mut new, source, registered));
            }
            new.paused = patch.paused.unwrap_or(old.paused);
            new.fail_open = patch.fail_open.unwrap_or(old.fail_open);
            new.enabled = patch.enabled.unwrap_or(old.enabled);
            if new.enabled && !old.enabled {
                new.from_seq = self.next_seq();
                new.modified_at = self.inner.core.now();
            }
            if new == old {
                return Ok(old);
            }
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            if let Some(revision) = &mut revision {
                set.create(revision);
            }
            let back = |set: &mut ChangeSet| {
                revision.iter().for_each(|revision| {
                    set.delete(revision);
                });
            };
            self.put_text_in_force(caller, set, (&old, &new), back).await?;
            Ok(new)
        })
        .await
    }

    /// Deletes a script; its unfinished runs are passed over, and the finished ones stay for the record.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::State`] naming what goes by it.
    pub async fn delete_script(&self, caller: &Caller, id: ScriptId, if_match: Option<u64>) -> Result<(), Error> {
        caller.must(Permission::ScriptsWrite)?;
        let script = self.retire(caller, id, if_match).await?;
        self.remove(caller, script).await
    }

    /// Disables a script that nothing goes by, so that nothing begins to until it is gone. Answers what it was.
    pub(crate) async fn retire(
        &self,
        caller: &Caller,
        id: ScriptId,
        if_match: Option<u64>,
    ) -> Result<(Script, Script), Error> {
        self.decided(if_match, async || {
            let old = self.script(caller, id).await?;
            unchanged(&old, if_match)?;
            self.refuse_while_used(id, Fate::Deleted).await?;
            let mut retired = Script { enabled: false, ..old.clone() };
            let mut set = ChangeSet::new(caller.cause.clone());
            if old.enabled {
                set.update(&old, &mut retired);
            }
            Ok((set, (old, retired)))
        })
        .await
    }

    /// Removes a retired script, unless something came to go by it just before: then it is as it was again.
    pub(crate) async fn remove(&self, caller: &Caller, (old, retired): (Script, Script)) -> Result<(), Error> {
        let id = old.id;
        if let Err(used) = self.refuse_while_used(id, Fate::Deleted).await {
            if old.enabled {
                let mut set = ChangeSet::new(caller.cause.clone());
                set.update(&retired, &mut Script { enabled: true, ..retired.clone() });
                self.store().commit(set).await?;
                self.inner.scripts.reload(id).await?;
            }
            return Err(used);
        }
        // First, so that a crash leaves nothing of what it kept without an owner.
        purge(self.store(), id, |_| true).await?;
        // Its runs go on at the same time.
        self.decided(None, async || {
            let at = self.inner.core.now();
            let mut set = ChangeSet::new(caller.cause.clone());
            set.delete(&retired);
            for revision in self.revisions(id).await? {
                set.delete(&revision);
            }
            for run in self.unfinished_runs(id).await? {
                let mut skipped = run.clone();
                skipped.state = RunState::Skipped;
                skipped.next_at = None;
                skipped.finished_at = Some(at);
                set.update(&run, &mut skipped);
            }
            Ok((set, ()))
        })
        .await?;
        // What its last runs wrote meanwhile; from here on they can write no more.
        purge(self.store(), id, |_| true).await?;
        self.inner.scripts.reload(id).await
    }

    /// Tries a failed run again, at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] for a run that did not fail, runs now or cannot be
    /// repeated, [`Error::Busy`], [`Error::Quarantined`].
    pub async fn retry_run(&self, caller: &Caller, id: RunId) -> Result<ScriptRun, Error> {
        let run = self.run(caller, id).await?;
        self.inner.scripts.retry(&run, caller.cause.clone()).await
    }

    /// Runs a scheduled entry at once, as if it were `at` (now unless given).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] for a script that is disabled or paused,
    /// [`Error::Invalid`] for a function that is not scheduled.
    pub async fn run_script(
        &self,
        caller: &Caller,
        id: ScriptId,
        function: Option<String>,
        at: Option<Timestamp>,
    ) -> Result<ScriptRun, Error> {
        caller.must(Permission::ScriptsWrite)?;
        let script = self.script(caller, id).await?;
        let at = at.unwrap_or_else(|| self.inner.core.now());
        self.inner.scripts.run_now(script.id, function, at, caller.cause.clone()).await
    }

    /// How the runs of a script went since the program started.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn script_counts(&self, caller: &Caller, id: ScriptId) -> Result<ScriptCounts, Error> {
        caller.must(Permission::ScriptsRead)?;
        let script = self.script(caller, id).await?;
        Ok(self.inner.scripts.counts(script.id))
    }

    /// Passes over a failed or waiting run for good; what waits behind it goes on.
    ///
    /// # Errors
    /// As [`System::retry_run`].
    pub async fn skip_run(&self, caller: &Caller, id: RunId) -> Result<ScriptRun, Error> {
        let run = self.run(caller, id).await?;
        self.inner.scripts.skip(&run, caller.cause.clone()).await
    }

    /// A script within the caller's reach.
    pub(crate) async fn script(&self, caller: &Caller, id: ScriptId) -> Result<Script, Error> {
        let script: Script = self.find(id).await?;
        self.owner(caller, script.owner).await.map_err(|error| hidden(error, Noun::Script, id.into()))?;
        Ok(script)
    }

    /// A run within the caller's reach, for changing it.
    async fn run(&self, caller: &Caller, id: RunId) -> Result<ScriptRun, Error> {
        caller.must(Permission::ScriptsWrite)?;
        let run: ScriptRun = self.find(id).await?;
        self.owner(caller, run.owner).await.map_err(|error| hidden(error, Noun::ScriptRun, id.into()))?;
        Ok(run)
    }

    /// Refuses as not found an owner that does not lie within the caller's reach.
    async fn owner(&self, caller: &Caller, owner: Scope) -> Result<(), Error> {
        match owner {
            // There is no id to name; the field says what is wrong.
            Scope::Provider if caller.scope == Scope::Provider => Ok(()),
            Scope::Provider => Err(Error::Invalid(vec![FieldError::new(
                "owner",
                "only the provider's staff may own for the provider",
            )])),
            Scope::Entity(id) => self.entity(caller, id).await.map(drop),
            Scope::Customer(id) => self.customer(caller, id).await.map(drop),
        }
    }

    /// Refuses one script more for a reseller or a customer that has as many as it may. The provider's staff know what they do.
    fn room_for_script(&self, owner: Scope) -> Result<(), Error> {
        let index = self.store().index();
        let used = match owner {
            Scope::Provider => return Ok(()),
            Scope::Entity(id) => index.count(Noun::Script, Field::BillingEntity, id.0.as_bytes()),
            Scope::Customer(id) => index.count(Noun::Script, Field::Customer, id.0.as_bytes()),
        };
        if used < EACH {
            return Ok(());
        }
        Err(Error::Quota { what: "scripts", limit: EACH as u64, used: used as u64, asked: 1 })
    }

    pub(super) async fn compile(
        &self,
        source: &str,
        owner: Scope,
        translations: &Translations,
    ) -> Result<Registration, Error> {
        if source.len() > SOURCE_BYTES {
            let detail = format!("has {} bytes; at most {SOURCE_BYTES} are allowed", source.len());
            return Err(Error::Invalid(vec![FieldError::new("source", detail)]));
        }
        let registered = self.inner.scripts.register(source, owner, translations).await;
        registered.map_err(|error| Error::Script { line: error.line, message: error.message })
    }

    async fn unfinished_runs(&self, id: ScriptId) -> Result<Vec<ScriptRun>, Error> {
        let read = self.store().read(move |snapshot| {
            let filter = Filter::<ScriptRun>::new().is(Field::Script, id.0.as_bytes()).is(Field::Pending, b"1");
            snapshot.all(filter)
        });
        Ok(read.await?)
    }

    /// The place in the feed that the next change gets at the earliest.
    fn next_seq(&self) -> u64 {
        *self.store().watch().borrow() + 1
    }
}

/// What lies beyond the caller's reach is not found under the name it was asked for.
fn hidden(error: Error, noun: Noun, id: Uuid) -> Error {
    match error {
        Error::NotFound { .. } | Error::Invalid(_) => missing(noun, id),
        other => other,
    }
}
