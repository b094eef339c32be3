//! The settings: a TOML file with comments, environment variables above it, defaults below.
//!
//! Units are part of the names. What is wrong is told with the file, the line, the setting and the fix.

mod egress;

use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use sutler_model::Currency;

/// The commented file that says what the defaults are.
pub const DEFAULT_TEXT: &str = include_str!("config.toml");
/// Most threads for scripts: more than any machine has processors for.
const LUA_THREADS_MAX: u32 = 1024;
/// Where the file is unless said otherwise.
pub const DEFAULT_PATH: &str = "/etc/sutler/sutler.toml";

/// Longest time that runs of scripts are kept, if not for good: a century.
const RUNS_KEEP_DAYS_MAX: u32 = 36_500;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept.
    pub data: Data,
    /// Where the API listens.
    pub listen: Listen,
    /// The provider made at the first start.
    pub provider: Provider,
    /// Where guests run.
    pub compute: Compute,
    /// How jobs run.
    pub jobs: Jobs,
    /// How the store is kept.
    pub store: Store,
    /// The continuous copy.
    pub follower: Follower,
    /// How much callers may ask.
    pub limits: Limits,
    /// How scripts run.
    pub lua: Lua,
    /// Where scripts may go.
    pub egress: Egress,
    /// What is logged.
    pub log: Log,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

section! {
    /// Where everything is kept.
    Data {
        /// The data folder: store, disks, images, certificate.
        dir: PathBuf = "/var/lib/sutler".into(),
    }
}

section! {
    /// Where the API listens.
    Listen {
        /// Address of HTTPS; empty: none.
        tls: String = "0.0.0.0:8443".into(),
        /// Address of plain HTTP; empty: none. Loopback only unless `plain_anywhere`.
        plain: String = String::new(),
        /// Allows plain HTTP on other addresses than loopback.
        plain_anywhere: bool = false,
        /// Names and addresses for the generated certificate, besides localhost.
        names: Vec<String> = Vec::new(),
        /// A certificate chain of one's own, PEM; empty: one is generated.
        cert_file: PathBuf = PathBuf::new(),
        /// Its key, PEM.
        key_file: PathBuf = PathBuf::new(),
    }
}

section! {
    /// The provider made at the first start.
    Provider {
        /// Its name.
        name: String = "Provider".into(),
        /// What it invoices in.
        currency: String = "EUR".into(),
        /// Sign-in name of the first admin.
        admin_email: String = "admin@localhost".into(),
    }
}

/// A node to run guests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSetting {
    /// Display name; finds the node's record again.
    pub name: String,
    /// Where its compute driver connects.
    pub uri: String,
}

section! {
    /// Where guests run.
    Compute {
        /// The nodes.
        nodes: Vec<NodeSetting> = vec![NodeSetting { name: "local".into(), uri: "qemu:///embed".into() }],
        /// Run everything on the simulated twin instead of the nodes' addresses.
        simulated: bool = false,
        /// Time between two looks at all guests of a node, milliseconds.
        poll_ms: u64 = 10_000,
        /// How long a deleted server's disks are kept, hours.
        disk_grace_hours: u32 = 24,
        /// How long a guest has to shut down after it was asked, seconds.
        shutdown_s: u32 = 60,
        /// Automatic restarts of a crashed guest in ten minutes.
        crash_restarts_max: u32 = 3,
    }
}

section! {
    /// How jobs run.
    Jobs {
        /// Jobs at the same time.
        at_once: u32 = 256,
        /// Unfinished jobs beyond which new ones are refused.
        waiting_max: u32 = 50_000,
        /// How long a job may take, seconds.
        deadline_s: u32 = 3600,
        /// First pause before a failed step is tried again, milliseconds.
        retry_ms: u64 = 250,
        /// Tries of a step.
        tries_max: u32 = 6,
    }
}

section! {
    /// How the store is kept.
    Store {
        /// Page cache, MiB.
        cache_mib: u32 = 64,
        /// Free space below which writes are refused, MiB.
        reserve_mib: u32 = 512,
        /// How long feed entries are kept that everybody has read, hours.
        feed_keep_hours: u32 = 720,
        /// How long they are kept for a reader that is behind, hours.
        feed_max_hours: u32 = 2160,
        /// How much feed is kept at most, MiB.
        feed_max_mib: u32 = 8192,
    }
}

