//! The built `sutler` client, pointed at the server that `run` started.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// Exit code of the client for what is not there.
const NOT_FOUND: i32 = 3;

/// The client.
pub struct Client {
    /// The program.
    pub program: PathBuf,
    /// The server.
    pub url: String,
    /// Its certificate.
    pub fingerprint: String,
    /// Who we are.
    pub token: Option<String>,
}

impl Client {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("SUTLER_URL", &self.url).env("SUTLER_FINGERPRINT", &self.fingerprint);
        match &self.token {
            Some(token) => command.env("SUTLER_TOKEN", token),
            None => command.env_remove("SUTLER_TOKEN"),
        };
        command.stdin(Stdio::null());
        command
    }

    /// What the command answers.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value> {
        self.find(arguments)?.with_context(|| format!("`sutler {}` found nothing", arguments.join(" ")))
    }

    /// What the command answers; none when it is not there.
    pub fn find(&self, arguments: &[&str]) -> Result<Option<Value>> {
        let output = self.command(&["-o", "json"]).args(arguments).output().context("starting the client")?;
        if output.status.code() == Some(NOT_FOUND) {
            return Ok(None);
        }
        read(arguments, &output).map(Some)
    }

    /// What the command answers to a secret on its standard input.
    pub fn ask_with_input(&self, arguments: &[&str], input: &str) -> Result<Value> {
        let mut command = self.command(&["-o", "json"]);
        let piped = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().context("starting the client")?;
        child.stdin.take().context("the client takes no input")?.write_all(format!("{input}\n").as_bytes())?;
        read(arguments, &child.wait_with_output()?)
    }

    /// Runs the command as a person would see it: the line first, then what it prints, moved in.
    pub fn show(&self, arguments: &[&str]) -> Result<()> {
        announce(arguments);
        // Its progress goes to standard error, straight to the terminal.
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().context("starting the client")?;
        for line in BufReader::new(child.stdout.take().context("the client has no output")?).split(b'\n') {
            println!("    {}", plain(&String::from_utf8_lossy(&line?)));
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("`sutler {}` failed: {status}", arguments.join(" "));
        }
        Ok(())
    }

    /// Runs a command that must be refused, shows what its caller sees and returns it.
    pub fn show_refused(&self, arguments: &[&str]) -> Result<String> {
        announce(arguments);
        let output = self.command(arguments).output().context("starting the client")?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        for line in text.lines() {
            println!("    {}", plain(line));
        }
        if output.status.success() {
            bail!("`sutler {}` should have been refused and was not", arguments.join(" "));
        }
        Ok(text)
    }
}

/// The line as one would type it.
fn announce(arguments: &[&str]) {
    let quoted = arguments.iter().map(|a| if a.contains(' ') { format!("'{a}'") } else { (*a).to_owned() });
    println!("  $ sutler {}", quoted.collect::<Vec<_>>().join(" "));
}

fn read(arguments: &[&str], output: &Output) -> Result<Value> {
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("`sutler {}` failed: {}", arguments.join(" "), text.trim());
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`sutler {}` did not answer JSON", arguments.join(" ")))
}

/// A console's line without what would move the cursor or clear the screen.
pub fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\x1b' {
            // ESC [ parameters letter; anything else is ESC and one character.
            if characters.next() == Some('[') {
                while characters.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
        } else if c == '\t' || !c.is_control() {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_do_not_reach_the_terminal() {
        assert_eq!(plain("\x1b[H\x1b[J\x1b[1;1Hweb-1 login: \r\x07"), "web-1 login: ");
        assert_eq!(plain("\x1b"), "");
        assert_eq!(plain("a\tü"), "a\tü");
    }
}
