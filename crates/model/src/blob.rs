//! Files that scripts and their packages bring along: pictures, style sheets, texts.

use crate::{BillingEntityId, BlobContentId, BlobId, CustomerId, FieldError, Timestamp, validate};
use serde::{Deserialize, Serialize};

/// Largest content, bytes: with its Base64 form around it fits a request.
pub const BYTES: usize = 512 << 10;
/// Most blobs of one customer or seller.
pub const EACH: usize = 1_000;
/// The media type of what nobody says anything about.
pub const ANY_TYPE: &str = "application/octet-stream";

/// What is known of a blob. Its bytes are a record of their own ([`BlobContent`]), so that neither lists nor memory nor the
/// changes of a blob carry them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Blob {
    /// Its id. A package's file has the version 5 UUID of its name.
    pub id: BlobId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name.
    pub name: String,
    /// Owner, or the owner's seller.
    pub billing_entity_id: BillingEntityId,
    /// Owner; none: the seller itself.
    pub customer_id: Option<CustomerId>,
    /// What it is: `image/png`.
    pub media_type: String,
    /// Length of its content, bytes.
    pub bytes: u64,
    /// SHA-256 of its content, hex.
    pub sha256: String,
    /// Whether anybody who knows its id may fetch it, without signing in.
    pub public: bool,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it last changed.
    pub modified_at: Timestamp,
}

/// The bytes of a blob, under the same id; gone with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobContent {
    /// That of the blob.
    pub id: BlobContentId,
    /// Counts changes, from 1.
    pub version: u64,
    /// The bytes.
    #[serde(with = "bytes")]
    pub content: Vec<u8>,
}

/// A media type in its plain form, with a character set at most.
///
/// # Errors
/// Names the field and the rule it breaks.
pub fn media_type(field: &str, text: &str) -> Result<(), FieldError> {
    let (kind, parameter) = text.split_once(';').map_or((text, None), |(kind, rest)| (kind, Some(rest.trim())));
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
    };
    let plain = kind.trim().split_once('/').is_some_and(|(first, second)| word(first) && word(second));
    let charset = parameter.is_none_or(|parameter| parameter.strip_prefix("charset=").is_some_and(word));
    if plain && charset && text.len() <= 100 {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        "must be a media type in small letters, such as `image/png` or `text/css; charset=utf-8`",
    ))
}

impl Blob {
    /// Everything that is wrong with what it says of itself.
    pub fn problems(&self) -> Vec<FieldError> {
        let checks = [validate::name("name", &self.name), media_type("media_type", &self.media_type)];
        checks.into_iter().filter_map(Result::err).collect()
    }
}

/// Bytes as bytes: the derive macro would write a list of numbers.
mod bytes {
    use serde::{Deserializer, Serializer, de};
    use std::fmt;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl<'de> de::Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = items.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_media_types_are_taken() {
        for good in ["image/png", "text/css; charset=utf-8", "application/vnd.ms-excel", "image/svg+xml"] {
            assert!(media_type("t", good).is_ok(), "{good}");
        }
        for bad in ["", "png", "image/", "text/html\r\nx: y", "Text/HTML", "text/css; boundary=x", "a/b; charset="] {
            assert!(media_type("t", bad).is_err(), "{bad}");
        }
    }
}
