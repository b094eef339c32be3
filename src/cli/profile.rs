//! Profiles: which server, as whom, trusted how. Kept in `~/.config/sutler/profiles.toml`, readable by its owner alone.

use super::{
    client::Client,
    error::Error,
    tls::{Fingerprint, Trust},
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

/// Where a server listens unless told otherwise.
pub const DEFAULT_URL: &str = "https://127.0.0.1:8443";
/// The profile used when nothing names one.
const DEFAULT_PROFILE: &str = "default";

/// Options of every command that speaks to a server.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The profile to use
    #[arg(long, global = true, env = "SUTLER_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// The server, such as https://panel.example.org; instead of the profile's
    #[arg(long, global = true, env = "SUTLER_URL", value_name = "URL")]
    pub url: Option<String>,
    /// A PEM file of the authority that signed the server's certificate
    #[arg(long, global = true, env = "SUTLER_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The SHA-256 of the only certificate to trust
    #[arg(long, global = true, env = "SUTLER_FINGERPRINT", value_name = "SHA256")]
    pub fingerprint: Option<Fingerprint>,
}

/// One profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The server.
    pub url: String,
    /// Who one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The session, or an API key put here by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The only certificate to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The authority that signed the server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// The file of profiles.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file; none means no profiles yet.
    ///
    /// # Errors
    /// [`Error::Failed`], naming the file and the line.
    pub fn load() -> Result<Self, Error> {
        let path = path()?;
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|e| Error::Failed(format!("reading `{}`: {e}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::because(format!("reading `{}`", path.display()), &error)),
        }
    }

    /// The profile of this name.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// Stores a profile. The file appears whole and with its rights, or not at all.
    ///
    /// # Errors
    /// [`Error::Failed`], naming the file.
    pub fn put(&mut self, name: &str, profile: Profile) -> Result<PathBuf, Error> {
        self.profiles.insert(name.to_owned(), profile);
        let path = path()?;
        let failed = |e: &(dyn std::error::Error + 'static)| Error::because(format!("writing `{}`", path.display()), e);
        let text = toml::to_string(self).map_err(|e| failed(&e))?;
        let folder = path.parent().unwrap_or(&path);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| failed(&e))?;
        let fresh = folder.join(format!(".profiles.{}", std::process::id()));
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&fresh);
            failed(&e)
        })?;
        Ok(path)
    }
}

impl Connection {
    /// The name of the profile in use.
    pub fn profile_name(&self) -> &str {
        self.profile.as_deref().unwrap_or(DEFAULT_PROFILE)
    }

    /// The server to speak to, and what the profile knows of it. A profile's token and trust belong to its server: they
    /// are left out when another is named.
    ///
    /// # Errors
    /// [`Error::Usage`] for a profile that is not there or a URL that is none.
    pub fn target(&self, profiles: &Profiles) -> Result<(Url, Profile), Error> {
        let stored = profiles.get(self.profile_name());
        if let (Some(name), None, None) = (&self.profile, stored, &self.url) {
            let known: Vec<&str> = profiles.profiles.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
            return Err(Error::Usage(format!(
                "there is no profile `{name}` (there are: {known}); make it with `sutler login --profile {name} --url URL`"
            )));
        }
        let stored = stored.cloned().unwrap_or_default();
        let text = self.url.as_deref().or(Some(&stored.url).filter(|u| !u.is_empty()).map(String::as_str));
        let url = parse_url(text.unwrap_or(DEFAULT_URL))?;
        let same = parse_url(&stored.url).is_ok_and(|known| known.origin() == url.origin());
        Ok((url, if same { stored } else { Profile::default() }))
    }

    /// What makes the server's certificate good: an option, else the profile, else the operating system.
    ///
    /// # Errors
    /// [`Error::Failed`] for a profile with a broken fingerprint.
    pub fn trust(&self, profile: &Profile) -> Result<Trust, Error> {
        if let Some(fingerprint) = self.fingerprint {
            return Ok(Trust::Pinned(fingerprint));
        }
        if let Some(path) = self.ca_file.as_ref().or(profile.ca_file.as_ref()) {
            return Ok(Trust::CaFile(path.clone()));
        }
        match &profile.fingerprint {
            Some(text) => text.parse().map(Trust::Pinned).map_err(|e| {
                Error::Failed(format!("the fingerprint of profile `{}` is not one: it {e}", self.profile_name()))
            }),
            None => Ok(Trust::System),
        }
    }

    /// A client for the chosen server.
    ///
    /// # Errors
    /// As [`Connection::target`] and [`Connection::trust`].
    pub fn client(&self) -> Result<Client, Error> {
        let (url, profile) = self.target(&Profiles::load()?)?;
        let trust = self.trust(&profile)?;
        // No option for it: other users of the machine see command lines.
        let token = std::env::var("SUTLER_TOKEN").ok().filter(|t| !t.is_empty()).or(profile.token);
        Client::new(url, token, &trust)
    }
}

/// Where profiles are kept.
fn path() -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let config = config.ok_or_else(|| Error::Failed("neither HOME nor XDG_CONFIG_HOME is set".to_owned()))?;
    Ok(config.join("sutler/profiles.toml"))
}

/// Reads the address of a server.
///
/// # Errors
/// [`Error::Usage`].
pub fn parse_url(text: &str) -> Result<Url, Error> {
    let wrong = |why: &str| Error::Usage(format!("`{text}` is not the URL of a server such as {DEFAULT_URL}: {why}"));
    let url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("it must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must not hold a password; use `sutler login`"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles() -> Profiles {
        toml::from_str(
            "[profiles.default]\nurl = \"https://a.example:8443\"\ntoken = \"ss_1\"\nfingerprint = \"sha256:x\"\n",
        )
        .unwrap()
    }

    #[test]
    fn a_token_never_goes_to_another_server_than_its_own() {
        let asked = |url: Option<&str>| {
            let connection = Connection { url: url.map(str::to_owned), ..Connection::default() };
            let (url, profile) = connection.target(&profiles()).unwrap();
            (url.to_string(), profile.token)
        };
        assert_eq!(asked(None), ("https://a.example:8443/".to_owned(), Some("ss_1".to_owned())));
        assert_eq!(asked(Some("https://a.example:8443/")).1, Some("ss_1".to_owned()));
        for other in ["https://b.example:8443", "https://a.example", "http://a.example:8443"] {
            assert_eq!(asked(Some(other)).1, None, "{other}");
        }
    }

    #[test]
    fn a_profile_that_is_not_there_is_named_with_those_that_are() {
        let connection = Connection { profile: Some("prod".to_owned()), ..Connection::default() };
        let error = connection.target(&profiles()).unwrap_err();
        assert!(error.to_string().contains("there is no profile `prod` (there are: default)"), "{error}");
    }

    #[test]
    fn urls_of_servers_are_checked() {
        for bad in ["", "example.org", "ftp://example.org", "https://", "https://u:p@example.org"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
        assert!(parse_url("https://[::1]:8443").is_ok());
    }
}
