//! The texts that scripts had: each upload is kept, and any of them can be put in force again.
//!
//! Where signatures are required, an upload takes effect when the provider's staff have signed it; until then what was in
//! force stays so.

use super::race::again;
use crate::{Caller, Error, System};
use sutler_lua::Registration;
use sutler_model::{Noun, Permission, Scope, Script, ScriptId, ScriptRevision, Signature};
use sutler_store::{ChangeSet, Field, Filter};

impl System {
    /// Vouches for a text. Where signatures are required and it is the newest one, it takes effect.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`] for all but the provider's staff, [`Error::Script`] when it no longer
    /// compiles, [`Error::State`] naming what goes by what it lacks.
    pub async fn sign_revision(&self, caller: &Caller, id: ScriptId, number: u32) -> Result<ScriptRevision, Error> {
        caller.must(Permission::ScriptsSign)?;
        if caller.scope != Scope::Provider {
            return Err(Error::Forbidden(Permission::ScriptsSign));
        }
        again(None, async || {
            let old_script = self.script(caller, id).await?;
            let old = self.revision(id, number).await?;
            if old.signature.is_some() {
                return Ok(old);
            }
            let mut signed = old.clone();
            signed.signature = Some(Signature { at: self.inner.core.now(), by: caller.user_id });
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut signed);
            let mut script = old_script.clone();
            if self.inner.core.settings.signing_required && number == old_script.latest_revision {
                self.put_in_force(&mut script, &signed).await?;
                set.update(&old_script, &mut script);
            }
            let back = |set: &mut ChangeSet| {
                set.update(&signed, &mut old.clone());
            };
            self.put_text_in_force(caller, set, (&old_script, &script), back).await?;
            Ok(signed)
        })
        .await
    }

    /// Puts a text in force, be it an older one.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] for one that lacks a required signature or what something
    /// goes by, [`Error::Script`] when it no longer compiles, [`Error::Stale`].
    pub async fn activate_revision(
        &self,
        caller: &Caller,
        id: ScriptId,
        number: u32,
        if_match: Option<u64>,
    ) -> Result<Script, Error> {
        caller.must(Permission::ScriptsWrite)?;
        again(if_match, async || {
            let old = self.script(caller, id).await?;
            super::reach::unchanged(&old, if_match)?;
            let revision = self.revision(id, number).await?;
            if self.inner.core.settings.signing_required && revision.signature.is_none() {
                let detail = format!("revision {number} is not signed; the provider's staff sign it first");
                return Err(Error::State { noun: Noun::Script, id: id.0, detail });
            }
            if old.revision == number {
                return Ok(old);
            }
            let mut new = old.clone();
            self.put_in_force(&mut new, &revision).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.put_text_in_force(caller, set, (&old, &new), |_| {}).await?;
            Ok(new)
        })
        .await
    }

    /// Compiled anew: what a text may say can have changed since it was uploaded.
    async fn put_in_force(&self, script: &mut Script, revision: &ScriptRevision) -> Result<(), Error> {
        let registered = self.compile(&revision.source, script.owner, &script.translations).await?;
        self.take(script, revision.number, &revision.source, &registered);
        Ok(())
    }

    /// A new text of a script; it takes effect unless a signature is required.
    pub(super) fn next_revision(
        &self,
        caller: &Caller,
        script: &mut Script,
        source: String,
        registered: Registration,
    ) -> ScriptRevision {
        let core = &self.inner.core;
        script.latest_revision += 1;
        if !core.settings.signing_required {
            self.take(script, script.latest_revision, &source, &registered);
        }
        ScriptRevision {
            id: core.new_id(),
            version: 0,
            script_id: script.id,
            owner: script.owner,
            number: script.latest_revision,
            source,
            entries: registered.entries,
            points: registered.points,
            info: registered.info,
            created_at: core.now(),
            created_by: caller.user_id,
            signature: None,
        }
    }

    fn take(&self, script: &mut Script, number: u32, source: &str, registered: &Registration) {
        script.revision = number;
        script.source = source.to_owned();
        script.entries.clone_from(&registered.entries);
        script.points.clone_from(&registered.points);
        script.info.clone_from(&registered.info);
        script.modified_at = self.inner.core.now();
    }

    /// The newest text of a script, in force or not.
    pub(super) async fn latest_source(&self, script: &Script) -> Result<String, Error> {
        match script.latest_revision {
            latest if latest == script.revision => Ok(script.source.clone()),
            latest => Ok(self.revision(script.id, latest).await?.source),
        }
    }

    async fn revision(&self, id: ScriptId, number: u32) -> Result<ScriptRevision, Error> {
        let found = self.revisions(id).await?.into_iter().find(|revision| revision.number == number);
        found.ok_or_else(|| Error::NotFound { noun: Noun::ScriptRevision, id: number.to_string() })
    }

    /// All texts of a script, the oldest first.
    pub(super) async fn revisions(&self, id: ScriptId) -> Result<Vec<ScriptRevision>, Error> {
        let read = self.store().read(move |snapshot| {
            let filter = Filter::<ScriptRevision>::new().is(Field::Script, id.0.as_bytes());
            snapshot.all(filter)
        });
        Ok(read.await?)
    }
}
