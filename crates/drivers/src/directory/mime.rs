//! User data of several texts: a MIME multi-part message (RFC 2046), which is how cloud-init takes more than one.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Characters of Base64 on a line (RFC 2045).
const LINE: usize = 76;

/// The customer's own text first, then what was added to it.
pub(super) fn message(own: &str, additions: &[String]) -> String {
    let parts: Vec<String> =
        std::iter::once((own, false)).chain(additions.iter().map(|text| (text.as_str(), true))).map(part).collect();
    let boundary = (0_u32..)
        .map(|n| format!("==sutler-{n}=="))
        .find(|boundary| parts.iter().all(|part| !part.contains(boundary.as_str())))
        .unwrap_or_default();
    let mut message = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for part in parts {
        message.push_str(&format!("--{boundary}\n{part}\n"));
    }
    message.push_str(&format!("--{boundary}--\n"));
    message
}

/// One text with its headers.
fn part((text, added): (&str, bool)) -> String {
    // A message in itself has its own.
    let head = text.trim_start().get(..13).unwrap_or_default().to_ascii_lowercase();
    if head.starts_with("content-type:") || head.starts_with("mime-version:") {
        return text.trim_start().to_owned();
    }
    let kind = kind(text);
    // Without this a second `#cloud-config` would take the place of whole lists of the first.
    let merge = if added && kind == "text/cloud-config" {
        "Merge-Type: list(append)+dict(no_replace,recurse_list)+str()\n"
    } else {
        ""
    };
    format!(
        "Content-Type: {kind}; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n{merge}\n{}",
        lines(&base64(text.as_bytes()))
    )
}

/// What cloud-init knows a text by. `text/plain` lets it look for itself.
fn kind(text: &str) -> &'static str {
    const KINDS: [(&str, &str); 8] = [
        ("#cloud-config-archive", "text/cloud-config-archive"),
        ("#cloud-config", "text/cloud-config"),
        ("#cloud-boothook", "text/cloud-boothook"),
        ("#include-once", "text/x-include-once-url"),
        ("#include", "text/x-include-url"),
        ("#part-handler", "text/part-handler"),
        ("## template: jinja", "text/jinja2"),
        ("#!", "text/x-shellscript"),
    ];
    KINDS.iter().find(|(start, _)| text.starts_with(start)).map_or("text/plain", |(_, kind)| kind)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / LINE + 1);
    for (n, letter) in text.chars().enumerate() {
        if n > 0 && n % LINE == 0 {
            out.push('\n');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    /// The parts as Python's `email`, which cloud-init uses, reads them: type, merge type, text.
    fn read(message: &str) -> Option<Vec<(String, Option<String>, String)>> {
        const READER: &str = "import email, json, sys\n\
            parts = [p for p in email.message_from_string(sys.stdin.buffer.read().decode()).walk() if not p.is_multipart()]\n\
            print(json.dumps([[p.get_content_type(), p['Merge-Type'], p.get_payload(decode=True).decode()] for p in parts]))";
        let child = Command::new("python3").args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: python3 is not installed");
            return None;
        };
        child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
        Some(serde_json::from_slice(&out.stdout).unwrap())
    }

    #[test]
    fn every_text_comes_out_as_it_went_in_with_its_type() {
        let long = format!("#!/bin/sh\necho {}\n", "ü".repeat(500));
        let own = "#cloud-config\npackages: [nginx]\n";
        let message = message(own, &[long.clone(), "#cloud-config\npackages: [curl]".into(), "what\n".into()]);
        assert!(message.lines().all(|line| line.len() <= 100), "{message}");
        let Some(parts) = read(&message) else { return };
        let merge = Some("list(append)+dict(no_replace,recurse_list)+str()".to_owned());
        assert_eq!(
            parts,
            [
                ("text/cloud-config".to_owned(), None, own.to_owned()),
                ("text/x-shellscript".to_owned(), None, long),
                ("text/cloud-config".to_owned(), merge, "#cloud-config\npackages: [curl]".to_owned()),
                ("text/plain".to_owned(), None, "what\n".to_owned()),
            ]
        );
    }

    #[test]
    fn a_customers_own_message_stays_one_whatever_its_boundary() {
        let own = message("#!/bin/sh\necho one", &["#!/bin/sh\necho two".into()]);
        let both = message(&own, &["#!/bin/sh\necho three".into()]);
        assert!(both.starts_with("Content-Type: multipart/mixed; boundary=\"==sutler-1==\""), "{both}");
        let Some(parts) = read(&both) else { return };
        let texts: Vec<&str> = parts.iter().map(|(.., text)| text.as_str()).collect();
        assert_eq!(texts, ["#!/bin/sh\necho one", "#!/bin/sh\necho two", "#!/bin/sh\necho three"]);
    }
}
