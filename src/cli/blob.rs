//! Blobs: keeping a file, and fetching one.

use super::{
    client::Query,
    error::Error,
    output::note,
    package::media_type,
    session::{Session, Write},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::json;
use std::{fs, io::Write as _, path::Path};

/// Commands of `blob` beside those of the table.
#[derive(clap::Subcommand, Debug)]
pub enum Blob {
    /// Keep a file
    Create {
        /// The file
        file: String,
        /// Its name; default: the file's
        #[arg(long)]
        name: Option<String>,
        /// Whose it is (name or id); default: your own customer, or your billing entity
        #[arg(long)]
        customer: Option<String>,
        /// What it is; default: by its ending
        #[arg(long, value_name = "TYPE")]
        media_type: Option<String>,
        /// Let anybody who knows its id fetch it, without signing in
        #[arg(long)]
        public: bool,
    },
    /// Fetch a blob's content
    Get {
        /// Name or id of the blob
        blob: String,
        /// Where to; default: the standard output
        #[arg(long, value_name = "FILE")]
        to: Option<String>,
    },
}

/// Runs a command of `blob`.
///
/// # Errors
/// Those of the request, and of the file.
pub async fn run(session: &Session, command: Blob) -> Result<(), Error> {
    match command {
        Blob::Create { file, name, customer, media_type: kind, public } => {
            let bytes = fs::read(&file).map_err(|e| Error::Usage(format!("reading `{file}`: {e}")))?;
            let own = || Path::new(&file).file_name().map(|name| name.to_string_lossy().into_owned());
            let mut body = json!({
                "name": name.or_else(own).unwrap_or_default(), "public": public,
                "media_type": kind.unwrap_or_else(|| media_type(&file).to_owned()),
                "content": BASE64_STANDARD.encode(bytes),
            });
            if let Some(customer) = customer {
                body["customer_id"] = json!(session.id_of("customer", &customer).await?);
            }
            let request = session.client.request(Method::POST, "blobs", &Query::new()).json(&body);
            session.write(request, "created", &Write::default()).await
        }
        Blob::Get { blob, to } => {
            let id = session.id_of("blob", &blob).await?;
            let request = session.client.request(Method::GET, &format!("blobs/{id}/content"), &Query::new());
            let bytes = session.client.bytes(request).await?;
            match to {
                Some(file) => {
                    fs::write(&file, &bytes).map_err(|e| Error::because(format!("writing `{file}`"), &e))?;
                    note(&format!("{} bytes written to `{file}`", bytes.len()));
                    Ok(())
                }
                None => match std::io::stdout().write_all(&bytes) {
                    // A closed pipe is no error.
                    Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                        Err(Error::because("writing to the standard output", &e))
                    }
                    _ => Ok(()),
                },
            }
        }
    }
}
