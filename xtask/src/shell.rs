//! Running other programs.

use anyhow::{Context, Result, bail};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

/// Lines of a failed program's log to show: enough for a compiler error, short enough to read.
const TAIL_LINES: usize = 40;

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Runs with our own input and output.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

/// Runs with all output appended to `log`; its end is shown on failure.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let out = OpenOptions::new().create(true).append(true).open(log).with_context(|| format!("opening {log:?}"))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .with_context(|| format!("starting `{}`", line(command)))?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        bail!("`{}` failed: {status}\n{tail}\n(all of it: {})", line(command), log.display());
    }
    Ok(())
}

/// Runs and returns what it wrote to standard output; its errors go into ours.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting `{}`", line(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}\n{}", line(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` did not write text", line(command)))
}

/// Whether we are root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command to run as root: through sudo when we are not.
pub fn as_root(program: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if !on_path("sudo") {
        bail!("`{program}` needs root, and this user has no sudo: run it as root once, or install sudo");
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// Whether a program of that name can be run.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// SHA-256 of a file, hex.
pub fn sha256(file: &Path) -> Result<String> {
    let text = read(Command::new("sha256sum").arg("--binary").arg("--").arg(file))?;
    // A name with a backslash or a line break makes the line begin with a backslash.
    let sum = text.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
    Ok(sum.to_owned())
}
