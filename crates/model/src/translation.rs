//! Texts of a script in the languages of its readers.

use crate::FieldError;
use std::collections::BTreeMap;

/// Texts by key, for each language: `en`, `de_DE`.
pub type Translations = BTreeMap<String, BTreeMap<String, String>>;

/// Languages of a script; there are fewer than two hundred that anybody writes software in.
pub const LANGUAGES: usize = 200;
/// All texts of a script together, bytes: the largest published package has 40 KB in one language.
pub const BYTES: usize = 1 << 20;
/// Longest key, bytes.
pub const KEY_BYTES: usize = 256;
/// Longest text, bytes.
pub const TEXT_BYTES: usize = 16 << 10;
/// Where a language lacks a text.
const FALLBACK: &str = "en";

/// Whether a word names a language as files do: two or three small letters, and maybe `_` and two capitals.
pub fn is_language(word: &str) -> bool {
    let (language, region) = word.split_once('_').map_or((word, None), |(l, r)| (l, Some(r)));
    (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && region.is_none_or(|region| region.len() == 2 && region.bytes().all(|b| b.is_ascii_uppercase()))
}

/// The text of a key for readers of a language: in that language, in the same without the region or of another region, or in
/// English.
pub fn text<'a>(all: &'a Translations, language: Option<&str>, key: &str) -> Option<&'a str> {
    let of = |language: &str| all.get(language).and_then(|texts| texts.get(key));
    let related = |language: &str| {
        let base = language.split('_').next().unwrap_or(language);
        of(language).or_else(|| of(base)).or_else(|| {
            let sibling = |(name, texts): (&String, &'a BTreeMap<String, String>)| {
                name.strip_prefix(base).is_some_and(|rest| rest.starts_with('_')).then(|| texts.get(key)).flatten()
            };
            all.iter().find_map(sibling)
        })
    };
    language.and_then(related).or_else(|| related(FALLBACK)).map(String::as_str)
}

/// Everything that is wrong with a script's texts.
pub fn problems(field: &str, all: &Translations) -> Vec<FieldError> {
    let mut problems = Vec::new();
    let mut bytes = 0;
    if all.len() > LANGUAGES {
        problems.push(FieldError::new(field, format!("has {} languages; at most {LANGUAGES} are allowed", all.len())));
    }
    for (language, texts) in all.iter().take(LANGUAGES) {
        if !is_language(language) {
            let detail = "must be a language such as `en` or `de_DE`";
            problems.push(FieldError::new(format!("{field}.{language}"), detail));
        }
        for (key, text) in texts {
            bytes += key.len() + text.len();
            if key.is_empty() || key.len() > KEY_BYTES || text.len() > TEXT_BYTES {
                let detail = format!("keys may have 1 to {KEY_BYTES} bytes, texts at most {TEXT_BYTES}");
                problems.push(FieldError::new(
                    format!("{field}.{language}.{}", key.chars().take(60).collect::<String>()),
                    detail,
                ));
            }
        }
    }
    if bytes > BYTES {
        problems.push(FieldError::new(field, format!("has {bytes} bytes; at most {BYTES} are allowed")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[(&str, &str, &str)]) -> Translations {
        let mut all = Translations::new();
        for (language, key, text) in texts {
            all.entry((*language).to_owned()).or_default().insert((*key).to_owned(), (*text).to_owned());
        }
        all
    }

    #[test]
    fn a_text_is_looked_for_in_the_language_its_relatives_and_english() {
        let texts =
            all(&[("de_DE", "a", "deutsch"), ("en", "a", "english"), ("en", "b", "only"), ("fr", "a", "français")]);
        for (language, key, found) in [
            (Some("de_DE"), "a", Some("deutsch")),
            (Some("de_AT"), "a", Some("deutsch")),
            (Some("de"), "a", Some("deutsch")),
            (Some("fr_CA"), "a", Some("français")),
            (Some("de_DE"), "b", Some("only")),
            (Some("nl"), "a", Some("english")),
            (None, "a", Some("english")),
            (None, "c", None),
        ] {
            assert_eq!(text(&texts, language, key), found, "{language:?} {key}");
        }
        assert_eq!(text(&all(&[("en_GB", "a", "colour")]), Some("de"), "a"), Some("colour"));
    }

    #[test]
    fn what_is_no_language_or_too_long_is_named() {
        assert!(["en", "de_DE", "gsw", "gsw_CH"].into_iter().all(is_language));
        assert!(!["", "e", "english", "de-DE", "DE_de", "de_", "de_D"].into_iter().any(is_language));
        let wrong = problems("translations", &all(&[("English", "a", "b"), ("en", "", "b")]));
        let fields: Vec<&str> = wrong.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["translations.English", "translations.en."]);
        assert!(problems("translations", &all(&[("en", "a", &"x".repeat(TEXT_BYTES))])).is_empty());
    }
}
