//! Test runs and replays of scripts, without effects.

use crate::{Caller, Error, Rehearsal, Replay, ReplayRequest, System, TestRequest};
use sutler_model::{FieldError, Permission, Script, ScriptId};

/// Most runs of one replay.
const REPLAY_MAX: usize = 1_000;

impl System {
    /// Runs a function of a script over a past event without effects: what it would write or send is noted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Script`] for a text that does not compile, [`Error::Invalid`] for
    /// a function or an event that does not fit.
    pub async fn test_script(&self, caller: &Caller, id: ScriptId, test: TestRequest) -> Result<Rehearsal, Error> {
        let script = self.staged(caller, id, test.source).await?;
        self.inner.scripts.rehearse(script, test.function, test.seq).await
    }

    /// Runs a script over a past period without effects.
    ///
    /// # Errors
    /// As [`System::test_script`]; [`Error::Invalid`] for a period that ends before it begins.
    pub async fn replay_script(&self, caller: &Caller, id: ScriptId, asked: ReplayRequest) -> Result<Replay, Error> {
        let script = self.staged(caller, id, asked.source).await?;
        let scripts = &self.inner.scripts;
        let from = match asked.from_seq {
            Some(seq) => seq.max(self.store().stats().oldest_seq),
            None => scripts.seq_at(asked.from).await?,
        };
        let to = match asked.to {
            Some(to) if to < asked.from => {
                return Err(Error::Invalid(vec![FieldError::new("to", "lies before `from`")]));
            }
            Some(to) => scripts.seq_at(to).await?,
            None => *self.store().watch().borrow() + 1,
        };
        scripts.replay(script, from, to, asked.limit.clamp(1, REPLAY_MAX)).await
    }

    /// A script as it would be with another text; its own newest one unless given.
    async fn staged(&self, caller: &Caller, id: ScriptId, source: Option<String>) -> Result<Script, Error> {
        caller.must(Permission::ScriptsWrite)?;
        let mut script = self.script(caller, id).await?;
        let source = match source {
            Some(source) => source,
            None => self.latest_source(&script).await?,
        };
        script.entries = self.compile(&source, script.owner, &script.translations).await?.entries;
        script.source = source;
        Ok(script)
    }
}