section! {
    /// The continuous copy.
    Follower {
        /// The second folder; empty: none.
        dir: PathBuf = PathBuf::new(),
    }
}

section! {
    /// How much callers may ask.
    Limits {
        /// Connections at the same time.
        connections: u32 = 2048,
        /// Requests of one credential in a second.
        requests_per_second: u32 = 200,
        /// Requests of one credential at once.
        request_burst: u32 = 400,
        /// Sign-ins for one e-mail address in a minute.
        sign_ins_per_minute: u32 = 10,
        /// How long a session lasts, hours.
        session_hours: u32 = 12,
        /// Longest body, KiB.
        body_kib: u32 = 1024,
        /// How long a body may take to arrive, seconds.
        body_timeout_s: u32 = 30,
        /// How long a request's head may take, and how long a kept-alive connection may be silent, seconds.
        header_timeout_s: u32 = 30,
        /// How long requests may go on after the program was told to stop, seconds.
        stop_timeout_s: u32 = 10,
    }
}

section! {
    /// How scripts run.
    Lua {
        /// Threads.
        threads: u32 = 2,
        /// Wall-clock limit of a PRE trigger, milliseconds.
        pre_deadline_ms: u64 = 5_000,
        /// Wall-clock limit of a POST or scheduled run, milliseconds.
        post_deadline_ms: u64 = 60_000,
        /// Tries of a POST run.
        tries_max: u32 = 8,
        /// CPU time of Lua for each reseller and customer, milliseconds for each second; saved up for a minute.
        owner_cpu_ms_per_s: u64 = 500,
        /// Seconds between two measurements of a resource by a script's measurement function.
        measure_every_s: u32 = 3600,
        /// Days for which runs are kept after their end; 0: for good.
        runs_keep_days: u32 = 90,
        /// A text takes effect only once the provider's staff have signed it.
        signing_required: bool = false,
    }
}

section! {
    /// Where scripts may go.
    Egress {
        /// If not empty, only these targets: hosts, `*.domain`, addresses (each with or without `:port`), networks.
        allow: Vec<String> = Vec::new(),
        /// Never these, whatever the others say.
        deny: Vec<String> = Vec::new(),
        /// Loopback, link-local, private and other special targets that may be reached all the same.
        exceptions: Vec<String> = Vec::new(),
        /// Where HTTP requests go on their way; empty: straight to their target.
        proxy: String = String::new(),
        /// Addresses of names in place of name resolution: `name=address`.
        hosts: Vec<String> = Vec::new(),
        /// PEM files of certificates trusted besides those of the system.
        ca_files: Vec<PathBuf> = Vec::new(),
        /// For one request, answer included, milliseconds.
        timeout_ms: u64 = 30_000,
        /// Longest answer.
        response_kib: u32 = 8192,
        /// Most requests of one run.
        requests: u32 = 100,
        /// Where mail of scripts goes: `smtp://` or `smtps://`; empty: nowhere.
        mail_relay: String = String::new(),
        /// Whom mail is from that does not say so.
        mail_from: String = "sutler@localhost".into(),
    }
}

