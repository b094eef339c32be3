//! Checks on input, each naming the field and the fix.

use serde::{Deserialize, Serialize};

/// Longest name of anything, in characters: fits a list row and every driver's own limit.
pub const NAME_CHARS: usize = 100;
/// Longest e-mail address (RFC 5321, 4.5.3.1.3), in bytes.
pub const EMAIL_BYTES: usize = 254;
/// Longest password, in bytes; argon2id would hash a megabyte happily, on our time.
pub const PASSWORD_BYTES: usize = 256;
/// Shortest password, in characters (NIST SP 800-63B asks for 8; we hold admins' keys).
pub const PASSWORD_CHARS_MIN: usize = 10;

/// What is wrong with one field of a request, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{field}: {detail}")]
pub struct FieldError {
    /// Where, in dot notation: `disks.0.size_gib`.
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl FieldError {
    /// An error on `field`.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// A display name: 1–100 characters, no control characters, no blank ends.
///
/// # Errors
/// Names the field and the rule it breaks.
pub fn name(field: &str, text: &str) -> Result<(), FieldError> {
    let detail = if text.trim().is_empty() {
        "must not be empty".to_owned()
    } else if text.chars().count() > NAME_CHARS {
        format!("has {} characters; at most {NAME_CHARS} are allowed", text.chars().count())
    } else if text.chars().any(char::is_control) {
        "must not contain control characters such as line breaks".to_owned()
    } else if text.trim() != text {
        "must not begin or end with a blank".to_owned()
    } else {
        return Ok(());
    };
    Err(FieldError::new(field, detail))
}

/// A host name: one label of RFC 1123, 1–63 of `a-z`, `0-9` and `-`, not at the ends.
///
/// # Errors
/// Names the field and the rule it breaks.
pub fn host_name(field: &str, text: &str) -> Result<(), FieldError> {
    let ok = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if ok {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        "must be a host name: 1 to 63 small letters, digits and hyphens, with no hyphen at either end",
    ))
}

/// An e-mail address, as far as can be told without sending to it.
///
/// # Errors
/// Names the field and the rule it breaks.
pub fn email(field: &str, text: &str) -> Result<(), FieldError> {
    let plausible = text.len() <= EMAIL_BYTES
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && text.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                && !host.starts_with('.')
                && !host.ends_with('.')
        });
    if plausible { Ok(()) } else { Err(FieldError::new(field, "must be an e-mail address such as ada@example.org")) }
}

/// A new password: 10 characters to 256 bytes.
///
/// # Errors
/// Names the field and the rule it breaks; never repeats the password.
pub fn password(field: &str, text: &str) -> Result<(), FieldError> {
    if text.chars().count() < PASSWORD_CHARS_MIN {
        return Err(FieldError::new(field, format!("must have at least {PASSWORD_CHARS_MIN} characters")));
    }
    if text.len() > PASSWORD_BYTES {
        return Err(FieldError::new(field, format!("must have at most {PASSWORD_BYTES} bytes")));
    }
    Ok(())
}

/// A whole number within `range`; `unit` follows the numbers in the message.
///
/// # Errors
/// Names the field, the value and the range.
pub fn within(field: &str, value: u64, range: std::ops::RangeInclusive<u64>, unit: &str) -> Result<(), FieldError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(FieldError::new(field, format!("is {value}; must be from {} to {} {unit}", range.start(), range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field_and_the_fix() {
        assert_eq!(within("cpu", 0, 1..=64, "vCPUs").unwrap_err().to_string(), "cpu: is 0; must be from 1 to 64 vCPUs");
        assert!(name("name", &"x".repeat(101)).unwrap_err().detail.contains("at most 100"));
    }

    #[test]
    fn host_names_follow_rfc_1123() {
        for good in ["a", "web-1", "0x"] {
            assert!(host_name("name", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "é", &"a".repeat(64)] {
            assert!(host_name("name", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn emails_are_plausible() {
        assert!(email("email", "a@b").is_ok());
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b@c", "a@b."] {
            assert!(email("email", bad).is_err(), "{bad}");
        }
    }
}
