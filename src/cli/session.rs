//! A command at work: the client, the shape of output, and names turned into ids.

use super::{
    client::{Answer, Client, Query},
    error::Error,
    job, noun,
    nouns::{self, Noun},
    output::{Format, cell, note},
    transaction,
};
use reqwest::{Method, RequestBuilder, header};
use serde_json::Value;

/// What a command works with.
pub struct Session {
    /// The server.
    pub client: Client,
    /// The shape of what is printed.
    pub format: Format,
}

/// How a write goes.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Come back once the job is accepted rather than once it has ended.
    pub no_wait: bool,
    /// The job is to end by being cancelled, rather than by success.
    pub cancels: bool,
    /// The caller's own key; otherwise a random one.
    pub idempotency_key: Option<String>,
}

impl Session {
    /// The id of the `noun` that people call `text`: an id, or a name that exactly one has.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Usage`] when the name fits several, which it lists.
    pub async fn id(&self, noun: &Noun, text: &str) -> Result<String, Error> {
        if uuid::Uuid::try_parse(text).is_ok() {
            return Ok(text.to_owned());
        }
        let word = noun.name.replace('-', " ");
        let Some(field) = noun.named_by else {
            return Err(Error::Usage(format!(
                "`{text}` is not the id of {}; `sutler {} list` shows ids",
                noun::a(&word),
                noun.name
            )));
        };
        let filtered = noun.filters.iter().any(|f| f.at == field);
        let query = if filtered { vec![(field.to_owned(), text.to_owned())] } else { Query::new() };
        let (found, _) = self.client.list(noun.path, &query, usize::MAX).await?;
        match &called(&found, field, text)[..] {
            [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
            [] => Err(Error::NotFound(format!("there is no {word} `{text}`"))),
            several => {
                let candidates = several.iter().map(|r| {
                    let whose = if r["customer_id"].is_string() { &r["customer_id"] } else { &r["billing_entity_id"] };
                    format!("\n  {}  {}  (of {})", cell(&r["id"]), cell(&r[field]), cell(whose))
                });
                let candidates: String = candidates.collect();
                Err(Error::Usage(format!("several are called `{text}`; use the id of one:{candidates}")))
            }
        }
    }

    /// As [`Session::id`], for the noun with this word.
    ///
    /// # Errors
    /// As [`Session::id`].
    pub async fn id_of(&self, noun: &str, text: &str) -> Result<String, Error> {
        match nouns::find(noun) {
            Some(noun) => self.id(noun, text).await,
            None => unreachable!("the table refers to `{noun}`, which is not in it"),
        }
    }

    /// Sends a write and prints what came of it: the record, or with a job what it made once that has ended.
    ///
    /// # Errors
    /// Those of the request; [`Error::Job`].
    pub async fn write(&self, request: RequestBuilder, done: &str, write: &Write) -> Result<(), Error> {
        let answer = self.post(request, write).await?;
        // What is to begin later is not waited for.
        if answer.status == 202 && !write.no_wait && answer.body["scheduled"] != true {
            let id = answer.body["id"].as_str().unwrap_or_default();
            if answer.body["function"].is_string() {
                return self.format.record(&transaction::watch(&self.client, id).await?);
            }
            if write.cancels {
                return self.format.record(&job::watch(&self.client, id, "cancelled").await?);
            }
            let job = job::watch(&self.client, id, "successful").await?;
            return self.format.record(&self.item(&job).await?);
        }
        if answer.body.is_null() {
            note(done);
            return Ok(());
        }
        if answer.body["state"] == "registering" && !write.no_wait {
            return self.format.record(&transaction::set_up(&self.client, &answer.body).await?);
        }
        if answer.body["transaction"]["id"].is_string() && answer.status == 200 && !write.no_wait {
            return self.format.record(&transaction::taken(&self.client, &answer.body).await?);
        }
        self.format.record(&answer.body)
    }

    /// Sends a write with its idempotency key.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn post(&self, request: RequestBuilder, write: &Write) -> Result<Answer, Error> {
        let key = write.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        self.client.send(request.header("idempotency-key", key)).await
    }

    /// The record that a finished job worked on; the job itself when that record is gone.
    async fn item(&self, job: &Value) -> Result<Value, Error> {
        let noun = job["item_noun"].as_str().map(|word| word.replace('_', "-")).and_then(|word| nouns::find(&word));
        let Some((noun, id)) = noun.zip(job["item_id"].as_str()) else { return Ok(job.clone()) };
        match self.client.get(&format!("{}/{id}", noun.path)).await {
            Err(Error::Problem(problem)) if problem.status == 404 => Ok(job.clone()),
            other => other,
        }
    }

    /// A change of one record that holds only if nobody else changed it since `version`.
    pub fn patch(&self, path: &str, version: &Value, body: &Value) -> RequestBuilder {
        let request = self.client.request(Method::PATCH, path, &Query::new());
        request.header(header::IF_MATCH, format!("\"{version}\"")).json(body)
    }
}

/// Those of `found` called `text`: exactly, or else but for capitals, as the API compares names.
fn called<'r>(found: &'r [Value], field: &str, text: &str) -> Vec<&'r Value> {
    let name = |r: &'r Value| r[field].as_str().unwrap_or_default();
    let exactly: Vec<&Value> = found.iter().filter(|r| name(r) == text).collect();
    if !exactly.is_empty() {
        return exactly;
    }
    let folded = text.to_lowercase();
    found.iter().filter(|r| name(r).to_lowercase() == folded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_exact_name_goes_before_one_that_differs_in_capitals() {
        let found =
            [json!({"id": 1, "name": "Web"}), json!({"id": 2, "name": "web"}), json!({"id": 3, "name": "web2"})];
        let ids = |text: &str| called(&found, "name", text).iter().map(|r| r["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids("web"), [json!(2)]);
        assert_eq!(ids("WEB"), [json!(1), json!(2)]);
        assert_eq!(ids("we"), Vec::<Value>::new());
    }
}
