//! From a source to what Lua states load.
//!
//! Neither the rewrites nor Luau's compiler can be interrupted, and what they take counts on no account. So a source is limited
//! in length, before and after the rewrites, and all but short ones are compiled where no script waits for the thread, one at a
//! time.

use crate::ScriptError;
use mlua::chunk::Compiler;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Longest source, bytes. The worst that this many can hold takes a quarter of a second and forty megabytes.
const BYTES: usize = 256 << 10;
/// Longest source after the rewrites, which some sources make several times as long.
const REWRITTEN_BYTES: usize = 2 * BYTES;
/// Sources up to here take a few milliseconds at worst, and are compiled where they are wanted.
const SHORT_BYTES: usize = 16 << 10;

/// The long source that is being compiled: of several at once the memory would add up.
static LONG: Semaphore = Semaphore::const_new(1);

/// Whether a source is compiled at once, without waiting.
pub(crate) fn is_short(source: &str) -> bool {
    source.len() <= SHORT_BYTES
}

/// Compiles the source of a block.
///
/// # Errors
/// What is wrong with it and where.
pub(crate) async fn compile(source: &Arc<str>) -> Result<Vec<u8>, ScriptError> {
    if is_short(source) {
        return now(source);
    }
    if source.len() > BYTES {
        return Err(ScriptError::new(format!("the source is longer than {BYTES} bytes")));
    }
    let failed = |_| ScriptError::new("compiling the source failed");
    let source = source.clone();
    let turn = LONG.acquire().await.map_err(|_| ScriptError::new("nothing is compiled any more"))?;
    let compiled = tokio::task::spawn_blocking(move || {
        // Kept until the end, also when nobody waits for it any more.
        let _turn = turn;
        now(&source)
    });
    compiled.await.map_err(failed)?
}

/// Compiles a source on this thread.
fn now(source: &str) -> Result<Vec<u8>, ScriptError> {
    let rewritten = super::rewrite(source)?;
    if rewritten.len() > REWRITTEN_BYTES {
        let what =
            "the source is too long: what is written in place of `goto`, `arg` and names under `local _ENV` makes it";
        return Err(ScriptError::new(format!("{what} longer than {REWRITTEN_BYTES} bytes")));
    }
    Compiler::new().compile(rewritten.as_bytes()).map_err(|error| placed(&error))
}

/// The compiler says `12: message`.
fn placed(error: &mlua::Error) -> ScriptError {
    let text = crate::error::text(error);
    match text.split_once(':').and_then(|(line, message)| Some((line.parse().ok()?, message))) {
        Some((line, message)) => ScriptError { line: Some(line), message: message.trim_start().to_owned() },
        None => ScriptError { line: None, message: text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_source_is_told_what_is_wrong_with_it_like_a_short_one() {
        for lines in [1, 40_000] {
            let source = format!("{}x = = 1", "\n".repeat(lines - 1));
            let error = compile(&source.into()).await.unwrap_err();
            assert_eq!(error.line.map(|line| line as usize), Some(lines));
            assert!(error.message.starts_with("Expected identifier"), "{error}");
        }
    }

    #[tokio::test]
    async fn sources_that_are_too_long_or_grow_too_much_are_refused() {
        let long = compile(&" ".repeat(BYTES + 1).into()).await.unwrap_err();
        assert_eq!(long.message, "the source is longer than 262144 bytes");
        let source = format!("local _ENV = x {}", "a=b ".repeat((BYTES - 20) / 4));
        assert!(
            compile(&source.into()).await.unwrap_err().message.starts_with("the source is too long: what is written")
        );
        assert!(compile(&"a=b ".repeat(BYTES / 4).into()).await.is_ok());
    }
}
