//! What an image is made of: `recipe.toml` and the files beside it.

use crate::shell;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Counts changes of the code that makes images: a higher number makes every image anew.
const MAKER: u32 = 2;

/// A recipe as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Kind {
    /// A whole system on a disk with a boot loader.
    Disk(DiskRecipe),
    /// A kernel, an initial RAM disk and an empty disk.
    Kernel(KernelRecipe),
}

/// See [`Kind::Disk`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskRecipe {
    pub suite: String,
    pub size_gib: u64,
    pub memory_mib_min: u64,
    pub label: String,
    pub packages: Vec<String>,
    pub exclude: Vec<String>,
    pub include: Vec<String>,
    pub enable: Vec<String>,
    pub mask: Vec<String>,
    pub grub_modules: Vec<String>,
}

/// See [`Kind::Kernel`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelRecipe {
    pub package: String,
    pub command_line: String,
    pub size_gib: u64,
    pub memory_mib_min: u64,
    pub modules: Vec<String>,
}

/// A recipe, its folder and its checksum.
pub struct Recipe {
    pub name: String,
    pub folder: PathBuf,
    pub sha256: String,
    pub kind: Kind,
}

impl Recipe {
    /// Reads the recipe in a folder.
    pub fn read(folder: &Path) -> Result<Recipe> {
        let file = folder.join("recipe.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let kind = toml::from_str(&text).with_context(|| format!("{} is no recipe", file.display()))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Recipe { name, folder: folder.to_owned(), sha256: checksum(folder)?, kind })
    }

    pub fn size_gib(&self) -> u64 {
        match &self.kind {
            Kind::Disk(disk) => disk.size_gib,
            Kind::Kernel(kernel) => kernel.size_gib,
        }
    }

    pub fn memory_mib_min(&self) -> u64 {
        match &self.kind {
            Kind::Disk(disk) => disk.memory_mib_min,
            Kind::Kernel(kernel) => kernel.memory_mib_min,
        }
    }
}

/// Over every file's path, executable bit and content, in order of path.
fn checksum(folder: &Path) -> Result<String> {
    let mut list = format!("maker {MAKER}\n");
    for file in files_under(folder)? {
        let executable = fs::metadata(&file)?.permissions().mode() & 0o111 != 0;
        let path = file.strip_prefix(folder)?.display();
        writeln!(list, "{path} {executable} {}", shell::sha256(&file)?)?;
    }
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    sum.stdin.take().context("sha256sum takes no input")?.write_all(list.as_bytes())?;
    let output = sum.wait_with_output()?;
    if !output.status.success() {
        bail!("sha256sum failed: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned())
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_under(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}
