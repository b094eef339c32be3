//! What libvirt's errors mean to a caller.

use crate::Error;
use virt::error::{Error as VirtError, ErrorNumber};

/// The error of a call.
pub(super) fn failure(attempted: &str, error: VirtError) -> Error {
    if error.message().contains("No space left") {
        return Error::NoSpace { attempted: attempted.into() };
    }
    let stays = [
        ErrorNumber::NoSupport,
        ErrorNumber::InvalidArg,
        ErrorNumber::XmlError,
        ErrorNumber::XmlDetail,
        ErrorNumber::ParseFailed,
        ErrorNumber::NoDomain,
        ErrorNumber::OperationInvalid,
        ErrorNumber::ConfigUnsupported,
    ];
    if stays.iter().any(|s| error.code().is(*s)) {
        Error::permanent(attempted, error)
    } else {
        Error::transient(attempted, error)
    }
}
