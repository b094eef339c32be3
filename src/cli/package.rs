//! Packages: folders of Lua sources with their translations and blobs, as they are published for the original.

use super::{
    client::Query,
    error::Error,
    output::{Format, cell, lines},
    session::{Session, Write},
    trigger,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Where a package keeps its blobs, and what the names of their ids begin with.
const BLOBS: &str = "_skyline/blobs";

/// What a package's sources are loaded with.
pub struct Options {
    /// Whose they are, as the API takes it; none: what the caller reaches.
    pub owner: Option<Value>,
    /// Load them, and let them run later.
    pub disabled: bool,
    /// Let an event pass when a PRE entry fails.
    pub fail_open: bool,
}

/// All of a package, read before anything is sent.
struct Package {
    /// Name and text.
    sources: Vec<(String, String)>,
    translations: BTreeMap<String, BTreeMap<String, String>>,
    /// File name and bytes.
    blobs: Vec<(String, Vec<u8>)>,
}

/// Loads a folder: its blobs, then each source with all the translations. Loading it again changes only what has changed.
///
/// # Errors
/// [`Error::Usage`] with file and line for what cannot be read; those of the requests.
pub async fn load(session: &Session, folder: &Path, options: &Options) -> Result<(), Error> {
    let package = read(folder).map_err(Error::Usage)?;
    let mut done = json!({"triggers": [], "blobs": []});
    for (name, content) in &package.blobs {
        let (blob, how) = put_blob(session, name, content, options).await?;
        if session.format == Format::Table {
            lines(&format!("{how}: {BLOBS}/{name} ({})\n", cell(&blob["id"])))?;
        }
        push(&mut done["blobs"], blob);
    }
    for (name, source) in &package.sources {
        let (trigger, how) = put_source(session, name, source, &package.translations, options).await?;
        if session.format == Format::Table {
            trigger::loaded(session, &trigger, how)?;
        }
        push(&mut done["triggers"], trigger);
    }
    if session.format == Format::Table {
        let texts: usize = package.translations.values().map(BTreeMap::len).sum();
        let languages = package.translations.len();
        return lines(&format!(
            "{} sources, {texts} texts in {languages} languages, {} blobs\n",
            package.sources.len(),
            package.blobs.len()
        ));
    }
    session.format.value(&done)
}

fn push(list: &mut Value, item: Value) {
    if let Value::Array(list) = list {
        list.push(item);
    }
}

async fn put_blob(
    session: &Session,
    name: &str,
    content: &[u8],
    options: &Options,
) -> Result<(Value, &'static str), Error> {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{BLOBS}/{name}").as_bytes());
    // A package's files are there for whoever opens its pages.
    let mut body = json!({
        "name": name, "media_type": media_type(name), "public": true, "content": BASE64_STANDARD.encode(content),
    });
    match &options.owner {
        Some(owner) if owner["kind"] == "entity" => body["billing_entity_id"] = owner["id"].clone(),
        Some(owner) if owner["kind"] == "customer" => body["customer_id"] = owner["id"].clone(),
        _ => {}
    }
    let path = format!("blobs/{id}");
    let before = session.client.get(&path).await;
    let request = session.client.request(Method::PUT, &path, &Query::new()).json(&body);
    let after = session.client.send(request).await?.body;
    let how = match before {
        Ok(before) if before["version"] == after["version"] => "unchanged",
        Ok(_) => "loaded anew",
        Err(_) => "loaded",
    };
    Ok((after, how))
}

async fn put_source(
    session: &Session,
    name: &str,
    source: &str,
    translations: &BTreeMap<String, BTreeMap<String, String>>,
    options: &Options,
) -> Result<(Value, &'static str), Error> {
    match session.id_of("trigger", name).await {
        Ok(id) => {
            let path = format!("triggers/{id}");
            let current = session.client.get(&path).await?;
            let mut body = json!({"source": source, "translations": translations});
            if options.disabled {
                body["enabled"] = json!(false);
            }
            if options.fail_open {
                body["fail_open"] = json!(true);
            }
            let after = session.client.send(session.patch(&path, &current["version"], &body)).await?.body;
            let same = after["version"] == current["version"];
            Ok((after, if same { "unchanged" } else { "loaded anew" }))
        }
        Err(Error::NotFound(_)) => {
            let mut body = json!({
                "name": name, "source": source, "translations": translations, "enabled": !options.disabled,
                "fail_open": options.fail_open,
            });
            if let Some(owner) = &options.owner {
                body["owner"] = owner.clone();
            }
            let request = session.client.request(Method::POST, "triggers", &Query::new()).json(&body);
            Ok((session.post(request, &Write::default()).await?.body, "loaded"))
        }
        Err(error) => Err(error),
    }
}

/// Reads a folder. The error names the file, and of a translation the line.
fn read(folder: &Path) -> Result<Package, String> {
    let mut package = Package { sources: Vec::new(), translations: BTreeMap::new(), blobs: Vec::new() };
    for file in files(folder, Some("lua"))? {
        package.sources.push((stem(&file), text(&file)?));
    }
    if package.sources.is_empty() {
        return Err(format!("`{}` holds no Lua source (*.lua)", folder.display()));
    }
    for file in files(&folder.join("translations"), Some("json"))? {
        let parsed = serde_json::from_str(&text(&file)?);
        let parsed =
            parsed.map_err(|e| format!("{}:{}: {}", file.display(), e.line(), without_place(&e.to_string())))?;
        package.translations.insert(stem(&file), parsed);
    }
    for file in files(&folder.join(BLOBS), None)? {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = fs::read(&file).map_err(|e| format!("reading `{}`: {e}", file.display()))?;
        package.blobs.push((name, bytes));
    }
    Ok(package)
}

/// The files of a folder that may not be there, in the order of their names.
fn files(folder: &Path, ending: Option<&str>) -> Result<Vec<PathBuf>, String> {
    let failed = |e: io::Error| format!("reading `{}`: {e}", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let wanted = ending.is_none_or(|ending| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending)));
        if path.is_file() && wanted {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn stem(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|e| format!("reading `{}`: {e}", file.display()))
}

/// An error's text without the line and column that end it.
fn without_place(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(what, _)| what)
}

/// What a file is, by its ending.
pub fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_read_whole_and_what_is_wrong_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(read(folder.path()).is_err_and(|e| e.contains("holds no Lua source")));
        fs::write(path("b.lua"), "-- b").unwrap();
        fs::write(path("a.lua"), "-- a").unwrap();
        fs::write(path("README.md"), "no source").unwrap();
        fs::create_dir_all(path("translations")).unwrap();
        fs::create_dir_all(path(BLOBS)).unwrap();
        fs::write(path(BLOBS).join("logo.png"), [0, 255]).unwrap();
        fs::write(path("translations/de_DE.json"), r##"{"#__A": "ä"}"##).unwrap();
        let package = read(folder.path()).unwrap();
        assert_eq!(package.sources, [("a".to_owned(), "-- a".to_owned()), ("b".to_owned(), "-- b".to_owned())]);
        assert_eq!(package.translations["de_DE"]["#__A"], "ä");
        assert_eq!(package.blobs, [("logo.png".to_owned(), vec![0, 255])]);
        for (text, line) in [("{\n\"a\": \"b\",\n\"c\": {}\n}", 3), ("{\n\"a\": \"b\"\n\"c\": \"d\"}", 3), ("[]", 1)] {
            fs::write(path("translations/en.json"), text).unwrap();
            let error = read(folder.path()).err().unwrap();
            assert!(error.contains(&format!("en.json:{line}: ")) && !error.contains(" at line "), "{error}");
        }
    }
}
