//! Random sources: what is no Lua is refused and nothing else, and what needs no rewrite is left as it is.

use super::{lexer::tokens, rewrite};
use mlua::chunk::Compiler;
use proptest::{collection::vec, prelude::*, sample::select, string::string_regex};
use std::{path::Path, sync::LazyLock};

/// Pieces of sources, those that the rewrites look for most of all.
const PIECES: [&str; 72] = [
    "goto", "::", "arg", "...", "_ENV", ";", "local", "function", "end", "do", "for", "while", "repeat", "until", "if",
    "then", "else", "elseif", "return", "break", "continue", "in", "and", "or", "not", "nil", "a", "b", "x.y", "o:m",
    "=", "==", "(", ")", "{", "}", "[", "]", ",", ".", "..", ":", "+", "-", "--", "--[[", "]]", "[[", "[==[", "]==]",
    "--[==[", "\"", "'", "`", "\\", "\\\n", "\\z", "\n", "\r\n", "\r", " ", "\t", "#", "\u{feff}", "0x", "1e5", "1.",
    "é", "\0", "'s'", "\"t\"", "::a::",
];

/// Scripts to begin from.
static SCRIPTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [root.join("tests/attacks"), root.join("../../scripts")] {
        collect(&folder, &mut found);
    }
    assert!(found.len() > 10, "the scripts of the library are not where they were");
    found
});

fn collect(folder: &Path, into: &mut Vec<String>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            into.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

fn compiled(source: &str) -> Option<Vec<u8>> {
    Compiler::new().compile(source).ok()
}

fn lines(source: &str) -> usize {
    source.matches('\n').count()
}

/// Whether a token of a source is what rewrites look for.
fn speaks_of_it(source: &str) -> bool {
    let tokens = tokens(source);
    source.starts_with(['#', '\u{feff}'])
        || tokens.iter().any(|token| matches!(token.text, "goto" | "::" | "arg" | "_ENV"))
}

/// What holds of every source.
fn check(source: &str) -> Result<(), TestCaseError> {
    match rewrite(source) {
        Err(error) => {
            let line = error.line.unwrap_or(0) as usize;
            prop_assert!((1..=lines(source) + 1).contains(&line), "line {} of {:?}", line, source);
        }
        Ok(rewritten) => {
            prop_assert_eq!(lines(&rewritten), lines(source), "a line moved: {:?}", source);
            let code = compiled(&rewritten);
            if let Some(plain) = compiled(source)
                && !speaks_of_it(source)
            {
                prop_assert_eq!(code, Some(plain), "means something else now: {:?}\n{}", source, rewritten);
            }
        }
    }
    Ok(())
}

/// A script with tokens left out, doubled and exchanged.
fn mutated(script: &str, changes: &[(u8, prop::sample::Index, prop::sample::Index)]) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut from = 0;
    for token in tokens(script) {
        parts.extend([&script[from..token.start], token.text]);
        from = token.start + token.text.len();
    }
    parts.push(&script[from..]);
    for (change, one, other) in changes {
        let (one, other) = (one.index(parts.len()), other.index(parts.len()));
        match change % 5 {
            0 => drop(parts.remove(one)),
            1 => parts.insert(one, parts[other]),
            2 => parts.swap(one, other),
            3 => parts.insert(one, PIECES[other % PIECES.len()]),
            _ => parts.truncate(one.max(1)),
        }
        if parts.is_empty() {
            break;
        }
    }
    parts.concat()
}

/// A text or comment in any form that holds words which rewrites look for, and what it is as an expression or statement.
fn quoted() -> impl Strategy<Value = String> {
    let words = select(
        &[
            "goto a",
            "::a::",
            " arg ",
            "_ENV",
            ";;",
            "...",
            "end",
            "local",
            "\\\n",
            "\\z\n  ",
            "\\z ",
            "\\r",
            "\\\\",
            "\\'",
            "\\\"",
            "]",
            "]]",
            "--",
            "é",
            "\\065",
            "\\x41",
            "\\\r\n",
            "\\z\r\n",
            "x",
            "`",
            "function(...)",
            "[[",
            "\\u{e9}",
            "if",
            "do",
            "\\`",
            "{",
        ][..],
    );
    (vec(words, 0..6), 0..8_u8).prop_map(|(words, form)| {
        let text = words.concat();
        let plain = |close: &str| text.replace(close, " ").replace('\\', "/");
        match form {
            0 | 1 => format!("'{}'", text.replace("\\'", "\u{1}").replace('\'', "").replace('\u{1}', "\\'")),
            2 | 3 => format!("\"{}\"", text.replace("\\\"", "\u{1}").replace('"', "").replace('\u{1}', "\\\"")),
            4 => format!("[==[{}]==]", plain("]==]")),
            5 => format!("[[{} ]]", plain("]]")),
            6 => format!("--[[{} ]] 1", plain("]]")),
            _ => format!("--{}\n 1", plain("\n").replace("[", "").replace('\r', "")),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_at_all_is_too_much_for_the_rewrites(source in any::<String>()) {
        check(&source)?;
    }

    #[test]
    fn pieces_of_sources_are_left_alone_or_refused_with_their_line(
        pieces in vec((select(&PIECES[..]), select(&["", " ", " ", "\n"][..])), 0..60)
    ) {
        check(&pieces.into_iter().flat_map(|(piece, gap)| [piece, gap]).collect::<String>())?;
    }

    #[test]
    fn scripts_that_were_tampered_with_are_left_alone_or_refused_with_their_line(
        script in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        changes in vec(any::<(u8, prop::sample::Index, prop::sample::Index)>(), 0..12),
    ) {
        // A part of one, so that there are many.
        let script = script.get(&SCRIPTS);
        let start = script.floor_char_boundary(from.index(script.len() + 1));
        check(&mutated(&script[start..script.floor_char_boundary(start + 4_000)], &changes))?;
    }

    #[test]
    fn what_stands_in_texts_and_comments_stays_there(
        texts in vec(quoted(), 1..6),
        names in vec(string_regex("[b-z]{1,4}_").unwrap(), 6),
    ) {
        let source: String =
            texts.iter().zip(&names).map(|(text, name)| format!("for {name} = 1, 2 do local x, y = {text}; f(x, {text}) end\n")).collect();
        prop_assert!(compiled(&source).is_some(), "no Lua: {}", source);
        prop_assert_eq!(&*rewrite(&source).unwrap(), source.as_str());
    }
}
