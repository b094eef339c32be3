//! A whole Debian system on a bootable disk, without loop devices and without root.
//!
//! mmdebstrap unpacks the system; while it is still there, in the same user namespace, mke2fs copies it into the file system
//! (so owners and modes are right). The rest is bytes in a file: see `disk`.

use super::{
    Made, disk,
    recipe::{DiskRecipe, Recipe},
};
use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// Run by mmdebstrap last, with the system's folder as its argument.
const FINISH: &str = include_str!("finish.sh");

/// Makes it into the folder.
pub fn make(recipe: &Recipe, disk: &DiskRecipe, into: &Path, log: &Path) -> Result<Made> {
    let scratch = Scratch::new()?;
    let raw = scratch.path.join("disk.raw");
    let overlay = scratch.path.join("overlay");
    copy_tree(&recipe.folder.join("files"), &overlay)?;
    fs::write(scratch.path.join("finish.sh"), FINISH)?;
    disk::partition(&raw, disk.size_gib)?;
    // In the user namespace we are somebody else.
    fs::set_permissions(&raw, PermissionsExt::from_mode(0o666))?;

    bootstrap(disk, &scratch.path, &overlay, &raw, log)?;
    disk::install_grub(&raw, &disk.grub_modules, &scratch.path)?;
    shell::run_logged(
        Command::new("qemu-img").args(["convert", "-O", "qcow2"]).arg(&raw).arg(into.join("disk.qcow2")),
        log,
    )?;

    let packages = fs::read_to_string(scratch.path.join("packages")).context("the list of installed packages")?;
    let packages: BTreeMap<_, _> =
        packages.lines().filter_map(|line| line.split_once(' ')).map(|(p, v)| (p.to_owned(), v.to_owned())).collect();
    Ok(Made { disk: "disk.qcow2".into(), boot: serde_json::json!({"kind": "disk"}), packages })
}

fn bootstrap(disk: &DiskRecipe, scratch: &Path, overlay: &Path, raw: &Path, log: &Path) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command.env("TMPDIR", scratch).env_remove("CDPATH");
    command.args(["--variant=apt", "--format=null", "--components=main"]);
    command.arg(format!("--include={}", disk.packages.join(",")));
    command.arg(r#"--aptopt=APT::Install-Recommends "false""#);
    for option in proxies()? {
        command.arg(format!("--aptopt={option}"));
    }
    // A half-written tree is thrown away anyway.
    command.arg("--dpkgopt=force-unsafe-io");
    command.args(disk.exclude.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.args(disk.include.iter().map(|path| format!("--dpkgopt=path-include={path}")));
    // Before the packages: the initramfs is packed when the kernel is installed.
    command.arg(format!(r#"--essential-hook=cp -rT --no-preserve=ownership "{}" "$1""#, overlay.display()));
    command.arg(format!(r#"--customize-hook=sh "{}/finish.sh" "$1""#, scratch.display()));
    command
        .env("SUTLER_ENABLE", disk.enable.join(" "))
        .env("SUTLER_MASK", disk.mask.join(" "))
        .env("SUTLER_PACKAGES", scratch.join("packages"))
        .env("SUTLER_RAW", raw)
        .env("SUTLER_LABEL", &disk.label)
        .env("SUTLER_OFFSET", disk::ROOT_OFFSET.to_string())
        .env("SUTLER_KIB", (disk::root_bytes(disk.size_gib) / 1024).to_string());
    command.arg(&disk.suite).arg("-").args(sources(&disk.suite)?);
    shell::run_logged(&mut command, log)
}

/// The machine's own sources of that release, as lines of `sources.list`.
fn sources(suite: &str) -> Result<Vec<String>> {
    let mut lines = configured(suite)?;
    if lines.is_empty() {
        // Who publishes a source is known once its list was fetched.
        setup::refresh_lists()?;
        lines = configured(suite)?;
    }
    if lines.is_empty() {
        bail!("apt on this machine has no source of Debian {suite}: add one");
    }
    Ok(lines.into_iter().collect())
}

/// However the sources are written down, apt knows them.
fn configured(suite: &str) -> Result<BTreeSet<String>> {
    let targets = shell::read(
        Command::new("apt-get")
            .args(["indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(RELEASE)"])
            .arg("Created-By: Packages"),
    )?;
    let wanted = [suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")];
    Ok(targets
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('|');
            let (origin, codename, component) = (fields.next()?, fields.next()?, fields.next()?);
            let (uri, release) = (fields.next()?, fields.next()?);
            let fits = origin == "Debian" && component == "main" && wanted.iter().any(|suite| suite == codename);
            fits.then(|| format!("deb {uri} {release} main"))
        })
        .collect())
}

/// The machine's own proxy settings for apt.
fn proxies() -> Result<Vec<String>> {
    let settings = shell::read(Command::new("apt-config").args(["dump", "Acquire"]))?;
    Ok(settings
        .lines()
        .filter(|line| line.contains("::Proxy") || line.contains("::proxy"))
        .map(str::to_owned)
        .collect())
}

/// Copies files, modes and symbolic links.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            // Whatever the checkout's umask was, the guest's files are 644 and 755.
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            fs::set_permissions(&target, PermissionsExt::from_mode(if executable { 0o755 } else { 0o644 }))?;
        }
    }
    fs::set_permissions(to, PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// A folder that the user namespace's root can write to and others cannot find; gone when dropped.
struct Scratch {
    outer: PathBuf,
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Scratch> {
        let base = env::var_os("TMPDIR").map(PathBuf::from).unwrap_or_else(fastest);
        let outer = shell::read(
            Command::new("mktemp").args(["--directory", "--tmpdir"]).arg("sutler-image.XXXXXXXX").env("TMPDIR", base),
        )?;
        let outer = PathBuf::from(outer.trim());
        let path = outer.join(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim());
        fs::create_dir(&path)?;
        fs::set_permissions(&path, PermissionsExt::from_mode(0o777))?;
        fs::set_permissions(&outer, PermissionsExt::from_mode(0o711))?;
        Ok(Scratch { outer, path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in a folder for temporary files.
        let _ = fs::remove_dir_all(&self.outer);
    }
}

/// Memory where device nodes and programs may live in it and there is plenty, since a system is ten thousand small files;
/// the disk otherwise.
fn fastest() -> PathBuf {
    const WANTED_KIB: u64 = 4 * 1024 * 1024;
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fits = mounts.lines().any(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        fields.get(1) == Some(&"/dev/shm")
            && !fields.get(3).is_some_and(|o| o.split(',').any(|o| o == "nodev" || o == "noexec"))
    });
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<u64>().ok());
    let memory_is_plenty = available.is_some_and(|kib| kib >= 2 * WANTED_KIB);
    let space = shell::read(Command::new("df").args(["--output=avail", "/dev/shm"])).unwrap_or_default();
    let space_is_plenty =
        space.lines().nth(1).and_then(|kib| kib.trim().parse::<u64>().ok()).is_some_and(|kib| kib >= WANTED_KIB);
    PathBuf::from(if fits && memory_is_plenty && space_is_plenty { "/dev/shm" } else { "/var/tmp" })
}
