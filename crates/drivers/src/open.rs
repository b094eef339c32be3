//! From a node's address to its drivers.

use crate::{
    Compute, Drivers, Error, Result, Storage,
    directory::Directory,
    libvirt::{Libvirt, Options},
    network::UserMode,
    simulated::{Config, Simulated},
};
use std::{path::Path, sync::Arc};

/// The drivers of the node at `uri`, with what they keep under `data_dir`.
///
/// - `simulated:///NAME?cpus=N&memory_mib=N`: node `NAME` of the world that this process keeps in `data_dir`.
/// - `test:///default`: libvirt's in-memory driver, with simulated storage.
/// - `qemu:///embed?root=FOLDER` (without a root: `data_dir/libvirt`) and `qemu:///system` (or
///   `qemu+unix:///system?socket=PATH`): real guests, with disks in `data_dir`.
///
/// # Errors
/// `Permanent` when the address is not one of these, or whatever connecting says.
pub async fn open_node(uri: &str, data_dir: &Path) -> Result<Drivers> {
    let unknown = |why: &str| Error::permanent(format!("opening node `{uri}`"), why);
    if let Some(rest) = uri.strip_prefix("simulated:///") {
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        return Ok(Simulated::in_folder_with(data_dir, simulated_config(query, &unknown)?)?.drivers(name));
    }
    if uri.starts_with("test:") {
        let compute: Arc<dyn Compute> = Arc::new(Libvirt::connect(uri, Options::default()).await?);
        let simulated = Simulated::in_folder(data_dir)?.drivers(uri);
        return Ok(Drivers { compute, ..simulated });
    }
    if uri.starts_with("qemu:///") || uri.starts_with("qemu+unix:///") {
        // Not connected before the folder is seen to be usable: an embedded driver cannot be taken back cleanly.
        let storage: Arc<dyn Storage> = Arc::new(Directory::open(data_dir)?);
        let (uri, options) = match uri {
            "qemu:///embed" => (format!("{uri}?root={}", data_dir.join("libvirt").display()), Options::default()),
            other if other.starts_with("qemu:///embed") => (other.to_owned(), Options::default()),
            other => (other.to_owned(), Options { console_folder: Some(data_dir.join("console")) }),
        };
        let compute: Arc<dyn Compute> = Arc::new(Libvirt::connect(&uri, options).await?);
        return Ok(Drivers { network: Arc::new(UserMode::new(compute.clone())), compute, storage });
    }
    Err(unknown("give simulated:///NAME, test:///default, qemu:///embed?root=FOLDER or qemu:///system"))
}

fn simulated_config(query: &str, unknown: &dyn Fn(&str) -> Error) -> Result<Config> {
    let mut config = Config::default();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let number = |text: &str| text.parse::<u64>().map_err(|_| unknown("its settings are whole numbers"));
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("cpus", n) => config.cpus = number(n)?.try_into().map_err(|_| unknown("too many CPUs"))?,
            ("memory_mib", n) => config.memory_mib = number(n)?,
            ("delay_ms", n) => config.delay_ms = number(n)?,
            ("deadline_ms", n) => config.deadline_ms = number(n)?,
            _ => return Err(unknown("its settings are cpus, memory_mib, delay_ms and deadline_ms")),
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_says_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        for bad in
            ["", "vmware://x", "simulated:///a?cpu=3", "simulated:///a?cpus=-1", "simulated:///a?cpus=99999999999"]
        {
            assert!(matches!(open_node(bad, dir.path()).await, Err(Error::Permanent { .. })), "{bad}");
        }
        let node = open_node("simulated:///a?cpus=7&memory_mib=100", dir.path()).await.unwrap();
        let capacity = node.compute.capacity().await.unwrap();
        assert_eq!((capacity.cpus, capacity.memory_mib), (7, 100));
    }
}
