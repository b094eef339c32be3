//! Signing in and out.

use super::{
    client::{Client, Query},
    error::Error,
    output::{Format, note},
    profile::{Connection, Profile, Profiles},
    terminal,
    tls::{self, Fingerprint, Trust},
};
use reqwest::{Method, Url};
use serde_json::{Value, json};

/// Options of `login`.
#[derive(clap::Args, Debug)]
pub struct Login {
    /// E-mail address; asked for when left out
    #[arg(long)]
    email: Option<String>,
    /// Read the password from the standard input instead of asking
    #[arg(long)]
    password_stdin: bool,
    /// Pin whatever certificate the server shows now, without asking: only where nobody can listen in
    #[arg(long)]
    trust_new: bool,
}

/// Signs in and stores the session in the profile.
///
/// # Errors
/// Those of the request; [`Error::Usage`] when something must be asked and there is no terminal.
pub async fn login(connection: &Connection, format: Format, login: Login) -> Result<(), Error> {
    let mut profiles = Profiles::load()?;
    // A profile that is not there yet is what this command makes.
    let known = profiles.get(connection.profile_name()).is_some();
    let asked = Connection { profile: connection.profile.clone().filter(|_| known), ..connection.clone() };
    let (url, stored) = asked.target(&profiles)?;
    if url.scheme() == "http" && !loops_back(&url) {
        note("warning: http:// sends the password and the token in the clear");
    }
    let trust = establish(&url, asked.trust(&stored)?, login.trust_new).await?;
    let client = Client::new(url.clone(), None, &trust)?;

    let email = match login.email.or(stored.email) {
        Some(email) => email,
        None => terminal::ask("e-mail address")?,
    };
    let password =
        if login.password_stdin { terminal::password_from_stdin()? } else { terminal::ask_password("password")? };
    let body = json!({"email": email, "password": password});
    let session = client.send(client.request(Method::POST, "sessions", &Query::new()).json(&body)).await?.body;
    let token = session["token"].as_str().map(str::to_owned);

    let (fingerprint, ca_file) = match trust {
        Trust::Pinned(fingerprint) => (Some(fingerprint.to_string()), None),
        Trust::CaFile(path) => (None, Some(std::path::absolute(&path).unwrap_or(path))),
        Trust::System => (None, None),
    };
    let url = url.as_str().trim_end_matches('/').to_owned();
    let path =
        profiles.put(connection.profile_name(), Profile { url, email: Some(email), token, fingerprint, ca_file })?;
    note(&format!("signed in; profile `{}` is in {}", connection.profile_name(), path.display()));
    if format == Format::Table {
        return Ok(());
    }
    format.value(
        &json!({"profile": connection.profile_name(), "user": session["user"], "expires_at": session["expires_at"]}),
    )
}

/// Ends the session and forgets it.
///
/// # Errors
/// Those of the request. A session that has already ended is forgotten all the same.
pub async fn logout(connection: &Connection) -> Result<(), Error> {
    let mut profiles = Profiles::load()?;
    let name = connection.profile_name().to_owned();
    let Some(profile) = profiles.get(&name).filter(|p| p.token.is_some()).cloned() else {
        return Err(Error::SignedOut(format!("profile `{name}` is not signed in")));
    };
    let client =
        Client::new(super::profile::parse_url(&profile.url)?, profile.token.clone(), &connection.trust(&profile)?)?;
    let answer = client.send(client.request(Method::DELETE, "sessions/current", &Query::new())).await;
    match answer {
        Ok(_) => {}
        Err(Error::Problem(problem)) if problem.status == 401 => {}
        Err(error) => return Err(error),
    }
    profiles.put(&name, Profile { token: None, ..profile })?;
    note(&format!("signed out of profile `{name}`"));
    Ok(())
}

/// Who one is and what one may do.
///
/// # Errors
/// Those of the request.
pub async fn whoami(client: &Client, format: Format) -> Result<(), Error> {
    let mut me = client.get("me").await?;
    if format == Format::Table {
        me["server"] = Value::from(client.base().as_str());
    }
    format.record(&me)
}

/// What to trust from now on: what is known already, else (at first contact) the certificate that the server shows, once
/// somebody compared its fingerprint.
async fn establish(url: &Url, known: Trust, trust_new: bool) -> Result<Trust, Error> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if url.scheme() == "http" || (known != Trust::System && !trust_new) {
        return Ok(known);
    }
    let shown = tls::fingerprint_of(&host, url.port_or_known_default().unwrap_or(443)).await?;
    if trust_new {
        note(&format!("pinned the certificate of {host}: {shown}"));
        return Ok(Trust::Pinned(shown));
    }
    // A certificate that the system trusts anyway needs no pin, which its renewal would break.
    let system = Client::new(url.clone(), None, &Trust::System)?;
    match system.open(system.request(Method::GET, "openapi.json", &Query::new())).await {
        Err(Error::Unreachable(_)) => confirm(&host, shown).map(|()| Trust::Pinned(shown)),
        _ => Ok(Trust::System),
    }
}

fn confirm(host: &str, shown: Fingerprint) -> Result<(), Error> {
    let told = format!("the certificate of {host} is not signed by a known authority; its fingerprint is\n  {shown}");
    if !terminal::interactive() {
        return Err(Error::Unreachable(format!(
            "{told}\ncompare it with the one the server printed at start, then pass it as --fingerprint"
        )));
    }
    note(&told);
    match terminal::ask("is this the one the server printed at start? [y/N]")?.as_str() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Unreachable("the certificate was not accepted".to_owned())),
    }
}

fn loops_back(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
