//! Prices and what is owed.

use super::{BARE, BY_CUSTOMER, BY_ENTITY, BY_NAME, CHANGE, NEW_NAME, Noun, OF_ENTITY, Verb, col};
use crate::cli::field::{Field, Kind};

/// What billing methods of scripts charge for.
const CHARGES: Field = Field::may(
    "charges",
    "charges",
    Kind::Json,
    "What scripts charge for, a list of objects with component, resource_type, script_id, function and values",
);

/// Price plans.
pub const PLAN: Noun = Noun {
    name: "plan",
    path: "plans",
    about: "Price plans",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("CURRENCY", "currency"),
        col("CPU_HOUR", "cpu_hour"),
        col("MEMORY_GIB_HOUR", "memory_gib_hour"),
        col("DISK_GIB_HOUR", "disk_gib_hour"),
        col("BILLING_ENTITY", "billing_entity_id"),
    ],
    filters: &[BY_NAME, BY_ENTITY],
    verbs: CHANGE,
    create: &[
        NEW_NAME,
        OF_ENTITY,
        Field::may("currency", "currency", Kind::Text, "What the prices are in; default: the seller's"),
        Field::must("cpu-hour", "cpu_hour", Kind::Amount, "One vCPU of a running server, an hour"),
        Field::must("memory-gib-hour", "memory_gib_hour", Kind::Amount, "One GiB of memory, an hour"),
        Field::must("disk-gib-hour", "disk_gib_hour", Kind::Amount, "One GiB of disk, an hour"),
        Field::may(
            "unit-price",
            "unit_price",
            Kind::Amount,
            "One unit of billing methods that charge in units; default: 1",
        ),
        CHARGES,
    ],
    update: &[
        Field::may("new-name", "name", Kind::Text, "Another name"),
        Field::may("cpu-hour", "cpu_hour", Kind::Amount, "One vCPU of a running server, an hour"),
        Field::may("memory-gib-hour", "memory_gib_hour", Kind::Amount, "One GiB of memory, an hour"),
        Field::may("disk-gib-hour", "disk_gib_hour", Kind::Amount, "One GiB of disk, an hour"),
        Field::may("unit-price", "unit_price", Kind::Amount, "One unit of billing methods that charge in units"),
        CHARGES,
    ],
    ..BARE
};

/// What is owed.
pub const INVOICE: Noun = Noun {
    name: "invoice",
    path: "invoices",
    about: "What is owed",
    named_by: None,
    columns: &[
        col("ID", "id"),
        col("NUMBER", "number"),
        col("CUSTOMER", "customer_id"),
        col("FROM", "from"),
        col("TO", "to"),
        col("DUE", "due"),
        col("CURRENCY", "currency"),
        col("STATUS", "status"),
    ],
    filters: &[BY_CUSTOMER],
    verbs: &[Verb::List],
    ..BARE
};
