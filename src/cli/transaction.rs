//! Waiting for payment providers, and telling which there are.

use super::{
    client::Client,
    error::Error,
    output::{Column, note},
    session::Session,
};
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
            "success" => return Ok(transaction),
            "awaiting_input" => {
                note(&next(&transaction));
                return Ok(transaction);
            }
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

/// What somebody is to do for a transaction that waits for its customer.
fn next(transaction: &Value) -> String {
    let place = [&transaction["interactive_url"], &transaction["redirect_url"]].into_iter().find_map(Value::as_str);
    let there = place.map_or_else(String::new, |url| format!(" at {url}"));
    format!(
        "its customer has to do something at the provider's first{there}; when that is done, go on with `sutler transaction \
         resume {}`",
        transaction["id"].as_str().unwrap_or_default()
    )
}

/// Waits until a payment method's provider has taken or refused its new values, and answers the method as it is then.
///
/// # Errors
/// [`Error::Job`] for values that its provider did not take: the old ones hold; those of the requests.
pub async fn taken(client: &Client, changed: &Value) -> Result<Value, Error> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = watch(client, &text(&changed["transaction"]["id"])).await;
    told.map_err(|error| match error {
        Error::Job(why) => Error::Job(format!("`{}` keeps its old values: {why}", text(&changed["name"]))),
        other => other,
    })?;
    client.get(&format!("payment-methods/{}", text(&changed["id"]))).await
}

/// Waits until the provider of a new payment method or instance has taken or refused it, and answers it as it is then; where
/// its customer is to be asked something first, the transaction that says where.
///
/// # Errors
/// [`Error::Job`] for one that its provider did not take; those of the requests.
pub async fn set_up(client: &Client, made: &Value) -> Result<Value, Error> {
    let text = |name: &str| made[name].as_str().unwrap_or_default();
    let nouns = if made["payment_method_id"].is_string() { "payment-instances" } else { "payment-methods" };
    // One that is unclear, or waits for its customer, leaves the record as it is.
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
