//! Where a listing goes on, as opaque text.

use crate::{Error, Order};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sutler_model::Noun;

/// Longer texts are not ours.
const TEXT_MAX: usize = 128;

/// The text for "after `key`".
pub(crate) fn encode(noun: Noun, order: Order, key: &[u8]) -> String {
    let mut bytes = vec![noun as u8, order as u8];
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key a listing of `noun` in `order` goes on after.
pub(crate) fn decode(noun: Noun, order: Order, text: &str) -> Result<Vec<u8>, Error> {
    let bytes = if text.len() <= TEXT_MAX { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
    let bytes = bytes.ok_or(Error::BadCursor)?;
    let (rest, sum) = bytes.split_last_chunk::<4>().ok_or(Error::BadCursor)?;
    match rest {
        [n, o, key @ ..] if *n == noun as u8 && *o == order as u8 && *sum == crc32c::crc32c(rest).to_be_bytes() => {
            Ok(key.to_vec())
        }
        _ => Err(Error::BadCursor),
    }
}
