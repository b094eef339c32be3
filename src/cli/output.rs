//! What commands print: aligned tables, JSON or YAML on the standard output; everything else on the standard error.

use super::{error::Error, terminal};
use serde_json::Value;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// The shape of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people. Cut to the width of a terminal, never when piped.
    #[default]
    Table,
    /// JSON as the API gives it, keys in order.
    Json,
    /// The same as YAML.
    Yaml,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its head.
    pub title: &'static str,
    /// Where its value is in a record, in dot notation.
    pub at: &'static str,
}

/// Writes to the standard error. Nobody is left to tell when that fails.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes lines to the standard output.
///
/// # Errors
/// [`Error::OutputClosed`] when nobody reads it.
pub fn lines(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

impl Format {
    /// Prints a list of records.
    ///
    /// # Errors
    /// [`Error::OutputClosed`].
    pub fn list(self, columns: &[Column], records: &[Value]) -> Result<(), Error> {
        match self {
            Self::Table => {
                let titles = columns.iter().map(|c| c.title.to_owned()).collect();
                let rows = records.iter().map(|r| columns.iter().map(|c| cell(at(r, c.at))).collect()).collect();
                lines(&table(titles, rows, terminal::width()))
            }
            Self::Json | Self::Yaml => self.value(&Value::Array(records.to_vec())),
        }
    }

    /// Prints one record: each field on its line, long text indented below its name.
    ///
    /// # Errors
    /// [`Error::OutputClosed`].
    pub fn record(self, record: &Value) -> Result<(), Error> {
        match self {
            Self::Table => {
                let mut fields = Vec::new();
                flatten("", record, &mut fields);
                let width = fields.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
                let mut text = String::new();
                for (name, value) in fields {
                    if value.contains('\n') {
                        let indented: String = value.lines().map(|l| format!("\n    {}", harmless(l))).collect();
                        text.push_str(&format!("{name}{indented}\n"));
                    } else {
                        text.push_str(format!("{name:width$}  {}", harmless(&value)).trim_end());
                        text.push('\n');
                    }
                }
                lines(&text)
            }
            Self::Json | Self::Yaml => self.value(record),
        }
    }

    /// Prints a value as JSON or YAML; for tables as JSON too.
    ///
    /// # Errors
    /// [`Error::OutputClosed`].
    pub fn value(self, value: &Value) -> Result<(), Error> {
        let text = match self {
            Self::Yaml => serde_yaml_ng::to_string(value).map_err(|e| Error::because("writing YAML", &e))?,
            Self::Table | Self::Json => format!("{value:#}"),
        };
        lines(&text)
    }
}

/// The value at a path in dot notation, with places in lists by number; null when there is none.
pub fn at<'v>(record: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(record, |value, key| match key.parse::<usize>() {
        Ok(place) => &value[place],
        Err(_) => &value[key],
    })
}

/// A value in a table: one line, times without their milliseconds.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => short_time(text).unwrap_or_else(|| harmless(&text.replace(['\n', '\t'], " "))),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k}={}", cell(v))).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Text without control characters other than line breaks and tabs: what a guest or a script wrote must not steer the
/// reader's terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

fn short_time(text: &str) -> Option<String> {
    let is_time = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T' && text.as_bytes()[19] == b'.';
    is_time.then(|| format!("{}Z", &text[..19]))
}

/// Fields by their paths, in order, leaving out what is empty.
fn flatten(prefix: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    let path = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&path(key), value, fields)),
        Value::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&path(&i.to_string()), item, fields));
        }
        Value::Array(items) if items.is_empty() => {}
        Value::String(text) if text.contains('\n') => fields.push((prefix.to_owned(), text.clone())),
        Value::String(text) if text.is_empty() => {}
        other => fields.push((prefix.to_owned(), cell(other))),
    }
}

/// An aligned table. With a width (of a terminal), the widest columns are narrowed until it fits, if it can; ids are never
/// cut, so that they can be copied.
pub fn table(titles: Vec<String>, rows: Vec<Vec<String>>, width: Option<usize>) -> String {
    const GAP: usize = 2;
    const NARROWEST: usize = 8;
    let widest = |i: usize| rows.iter().map(|r| r[i].width()).chain([titles[i].width()]).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..titles.len()).map(widest).collect();
    let is_id = |i: usize| rows.iter().any(|r| uuid::Uuid::try_parse(&r[i]).is_ok());
    let cuttable: Vec<usize> = (0..widths.len()).filter(|i| !is_id(*i)).collect();
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let could_save: usize = cuttable.iter().map(|i| widths[*i].saturating_sub(NARROWEST)).sum();
    // Where cutting does not help, it would only take away.
    if let Some(width) = width.filter(|width| total(&widths) - could_save <= *width) {
        while total(&widths) > width {
            let Some(widest) = cuttable.iter().copied().max_by_key(|i| widths[*i]) else { break };
            widths[widest] -= 1;
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::new();
        for (value, width) in row.iter().zip(&widths) {
            let shown = cut(value, *width);
            line.push_str(&shown);
            line.push_str(&" ".repeat(width - shown.width() + GAP));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `text`, or its beginning and an ellipsis when it is wider than `width`.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        let longer = format!("{kept}{c}");
        if longer.width() >= width {
            break;
        }
        kept = longer;
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|r| r.iter().map(|c| (*c).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_line_up_whatever_script_the_names_are_in() {
        let text = table(vec!["NAME".into(), "STATE".into()], rows(&[&["é", "on"], &["東京", "off"]]), None);
        assert_eq!(text, "NAME  STATE\né     on\n東京  off\n");
    }

    #[test]
    fn a_table_fits_its_terminal_and_never_cuts_an_id() {
        let id = "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50";
        let long = "a very long reason that does not fit";
        let text = table(vec!["ID".into(), "REASON".into()], rows(&[&[id, long]]), Some(50));
        assert!(text.contains(id), "{text}");
        assert!(text.lines().all(|l| l.width() <= 50), "{text}");
        assert!(text.contains("a very long…"), "{text}");
        assert!(table(vec!["REASON".into()], rows(&[&[long]]), None).contains(long));
        let hopeless = table(vec!["ID".into(), "REASON".into()], rows(&[&[id, long]]), Some(3));
        assert!(hopeless.contains(long), "{hopeless}");
    }

    #[test]
    fn cells_are_one_harmless_line() {
        assert_eq!(cell(&json!("2026-11-22T22:24:05.007Z")), "2026-11-22T22:24:05Z");
        assert_eq!(cell(&json!("a\nb\u{1b}[2J")), "a b\u{fffd}[2J");
        assert_eq!(cell(&json!({"cpus": 4, "servers": [1, 2]})), "cpus=4,servers=1,2");
        assert_eq!(cell(&Value::Null), "-");
    }

    #[test]
    fn paths_reach_into_objects_and_lists() {
        let record = json!({"nics": [{"addresses": ["10.0.2.15"]}]});
        assert_eq!(cell(at(&record, "nics.0.addresses")), "10.0.2.15");
        assert_eq!(at(&record, "nics.1.addresses"), &Value::Null);
        assert_eq!(at(&record, "name.0.x"), &Value::Null);
    }

    #[test]
    fn records_flatten_to_paths() {
        let mut fields = Vec::new();
        flatten("", &json!({"b": {"c": 1}, "a": null, "n": [{"mac": "x"}], "t": ["p", "q"]}), &mut fields);
        let shown: Vec<String> = fields.iter().map(|(k, v)| format!("{k} {v}")).collect();
        assert_eq!(shown, ["b.c 1", "n.0.mac x", "t p,q"]);
    }
}
