//! Where things are: the checkout, the data folder of `run`, the built programs.

use anyhow::{Context, Result};
use std::{env, fs, path::PathBuf};

/// The checkout this program was built from.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// The data folder, `$SUTLER_HOME` or `~/.sutler`; made when it is not there.
///
/// Not in `~/.local/share`: guests have sockets below it, and the path of a socket may have 108 bytes, of which libvirt's own
/// names leave 46 for the folder.
pub fn data() -> Result<PathBuf> {
    let folder = match env::var_os("SUTLER_HOME").filter(|value| !value.is_empty()) {
        Some(folder) => env::current_dir()?.join(folder),
        None => {
            let home = env::var_os("HOME").context("neither SUTLER_HOME nor HOME is set: where is data to be kept?")?;
            PathBuf::from(home).join(".sutler")
        }
    };
    fs::create_dir_all(&folder).with_context(|| format!("making the data folder {}", folder.display()))?;
    Ok(folder)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => checkout().join(folder),
        None => checkout().join("target"),
    }
}
