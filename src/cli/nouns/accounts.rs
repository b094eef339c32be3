//! Who sells, buys and signs in.

use super::{
    Action, BARE, BY_CUSTOMER, BY_ENTITY, BY_NAME, CHANGE, EVERYTHING, KEYS, NEW_NAME, Noun, OF_ENTITY, Request, Verb,
    col,
};
use crate::cli::field::{Field, Kind};
use serde_json::json;
use sutler_model::Quota;

/// Roles of users.
pub const ROLES: &[&str] =
    &["provider_admin", "reseller_admin", "customer_admin", "customer_member", "customer_viewer"];
/// What a key may be limited to.
pub const PERMISSIONS: &[&str] = &[
    "servers_read",
    "servers_write",
    "servers_console",
    "customers_read",
    "customers_write",
    "billing_read",
    "billing_write",
    "payments_write",
    "scripts_read",
    "scripts_write",
    "scripts_sign",
    "keys_write",
    "images_write",
    "operator_read",
    "operator_write",
];

const ADDRESS: Field = Field::may(
    "address",
    "contact.address",
    Kind::Texts,
    "A line of the address: street, more, town, region, postcode, country",
);
const VAT: Field = Field::may("vat-number", "contact.vat_number", Kind::Text, "Number for value added tax");
const NUMBERS: [Field; 4] = [
    Field::may("mobile-number", "contact.mobile_number", Kind::Text, "Mobile telephone"),
    Field::may("day-number", "contact.day_time_number", Kind::Text, "Telephone by day"),
    Field::may("evening-number", "contact.evening_number", Kind::Text, "Telephone in the evening"),
    Field::may("organisation", "contact.organisation", Kind::Text, "Their company"),
];

const QUOTA: [Field; 4] = [
    Field::may("quota-servers", "quota.servers", Kind::Number, "Most servers"),
    Field::may("quota-cpus", "quota.cpus", Kind::Number, "Most vCPUs over all servers"),
    Field::may("quota-memory", "quota.memory_mib", Kind::Mib, "Most memory over all servers, in MiB or with a unit"),
    Field::may("quota-disk", "quota.disk_gib", Kind::Gib, "Most disk space, in GiB or with a unit"),
];

/// Accounts that own resources and are invoiced.
pub const CUSTOMER: Noun = Noun {
    name: "customer",
    path: "customers",
    about: "Accounts that own resources and are invoiced",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("STATUS", "status"),
        col("BILLING_ENTITY", "billing_entity_id"),
        col("PLAN", "plan_id"),
        col("INVOICED_UNTIL", "invoiced_until"),
    ],
    filters: &[BY_NAME, BY_ENTITY],
    verbs: EVERYTHING,
    create: &[
        NEW_NAME,
        OF_ENTITY,
        Field::must("plan", "plan_id", Kind::Ref("plan"), "What it pays (name or id)"),
        QUOTA[0],
        QUOTA[1],
        QUOTA[2],
        QUOTA[3],
        KEYS,
        ADDRESS,
        VAT,
    ],
    create_base: || json!({"keys": [], "quota": Quota::default()}),
    update: &[
        Field::may("new-name", "name", Kind::Text, "Another name"),
        Field::may("plan", "plan_id", Kind::Ref("plan"), "What it pays from now on (name or id)"),
        Field::may("warning-level", "warning_level", Kind::Amount, "Balance below which a warning is due"),
        Field::may("no-warning", "warning_level", Kind::Switch("null"), "Never warn"),
        QUOTA[0],
        QUOTA[1],
        QUOTA[2],
        QUOTA[3],
        KEYS,
        ADDRESS,
        VAT,
    ],
    actions: &[
        Action {
            verb: "suspend",
            about: "Let a customer look, not start or create",
            request: Request::Patch(|| json!({"status": "suspended"})),
            fields: &[],
        },
        Action {
            verb: "activate",
            about: "Lift a suspension",
            request: Request::Patch(|| json!({"status": "active"})),
            fields: &[],
        },
    ],
    ..BARE
};

/// Sellers: the provider and its resellers.
pub const BILLING_ENTITY: Noun = Noun {
    name: "billing-entity",
    path: "billing-entities",
    about: "Sellers: the provider and its resellers",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("CURRENCY", "currency"),
        col("PARENT", "parent_id"),
        col("CREATED", "created_at"),
    ],
    filters: &[BY_NAME],
    verbs: CHANGE,
    create: &[
        NEW_NAME,
        Field::may("parent", "parent_id", Kind::Ref("billing-entity"), "Who stands above (name or id); default: yours"),
        Field::must("currency", "currency", Kind::Text, "What it invoices in, such as EUR"),
    ],
    update: &[
        Field::may("name", "name", Kind::Text, "Its new name"),
        Field::may("language", "language", Kind::Text, "The language of its people and customers: en, de_DE"),
        Field::may("control-panel", "contact.control_panel_url", Kind::Text, "Web address of its control panel"),
        ADDRESS,
        VAT,
    ],
    ..BARE
};

/// People who sign in.
pub const USER: Noun = Noun {
    name: "user",
    path: "users",
    about: "People who sign in",
    named_by: Some("email"),
    columns: &[
        col("ID", "id"),
        col("EMAIL", "email"),
        col("FIRST_NAME", "first_name"),
        col("LAST_NAME", "last_name"),
        col("ROLE", "role"),
        col("LOCKED", "locked"),
        col("CUSTOMER", "customer_id"),
    ],
    filters: &[Field::may("email", "email", Kind::Text, "Only the one with this address"), BY_CUSTOMER, BY_ENTITY],
    verbs: EVERYTHING,
    create: &[
        Field::place("email", "email", Kind::Text, "E-mail address to sign in with"),
        Field::must("first-name", "first_name", Kind::Text, "Given name"),
        Field::must("last-name", "last_name", Kind::Text, "Family name"),
        Field::must("role", "role", Kind::Choice(ROLES), "What they may do"),
        OF_ENTITY,
        Field::may("customer", "customer_id", Kind::Ref("customer"), "Whose user it is (name or id); none: staff"),
        NUMBERS[0],
        NUMBERS[1],
        NUMBERS[2],
        NUMBERS[3],
        ADDRESS,
    ],
    update: &[
        Field::may("first-name", "first_name", Kind::Text, "Given name"),
        Field::may("last-name", "last_name", Kind::Text, "Family name"),
        Field::may("role", "role", Kind::Choice(ROLES), "What they may do"),
        NUMBERS[0],
        NUMBERS[1],
        NUMBERS[2],
        NUMBERS[3],
        ADDRESS,
    ],
    actions: &[
        Action {
            verb: "lock",
            about: "Keep a user from signing in",
            request: Request::Patch(|| json!({"locked": true})),
            fields: &[],
        },
        Action {
            verb: "unlock",
            about: "Let a user sign in again",
            request: Request::Patch(|| json!({"locked": false})),
            fields: &[],
        },
    ],
    ..BARE
};

/// Keys for programs that act for you.
pub const KEY: Noun = Noun {
    name: "key",
    path: "api-keys",
    about: "Keys for programs that act for you",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("SCOPES", "scopes"),
        col("EXPIRES", "expires_at"),
        col("CREATED", "created_at"),
    ],
    filters: &[],
    verbs: &[Verb::List, Verb::Create, Verb::Delete("revoke")],
    create: &[
        NEW_NAME,
        Field::may("scope", "scopes", Kind::Choices(PERMISSIONS), "What it may do at most; none: all that you may"),
        Field::may("expires", "expires_at", Kind::Time, "When it stops working; none: never"),
    ],
    create_base: || json!({"scopes": []}),
    ..BARE
};
