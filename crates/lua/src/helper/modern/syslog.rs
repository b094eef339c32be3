//! `syslog.send`: a line to a log server, on the same global as the original's functions.

use crate::{
    date,
    helper::{Module, text_of},
    object::{Object, with},
    peer::{self, Errand, syslog, syslog::Record},
    room::Room,
    shard::Shard,
};
use mlua::{Error, LuaString, Result, Table, Value as Lv};
use std::rc::Rc;

/// Severities from 0, with the names that scripts give them.
const SEVERITIES: [&[&str]; 8] = [
    &["emerg", "emergency", "panic"],
    &["alert"],
    &["crit", "critical"],
    &["err", "error"],
    &["warning", "warn"],
    &["notice"],
    &["info", "informational"],
    &["debug"],
];
/// Facilities from 0.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Adds the function to the table.
pub(in crate::helper) fn add(module: &Module<'_>, shard: &Rc<Shard>) -> Result<()> {
    let shard = shard.clone();
    module.waiting("send", move |_, options: Table| {
        let shard = shard.clone();
        async move {
            let url: Option<String> = options.get("url")?;
            let url = url.ok_or_else(|| Error::runtime("syslog.send: `url` is missing"))?;
            let url = peer::url("syslog", &url, &syslog::SCHEMES)?;
            let record = read(&options)?;
            let bytes = record.line().len();
            if bytes > syslog::BYTES {
                return Err(Error::runtime(format!(
                    "syslog.send: the line takes {bytes} bytes, and may take {}",
                    syslog::BYTES
                )));
            }
            let port = syslog::port(&url);
            let errand = Errand { helper: "syslog", method: "SEND", port, url: url.clone(), trusted: false, bytes };
            peer::run(&shard, errand, (), async |line| syslog::send(&line, &url, &record).await).await
        }
    })
}

fn read(options: &Table) -> Result<Record> {
    let text = |name: &str| -> Result<Option<String>> { Ok(text_of(&options.get(name)?)) };
    let severity = match text("severity")? {
        None => 6,
        Some(word) => {
            let word = word.to_lowercase();
            let bare = word.strip_prefix("log_").unwrap_or(&word);
            let found = SEVERITIES.iter().position(|names| names.contains(&bare));
            found.or_else(|| bare.parse().ok().filter(|n| *n < 8)).ok_or_else(|| {
                let names: Vec<_> = SEVERITIES.iter().map(|names| names[0]).collect();
                Error::runtime(format!("syslog.send: `severity` is one of {}", names.join(", ")))
            })?
        }
    };
    let facility = match text("facility")? {
        None => 1,
        Some(word) => {
            let found = FACILITIES.iter().position(|name| name.eq_ignore_ascii_case(&word));
            found
                .or_else(|| word.parse().ok().filter(|n| *n < 24))
                .ok_or_else(|| Error::runtime(format!("syslog.send: `facility` is one of {}", FACILITIES.join(", "))))?
        }
    };
    let mut data = Vec::new();
    if let Some(given) = options.get::<Option<Table>>("data")? {
        let mut room = Room::new("the data of a line", syslog::BYTES);
        for pair in given.pairs::<LuaString, Table>() {
            let (id, params) = pair?;
            room.take(id.as_bytes().len())?;
            let id = id.to_string_lossy();
            let mut read = room.pairs(&params)?;
            // In a fixed order, so that a repeated run writes the same.
            read.sort_unstable();
            data.push((id, read));
        }
        data.sort_unstable();
    }
    let at_ms = match options.get::<Lv>("time")? {
        #[allow(clippy::cast_possible_truncation)] // saturates
        Lv::Number(ms) => ms as i64,
        Lv::Integer(ms) => ms,
        other => with(&other, |object| if let Object::Date(ms) = object { Some(*ms) } else { None })
            .flatten()
            .unwrap_or_else(date::now),
    };
    Ok(Record {
        priority: u8::try_from(facility * 8 + severity).unwrap_or(u8::MAX),
        at_ms,
        host: text("host")?.unwrap_or_default(),
        app: text("app")?.unwrap_or_else(|| "sutler".to_owned()),
        process: text("process")?.unwrap_or_default(),
        id: text("id")?.unwrap_or_default(),
        data,
        text: text("text")?.ok_or_else(|| Error::runtime("syslog.send: `text` is missing"))?,
    })
}
