//! Waiting for payment providers, and telling which there are.

use super::{client::Client, error::Error, output::Column, session::Session};
use serde_json::Value;
use std::time::Duration;

/// First pause between two looks; it doubles up to a second.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until a transaction has ended, or waits for its customer or for somebody to find out what became of it.
///
/// # Errors
/// [`Error::Job`] for one that did not succeed; those of the requests.
pub async fn watch(client: &Client, id: &str) -> Result<Value, Error> {
    let mut pause = PAUSE;
    loop {
        let transaction = client.get(&format!("transactions/{id}")).await?;
        let reason = || transaction["error_reason"].as_str().unwrap_or("its provider gave no reason").to_owned();
        match transaction["state"].as_str().unwrap_or_default() {
            "success" | "awaiting_input" => return Ok(transaction),
            state @ ("failure" | "cancelled") => {
                return Err(Error::Job(format!("the transaction {id} ended as {state}: {}", reason())));
            }
            _ if transaction["unclear"] == true => {
                return Err(Error::Job(format!("the transaction {id}: {}", reason())));
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Waits until the provider of a new payment method or instance has taken or refused it, and answers it as it is then; where
/// its customer is to be asked something first, the transaction that says where.
///
/// # Errors
/// [`Error::Job`] for one that its provider did not take; those of the requests.
pub async fn set_up(client: &Client, made: &Value) -> Result<Value, Error> {
    let text = |name: &str| made[name].as_str().unwrap_or_default();
    let nouns = if made["payment_method_id"].is_string() { "payment-instances" } else { "payment-methods" };
    let mut pause = PAUSE;
    loop {
        if let Some(id) = made["transaction"]["id"].as_str() {
            let transaction = client.get(&format!("transactions/{id}")).await?;
            if transaction["state"] == "awaiting_input" || transaction["unclear"] == true {
                return watch(client, id).await;
            }
        }
        let record = client.get(&format!("{nouns}/{}", text("id"))).await?;
        match record["state"].as_str().unwrap_or_default() {
            "registering" => {}
            "failed" => {
                let reason = record["reason"].as_str().unwrap_or("its provider gave no reason");
                return Err(Error::Job(format!("its provider did not take `{}`: {reason}", text("name"))));
            }
            _ => return Ok(record),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Commands of `payment-method` beside those of every noun.
#[derive(clap::Subcommand, Debug)]
pub enum MethodMore {
    /// The payment providers of your scripts, and what their forms ask for
    Providers,
}

/// Lists the payment providers.
///
/// # Errors
/// Those of the request.
pub async fn providers(session: &Session) -> Result<(), Error> {
    const COLUMNS: &[Column] = &[
        Column { title: "SCRIPT", at: "script_id" },
        Column { title: "PROVIDER", at: "reference" },
        Column { title: "NAME", at: "name" },
        Column { title: "DESCRIPTION", at: "description" },
    ];
    let answer = session.client.get("payment-providers").await?;
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    session.format.list(COLUMNS, items)
}
