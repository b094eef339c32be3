//! Signing in: SCRAM (RFC 5802), by which the server proves that it knows us too, or PLAIN.

use super::wire::Wire;
use crate::xml::Node;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest, hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use std::num::NonZeroU32;

/// Most rounds that a server may ask for: each costs the script's time.
const ROUNDS_MAX: u32 = 200_000;

/// A SCRAM mechanism.
struct Scram {
    name: &'static str,
    rounds: pbkdf2::Algorithm,
    keyed: hmac::Algorithm,
    hash: &'static digest::Algorithm,
}

fn mechanisms() -> [Scram; 2] {
    [
        Scram {
            name: "SCRAM-SHA-256",
            rounds: pbkdf2::PBKDF2_HMAC_SHA256,
            keyed: hmac::HMAC_SHA256,
            hash: &digest::SHA256,
        },
        Scram {
            name: "SCRAM-SHA-1",
            rounds: pbkdf2::PBKDF2_HMAC_SHA1,
            keyed: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            hash: &digest::SHA1_FOR_LEGACY_USE_ONLY,
        },
    ]
}

pub(super) async fn sign_in(wire: &mut Wire, features: &Node, user: &str, password: &str) -> Result<(), String> {
    let offered: Vec<String> =
        features.find("stream:features/mechanisms/mechanism", usize::MAX).iter().map(Node::text).collect();
    let offers = |name: &str| offered.iter().any(|offer| offer.trim() == name);
    if let Some(scram) = mechanisms().into_iter().find(|mechanism| offers(mechanism.name)) {
        let mut nonce = [0; 18];
        SystemRandom::new().fill(&mut nonce).map_err(|_| "the system has no random numbers".to_owned())?;
        let first = format!("n={},r={}", user.replace('=', "=3D").replace(',', "=2C"), STANDARD.encode(nonce));
        auth(wire, scram.name, &format!("n,,{first}")).await?;
        let challenge = said(wire, "challenge").await?;
        let (proof, signature) = scram.answer(&first, &challenge, password)?;
        wire.write(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            STANDARD.encode(proof)
        ))
        .await?;
        let verdict = said(wire, "success").await?;
        return match verdict.strip_prefix("v=") {
            Some(proof) if proof == signature => Ok(()),
            _ => Err("the server does not prove that it knows the account".to_owned()),
        };
    }
    if !offers("PLAIN") {
        return Err(format!(
            "the server offers {} and none of SCRAM-SHA-256, SCRAM-SHA-1 and PLAIN",
            offered.join(", ")
        ));
    }
    auth(wire, "PLAIN", &format!("\0{user}\0{password}")).await?;
    said(wire, "success").await.map(drop)
}

async fn auth(wire: &mut Wire, mechanism: &str, initial: &str) -> Result<(), String> {
    let initial = STANDARD.encode(initial);
    wire.write(&format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{initial}</auth>"))
        .await
}

/// What the server says in an element that must have this name.
async fn said(wire: &mut Wire, name: &str) -> Result<String, String> {
    let element = wire.element().await?;
    if !super::named(&element, name) {
        return Err(super::refusal(&element));
    }
    let bytes = STANDARD.decode(element.text().trim()).unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| "the server's answer is no text".to_owned())
}

impl Scram {
    /// What we answer a challenge, and the signature that the server must then give.
    fn answer(&self, first: &str, challenge: &str, password: &str) -> Result<(String, String), String> {
        let malformed = || "the server's challenge is malformed".to_owned();
        let part = |name: &str| {
            challenge.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).ok_or_else(malformed)
        };
        let (nonce, salt, rounds) = (part("r")?, part("s")?, part("i")?);
        let ours = first.rsplit_once("r=").map_or("", |(_, nonce)| nonce);
        if !nonce.starts_with(ours) || nonce.len() == ours.len() {
            return Err("the server's challenge is not for us".to_owned());
        }
        let salt = STANDARD.decode(salt).map_err(|_| malformed())?;
        let rounds: NonZeroU32 = rounds.parse().map_err(|_| malformed())?;
        if rounds.get() > ROUNDS_MAX {
            return Err(format!("the server asks for {rounds} rounds, and at most {ROUNDS_MAX} are done"));
        }
        let mut salted = vec![0; self.hash.output_len()];
        pbkdf2::derive(self.rounds, rounds, &salt, password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(self.keyed, key), text);
        let client_key = sign(&salted, b"Client Key");
        let stored = digest::digest(self.hash, client_key.as_ref());
        let last = format!("c=biws,r={nonce}");
        let whole = format!("{first},{challenge},{last}");
        let signature = sign(stored.as_ref(), whole.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        let server = STANDARD.encode(sign(server_key.as_ref(), whole.as_bytes()));
        Ok((format!("{last},p={}", STANDARD.encode(proof)), server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_the_standards_examples() {
        let [sha256, sha1] = mechanisms();
        let first = "n=user,r=fyko+d2lbbFgONRv9qkxdawL";
        let challenge = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let (last, server) = sha1.answer(first, challenge, "pencil").unwrap();
        assert_eq!(last, "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
        assert_eq!(server, "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
        let first = "n=user,r=rOprNGfwEbeRWgbNEkqO";
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, server) = sha256.answer(first, challenge, "pencil").unwrap();
        assert!(last.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{last}");
        assert_eq!(server, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn challenges_that_are_not_ours_or_too_hard_are_refused() {
        let [sha256, _] = mechanisms();
        for (challenge, reason) in [
            ("r=other,s=QQ==,i=1", "not for us"),
            ("r=abc,s=QQ==,i=1", "not for us"),
            ("r=abcd,s=QQ==,i=900000", "900000 rounds"),
            ("r=abcd,s=!,i=1", "malformed"),
            ("r=abcd,i=1", "malformed"),
        ] {
            let refused = sha256.answer("n=u,r=abc", challenge, "p").unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
