//! What the kernel says of the QEMU processes on this machine.
//!
//! libvirt believes what it last heard: a guest that died while nobody looked first reads `running`, and one whose
//! process is stopped goes on reading so. The process table does not err.

use std::{collections::HashMap, fs};
use sutler_model::ServerId;

/// Begins the names of our domains.
pub(super) const NAME_PREFIX: &str = "sutler-";

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alive {
    /// It runs or waits.
    Yes,
    /// It was stopped by a signal.
    Stopped,
}

/// The QEMU process of each of our guests on this machine.
pub(super) fn all() -> HashMap<ServerId, Alive> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            // The name alone is a short read; only QEMU's are looked into.
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            if !name.starts_with("qemu") {
                return None;
            }
            let id = server(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)?;
            let alive = state(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
            Some((id, alive))
        })
        .collect()
}

/// The server in a QEMU command line as libvirt writes it: `-name guest=sutler-<id>,…`.
fn server(command_line: &[u8]) -> Option<ServerId> {
    let mut args = command_line.split(|&b| b == 0);
    args.find(|a| *a == b"-name")?;
    let name = std::str::from_utf8(args.next()?).ok()?;
    name.split(',').find_map(|part| part.strip_prefix("guest=")?.strip_prefix(NAME_PREFIX)?.parse().ok())
}

/// The state in `/proc/PID/stat`; none when the process is dead.
fn state(stat: &str) -> Option<Alive> {
    // The name may hold anything, also parentheses.
    match stat.rsplit_once(") ")?.1.chars().next()? {
        'T' | 't' => Some(Alive::Stopped),
        'Z' | 'X' | 'x' => None,
        _ => Some(Alive::Yes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_names_its_server() {
        let id = "0199a0b1-0000-7000-8000-000000000001";
        let line = format!("/usr/bin/qemu-system-x86_64\0-name\0guest=sutler-{id},debug-threads=on\0-S\0");
        assert_eq!(server(line.as_bytes()), id.parse().ok());
        assert_eq!(server(b"qemu\0-name\0guest=other\0"), None);
        assert_eq!(server(b""), None);
    }

    #[test]
    fn a_dead_process_is_no_process() {
        assert_eq!(state("12 (a) b) S 1 1"), Some(Alive::Yes));
        assert_eq!(state("12 (qemu-system-x86) T 1 1"), Some(Alive::Stopped));
        assert_eq!(state("12 (qemu-system-x86) Z 1 1"), None);
        assert_eq!(state(""), None);
    }
}
