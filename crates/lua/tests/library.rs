//! The scripts of the library (`scripts/`): each `test.lua`, under the limits of a server.

use crate::support::{Fixture, block};
use std::{fs, path::PathBuf};
use sutler_lua::{Exit, Limits, Params};

/// What the tests find beside the script.
const HARNESS: &str = include_str!("library/harness.lua");

/// The library.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts"))
}

/// The source of a library script.
pub fn script(name: &str) -> String {
    let file = folder().join(name).join("trigger.lua");
    fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The same with settings of its own: each text must be in it, and is replaced.
pub fn script_with(name: &str, settings: &[(&str, &str)]) -> String {
    settings.iter().fold(script(name), |source, (from, to)| {
        assert!(source.contains(from), "{name} has no `{from}`");
        source.replace(from, to)
    })
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert!(!names.is_empty());
    names
}

/// Harness, script and test are one source, so a line of it is a line of one of them.
fn place(line: u32, parts: [(&str, &str); 3]) -> String {
    let mut before = 0;
    for (file, text) in parts {
        let lines = u32::try_from(text.lines().count()).unwrap();
        if line <= before + lines {
            return format!("{file}:{}", line - before);
        }
        before += lines;
    }
    "after the end".to_owned()
}

#[tokio::test]
async fn every_library_script_passes_its_own_tests_under_a_servers_limits() {
    let mut fixture = Fixture::new();
    fixture.limits = Limits::default();
    let mut failures = Vec::new();
    for name in names() {
        let (script, test) = (script(&name), fs::read_to_string(folder().join(&name).join("test.lua")));
        let test = test.unwrap_or_else(|e| panic!("{name}/test.lua: {e}"));
        let source = format!("{HARNESS}{script}{test}");
        let tests: Vec<&str> = test
            .lines()
            .filter_map(|line| line.strip_prefix("function test_")?.split_once('('))
            .map(|(rest, _)| rest)
            .collect();
        assert!(!tests.is_empty(), "{name}/test.lua has no function that begins with test_");
        for each in tests {
            // A block of its own, so that no test sees what another left.
            let outcome = fixture.run(&block(&source), &format!("test_{each}"), Params::default()).await;
            if let Exit::Failed(error) = &outcome.exit {
                let parts = [("harness.lua", HARNESS), ("trigger.lua", script.as_str()), ("test.lua", test.as_str())];
                let at = error.line.map(|line| place(line, parts)).unwrap_or_default();
                failures.push(format!("{name}: {each}: {at}: {error}"));
            } else if outcome.exit != Exit::Success {
                failures.push(format!("{name}: {each}: {:?}", outcome.exit));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn every_library_script_registers_and_says_what_it_is_for() {
    let fixture = Fixture::new();
    for name in names() {
        let found = fixture.runtime.register(&script(&name), Limits::default()).await;
        let found = found.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!found.entries.is_empty() || !found.points.is_empty(), "{name} registers nothing");
        let readme = fs::read_to_string(folder().join(&name).join("README.md")).unwrap();
        assert!(readme.starts_with(&format!("# {name}\n")), "{name}/README.md begins otherwise");
        let load = format!("sutler trigger load scripts/{name}/trigger.lua --name {name}");
        assert!(readme.contains(&load), "{name}/README.md does not say how to load it");
    }
}
