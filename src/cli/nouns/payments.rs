//! How invoices are paid.

use super::{Action, BARE, BY_CUSTOMER, BY_ENTITY, BY_NAME, EVERYTHING, LOOK, NEW_NAME, Noun, OF_ENTITY, Request, col};
use crate::cli::field::{Field, Kind};
use serde_json::json;

/// States of transactions.
pub const STATES: &[&str] = &["not_started", "in_progress", "awaiting_input", "success", "failure", "cancelled"];

const INTERACTIVE: Field =
    Field::may("interactive", "allow_interactive", Kind::Switch("true"), "Whether the customer can be asked something");
const RETURN_URL: Field =
    Field::may("return-url", "return_url", Kind::Text, "Where the customer's browser comes back to");

/// Ways to be paid.
pub const METHOD: Noun = Noun {
    name: "payment-method",
    path: "payment-methods",
    about: "Ways to be paid",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("STATE", "state"),
        col("PROVIDER", "provider"),
        col("BILLING_ENTITY", "billing_entity_id"),
        col("REASON", "reason"),
    ],
    filters: &[BY_NAME, BY_ENTITY],
    verbs: EVERYTHING,
    create: &[
        NEW_NAME,
        OF_ENTITY,
        Field::must("trigger", "script_id", Kind::Ref("trigger"), "The script of its provider (name or id)"),
        Field::may("provider", "provider", Kind::Text, "The provider's reference; default: the script's only one"),
        Field::may("value", "values", Kind::Values, "A value of the provider's form; may be given more than once"),
    ],
    update: &[
        Field::may("new-name", "name", Kind::Text, "Another name"),
        Field::may("value", "values", Kind::Values, "A new value; those not given stay"),
    ],
    actions: &[Action {
        verb: "test",
        about: "Ask its provider whether it works",
        request: Request::Post("test", || json!({})),
        fields: &[],
    }],
    ..BARE
};

/// What customers pay with.
pub const INSTANCE: Noun = Noun {
    name: "payment-instance",
    path: "payment-instances",
    about: "What customers pay with: cards, accounts",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("STATE", "state"),
        col("DEFAULT", "is_default"),
        col("CUSTOMER", "customer_id"),
        col("METHOD", "payment_method_id"),
        col("REASON", "reason"),
    ],
    filters: &[BY_NAME, BY_CUSTOMER],
    verbs: EVERYTHING,
    create: &[
        NEW_NAME,
        Field::may("customer", "customer_id", Kind::Ref("customer"), "Whose (name or id); default: yours"),
        Field::must("method", "payment_method_id", Kind::Ref("payment-method"), "By which method (name or id)"),
        Field::may("value", "values", Kind::Values, "A value of the provider's form; may be given more than once"),
        Field::may("default", "is_default", Kind::Switch("true"), "Use it when none is named"),
        INTERACTIVE,
        RETURN_URL,
    ],
    update: &[
        Field::may("new-name", "name", Kind::Text, "Another name"),
        Field::may("default", "is_default", Kind::Switch("true"), "Use it when none is named"),
    ],
    ..BARE
};

/// What payment providers were asked.
pub const TRANSACTION: Noun = Noun {
    name: "transaction",
    path: "transactions",
    about: "What payment providers were asked, and what became of it",
    named_by: None,
    columns: &[
        col("ID", "id"),
        col("FUNCTION", "function"),
        col("STATE", "state"),
        col("AMOUNT", "amount"),
        col("CURRENCY", "currency"),
        col("CUSTOMER", "customer_id"),
        col("REFERENCE", "provider_reference"),
        col("REASON", "error_reason"),
    ],
    filters: &[BY_CUSTOMER, Field::may("state", "state", Kind::Choice(STATES), "Only those in this state")],
    verbs: LOOK,
    actions: &[
        Action {
            verb: "resume",
            about: "Go on with one whose customer has come back, or ask a provider again that never answered",
            request: Request::Post("resume", || json!({})),
            fields: &[Field::may(
                "parameter",
                "parameters",
                Kind::Values,
                "A parameter that the browser came back with; may be given more than once",
            )],
        },
        Action {
            verb: "cancel",
            about: "Give up one that waits for its customer",
            request: Request::Post("cancel", || json!({})),
            fields: &[],
        },
        Action {
            verb: "refund",
            about: "Give a payment back",
            request: Request::Post("refund", || json!({})),
            fields: &[Field::may("amount", "amount", Kind::Amount, "How much; default: all that is left")],
        },
    ],
    ..BARE
};
