//! What is kept on resources for programs, as XML.

use super::{client::Query, error::Error, field::read_text, nouns, session::Session};
use reqwest::{Method, header};
use serde_json::{Value, json};

/// Commands of `metadata`.
#[derive(clap::Subcommand, Debug)]
pub enum Metadata {
    /// Show what is kept on a resource, as far as you may read it
    Show {
        /// What it is
        #[arg(value_parser = KEEPERS)]
        kind: String,
        /// Its name or id
        which: String,
    },
    /// Set parts of what is kept on a resource; those left out stay, an empty one goes
    Set {
        /// What it is
        #[arg(value_parser = KEEPERS)]
        kind: String,
        /// Its name or id
        which: String,
        /// For whoever sees it, and its guest
        #[arg(long, value_name = "XML|@FILE")]
        public: Option<String>,
        /// For its owner and sellers, and its guest
        #[arg(long, value_name = "XML|@FILE")]
        restricted: Option<String>,
        /// For its owner and sellers alone
        #[arg(long, value_name = "XML|@FILE")]
        private: Option<String>,
    },
}

/// Nouns that keep metadata.
const KEEPERS: [&str; 4] = ["server", "image", "customer", "billing-entity"];

/// Runs a command of `metadata`.
///
/// # Errors
/// Those of the request.
pub async fn run(session: &Session, command: Metadata) -> Result<(), Error> {
    match command {
        Metadata::Show { kind, which } => {
            let record = record(session, &kind, &which).await?;
            session.format.record(&session.client.get(&format!("{record}/metadata")).await?)
        }
        Metadata::Set { kind, which, public, restricted, private } => {
            let parts = [("public", public), ("restricted", restricted), ("private", private)];
            if parts.iter().all(|(_, given)| given.is_none()) {
                return Err(Error::Usage("nothing to set; give --public, --restricted or --private".to_owned()));
            }
            let record = record(session, &kind, &which).await?;
            // The version first: what changes in between is found changed.
            let version = session.client.get(&record).await?["version"].clone();
            let path = format!("{record}/metadata");
            let mut kept = session.client.get(&path).await?;
            for (name, given) in parts {
                if let Some(text) = given {
                    let text = text.strip_prefix('@').map_or_else(|| Ok(text.clone()), read_text);
                    kept[name] = json!(text.map_err(Error::Usage)?);
                }
            }
            let request = session.client.request(Method::PUT, &path, &Query::new());
            let request = request.header(header::IF_MATCH, format!("\"{version}\"")).json(&kept);
            let now: Value = session.client.send(request).await?.body;
            session.format.record(&now)
        }
    }
}

/// Where a record is in the API.
async fn record(session: &Session, kind: &str, which: &str) -> Result<String, Error> {
    let noun = nouns::find(kind).ok_or_else(|| Error::Usage(format!("`{kind}` keeps no metadata")))?;
    Ok(format!("{}/{}", noun.path, session.id(noun, which).await?))
}
