//! The public API, as a client sees it.

use super::{
    error::{Error, Problem, chain},
    tls::{self, Trust},
};
use reqwest::{Method, RequestBuilder, Response, Url, header};
use rustls::ClientConfig;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for an answer: above the server's own deadline for PRE triggers.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest pause that is waited out when the server asks for one.
const PAUSE: Duration = Duration::from_secs(10);
/// How often a request that the server put off is sent again.
const TRIES: u32 = 5;
/// Records asked for at once: the most the API gives.
const PAGE: usize = 200;

/// Query parameters.
pub type Query = Vec<(String, String)>;

/// A connection to a server, as one user.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    tls: ClientConfig,
}

/// A successful answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status, 200–299.
    pub status: u16,
    /// The JSON body; null when there is none.
    pub body: Value,
}

impl Client {
    /// A client; connects when first used.
    ///
    /// # Errors
    /// As [`tls::config`].
    pub fn new(base: Url, token: Option<String>, trust: &Trust) -> Result<Self, Error> {
        let tls = tls::config(trust)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .connect_timeout(CONNECT)
            .user_agent(concat!("sutler/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::because("setting up HTTP", &e))?;
        Ok(Self { http, base, token, tls })
    }

    /// The server.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Who one is, to the server.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// TLS settings for connections that are not plain requests.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::new(self.tls.clone())
    }

    /// The address of `path` under the API.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/api/v1/{path}"));
        url
    }

    /// A request that can be added to before it is sent with [`Client::send`].
    pub fn request(&self, method: Method, path: &str, query: &Query) -> RequestBuilder {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url).timeout(ANSWER);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads its answer. Sends it again when the server asks to come back in a moment; requests that
    /// create something carry an idempotency key, so a repeat is safe.
    ///
    /// # Errors
    /// [`Error::Problem`], [`Error::Unreachable`].
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let response = self.open(request).await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(|e| self.unreachable(&e))?;
        if bytes.is_empty() {
            return Ok(Answer { status, body: Value::Null });
        }
        let body = serde_json::from_slice(&bytes).map_err(|_| {
            Error::Failed(format!("{} answered with something that is not JSON; is it a Sutler server?", self.base))
        })?;
        Ok(Answer { status, body })
    }

    /// Sends a request and hands out the answer once its head is there and it is a success.
    ///
    /// # Errors
    /// [`Error::Problem`], [`Error::Unreachable`].
    pub async fn open(&self, request: RequestBuilder) -> Result<Response, Error> {
        let mut tries = 1;
        loop {
            let again = request.try_clone().filter(|_| tries < TRIES);
            let attempt = match again {
                Some(copy) => copy.send().await,
                None => return self.checked(request.send().await.map_err(|e| self.unreachable(&e))?).await,
            };
            let response = attempt.map_err(|e| self.unreachable(&e))?;
            match pause(&response) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return self.checked(response).await,
            }
            tries += 1;
        }
    }

    async fn checked(&self, response: Response) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let id = response.headers().get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = response.bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Err(Error::Problem(Problem::read(status.as_u16(), &body, &id).into()))
    }

    /// Sends a request whose answer is no JSON but bytes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn bytes(&self, request: RequestBuilder) -> Result<Vec<u8>, Error> {
        let bytes = self.open(request).await?.bytes().await.map_err(|e| self.unreachable(&e))?;
        Ok(bytes.to_vec())
    }

    /// What `path` holds.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        Ok(self.send(self.request(Method::GET, path, &Query::new())).await?.body)
    }

    /// The records at `path`, page by page, at most `limit`. The flag says that there are more.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn list(&self, path: &str, query: &Query, limit: usize) -> Result<(Vec<Value>, bool), Error> {
        let mut records = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut asked = query.clone();
            asked.push(("limit".to_owned(), PAGE.min(limit - records.len()).max(1).to_string()));
            asked.extend(cursor.take().map(|c| ("cursor".to_owned(), c)));
            let mut page = self.send(self.request(Method::GET, path, &asked)).await?.body;
            if let Value::Array(items) = page["items"].take() {
                records.extend(items);
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() || records.len() >= limit {
                records.truncate(limit);
                return Ok((records, cursor.is_some()));
            }
        }
    }

    /// Why there is no answer, and what to do about it.
    pub fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        // The outer layers of HTTP clients only say that there was a request.
        let why = chain(error);
        let why = why.rsplit_once("client error (Connect): ").map_or(why.as_str(), |(_, cause)| cause);
        let server = self.base.as_str().trim_end_matches('/');
        // rustls' words for every certificate that it does not accept.
        let way_out = if why.contains("invalid peer certificate") {
            format!(
                "\nthe server's certificate is not signed by a known authority: compare and pin it with `sutler login \
                 --url {server}`, or name its authority with --ca-file"
            )
        } else if why.contains("InvalidContentType") {
            "\nthe server does not speak TLS there: use http://".to_owned()
        } else if why.contains("refused") {
            "\nis the server running? Start one with `sutler serve`, or name another with --url".to_owned()
        } else {
            String::new()
        };
        Error::Unreachable(format!("cannot reach {server}: {why}{way_out}"))
    }
}

/// How long to wait before sending a request again; none when the answer stands.
fn pause(response: &Response) -> Option<Duration> {
    if !matches!(response.status().as_u16(), 429 | 503) {
        return None;
    }
    let asked = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)?;
    (asked <= PAUSE).then_some(asked)
}
