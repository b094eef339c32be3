//! The guides of `docs/using`, followed to the letter: their scripts are saved, their commands run, and what they promise is
//! what comes out.

use crate::support::{Program, eventually, program::PASSWORD};
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

/// A piece of a guide: its language and its text.
struct Piece<'a> {
    language: &'a str,
    text: &'a str,
    /// The last line in backquotes before it, of a script its file.
    named: &'a str,
}

/// The fenced pieces of a guide, in order.
fn pieces(guide: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut before = "";
    let mut rest = guide;
    while let Some((prose, begin)) = rest.split_once("\n```") {
        if let Some((_, name)) = prose.rsplit_once("Save this as `") {
            before = name.split('`').next().unwrap_or_default();
        }
        let (language, body) = begin.split_once('\n').expect("a language");
        let (text, after) = body.split_once("\n```").expect("a piece that ends");
        pieces.push(Piece { language, text, named: before });
        rest = after;
    }
    pieces
}

/// Whether a line is as promised; `…` stands for anything.
fn is(line: &str, promised: &str) -> bool {
    let mut rest = line;
    let parts: Vec<&str> = promised.split('…').collect();
    for (number, part) in parts.iter().enumerate() {
        let Some(at) = rest.find(part) else { return false };
        if number == 0 && at != 0 {
            return false;
        }
        rest = &rest[at + part.len()..];
    }
    parts.last().is_some_and(|last| last.is_empty()) || rest.is_empty()
}

/// Runs a line in a shell that finds the program under its name.
fn shell(home: &Path, line: &str) -> Output {
    let path = format!("{}:{}", home.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-euc", line]).current_dir(home).env_clear().env("HOME", home).env("PATH", path);
    command.output().expect("bash runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn the_guide_to_the_first_trigger_does_what_it_says() {
    let server = Program::start().await;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    symlink(env!("CARGO_BIN_EXE_sutler"), home.join("sutler")).unwrap();
    // What the guide takes for granted.
    let mut disk = vec![0_u8; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(home.join("disk.img"), disk).unwrap();
    for line in [
        format!(
            "echo '{PASSWORD}' | sutler login --url {} --email admin@localhost --password-stdin --fingerprint {}",
            server.secure, server.fingerprint
        ),
        "sutler customer create acme --plan Standard".to_owned(),
        "sutler image create debian-12 --file $HOME/disk.img --size 1 --memory 64".to_owned(),
    ] {
        let output = shell(home, &line);
        assert!(output.status.success(), "{line}: {}", said(&output));
    }

    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/using/first-trigger.md")).unwrap();
    let (mut told, mut last, mut commands) = (String::new(), "", 0);
    for piece in pieces(&guide) {
        match piece.language {
            "lua" => fs::write(home.join(piece.named), piece.text).unwrap(),
            "sh" => {
                told.clear();
                for line in piece.text.lines() {
                    let output = shell(home, line);
                    let fails = line.ends_with("# fails");
                    assert_eq!(output.status.success(), !fails, "{line}: {}", said(&output));
                    told.push_str(&said(&output));
                    (last, commands) = (line, commands + 1);
                }
            }
            "text" => {
                for promised in piece.text.lines() {
                    // What follows an event takes a moment; a reader looks again, and so does this.
                    eventually(&format!("`{promised}` in:\n{told}"), async || {
                        let found = told.lines().any(|line| is(line, promised));
                        if !found {
                            told.push_str(&said(&shell(home, last)));
                        }
                        found.then_some(())
                    })
                    .await;
                }
            }
            other => panic!("a piece in `{other}` is neither run nor checked"),
        }
    }
    assert!(commands >= 10, "{commands} commands were found");
}
