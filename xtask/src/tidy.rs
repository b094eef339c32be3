//! Rules of the code that no compiler checks: who may depend on whom, who may mention what, how long a file may be.

use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Longest file of ours, lines: a reader's limit. Cut by noun before it is reached.
const MAX_LINES: usize = 600;

/// `model ← store ← drivers ← actors ← root`: each crate and those of ours it may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("sutler-model", &[]),
    ("sutler-store", &["sutler-model"]),
    ("sutler-rating", &["sutler-model"]),
    ("sutler-drivers", &["sutler-model"]),
    ("sutler-lua", &["sutler-model"]),
    ("sutler-actors", &["sutler-model", "sutler-store", "sutler-rating", "sutler-drivers", "sutler-lua"]),
    ("sutler", &["sutler-model", "sutler-store", "sutler-rating", "sutler-drivers", "sutler-lua", "sutler-actors"]),
    // Measures the others; nothing depends on it.
    (
        "sutler-benches",
        &["sutler-model", "sutler-store", "sutler-rating", "sutler-drivers", "sutler-lua", "sutler-actors"],
    ),
    // Installs what the others need to build.
    ("xtask", &[]),
];

/// Word of a Rust path, where alone it may stand, why.
const WORDS: &[(&[&str], &[&str], &str)] = &[
    (
        &["axum", "hyper", "hyper_util", "tower", "tower_http"],
        &["src/", "tests/", "benches/"],
        "only the program speaks HTTP",
    ),
    (&["redb"], &["crates/store/", "benches/"], "only the store knows its file"),
    (&["virt"], &["crates/drivers/"], "only drivers know libvirt"),
];

/// Parts of code that read a clock or do input and output, which these folders never do.
const PURE: &[&str] = &["crates/model/src/", "crates/rating/src/"];
const IMPURE: &[&str] = &[
    "SystemTime",
    "Instant",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "now_utc",
    "now_v7",
    "new_v4",
    "tokio",
];

/// Checks everything and reports all that is wrong at once.
pub fn tidy(checkout: &Path) -> Result<()> {
    let mut problems = dependencies(checkout)?;
    for file in sources(checkout)? {
        let name = file.strip_prefix(checkout)?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).with_context(|| format!("reading {name}"))?;
        problems.extend(in_file(&name, &text));
    }
    if !problems.is_empty() {
        bail!("{} rules are broken:\n  {}", problems.len(), problems.join("\n  "));
    }
    Ok(())
}

fn dependencies(checkout: &Path) -> Result<Vec<String>> {
    let allowed: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut manifests = vec![checkout.join("Cargo.toml")];
    for folder in ["actors", "benches", "xtask"] {
        manifests.push(checkout.join(folder).join("Cargo.toml"));
    }
    for entry in fs::read_dir(checkout.join("crates"))? {
        manifests.push(entry?.path().join("Cargo.toml"));
    }
    let mut problems = Vec::new();
    for file in manifests {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let manifest: toml::Table = toml::from_str(&text).with_context(|| format!("{} is not TOML", file.display()))?;
        let name = manifest.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str()).unwrap_or_default();
        let Some(may) = allowed.get(name) else {
            problems.push(format!("{name} has no place among the layers: give it one in xtask/src/tidy.rs"));
            continue;
        };
        problems.extend(arrows(name, may, &manifest));
    }
    Ok(problems)
}

/// Dependencies against the direction. Tests may use more: a contract suite needs what it tests with.
fn arrows(name: &str, may: &[&str], manifest: &toml::Table) -> Vec<String> {
    let dependencies = manifest.get("dependencies").and_then(|d| d.as_table());
    dependencies
        .into_iter()
        .flat_map(|table| table.keys())
        .filter(|dependency| dependency.starts_with("sutler") && !may.contains(&dependency.as_str()))
        .map(|dependency| format!("{name} depends on {dependency}, which stands to its right"))
        .collect()
}

/// Every file of Rust of ours.
fn sources(checkout: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "actors", "benches", "crates", "xtask"] {
        collect(&checkout.join(folder), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn in_file(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{name} has {lines} lines, over {MAX_LINES}: cut it by noun"));
    }
    let is_ours = name.starts_with("xtask/");
    let is_pure = PURE.iter().any(|folder| name.starts_with(folder));
    for (i, line) in text.lines().enumerate() {
        // A test of a pure crate may read a file or roll dice.
        if line.trim() == "#[cfg(test)]" && is_pure {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        let at = format!("{name}:{}", i + 1);
        if !is_ours {
            for (words, folders, why) in WORDS {
                let home = folders.iter().any(|folder| name.starts_with(folder));
                if let Some(word) = words.iter().find(|word| !home && names_crate(code, word)) {
                    problems.push(format!("{at} mentions {word}: {why}"));
                }
            }
        }
        if is_pure && let Some(word) = IMPURE.iter().find(|word| code.contains(*word)) {
            problems.push(format!("{at} mentions {word}: this crate reads no clock and does no input or output"));
        }
    }
    problems
}

/// Whether the code names that crate: at the root of a path, as `use word;` or `word::`.
fn names_crate(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + word.len()..];
        let is_start = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.' || c == '"');
        is_start
            && (after.starts_with("::")
                || (code.trim_start().starts_with("use ") && after.trim_start().starts_with(';')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_against_the_direction_is_found() {
        let manifest = toml::from_str("[dependencies]\nsutler-model.workspace = true\nsutler-actors.workspace = true")
            .expect("TOML");
        let problems = arrows("sutler-store", &["sutler-model"], &manifest);
        assert_eq!(problems, ["sutler-store depends on sutler-actors, which stands to its right"]);
    }

    #[test]
    fn only_the_program_may_mention_http() {
        assert_eq!(in_file("src/api/mod.rs", "use axum::Router;"), [""; 0]);
        assert_eq!(in_file("actors/src/lib.rs", "// axum::Router\nlet hyperplane = 1;"), [""; 0]);
        assert_eq!(
            in_file("actors/src/lib.rs", "\nuse axum::Router;"),
            ["actors/src/lib.rs:2 mentions axum: only the program speaks HTTP"]
        );
    }

    #[test]
    fn our_own_modules_are_not_taken_for_crates() {
        assert_eq!(in_file("actors/src/lib.rs", "use crate::virt::x; self.redb.get(); error::redb::x();"), [""; 0]);
    }

    #[test]
    fn a_clock_in_the_model_is_found_but_not_in_its_tests() {
        let text = "let now = SystemTime::now();\n#[cfg(test)]\nmod tests { use std::fs; }";
        assert_eq!(in_file("crates/model/src/time.rs", text).len(), 1);
    }

    #[test]
    fn a_file_that_grew_too_long_is_found() {
        assert_eq!(in_file("src/main.rs", &"\n".repeat(600)), [""; 0]);
        assert_eq!(in_file("src/main.rs", &"\n".repeat(601)).len(), 1);
    }
}
