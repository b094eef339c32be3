//! Runs of scripts; live until they are over.

use super::{identified, run_behind};
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, RunState, ScriptRun};

impl Record for ScriptRun {
    const NOUN: Noun = Noun::ScriptRun;
    const HISTORY: &'static [Field] =
        &[Field::Subject, Field::Script, Field::Customer, Field::BillingEntity, Field::State, Field::Run];
    // May hold passwords.
    const SECRETS: &'static [&'static str] = &["asked"];
    const COMMON: &'static [(Field, &'static [u8])] = &[(Field::State, b"succeeded")];

    identified!();

    fn live(&self) -> bool {
        matches!(self.state, RunState::Pending | RunState::Running | RunState::Retrying)
    }

    // A dead letter may be tried again.
    fn over(&self) -> bool {
        matches!(self.state, RunState::Succeeded | RunState::Refused | RunState::Skipped)
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.owned(self.owner).by_id(Field::Script, Some(self.script_id)).in_state(&self.state);
        keys.by_id(Field::Subject, self.resource_id).pending(self.live());
        // Not its own id: what set it off.
        keys.naming(run_behind(&self.cause));
        keys
    }
}
