//! Installs the Debian packages that are missing, saying which and why first.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// What the packages are wanted for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Building the program and running it.
    Run,
    /// Its tests besides.
    Test,
    /// Its benchmarks besides.
    Bench,
}

/// Package, since when it is needed, why.
const NEEDS: &[(&str, Scope, &str)] = &[
    ("g++", Scope::Run, "compiles the Lua runtime"),
    ("make", Scope::Run, "builds the memory allocator"),
    ("pkg-config", Scope::Run, "finds libvirt's headers"),
    ("libvirt-dev", Scope::Run, "libvirt's headers"),
    ("libvirt-daemon", Scope::Run, "libvirt's drivers; no daemon of it runs"),
    ("libvirt-daemon-driver-qemu", Scope::Run, "the embedded QEMU driver"),
    ("libvirt-daemon-system", Scope::Run, "makes the user that guests run as"),
    ("qemu-system-x86", Scope::Run, "runs the guests"),
    ("qemu-utils", Scope::Run, "makes and grows disks (qemu-img)"),
    ("mmdebstrap", Scope::Run, "makes the guest image from Debian packages"),
    ("uidmap", Scope::Run, "lets mmdebstrap work without root"),
    ("fdisk", Scope::Run, "partitions the guest image (sfdisk)"),
    ("e2fsprogs", Scope::Run, "makes its file system (mke2fs)"),
    ("grub-common", Scope::Run, "makes its boot loader (grub-mkimage)"),
    ("grub-pc-bin", Scope::Run, "the boot loader's modules"),
    ("busybox-static", Scope::Test, "the tiny guest of tests and benchmarks"),
    ("cpio", Scope::Test, "packs that guest"),
    ("libvirt-clients", Scope::Test, "virsh, the reference benchmarks compare with"),
    ("prometheus", Scope::Test, "promtool checks the metrics"),
    ("rabbitmq-server", Scope::Test, "the broker that scripts publish to"),
    ("mariadb-server-core", Scope::Test, "the database that scripts write to"),
    ("prosody", Scope::Test, "the XMPP server that scripts send notices through"),
    ("python3-aiosmtpd", Scope::Test, "the mail server that scripts send mail through"),
    ("rsyslog", Scope::Test, "the log server that scripts write to"),
    ("redis-server", Scope::Bench, "what triggers are measured against"),
    ("postgresql", Scope::Bench, "what triggers are measured against"),
];

/// Debian's release that we build on.
const RELEASE: (&str, &str) = ("12", "bookworm");

/// Packages held back by a newer qemu-utils from backports, which depends on nothing older.
const QEMU: [&str; 3] = ["qemu-system-x86", "qemu-utils", "qemu-block-extra"];

/// Says what is missing and why, then installs it. Does nothing when nothing is missing.
pub fn setup(scope: Scope) -> Result<()> {
    let wanted: Vec<_> = NEEDS.iter().filter(|(_, since, _)| *since <= scope).collect();
    let installed = installed(wanted.iter().map(|(package, ..)| *package))?;
    let missing: Vec<_> = wanted.into_iter().filter(|(package, ..)| !installed.contains_key(*package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("These Debian packages are missing:");
    for (package, _, why) in &missing {
        println!("  {package:<28} {why}");
    }
    check_release()?;
    let as_whom = if shell::is_root() { "as root" } else { "with sudo" };
    println!("Installing them {as_whom}, from this machine's own package sources.");

    let names: Vec<String> = missing.iter().map(|(package, ..)| (*package).to_owned()).collect();
    let quiet = QuietServices::begin()?;
    refresh_lists()?;
    let done = install(&names);
    quiet.end()?;
    done
}

/// Fetches the lists of packages.
pub fn refresh_lists() -> Result<()> {
    shell::run(apt()?.arg("update").arg("-qq")).context("fetching the lists of packages")
}

fn install(names: &[String]) -> Result<()> {
    let mut command = apt()?;
    command.args(["install", "-y", "-qq", "--no-install-recommends"]);
    let qemu_version = installed(["qemu-utils"])?.remove("qemu-utils").unwrap_or_default();
    let blocked = qemu_version.contains("bpo") && names.iter().any(|name| name == "qemu-system-x86");
    if blocked {
        println!("qemu-utils {qemu_version} comes from backports; {} has the one that fits the rest.", RELEASE.1);
        command.arg("--allow-downgrades").args(QEMU.map(|package| format!("{package}/{}", RELEASE.1)));
    }
    command.args(names.iter().filter(|name| !blocked || !QEMU.contains(&name.as_str())));
    shell::run(&mut command).context("installing the packages above")
}

fn apt() -> Result<Command> {
    let mut command = shell::as_root("env")?;
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=400",
        "-o",
        "Dpkg::Use-Pty=0",
    ]);
    Ok(command)
}

/// Versions of those of the packages that are installed.
fn installed<'a>(packages: impl IntoIterator<Item = &'a str>) -> Result<HashMap<String, String>> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package} ${Version}\\n"])
        .args(packages)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .context("asking dpkg-query which packages are installed: Sutler builds and runs on Debian 12")?;
    // It fails when one of them is unknown, having listed the others.
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("installed ")?.split_once(' '))
        .map(|(package, version)| (package.to_owned(), version.to_owned()))
        .collect())
}

/// Refuses to install on any other system, where the names above may mean something else.
fn check_release() -> Result<()> {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    if field("ID") != "debian" || field("VERSION_ID") != RELEASE.0 {
        let name = field("PRETTY_NAME");
        let name = if name.is_empty() { "an unknown system".to_owned() } else { name };
        bail!(
            "Sutler builds and runs on Debian {} ({}); this is {name}. Install the packages above by hand to go on.",
            RELEASE.0,
            RELEASE.1
        );
    }
    Ok(())
}

/// Keeps freshly installed services from starting: we need their programs, not them.
struct QuietServices {
    policy_is_ours: bool,
}

impl QuietServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Result<QuietServices> {
        // One that is there, as in containers, is the machine's own decision.
        let policy_is_ours = !Path::new(Self::POLICY).exists();
        if policy_is_ours {
            let script = format!("printf '#!/bin/sh\\nexit 101\\n' > {0} && chmod 755 {0}", Self::POLICY);
            shell::run(shell::as_root("sh")?.arg("-c").arg(script))?;
        }
        Ok(QuietServices { policy_is_ours })
    }

    fn end(self) -> Result<()> {
        if self.policy_is_ours {
            shell::run(shell::as_root("rm")?.arg("-f").arg(Self::POLICY))?;
        }
        Ok(())
    }
}
