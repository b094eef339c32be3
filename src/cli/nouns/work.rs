//! Jobs, triggers and their runs.

use super::{Action, BARE, BY_CUSTOMER, BY_NAME, LOOK, Noun, Request, Verb, col};
use crate::cli::{
    field::{Field, Kind},
    output::Column,
};
use serde_json::json;

/// States of a job.
pub const JOB_STATES: &[&str] =
    &["not_started", "in_progress", "waiting", "undoing", "successful", "failed", "cancelled", "needs_operator"];
/// States of a run.
pub const RUN_STATES: &[&str] = &["pending", "running", "retrying", "succeeded", "refused", "dead", "skipped"];
/// What a list of runs shows; also under `trigger runs`.
pub const RUN_COLUMNS: &[Column] = &[
    col("ID", "id"),
    col("FUNCTION", "function"),
    col("OPTION", "option"),
    col("STATE", "state"),
    col("TRIES", "attempts"),
    col("TIME_US", "duration_us"),
    col("CREATED", "created_at"),
    col("RESULT", "result"),
];

/// Durable units of work.
pub const JOB: Noun = Noun {
    name: "job",
    path: "jobs",
    about: "Durable units of work",
    named_by: None,
    columns: &[
        col("ID", "id"),
        col("KIND", "kind"),
        col("ITEM", "item_name"),
        col("STATE", "state"),
        col("%", "progress_percent"),
        col("STEP", "current.step"),
        col("CREATED", "created_at"),
        col("ERROR", "error.message"),
    ],
    filters: &[
        BY_CUSTOMER,
        Field::may("state", "state", Kind::Choice(JOB_STATES), "Only those in this state"),
        Field::may("server", "item_id", Kind::Ref("server"), "Only those of this server (name or id)"),
    ],
    verbs: LOOK,
    actions: &[Action {
        verb: "cancel",
        about: "Stop a job and reverse what it did",
        request: Request::Post("cancel", || json!({})),
        fields: &[],
    }],
    ..BARE
};

/// Lua scripts run at events.
pub const TRIGGER: Noun = Noun {
    name: "trigger",
    path: "triggers",
    about: "Lua scripts run at events",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("ENABLED", "enabled"),
        col("PAUSED", "paused"),
        col("REVISION", "revision"),
        col("OWNER", "owner.kind"),
        col("ENTRY", "entries.0.trigger_type"),
        col("FUNCTION", "entries.0.function"),
        col("MODIFIED", "modified_at"),
    ],
    filters: &[BY_NAME],
    verbs: &[Verb::List, Verb::Show, Verb::Delete("delete")],
    actions: &[
        Action {
            verb: "enable",
            about: "Let a trigger run",
            request: Request::Patch(|| json!({"enabled": true})),
            fields: &[],
        },
        Action {
            verb: "disable",
            about: "Keep a trigger from running",
            request: Request::Patch(|| json!({"enabled": false})),
            fields: &[],
        },
        Action {
            verb: "pause",
            about: "Hold back a trigger's POST and scheduled runs; what happens meanwhile is kept for them",
            request: Request::Patch(|| json!({"paused": true})),
            fields: &[],
        },
        Action {
            verb: "resume",
            about: "Let a paused trigger go on with what was kept for it",
            request: Request::Patch(|| json!({"paused": false})),
            fields: &[],
        },
    ],
    ..BARE
};

/// Runs of triggers.
pub const RUN: Noun = Noun {
    name: "run",
    path: "runs",
    about: "Runs of triggers",
    named_by: None,
    columns: RUN_COLUMNS,
    filters: &[
        Field::may("state", "state", Kind::Choice(RUN_STATES), "Only those in this state; `dead` lists dead letters"),
        Field::may("trigger", "script_id", Kind::Ref("trigger"), "Only those of this trigger (name or id)"),
    ],
    verbs: LOOK,
    actions: &[
        Action {
            verb: "retry",
            about: "Try a dead run again",
            request: Request::Post("retry", || json!({})),
            fields: &[],
        },
        Action {
            verb: "skip",
            about: "Pass over a run that holds others back",
            request: Request::Post("skip", || json!({})),
            fields: &[],
        },
    ],
    ..BARE
};

/// Small files that scripts bring along.
pub const BLOB: Noun = Noun {
    name: "blob",
    path: "blobs",
    about: "Small files that scripts bring along",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("TYPE", "media_type"),
        col("BYTES", "bytes"),
        col("PUBLIC", "public"),
        col("MODIFIED", "modified_at"),
    ],
    filters: &[BY_NAME, BY_CUSTOMER],
    verbs: &[Verb::List, Verb::Show, Verb::Update, Verb::Delete("delete")],
    update: &[
        Field::may("name", "name", Kind::Text, "Its new name"),
        Field::may("media-type", "media_type", Kind::Text, "What it is, such as image/png"),
        Field::may("publish", "public", Kind::Switch("true"), "Let anybody who knows its id fetch it"),
        Field::may("unpublish", "public", Kind::Switch("false"), "Let only those fetch it who reach its owner"),
    ],
    ..BARE
};
