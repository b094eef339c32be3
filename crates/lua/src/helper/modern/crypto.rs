//! `crypto`: digests, message authentication, signatures and encodings, by ring.

use crate::{helper::Module, object::with_room};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use mlua::{BorrowedBytes, Error, Lua, LuaString, Result, Table};
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
    signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

/// Longest input: nothing can interrupt the work on it.
const BYTES: usize = 8 << 20;
/// Most random bytes at once.
const RANDOM_BYTES: usize = 1024;

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    for (name, algorithm) in [
        ("sha1", &digest::SHA1_FOR_LEGACY_USE_ONLY),
        ("sha256", &digest::SHA256),
        ("sha384", &digest::SHA384),
        ("sha512", &digest::SHA512),
    ] {
        module.function(name, move |_, text: LuaString| Ok(hex(digest::digest(algorithm, &bytes(&text)?).as_ref())))?;
    }
    for (name, algorithm) in [
        ("hmac_sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        ("hmac_sha256", hmac::HMAC_SHA256),
        ("hmac_sha512", hmac::HMAC_SHA512),
    ] {
        module.function(name, move |_, (key, text): (LuaString, LuaString)| {
            let key = hmac::Key::new(algorithm, &bytes(&key)?);
            Ok(hex(hmac::sign(&key, &bytes(&text)?).as_ref()))
        })?;
    }
    for (name, padding) in
        [("rsa_sha256", &RSA_PKCS1_SHA256 as &'static dyn RsaEncoding), ("rsa_pss_sha256", &RSA_PSS_SHA256)]
    {
        module.function(name, move |_, (key, text): (LuaString, LuaString)| {
            let signature = sign(padding, &bytes(&key)?, &bytes(&text)?);
            signature.map(|s| STANDARD.encode(s)).map_err(|why| Error::runtime(format!("crypto.{name}: {why}")))
        })?;
    }
    let coder = |name: &str, code: fn(&[u8]) -> Result<Vec<u8>>| {
        module.function(name, move |lua, text: LuaString| {
            let text = bytes(&text)?;
            // The longest answer is that of `hex`.
            with_room(lua, 2 * text.len(), || lua.create_string(code(&text)?))
        })
    };
    coder("base64", |text| Ok(STANDARD.encode(text).into_bytes()))?;
    coder("base64url", |text| Ok(URL_SAFE_NO_PAD.encode(text).into_bytes()))?;
    coder("unbase64", |text| {
        let standard = STANDARD.decode(text.trim_ascii());
        // Tokens come without padding and in the other alphabet.
        let read = standard.or_else(|error| URL_SAFE_NO_PAD.decode(text.trim_ascii()).map_err(|_| error));
        read.map_err(|e| Error::runtime(format!("crypto.unbase64: {e}")))
    })?;
    coder("hex", |text| Ok(hex(text).into_bytes()))?;
    coder("unhex", |text| {
        unhex(text.trim_ascii()).ok_or_else(|| Error::runtime("crypto.unhex: not pairs of hexadecimal digits"))
    })?;
    module.function("random", |lua, count: usize| {
        if count > RANDOM_BYTES {
            return Err(Error::runtime(format!("crypto.random: at most {RANDOM_BYTES} bytes")));
        }
        let mut random = vec![0; count];
        SystemRandom::new().fill(&mut random).map_err(|_| Error::runtime("crypto.random: there is no randomness"))?;
        lua.create_string(random)
    })?;
    module.function("uuid", |_, ()| Ok(uuid::Uuid::new_v4().to_string()))?;
    module.function("equal", |_, (a, b): (LuaString, LuaString)| Ok(same(&a.as_bytes(), &b.as_bytes())))?;
    Ok(module.table)
}

fn bytes(text: &LuaString) -> Result<BorrowedBytes> {
    let bytes = text.as_bytes();
    if bytes.len() > BYTES {
        return Err(Error::runtime(format!("crypto: the text is longer than {BYTES} bytes")));
    }
    Ok(bytes)
}

/// Signs with a PEM private key (PKCS #1 or PKCS #8). What is wrong never repeats the key.
fn sign(padding: &'static dyn RsaEncoding, key: &[u8], text: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the key is not a private key in PEM form")?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err("the key is not an RSA key".to_owned()),
    };
    let pair = pair.map_err(|e| format!("the key cannot be used: {e}"))?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(padding, &SystemRandom::new(), text, &mut signature).map_err(|_| "signing failed")?;
    Ok(signature)
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
