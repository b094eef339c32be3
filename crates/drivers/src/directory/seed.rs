//! What cloud-init's NoCloud source reads: a volume labelled CIDATA with three files, and two more where scripts made metadata.

use super::mime;
use crate::storage::SeedSpec;
use std::fmt::Write as _;

/// Where a guest's programs find the metadata: in memory, and for its administrator alone.
const METADATA_PATH: &str = "/run/sutler/metadata.xml";

/// The seed of a server. The same server gives the same bytes.
pub(super) fn image(spec: &SeedSpec) -> Vec<u8> {
    let (meta, network) = (meta_data(spec), network_config(spec));
    let own = spec.user_data.clone().unwrap_or_else(default_user_data);
    let user = if spec.additions.is_empty() { own } else { mime::message(&own, &spec.additions) };
    let mut files =
        vec![("meta-data", meta.as_bytes()), ("user-data", user.as_bytes()), ("network-config", network.as_bytes())];
    let vendor = spec.metadata.as_deref().map(vendor_data);
    if let (Some(document), Some(vendor)) = (&spec.metadata, &vendor) {
        files.extend([("vendor-data", vendor.as_bytes()), ("metadata.xml", document.as_bytes())]);
    }
    super::iso::image("CIDATA", &files)
}

/// Lays the metadata where programs find it. Vendor data gives way to the customer's user data, so it cannot do harm.
fn vendor_data(document: &str) -> String {
    let file = serde_json::json!({
        "path": METADATA_PATH, "permissions": "0600", "encoding": "b64", "content": mime::base64(document.as_bytes()),
    });
    format!("#cloud-config\nwrite_files:\n  - {file}\n")
}

/// YAML; JSON text is YAML, so every value is written as JSON and needs no other care.
fn meta_data(spec: &SeedSpec) -> String {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let mut out = format!("instance-id: {}\nlocal-hostname: {}\n", json(&spec.id.to_string()), json(&spec.host_name));
    if !spec.ssh_keys.is_empty() {
        // Here rather than in the user data, which is the customer's, unchanged.
        out.push_str("public-keys:\n");
        for key in &spec.ssh_keys {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "  - {}", json(key));
        }
    }
    out
}

/// Without user data: the host name is set from the meta-data, keys go to the distribution's first user.
fn default_user_data() -> String {
    "#cloud-config\npreserve_hostname: false\n".into()
}

/// The first interface by DHCP, found by the address it always has.
fn network_config(spec: &SeedSpec) -> String {
    let mac = crate::network::mac(spec.id, 0);
    format!(
        "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: \"{mac}\"\n    set-name: eth0\n    dhcp4: true\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::ServerId;

    #[test]
    fn nothing_given_by_a_customer_breaks_out_of_its_field() {
        let spec = SeedSpec {
            id: ServerId::new(1, [0; 10]),
            host_name: "web\"\nevil: true".into(),
            ssh_keys: vec!["ssh-ed25519 AAAA a: b # c".into()],
            user_data: None,
            additions: Vec::new(),
            metadata: None,
        };
        let meta = meta_data(&spec);
        assert_eq!(meta.lines().count(), 4);
        assert!(meta.contains(r#"local-hostname: "web\"\nevil: true""#));
        assert!(meta.contains(r#"  - "ssh-ed25519 AAAA a: b # c""#));
    }
}
