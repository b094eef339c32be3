//! What guests are made of.

use super::{
    Action, BARE, BY_CUSTOMER, BY_NAME, CHANGE, EVERYTHING, KEYS, LOOK, NEW_NAME, Noun, OF_ENTITY, Request, col,
};
use crate::cli::field::{Field, Kind};
use serde_json::json;

/// States of a server.
pub const STATES: &[&str] =
    &["building", "starting", "running", "paused", "frozen", "stopping", "stopped", "deleting", "error"];
/// When it is done.
pub const AT: Field =
    Field::may("at", "start_at", Kind::Time, "Do it at this time, at most a year ahead, and come back at once");
const FORCE: &[Field] =
    &[Field::may("force", "force", Kind::Switch("true"), "Pull the plug rather than ask the guest"), AT];

/// Virtual servers.
pub const SERVER: Noun = Noun {
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
    filters: &[BY_NAME, BY_CUSTOMER, Field::may("state", "state", Kind::Choice(STATES), "Only those in this state")],
    verbs: EVERYTHING,
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
        AT,
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
            fields: &[AT],
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
};

/// Disks of servers.
pub const DISK: Noun = Noun {
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
};

/// Guest images that servers are cloned from.
pub const IMAGE: Noun = Noun {
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
    verbs: CHANGE,
    create: &[
        NEW_NAME,
        Field::may("server", "server_id", Kind::Ref("server"), "Copy this stopped server's boot disk (name or id)"),
        Field::may("from-disk", "disk_id", Kind::Ref("disk"), "Copy this disk of a stopped server (name or id)"),
        AT,
        Field::may("file", "file", Kind::Text, "Take in this image file, as the server sees it"),
        Field::may("size", "size_gib", Kind::Gib, "With --file: smallest disk it fits on, in GiB or with a unit"),
        Field::may("memory", "memory_mib_min", Kind::Mib, "With --file: smallest memory it runs in, in MiB"),
        OF_ENTITY,
        Field::may("customer", "customer_id", Kind::Ref("customer"), "With --file: offer it to this customer alone"),
        Field::may("kernel", "boot.kernel", Kind::Text, "Boot this kernel file of the image folder directly"),
        Field::may("initrd", "boot.initrd", Kind::Text, "Initial RAM disk beside the kernel"),
        Field::may("command-line", "boot.command_line", Kind::Text, "Kernel command line"),
    ],
    settle: |image| {
        if image["boot"]["kernel"].is_string() {
            image["boot"]["kind"] = json!("kernel");
        }
    },
    update: &[
        Field::may("new-name", "name", Kind::Text, "Another name"),
        Field::may("state", "state", Kind::Choice(&["ready", "retired"]), "Offer it, or no longer"),
        Field::may("publish", "published", Kind::Switch("true"), "Offer it to all of its publisher's"),
    ],
    ..BARE
};

/// Hypervisors.
pub const NODE: Noun = Noun {
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
};

/// Resources of kinds that scripts add.
pub const PLUGGABLE: Noun = Noun {
    name: "pluggable-resource",
    path: "pluggable-resources",
    about: "Resources of kinds that scripts add",
    named_by: Some("name"),
    columns: &[
        col("ID", "id"),
        col("NAME", "name"),
        col("TYPE", "provider_type"),
        col("STATE", "state"),
        col("CUSTOMER", "customer_id"),
        col("REASON", "state_reason"),
    ],
    filters: &[BY_NAME, BY_CUSTOMER, Field::may("type", "provider_type", Kind::Text, "Only those of this type")],
    verbs: EVERYTHING,
    create: &[
        NEW_NAME,
        Field::must("type", "provider_type", Kind::Text, "Its type"),
        Field::may("customer", "customer_id", Kind::Ref("customer"), "Whose it is (name or id); default: yours"),
        Field::may("value", "values", Kind::Map, "What its form asks for"),
    ],
    update: &[
        Field::may("new-name", "name", Kind::Text, "Another name"),
        Field::may("value", "values", Kind::Map, "A value to set; those left out stay"),
    ],
    ..BARE
};
