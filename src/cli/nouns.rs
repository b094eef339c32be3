//! The table of nouns: where each is in the API, what its list shows, and what its commands take.
//!
//! [`super::noun`] makes commands from it. A new noun, field or plain action is a line here.

use super::{
    field::{Field, Kind},
    output::Column,
};
use serde_json::{Value, json};
use sutler_model::Quota;

/// What the commands of a noun are made from.
#[derive(Debug)]
pub struct Noun {
    /// The word on the command line.
    pub name: &'static str,
    /// Its place under `/api/v1/`.
    pub path: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The field by which people name one, also the filter that finds it; none: by id only.
    pub named_by: Option<&'static str>,
    /// What its list shows.
    pub columns: &'static [Column],
    /// What its list can be narrowed by.
    pub filters: &'static [Field],
    /// Commands that need nothing but the table.
    pub verbs: &'static [Verb],
    /// What `create` takes.
    pub create: &'static [Field],
    /// What `create` sends when the command line says nothing else.
    pub create_base: fn() -> Value,
    /// Brings what `create` was given into the shape the API takes.
    pub settle: fn(&mut Value),
    /// What `update` takes.
    pub update: &'static [Field],
    /// Further commands on one record.
    pub actions: &'static [Action],
}

/// A command every noun could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// All of them.
    List,
    /// One of them.
    Show,
    /// A new one.
    Create,
    /// Changes one.
    Update,
    /// Removes one; the word differs for keys.
    Delete(&'static str),
}

/// A command on one record that sends a fixed request.
#[derive(Debug)]
pub struct Action {
    /// The command.
    pub verb: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it sends.
    pub request: Request,
    /// What it takes besides.
    pub fields: &'static [Field],
}

/// The request of an action.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// POST to this place under the record, with this body.
    Post(&'static str, fn() -> Value),
    /// PATCH of the record with this body, if nobody else changed it meanwhile.
    Patch(fn() -> Value),
}

/// The noun with this word.
pub fn find(name: &str) -> Option<&'static Noun> {
    NOUNS.iter().find(|n| n.name == name)
}

const fn col(title: &'static str, at: &'static str) -> Column {
    Column { title, at }
}

const LOOK: &[Verb] = &[Verb::List, Verb::Show];
const MAKE: &[Verb] = &[Verb::List, Verb::Show, Verb::Create];
const CHANGE: &[Verb] = &[Verb::List, Verb::Show, Verb::Create, Verb::Update];
const ALL: &[Verb] = &[Verb::List, Verb::Show, Verb::Create, Verb::Update, Verb::Delete("delete")];

const ROLES: &[&str] = &["provider_admin", "reseller_admin", "customer_admin", "customer_member", "customer_viewer"];
const SERVER_STATES: &[&str] =
    &["building", "starting", "running", "paused", "frozen", "stopping", "stopped", "deleting", "error"];
const JOB_STATES: &[&str] =
    &["not_started", "in_progress", "waiting", "undoing", "successful", "failed", "cancelled", "needs_operator"];
const RUN_STATES: &[&str] = &["pending", "retrying", "succeeded", "refused", "dead", "skipped"];
const PERMISSIONS: &[&str] = &[
    "servers_read",
    "servers_write",
    "servers_console",
    "customers_read",
    "customers_write",
    "billing_read",
    "billing_write",
    "scripts_read",
    "scripts_write",
    "keys_write",
    "images_write",
    "operator_read",
    "operator_write",
];

const BY_NAME: Field = Field::may("name", "name", Kind::Text, "Only the one of this name");
const BY_CUSTOMER: Field =
    Field::may("customer", "customer_id", Kind::Ref("customer"), "Only those of this customer (name or id)");
const BY_ENTITY: Field = Field::may(
    "billing-entity",
    "billing_entity_id",
    Kind::Ref("billing-entity"),
    "Only those of this billing entity (name or id)",
);
const OF_ENTITY: Field = Field::may(
    "billing-entity",
    "billing_entity_id",
    Kind::Ref("billing-entity"),
    "Who sells (name or id); default: yours",
);
const NEW_NAME: Field = Field::place("name", "name", Kind::Text, "Its name");
const KEYS: Field = Field::may("key", "keys", Kind::Keys, "A resource key; may be given more than once");
const FORCE: &[Field] =
    &[Field::may("force", "force", Kind::Switch("true"), "Pull the plug rather than ask the guest")];

/// A noun with no commands.
const BARE: Noun = Noun {
    name: "",
    path: "",
    about: "",
    named_by: None,
    columns: &[],
    filters: &[],
    verbs: &[],
    create: &[],
    create_base: || json!({}),
    settle: |_| {},
    update: &[],
    actions: &[],
};

