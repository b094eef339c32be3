//! Tags of customers: entries that are only for those who carry one.
//!
//! A tag is the name of a key on a customer. What the original's tags are is written down nowhere; keys are what its
//! customers are told apart by.

use super::{beans::may_see, table::Hook};
use sutler_model::Customer;

/// Whether an entry goes by tags at all.
pub(super) fn asks(hook: &Hook) -> bool {
    !hook.entry().customer_tags.is_empty()
}

/// Whether an entry is for events of this customer; one that goes by tags is for none without a customer. Keys that its
/// owner does not see count as little as if they were not there.
pub(super) fn allow(hook: &Hook, customer: Option<&Customer>) -> bool {
    let tags = &hook.entry().customer_tags;
    let owner = hook.script.owner;
    let carries = |customer: &Customer| {
        let seen = customer.keys.iter().filter(|key| may_see(owner, key.kind));
        seen.into_iter().any(|key| tags.iter().any(|tag| tag.trim().eq_ignore_ascii_case(&key.name)))
    };
    tags.is_empty() || customer.is_some_and(carries)
}
