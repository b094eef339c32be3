//! The panic guard around every line of a kind's code.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

/// Runs `act`; a panic becomes its text.
///
/// Asserting unwind safety is sound because nothing a panic leaves half changed is used again: the entity's state is
/// moved into the guarded code and lost with it.
pub(super) fn run<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).map_err(text)
}

/// As [`run`], for a future.
pub(super) fn wrap<T>(work: impl Future<Output = T>) -> impl Future<Output = Result<T, String>> {
    AssertUnwindSafe(work).catch_unwind().map(|ended| ended.map_err(text))
}

/// What a panic said.
pub(super) fn text(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            // The payload may be of a kind's own type, and its drop may panic in turn.
            Err(panic) => {
                std::mem::forget(panic);
                "a panic without text".to_owned()
            }
        },
    }
}
