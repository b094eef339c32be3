//! `sutler backup`: the store of a stopped server from its file, or of a running one over the API.

use super::{
    client::Query,
    error::Error,
    local::{self, Place},
    output::Format,
    session::Session,
};
use reqwest::Method;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use sutler_store::Committed;

/// Longest download.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Copies a store.
#[derive(clap::Args, Debug)]
pub struct Backup {
    /// The new file
    to: PathBuf,
    /// Ask the running server for it, signed in as a provider's administrator
    #[arg(long, conflicts_with_all = ["config", "data_dir"])]
    online: bool,
    #[command(flatten)]
    place: Place,
}

impl Backup {
    /// Runs it. `session` connects to the server.
    ///
    /// # Errors
    /// What was attempted; those of the request.
    pub async fn run(self, format: Format, session: impl FnOnce() -> Result<Session, Error>) -> Result<(), Error> {
        if !self.online {
            return local::backup(&self.place.settings()?, self.to, format).await;
        }
        let session = session()?;
        let copied = download(&session, &self.to).await?;
        local::told(
            format,
            &format!("copied the store of {} to `{}`", session.client.base(), self.to.display()),
            copied,
        )
    }
}

/// Fetches a copy, and reads all of it before it gets its name.
async fn download(session: &Session, to: &Path) -> Result<Committed, Error> {
    let shown = to.display();
    let attempted = || format!("writing `{shown}`");
    if to.exists() {
        return Err(Error::Failed(format!("{}: it exists already, and is not overwritten", attempted())));
    }
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let fetched = fetch(session, &partial).await.and_then(|()| {
        let found = sutler_store::verify(&partial).map_err(|e| Error::because("reading the copy", &e))?;
        // A link, unlike a renaming, never takes the place of a file that came meanwhile.
        fs::hard_link(&partial, to).map_err(|e| Error::because(attempted(), &e))?;
        Ok(Committed { seq: found.seq, at: found.at })
    });
    let removed = fs::remove_file(&partial);
    let copied = fetched?;
    removed.map_err(|e| Error::because(format!("removing `{}`", partial.display()), &e))?;
    Ok(copied)
}

async fn fetch(session: &Session, partial: &Path) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::because(format!("writing `{}`", partial.display()), &e);
    let client = &session.client;
    let mut answer = client.open(client.request(Method::GET, "backup", &Query::new()).timeout(LONG)).await?;
    let mut file = File::create(partial).map_err(failed)?;
    while let Some(piece) = answer.chunk().await.map_err(|e| client.unreachable(&e))? {
        file.write_all(&piece).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}