/// Every noun that has commands.
pub const NOUNS: &[Noun] = &[
    Noun {
        name: "server",
        path: "servers",
        about: "Virtual servers",
        named_by: Some("name"),
        columns: &[
            col("ID", "id"),
            col("NAME", "name"),
            col("STATE", "state"),
            col("CPU", "cpu"),
            col("MEMORY_MIB", "memory_mib"),
            col("ADDRESSES", "nics.0.addresses"),
            col("CREATED", "created_at"),
        ],
        filters: &[
            BY_NAME,
            BY_CUSTOMER,
            Field::may("state", "state", Kind::Choice(SERVER_STATES), "Only those in this state"),
        ],
        verbs: ALL,
        create: &[
            Field::place("name", "name", Kind::Text, "Its host name"),
            Field::must("image", "image_id", Kind::Ref("image"), "What to clone (name or id)"),
            Field::must("cpu", "cpu", Kind::Number, "vCPUs"),
            Field::must("memory", "memory_mib", Kind::Mib, "Memory in MiB, or with a unit: 2GiB"),
            Field::must("disk", "disk_gib", Kind::Gib, "Boot disk in GiB, or with a unit"),
            Field::may("customer", "customer_id", Kind::Ref("customer"), "Whose it is (name or id); default: your own"),
            Field::may("no-start", "start", Kind::Switch("false"), "Leave it stopped once it is built"),
            Field::may("user-data", "user_data", Kind::File, "cloud-init user data, `-` for the standard input"),
            Field::may(
                "ssh-key",
                "ssh_keys",
                Kind::Texts,
                "A public key for the first user, or @FILE; may be given more than once",
            ),
            KEYS,
        ],
        create_base: || json!({"start": true, "ssh_keys": [], "keys": []}),
        update: &[
            Field::may("user-data", "user_data", Kind::File, "cloud-init user data, `-` for the standard input"),
            Field::may("ssh-key", "ssh_keys", Kind::Texts, "All public keys for the first user, each itself or @FILE"),
            KEYS,
        ],
        actions: &[
            Action {
                verb: "start",
                about: "Start a stopped server",
                request: Request::Post("actions", || json!({"action": "start"})),
                fields: &[],
            },
            Action {
                verb: "stop",
                about: "Stop a running server",
                request: Request::Post("actions", || json!({"action": "stop"})),
                fields: FORCE,
            },
            Action {
                verb: "reboot",
                about: "Restart a running server",
                request: Request::Post("actions", || json!({"action": "reboot"})),
                fields: FORCE,
            },
        ],
        ..BARE
    },
    Noun {
        name: "disk",
        path: "disks",
        about: "Disks of servers",
        named_by: Some("name"),
        columns: &[
            col("ID", "id"),
            col("NAME", "name"),
            col("STATE", "state"),
            col("SIZE_GIB", "size_gib"),
            col("SERVER", "server_id"),
            col("CREATED", "created_at"),
        ],
        filters: &[
            BY_NAME,
            BY_CUSTOMER,
            Field::may("server", "server_id", Kind::Ref("server"), "Only those of this server (name or id)"),
        ],
        verbs: LOOK,
        ..BARE
    },
    Noun {
        name: "image",
        path: "images",
        about: "Guest images that servers are cloned from",
        named_by: Some("name"),
        columns: &[
            col("ID", "id"),
            col("NAME", "name"),
            col("STATE", "state"),
            col("SIZE_GIB", "size_gib"),
            col("MEMORY_MIB", "memory_mib_min"),
            col("BOOT", "boot.kind"),
            col("CREATED", "created_at"),
        ],
        filters: &[BY_NAME],
        verbs: MAKE,
        create: &[
            NEW_NAME,
            Field::must("file", "file", Kind::Text, "The image file, as the server sees it"),
            Field::must("size", "size_gib", Kind::Gib, "Smallest disk it fits on, in GiB or with a unit"),
            Field::must("memory", "memory_mib_min", Kind::Mib, "Smallest memory it runs in, in MiB or with a unit"),
            OF_ENTITY,
            Field::may(
                "customer",
                "customer_id",
                Kind::Ref("customer"),
                "Offer it to this customer alone (name or id)",
            ),
            Field::may("kernel", "boot.kernel", Kind::Text, "Boot this kernel file of the image folder directly"),
            Field::may("initrd", "boot.initrd", Kind::Text, "Initial RAM disk beside the kernel"),
            Field::may("command-line", "boot.command_line", Kind::Text, "Kernel command line"),
        ],
        create_base: || json!({"boot": {"kind": "disk"}}),
        settle: |image| {
            if image["boot"]["kernel"].is_string() {
                image["boot"]["kind"] = json!("kernel");
            }
        },
        ..BARE
    },
    Noun {
        name: "node",
        path: "nodes",
        about: "Hypervisors",
        named_by: Some("name"),
        columns: &[
            col("ID", "id"),
            col("NAME", "name"),
            col("STATE", "state"),
            col("CPUS", "cpus"),
            col("MEMORY_MIB", "memory_mib"),
            col("KVM", "kvm.verdict"),
            col("SEEN", "seen_at"),
            col("REASON", "state_reason"),
        ],
        filters: &[BY_NAME],
        verbs: LOOK,
        actions: &[
            Action {
                verb: "drain",
                about: "Place nothing new on a node",
                request: Request::Patch(|| json!({"draining": true})),
                fields: &[],
            },
            Action {
                verb: "undrain",
                about: "Use a node again",
                request: Request::Patch(|| json!({"draining": false})),
                fields: &[],
            },
        ],
        ..BARE
    },
    Noun {
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
        verbs: CHANGE,
        create: &[
            NEW_NAME,
            OF_ENTITY,
            Field::must("plan", "plan_id", Kind::Ref("plan"), "What it pays (name or id)"),
            QUOTA[0],
            QUOTA[1],
            QUOTA[2],
            QUOTA[3],
            KEYS,
        ],
        create_base: || json!({"keys": [], "quota": Quota::default()}),
        update: &[
            Field::may("new-name", "name", Kind::Text, "Another name"),
            Field::may("plan", "plan_id", Kind::Ref("plan"), "What it pays from now on (name or id)"),
            QUOTA[0],
            QUOTA[1],
            QUOTA[2],
            QUOTA[3],
            KEYS,
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
    },
    Noun {
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
        verbs: MAKE,
        create: &[
            NEW_NAME,
            Field::may(
                "parent",
                "parent_id",
                Kind::Ref("billing-entity"),
                "Who stands above (name or id); default: yours",
            ),
            Field::must("currency", "currency", Kind::Text, "What it invoices in, such as EUR"),
        ],
        ..BARE
    },
    Noun {
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
        verbs: ALL,
        create: &[
            Field::place("email", "email", Kind::Text, "E-mail address to sign in with"),
            Field::must("first-name", "first_name", Kind::Text, "Given name"),
            Field::must("last-name", "last_name", Kind::Text, "Family name"),
            Field::must("role", "role", Kind::Choice(ROLES), "What they may do"),
            OF_ENTITY,
            Field::may("customer", "customer_id", Kind::Ref("customer"), "Whose user it is (name or id); none: staff"),
        ],
        update: &[
            Field::may("first-name", "first_name", Kind::Text, "Given name"),
            Field::may("last-name", "last_name", Kind::Text, "Family name"),
            Field::may("role", "role", Kind::Choice(ROLES), "What they may do"),
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
    },
    Noun {
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
    },
    Noun {
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
        ],
        update: &[
            Field::may("new-name", "name", Kind::Text, "Another name"),
            Field::may("cpu-hour", "cpu_hour", Kind::Amount, "One vCPU of a running server, an hour"),
            Field::may("memory-gib-hour", "memory_gib_hour", Kind::Amount, "One GiB of memory, an hour"),
            Field::may("disk-gib-hour", "disk_gib_hour", Kind::Amount, "One GiB of disk, an hour"),
        ],
        ..BARE
    },
    Noun {
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
    },
    Noun {
        name: "trigger",
        path: "triggers",
        about: "Lua scripts run at events",
        named_by: Some("name"),
        columns: &[
            col("ID", "id"),
            col("NAME", "name"),
            col("ENABLED", "enabled"),
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
        ],
        ..BARE
    },
    Noun {
        name: "run",
        path: "runs",
        about: "Runs of triggers",
        named_by: None,
        columns: RUN_COLUMNS,
        filters: &[
            Field::may(
                "state",
                "state",
                Kind::Choice(RUN_STATES),
                "Only those in this state; `dead` lists dead letters",
            ),
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
    },
    Noun {
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
            col("TOTAL", "total"),
            col("CURRENCY", "currency"),
        ],
        filters: &[BY_CUSTOMER],
        verbs: &[Verb::List],
        ..BARE
    },
];

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

const QUOTA: [Field; 4] = [
    Field::may("quota-servers", "quota.servers", Kind::Number, "Most servers"),
    Field::may("quota-cpus", "quota.cpus", Kind::Number, "Most vCPUs over all servers"),
    Field::may("quota-memory", "quota.memory_mib", Kind::Mib, "Most memory over all servers, in MiB or with a unit"),
    Field::may("quota-disk", "quota.disk_gib", Kind::Gib, "Most disk space, in GiB or with a unit"),
];
