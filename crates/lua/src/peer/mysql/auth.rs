//! Signing in: the password itself goes over the wire only inside TLS.

use super::packet::{Channel, Reader, malformed};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";
const CLEAR: &str = "mysql_clear_password";

/// What the server's greeting offers.
pub(super) struct Offer {
    pub capabilities: u32,
    pub nonce: Vec<u8>,
    pub plugin: String,
}

impl Offer {
    /// Reads the greeting after its version.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.until_zero()?; // the server's version
        reader.u32()?; // the connection's number
        let mut nonce = reader.bytes(8)?.to_vec();
        reader.u8()?;
        let low = reader.u16()?;
        reader.bytes(3)?; // character set and status
        let high = reader.u16()?;
        let length = usize::from(reader.u8()?);
        reader.bytes(10)?;
        nonce.extend_from_slice(reader.bytes(length.saturating_sub(8).max(13))?);
        // A zero ends it.
        nonce.truncate(20);
        let plugin = reader.until_zero().unwrap_or(reader.0);
        let capabilities = u32::from(high) << 16 | u32::from(low);
        Some(Self { capabilities, nonce, plugin: String::from_utf8_lossy(plugin).into_owned() })
    }
}

/// What proves that we know the password; none for a plugin that is not spoken here.
pub(super) fn proof(plugin: &str, password: &str, nonce: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match plugin {
        NATIVE => &SHA1_FOR_LEGACY_USE_ONLY,
        CACHING => &SHA256,
        _ => return None,
    };
    if password.is_empty() {
        return Some(Vec::new());
    }
    let hash = |parts: &[&[u8]]| digest(algorithm, &parts.concat());
    let once = hash(&[password.as_bytes()]);
    let twice = hash(&[once.as_ref()]);
    let mask = match plugin {
        NATIVE => hash(&[nonce, twice.as_ref()]),
        _ => hash(&[twice.as_ref(), nonce]),
    };
    Some(once.as_ref().iter().zip(mask.as_ref()).map(|(a, b)| a ^ b).collect())
}

/// Answers what the server still wants to know.
pub(super) async fn finish(channel: &mut Channel, offer: Offer, password: &str, tls: bool) -> Result<(), String> {
    let mut plugin = offer.plugin;
    loop {
        let packet = channel.receive().await?;
        let mut reader = Reader(&packet[1..]);
        match packet[0] {
            0 => return Ok(()),
            0xfe => {
                plugin = String::from_utf8_lossy(reader.until_zero().ok_or_else(malformed)?).into_owned();
                let nonce = reader.0.strip_suffix(&[0]).unwrap_or(reader.0);
                if plugin == CLEAR {
                    clear(channel, password, tls).await?;
                    continue;
                }
                let proof = proof(&plugin, password, nonce).ok_or_else(|| {
                    format!("the server wants `{plugin}`, which is not spoken here; {NATIVE} and {CACHING} are")
                })?;
                channel.send(&proof).await?;
            }
            // 3: it knew the proof; 4: it wants the password itself.
            1 if plugin == CACHING => match reader.u8() {
                Some(3) => {}
                Some(4) => clear(channel, password, tls).await?,
                _ => return Err(malformed()),
            },
            _ => return Err(malformed()),
        }
    }
}

async fn clear(channel: &mut Channel, password: &str, tls: bool) -> Result<(), String> {
    if !tls {
        return Err("the server wants the password itself, which is sent only inside TLS".to_owned());
    }
    channel.send(&[password.as_bytes(), &[0]].concat()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_those_the_servers_work_out() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let nonce: Vec<u8> = (1..=20).collect();
        // Worked out apart with Python's hashlib.
        assert_eq!(hex(proof(NATIVE, "secret", &nonce).unwrap()), "b32bb3a583e1340c0a1108d58b1be49781ad8c2f");
        assert_eq!(
            hex(proof(CACHING, "secret", &nonce).unwrap()),
            "746ebe205d56a0707acb3e796e834e0dd7b1d61743b26bd5202c7a623230c7c9"
        );
        assert_eq!(proof(NATIVE, "", &nonce), Some(Vec::new()));
        assert_eq!(proof("client_ed25519", "secret", &nonce), None);
    }
}
