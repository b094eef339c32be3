//! The tiny guest: Debian's kernel, an initial RAM disk with one static busybox, an empty disk.

use super::{
    Made,
    recipe::{KernelRecipe, Recipe},
};
use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Makes it into the folder.
pub fn make(recipe: &Recipe, kernel: &KernelRecipe, into: &Path, log: &Path) -> Result<Made> {
    let scratch = into.with_extension("scratch");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    let made = make_in(&scratch, recipe, kernel, into, log);
    fs::remove_dir_all(&scratch)?;
    made
}

fn make_in(scratch: &Path, recipe: &Recipe, kernel: &KernelRecipe, into: &Path, log: &Path) -> Result<Made> {
    let (package, version) = newest(&kernel.package)?;
    shell::run_logged(Command::new("apt-get").args(["download", &package]).current_dir(scratch), log)?;
    let unpacked = scratch.join("unpacked");
    shell::run_logged(Command::new("dpkg-deb").arg("-x").arg(only_file(scratch, "deb")?).arg(&unpacked), log)?;
    let release = package.strip_prefix("linux-image-").context("the kernel package has another name")?;
    fs::copy(unpacked.join(format!("boot/vmlinuz-{release}")), into.join("kernel"))?;

    let root = scratch.join("root");
    for folder in ["bin", "dev", "proc", "sys", "etc", "lib/modules"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("busybox-static's program")?;
    for file in fs::read_dir(&recipe.folder)? {
        let file = file?;
        if file.file_name() != "recipe.toml" {
            fs::copy(file.path(), root.join(file.file_name()))?;
            fs::set_permissions(root.join(file.file_name()), PermissionsExt::from_mode(0o755))?;
        }
    }
    let modules = unpacked.join(format!("lib/modules/{release}/kernel"));
    for module in &kernel.modules {
        let name = format!("{module}.ko");
        let file = find(&modules, &name)?.with_context(|| format!("kernel {release} has no module {module}"))?;
        fs::copy(file, root.join("lib/modules").join(name))?;
    }
    fs::write(root.join("lib/modules/order"), kernel.modules.join("\n") + "\n")?;
    pack(&root, &into.join("initrd"), log)?;
    let size = format!("{}G", kernel.size_gib);
    shell::run_logged(
        Command::new("qemu-img").args(["create", "-f", "qcow2"]).arg(into.join("disk.qcow2")).arg(size),
        log,
    )?;

    let busybox =
        shell::read(Command::new("dpkg-query").args(["--show", "--showformat", "${Version}", "busybox-static"]))?;
    Ok(Made {
        disk: "disk.qcow2".into(),
        boot: serde_json::json!({"kind": "kernel", "kernel": "kernel", "initrd": "initrd", "command_line": kernel.command_line}),
        packages: BTreeMap::from([(package, version), ("busybox-static".into(), busybox)]),
    })
}

/// The kernel package that the named one depends on, and its version.
fn newest(package: &str) -> Result<(String, String)> {
    let show = || shell::read(Command::new("apt-cache").args(["show", "--no-all-versions", package]));
    let text = match show() {
        Ok(text) => text,
        // A fresh machine has no lists of packages yet.
        Err(_) => setup::refresh_lists().and_then(|()| show())?,
    };
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let depends = field("Depends:").with_context(|| format!("{package} depends on no kernel"))?;
    let Some(kernel) = depends.split([',', ' ']).find(|name| name.starts_with("linux-image-")) else {
        bail!("{package} depends on `{depends}`, which is no kernel");
    };
    Ok((kernel.to_owned(), field("Version:").unwrap_or_default().to_owned()))
}

fn pack(root: &Path, initrd: &Path, log: &Path) -> Result<()> {
    let mut list =
        Command::new("find").args([".", "-mindepth", "1"]).current_dir(root).stdout(Stdio::piped()).spawn()?;
    let names = list.stdout.take().context("find has no output")?;
    let packed = Command::new("cpio")
        .args(["--quiet", "--create", "--format=newc", "--owner=+0:+0", "--reproducible"])
        .current_dir(root)
        .stdin(names)
        .stdout(File::create(initrd)?)
        .stderr(File::options().append(true).open(log)?)
        .status()?;
    if !list.wait()?.success() || !packed.success() {
        bail!("packing the initial RAM disk failed; see {}", log.display());
    }
    Ok(())
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    let files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.into_iter().find(|file| file.extension().is_some_and(|e| e == extension)).context("apt downloaded nothing")
}

fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|n| n == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
