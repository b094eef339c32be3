//! What CI runs: everything.

use crate::{check, home, image, setup};
use anyhow::{Context, Result};
use std::{
    io::{BufRead, BufReader, Write, stdout},
    process::{Command, Stdio},
};

/// Installs what is missing, builds, makes both images, runs every check and every test. The last line counts the tests.
pub fn test() -> Result<()> {
    setup::setup(setup::Scope::Test)?;
    check::tidiness()?;
    check::cargo("format", &["fmt", "--all", "--check"])?;
    check::cargo("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    let busybox = image::ensure(image::BUSYBOX, false)?;
    let debian = image::ensure(image::DEBIAN, false)?;
    check::cargo("build", &["build", "--workspace", "--all-targets"])?;
    check::document()?;

    println!("── tests: cargo test --workspace");
    let mut tests = Command::new("cargo");
    tests.args(["test", "--workspace", "--no-fail-fast"]).current_dir(home::checkout());
    // Tests that start guests find them here.
    tests.env("SUTLER_TEST_BUSYBOX", &busybox.folder).env("SUTLER_TEST_DEBIAN", &debian.folder);
    let mut running = tests.stdout(Stdio::piped()).spawn().context("starting cargo test")?;
    let mut total = Counts::default();
    let output = BufReader::new(running.stdout.take().context("cargo test has no output")?);
    for line in output.split(b'\n') {
        let line = line?;
        stdout().write_all(&line)?;
        println!();
        total.add(&String::from_utf8_lossy(&line));
    }
    let status = running.wait()?;
    println!();
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.ignored);
    anyhow::ensure!(status.success(), "tests failed");
    anyhow::ensure!(total.passed > 0, "no test ran");
    Ok(())
}

/// Sums of cargo's lines that end each test program.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').and_then(|(n, word)| Some((n.parse::<u64>().ok()?, word))) {
                Some((n, "passed")) => self.passed += n,
                Some((n, "failed")) => self.failed += n,
                Some((n, "ignored")) => self.ignored += n,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_test_programs_are_summed() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s");
        counts.add("test a_test ... ok");
        counts.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        assert_eq!(counts, Counts { passed: 14, failed: 1, ignored: 1 });
    }
}
