//! Our states and kinds in the words of the language (`fdl.md` 4.5).

use sutler_model::{JobInput, JobState, KeyKind, Noun, ServerState, TransactionState};

/// The language's ResourceType of records that scripts know.
pub(crate) const fn resource_type(noun: Noun) -> Option<&'static str> {
    Some(match noun {
        Noun::BillingEntity => "BILLING_ENTITY",
        Noun::Customer => "CUSTOMER",
        Noun::User => "USER",
        Noun::Image => "IMAGE",
        Noun::Server => "SERVER",
        Noun::Disk => "DISK",
        Noun::Job => "JOB",
        Noun::Invoice => "INVOICE",
        Noun::PluggableResource => "PLUGGABLE_RESOURCE",
        Noun::PaymentMethod => "PAYMENT_METHOD",
        Noun::PaymentInstance => "PAYMENT_METHOD_INSTANCE",
        Noun::Transaction => "TRANSACTION",
        Noun::Blob => "BLOB",
        Noun::Plan => "PRODUCTOFFER",
        Noun::Script => "FDL",
        _ => return None,
    })
}

/// ServerStatus. The language knows neither a paused nor a frozen guest. Both hold their memory and are billed, so
/// STOPPED would be a lie that billing scripts act upon; RECOVERY says that the guest is not well.
pub(crate) const fn server_status(state: ServerState) -> &'static str {
    match state {
        ServerState::Building => "BUILDING",
        ServerState::Starting => "STARTING",
        ServerState::Running => "RUNNING",
        ServerState::Paused | ServerState::Frozen => "RECOVERY",
        ServerState::Stopping => "STOPPING",
        ServerState::Stopped => "STOPPED",
        ServerState::Deleting => "DELETING",
        ServerState::Error => "ERROR",
    }
}

/// JobStatus. A job that is being undone is still at work; one that needs an operator has failed for its customer.
pub(crate) const fn job_status(state: JobState) -> &'static str {
    match state {
        JobState::NotStarted => "NOT_STARTED",
        JobState::InProgress | JobState::Undoing => "IN_PROGRESS",
        JobState::Waiting => "WAITING",
        JobState::Successful => "SUCCESSFUL",
        JobState::Failed | JobState::NeedsOperator => "FAILED",
        JobState::Cancelled => "CANCELLED",
    }
}

/// JobStatus of a transaction, which is a job in the language.
pub(crate) const fn transaction_status(state: TransactionState) -> &'static str {
    match state {
        TransactionState::NotStarted => "NOT_STARTED",
        TransactionState::InProgress => "IN_PROGRESS",
        TransactionState::AwaitingInput => "WAITING",
        TransactionState::Success => "SUCCESSFUL",
        TransactionState::Failure => "FAILED",
        TransactionState::Cancelled => "CANCELLED",
    }
}

/// JobType of `CREATE`, `MODIFY` or `DELETE` of a kind of record that is done at once here.
pub(crate) fn deed_type(verb: &str, noun: Noun) -> String {
    match (verb, noun) {
        ("DELETE", Noun::User | Noun::PluggableResource | Noun::PaymentInstance) => {}
        ("CREATE" | "DELETE", Noun::Image) => return format!("{verb}_IMAGE_TEMPLATE"),
        ("DELETE", _) => return "DELETE_RESOURCE".to_owned(),
        (_, Noun::Plan) => return format!("{verb}_PRODUCT_OFFER"),
        _ => {}
    }
    format!("{verb}_{}", resource_type(noun).unwrap_or("RESOURCE"))
}

/// JobType.
pub(crate) fn job_type(input: &JobInput) -> &str {
    match input {
        JobInput::Operation { job_type, .. } => job_type,
        JobInput::CreateServer { .. } => "CREATE_SERVER",
        JobInput::StartServer { .. } => "START_SERVER",
        JobInput::StopServer { force: true, .. } => "KILL_SERVER",
        JobInput::StopServer { force: false, .. } => "SHUTDOWN_SERVER",
        JobInput::RebootServer { .. } => "REBOOT_SERVER",
        JobInput::DeleteServer { .. } => "DELETE_SERVER",
        JobInput::CreateImage { .. } => "CREATE_IMAGE_TEMPLATE",
        // Its item says of what.
        JobInput::DeleteCustomer { .. } => "DELETE_RESOURCE",
    }
}

/// ResourceKeyType and our kind of key.
const KEY_TYPES: [(&str, KeyKind); 5] = [
    ("USER_KEY", KeyKind::User),
    ("BILLING_ENTITY_KEY", KeyKind::BillingEntity),
    ("SYSTEM_KEY", KeyKind::System),
    ("PLACEMENT_KEY", KeyKind::Placement),
    ("ADVERTISE_KEY", KeyKind::Advertise),
];

/// ResourceKeyType.
pub(crate) fn key_type(kind: KeyKind) -> &'static str {
    KEY_TYPES.iter().find(|(_, known)| *known == kind).map_or("USER_KEY", |(word, _)| word)
}

/// Our kind of key; none for a word that is no ResourceKeyType we keep.
pub(crate) fn key_kind(word: &str) -> Option<KeyKind> {
    KEY_TYPES.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
}
