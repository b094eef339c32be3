//! Why an operation refused, in the language's words (`fdl.md` 6.7).

use crate::Error;
use sutler_lua::HostError;
use sutler_model::Noun;

/// An operation's refusal as a script sees it.
pub(super) fn refusal(error: Error) -> HostError {
    let code = match &error {
        Error::NotFound { noun, .. } | Error::Gone { noun, .. } => missing(*noun),
        Error::Forbidden(_) | Error::Suspended => "UNAUTHORISED_ACCESS",
        Error::ImagePermission { what, .. } if what.starts_with("start") => "INSUFFICIENT_PERMISSION_TO_START_SERVER",
        Error::ImagePermission { .. } => "UNAUTHORISED_ACCESS",
        Error::Invalid(_) | Error::Script { .. } | Error::Taken { .. } => "INVALID_INPUT",
        Error::State { noun, detail, .. } => state(*noun, detail),
        Error::Quota { what, .. } => beyond(what),
        Error::Refused { .. } => "FAILED_TRIGGER_FUNCTION",
        Error::Store(_) | Error::Driver(_) => {
            tracing::error!(%error, "a script's call failed");
            return HostError::Failed("the platform could not do this".to_owned());
        }
        Error::Stale { .. } | Error::KeyReused | Error::Busy { .. } | Error::Quarantined { .. } => {
            return HostError::Failed(error.to_string());
        }
    };
    HostError::refused(code, error.to_string())
}

const fn missing(noun: Noun) -> &'static str {
    match noun {
        Noun::Server => "NO_SERVER_FOUND",
        Noun::Customer => "NO_CUSTOMER_FOUND",
        Noun::Job => "NO_JOB_FOUND",
        Noun::User => "NO_USER_FOUND",
        Noun::BillingEntity => "NO_BILLING_ENTITY_FOUND",
        Noun::Image => "NO_IMAGE_FOUND",
        Noun::Disk => "NO_DISK_FOUND",
        Noun::Invoice => "NO_INVOICE_FOUND",
        Noun::Transaction => "NO_TRANSACTION_FOUND",
        Noun::PaymentMethod => "NO_PAYMENT_METHOD_FOUND",
        Noun::PaymentInstance => "NO_PAYMENT_METHOD_INSTANCE_FOUND",
        Noun::Blob => "NO_BLOB_FOUND",
        Noun::Script => "NO_FDL_CODE_BLOCK_FOUND",
        Noun::Plan => "NO_PRODUCT_OFFER_FOUND",
        _ => "NO_RESOURCE_FOUND",
    }
}

/// What a record's present state does not allow.
fn state(noun: Noun, detail: &str) -> &'static str {
    match noun {
        Noun::Server => "INVALID_SERVER_STATUS",
        Noun::Job => "JOB_CANNOT_BE_CANCELLED",
        Noun::Customer => "CANNOT_DELETE_CUSTOMER",
        Noun::User if detail.contains("lock") => "CANNOT_LOCK_ONLY_ADMIN_USER",
        Noun::User => "CANNOT_DELETE_USER",
        Noun::Invoice => "INVOICE_ALREADY_PAID",
        Noun::PaymentMethod | Noun::PaymentInstance => "CANNOT_MODIFY_PAYMENT_METHOD",
        Noun::Transaction => "PAYMENT_ERROR",
        Noun::Disk => "CANNOT_CREATE_IMAGE",
        Noun::Image => "CANNOT_DELETE_RESOURCE",
        Noun::Script => "CANNOT_MODIFY_FDL",
        _ => "INVALID_STATUS",
    }
}

/// Which limit of the language a quota is.
fn beyond(what: &str) -> &'static str {
    match what {
        "servers" => "CANNOT_EXCEED_MAX_SERVER_LIMIT",
        "vCPUs" => "CANNOT_EXCEED_MAX_CPU_LIMIT",
        "MiB of memory" => "CANNOT_EXCEED_MAX_RAM_LIMIT",
        "GiB of disk" => "CANNOT_EXCEED_MAX_STORAGE_SIZE",
        "blobs" => "CANNOT_EXCEED_MAX_BLOBS_LIMIT",
        _ => "CANNOT_EXCEED_MAX_LIMIT_ON_SERVER",
    }
}
