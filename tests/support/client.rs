//! A client of the API that shows status, headers and JSON.

use super::eventually;
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use std::sync::OnceLock;

/// Speaks for one user, or for nobody.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    /// The credential.
    pub token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as JSON; null when it is none.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Reply {
    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Demands a status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Demands a problem with this status and type, in its proper form.
    #[track_caller]
    pub fn problem(self, status: u16, kind: &str) -> Self {
        assert_eq!((self.status, self.body["type"].as_str()), (status, Some(kind)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        for text in ["title", "detail"] {
            let said = self.body[text].as_str().unwrap_or_else(|| panic!("no {text}: {}", self.text));
            assert_eq!(
                machine_words(said, &self.fields()),
                Vec::<String>::new(),
                "people read the {text}: {}",
                self.text
            );
        }
        self
    }

    /// The fields that a problem names.
    pub fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|e| e["field"].as_str()).collect()
    }

    /// The record's id.
    #[track_caller]
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id: {}", self.text)).to_owned()
    }

    /// The items of a list.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.body["items"].as_array().unwrap_or_else(|| panic!("no list: {}", self.text))
    }
}

/// The words of a text that only a program reads, such as `not_started`: those with an underscore that are neither quoted nor a
/// field's name, nor in the list at its end of what may be given.
fn machine_words(text: &str, fields: &[&str]) -> Vec<String> {
    let said = ["there are: ", "; give "].into_iter().fold(text, |said, list| said.split(list).next().unwrap_or(said));
    let unquoted: String = said.split('`').step_by(2).collect();
    let end = |c: char| !(c.is_alphanumeric() || c == '_' || c == '.');
    let words = unquoted.split(end).map(|word| word.trim_matches('.'));
    words.filter(|word| word.contains('_') && !fields.contains(word)).map(str::to_owned).collect()
}

impl Client {
    /// A client without a credential.
    pub fn new(base: &str) -> Self {
        static HTTP: OnceLock<()> = OnceLock::new();
        HTTP.get_or_init(|| {
            // Another test may have been first.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, base: base.to_owned(), token: None }
    }

    /// The same client with another credential.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Signs in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Self {
        let reply = self.post("/sessions", json!({ "email": email, "password": password })).await.expect(201);
        self.with_token(reply.body["token"].as_str().expect("a token"))
    }

    /// A request to be sent; paths are relative to `/api/v1` unless they name a place outside it.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let outside = ["/healthz", "/metrics", "/panic", "/api/", "/rest/"].iter().any(|p| path.starts_with(p));
        let prefix = if outside { "" } else { "/api/v1" };
        let request = self.http.request(method, format!("{}{prefix}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status, headers, body, text }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// POST with an idempotency key.
    pub async fn post_keyed(&self, path: &str, key: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).header("idempotency-key", key).json(&body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Waits for a job's end.
    pub async fn finished(&self, job: &str) -> Value {
        eventually("the job ends", async || {
            let reply = self.get(&format!("/jobs/{job}")).await.expect(200);
            (reply.body["finished"] == true).then_some(reply.body)
        })
        .await
    }

    /// Waits until a server is in a state.
    pub async fn server_in(&self, server: &str, state: &str) -> Value {
        eventually(state, async || {
            let reply = self.get(&format!("/servers/{server}")).await.expect(200);
            (reply.body["state"] == state).then_some(reply.body)
        })
        .await
    }
}