section! {
    /// What is logged.
    Log {
        /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,sutler_store=debug`.
        level: String = "info".into(),
    }
}

/// Settings that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// Reads `file` (or the default one, when it is there) and the environment above it.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let path = file.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if file.is_none() && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error(format!("{}: cannot be read: {e}", path.display()))),
        };
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::parse(&path.display().to_string(), &text)?.with_environment(variables)
    }

    /// Reads `text`; `file` is what errors call it.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            Error(format!("{file}, line {line}: {}", explain(error.message())))
        })?;
        config.check().map_err(|(setting, fix)| {
            let line = line_of_setting(text, &setting).map(|n| format!(", line {n}")).unwrap_or_default();
            Error(format!("{file}{line}: {setting} {fix}"))
        })?;
        Ok(config)
    }

    /// Puts `SUTLER_<SECTION>_<KEY>` above what the file says.
    ///
    /// # Errors
    /// Names the variable and the fix.
    pub fn with_environment(self, variables: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut table = toml::Table::try_from(&self).map_err(|e| Error(e.to_string()))?;
        let mut used = Vec::new();
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix("SUTLER_") else { continue };
            let rest = rest.to_lowercase();
            let Some((section, key)) = rest.split_once('_') else { continue };
            let Some(toml::Value::Table(settings)) = table.get_mut(section) else { continue };
            let Some(old) = settings.get(key) else {
                let known: Vec<&str> = settings.keys().map(String::as_str).collect();
                let close = closest(key, &known).map(|k| variable_of(section, k));
                let hint = close.map_or_else(
                    || known.iter().map(|k| variable_of(section, k)).collect::<Vec<_>>().join(", "),
                    |close| format!("did you mean {close}?"),
                );
                return Err(Error(format!("environment: {variable} is not a setting; {hint}")));
            };
            let value =
                value_like(old, &text).map_err(|fix| Error(format!("environment: {variable} is `{text}`; {fix}")))?;
            settings.insert(key.to_owned(), value);
            used.push((format!("{section}.{key}"), variable));
        }
        let blame = |setting: &str| {
            let variable = used.iter().find(|(s, _)| s == setting).map(|(_, v)| v.as_str());
            variable.unwrap_or(setting).to_owned()
        };
        let config: Self = table.try_into().map_err(|error: toml::de::Error| {
            let names = used.iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>().join(", ");
            Error(format!("environment ({names}): {}", explain(error.message())))
        })?;
        config.check().map_err(|(setting, fix)| Error(format!("environment: {} {fix}", blame(&setting))))?;
        Ok(config)
    }

    /// What types cannot say: the setting and the fix.
    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |setting: &str, fix: String| Err((setting.to_owned(), fix));
        for (setting, text) in [("listen.tls", &self.listen.tls), ("listen.plain", &self.listen.plain)] {
            if !text.is_empty() && text.parse::<SocketAddr>().is_err() {
                return wrong(setting, format!("is `{text}`; must be an address and a port such as 127.0.0.1:8080"));
            }
        }
        if self.listen.tls.is_empty() && self.listen.plain.is_empty() {
            return wrong("listen.tls", "and listen.plain are both empty; give one an address".into());
        }
        let open = self.listen.plain.parse::<SocketAddr>().is_ok_and(|a| !a.ip().is_loopback());
        if open && !self.listen.plain_anywhere {
            let fix = "would send passwords unencrypted; use a loopback address, or set listen.plain_anywhere = true";
            return wrong("listen.plain", fix.into());
        }
        if self.listen.cert_file.as_os_str().is_empty() != self.listen.key_file.as_os_str().is_empty() {
            return wrong("listen.cert_file", "and listen.key_file go together; give both or neither".into());
        }
        if let Err(error) = self.provider.currency.parse::<Currency>() {
            return wrong("provider.currency", format!(": {error}"));
        }
        if self.compute.nodes.is_empty() {
            return wrong("compute.nodes", "is empty; name at least one node".into());
        }
        let mut names = HashSet::new();
        for node in &self.compute.nodes {
            if node.name.is_empty() || !names.insert(node.name.to_lowercase()) {
                return wrong("compute.nodes", format!("names `{}`; each node needs a name of its own", node.name));
            }
        }
        let at_least_one = [
            ("compute.poll_ms", self.compute.poll_ms),
            ("jobs.at_once", self.jobs.at_once.into()),
            ("jobs.waiting_max", self.jobs.waiting_max.into()),
            ("jobs.deadline_s", self.jobs.deadline_s.into()),
            ("jobs.tries_max", self.jobs.tries_max.into()),
            ("store.cache_mib", self.store.cache_mib.into()),
            ("store.feed_keep_hours", self.store.feed_keep_hours.into()),
            ("store.feed_max_mib", self.store.feed_max_mib.into()),
            ("limits.connections", self.limits.connections.into()),
            ("limits.requests_per_second", self.limits.requests_per_second.into()),
            ("limits.request_burst", self.limits.request_burst.into()),
            ("limits.sign_ins_per_minute", self.limits.sign_ins_per_minute.into()),
            ("limits.session_hours", self.limits.session_hours.into()),
            ("limits.body_kib", self.limits.body_kib.into()),
            ("limits.body_timeout_s", self.limits.body_timeout_s.into()),
            ("limits.header_timeout_s", self.limits.header_timeout_s.into()),
            ("lua.threads", self.lua.threads.into()),
            ("lua.pre_deadline_ms", self.lua.pre_deadline_ms),
            ("lua.post_deadline_ms", self.lua.post_deadline_ms),
            ("lua.tries_max", self.lua.tries_max.into()),
            ("lua.measure_every_s", self.lua.measure_every_s.into()),
            ("lua.owner_cpu_ms_per_s", self.lua.owner_cpu_ms_per_s),
            ("egress.timeout_ms", self.egress.timeout_ms),
            ("egress.response_kib", self.egress.response_kib.into()),
        ];
        if let Some((setting, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return wrong(setting, "is 0; must be at least 1".into());
        }
        if self.lua.runs_keep_days > RUNS_KEEP_DAYS_MAX {
            let (days, max) = (self.lua.runs_keep_days, RUNS_KEEP_DAYS_MAX);
            return wrong(
                "lua.runs_keep_days",
                format!("is {days}; must be at most {max}, or 0 to keep runs for good"),
            );
        }
        if self.lua.threads > LUA_THREADS_MAX {
            let fix = format!("is {}; must be at most {LUA_THREADS_MAX}", self.lua.threads);
            return wrong("lua.threads", fix);
        }
        self.egress.policy()?;
        if self.store.feed_max_hours < self.store.feed_keep_hours {
            return wrong("store.feed_max_hours", "is less than store.feed_keep_hours; it must not be".into());
        }
        if let Err(error) = self.log.level.parse::<tracing_subscriber::EnvFilter>() {
            return wrong("log.level", format!("is `{}`: {error}", self.log.level));
        }
        Ok(())
    }
}

fn variable_of(section: &str, key: &str) -> String {
    format!("SUTLER_{}_{}", section.to_uppercase(), key.to_uppercase())
}

/// `text` as a value of the type that `old` has.
fn value_like(old: &toml::Value, text: &str) -> Result<toml::Value, &'static str> {
    use toml::Value;
    Ok(match old {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => Value::Integer(text.parse().map_err(|_| "must be a whole number")?),
        Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| "must be true or false")?),
        _ => {
            let table: Result<toml::Table, _> = toml::from_str(&format!("value = {text}"));
            let value = table.ok().and_then(|mut table| table.remove("value"));
            value.ok_or("must be a list in TOML, such as [\"a\", \"b\"]")?
        }
    })
}

/// The parser's message, with a suggestion for a misspelt name.
fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.to_owned() };
    let words: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let Some((name, known)) = words.split_first() else { return message.to_owned() };
    match closest(name, known) {
        Some(close) => format!("`{name}` is not a setting; did you mean `{close}`?"),
        None => format!("`{name}` is not a setting; there are: {}", known.join(", ")),
    }
}

/// The known name that `name` was probably meant to be.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = known.iter().copied().min_by_key(|k| distance(name, k))?;
    (distance(name, best) <= 1 + name.len() / 4).then_some(best)
}

/// How many letters must be added, removed or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// The line where `section.key` is set.
fn line_of_setting(text: &str, setting: &str) -> Option<usize> {
    let (section, key) = setting.split_once('.')?;
    let mut within = false;
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            within = line.trim_start_matches('[').starts_with(section);
            if within && line.starts_with(&format!("[[{setting}]]")) {
                return Some(n + 1);
            }
        } else if within && line.split('=').next().is_some_and(|name| name.trim() == key) {
            return Some(n + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Config::parse("sutler.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_commented_file_says_what_the_defaults_are_and_leaves_none_out() {
        let commented = Config::parse("config.toml", DEFAULT_TEXT).unwrap();
        assert_eq!(commented, Config::default());
        let table = toml::Table::try_from(Config::default()).unwrap();
        let written: toml::Table = toml::from_str(DEFAULT_TEXT).unwrap();
        for (section, settings) in &table {
            for key in settings.as_table().unwrap().keys() {
                assert!(written[section].get(key).is_some(), "{section}.{key} is not in the file");
            }
        }
    }

    #[test]
    fn mistakes_are_told_with_the_line_and_the_fix() {
        for (text, parts) in [
            ("[store]\ncache_mb = 1", ["line 2", "did you mean `cache_mib`"]),
            ("[stor]\n", ["line 1", "did you mean `store`"]),
            ("\n[limits]\nconnections = \"many\"", ["line 3", "expected u32"]),
            ("[limits]\nconnections = -1", ["line 2", "expected u32"]),
            ("[limits]\nconnections = 0", ["line 2", "limits.connections is 0; must be at least 1"]),
            ("[listen]\nplain = \"0.0.0.0:80\"", ["line 2", "plain_anywhere"]),
            ("[listen]\ntls = \"here\"", ["line 2", "such as 127.0.0.1:8080"]),
            ("[provider]\ncurrency = \"euro\"", ["line 2", "EUR"]),
            ("[compute]\nnodes = []", ["line 2", "at least one node"]),
            ("[[compute.nodes]]\nname = \"a\"", ["line 1", "uri"]),
            ("[egress]\n\ndeny = [\"a b\"]", ["line 3", "egress.deny is `a b`; must be a host"]),
            ("[egress]\nhosts = [\"a:1\"]", ["line 2", "must be `name=address`"]),
            ("[egress]\nproxy = \"there\"", ["line 2", "such as http://proxy.example:3128"]),
            ("[egress]\nca_files = [\"/nowhere.pem\"]", ["line 2", "names /nowhere.pem: cannot be read"]),
            ("[egress]\nmail_relay = \"mail.example\"", ["line 2", "such as smtp://mail.example:25"]),
            ("[egress]\nmail_from = \"nobody\"", ["line 2", "is `nobody`; must be a mail address"]),
            ("[lua]\nruns_keep_days = 36501", ["line 2", "lua.runs_keep_days is 36501; must be at most 36500, or 0"]),
            ("[lua]\nruns_keep_days = -1", ["line 2", "expected u32"]),
            ("[egress]\ntimeout_ms = 0", ["line 2", "must be at least 1"]),
            ("[lua]\nmeasure_every_s = 0", ["line 2", "lua.measure_every_s is 0; must be at least 1"]),
            ("[lua]\nthreads = 5000", ["line 2", "lua.threads is 5000; must be at most 1024"]),
            ("[data", ["line 1", ""]),
            ("[log]\nlevel = \"info,=,\"", ["line 2", "log.level"]),
        ] {
            let message = wrong(text);
            assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
            assert!(message.starts_with("sutler.toml"), "{message}");
        }
    }

    #[test]
    fn every_setting_can_be_an_environment_variable() {
        let set = |name: &str, value: &str| {
            Config::default().with_environment([(name.to_owned(), value.to_owned())].into_iter())
        };
        let table = toml::Table::try_from(Config::default()).unwrap();
        for (section, settings) in &table {
            for (key, value) in settings.as_table().unwrap() {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                assert_eq!(set(&variable_of(section, key), &text).unwrap(), Config::default(), "{section}.{key}");
            }
        }
        assert_eq!(set("SUTLER_LISTEN_PLAIN", "127.0.0.1:0").unwrap().listen.plain, "127.0.0.1:0");
        assert_eq!(set("SUTLER_LIMITS_BODY_KIB", "7").unwrap().limits.body_kib, 7);
        let nodes = set("SUTLER_COMPUTE_NODES", "[{name = \"a\", uri = \"test:///default\"}]").unwrap().compute.nodes;
        assert_eq!(nodes[0].uri, "test:///default");
        assert_eq!(set("SUTLER_ADMIN_PASSWORD", "x").unwrap(), Config::default(), "others use the prefix too");
        for (name, value, part) in [
            ("SUTLER_LIMITS_BODY_KIB", "big", "must be a whole number"),
            ("SUTLER_LIMITS_BODY_KB", "1", "did you mean SUTLER_LIMITS_BODY_KIB"),
            ("SUTLER_LISTEN_PLAIN_ANYWHERE", "yes", "must be true or false"),
            ("SUTLER_LISTEN_TLS", "here", "SUTLER_LISTEN_TLS is `here`"),
            ("SUTLER_COMPUTE_NODES", "local", "must be a list"),
            ("SUTLER_EGRESS_ALLOW", "[\"10.0.0.0/40\"]", "SUTLER_EGRESS_ALLOW is `10.0.0.0/40`"),
        ] {
            let message = set(name, value).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("environment"), "{message}");
        }
    }
}
