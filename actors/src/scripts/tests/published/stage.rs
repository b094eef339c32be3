//! What the published scripts play on: a running system, and an HTTP service that keeps what it is asked.

use super::super::*;
use crate::{BillingEntityPatch, CustomerPatch};
use std::sync::{Arc, Mutex};
use sutler_lua::Egress;
use sutler_model::{KeyKind, ResourceKey, Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request that reached the service.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `POST /accounts`.
    pub line: String,
    head: String,
    pub body: String,
}

impl Asked {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{}: {e}: {}", self.line, self.body))
    }
}

/// Answers with a status and a body.
type Answers = Arc<dyn Fn(&Asked) -> (u16, String) + Send + Sync>;

/// A system and a service outside.
pub(super) struct Stage {
    pub bench: Bench,
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// With a service that takes everything.
    pub async fn open() -> Self {
        Self::with(|_| (204, String::new()), Settings::default()).await
    }

    /// With the service's answers.
    pub async fn answering(answers: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::with(answers, Settings::default()).await
    }

    pub async fn with(answers: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static, settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answers): (_, Answers) = (asked.clone(), Arc::new(answers));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, kept.clone(), answers.clone()));
            }
        });
        let egress = Egress { exceptions: vec!["127.0.0.0/8".parse().unwrap()], ..settings.egress };
        let settings = Settings { node_poll_ms: 50, retry_base_ms: 1, run_tries_max: 2, egress, ..settings };
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::start_with(folder.path(), settings).await;
        Self { bench, url, asked, _folder: folder }
    }

    /// What reached the service so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Sets the keys of the seller.
    pub async fn seller_keys(&self, keys: &[(&str, &str)]) {
        let patch = BillingEntityPatch { keys: Some(resource_keys(keys)), ..BillingEntityPatch::default() };
        let seller = self.bench.caller.billing_entity_id;
        self.bench.system.update_billing_entity(&self.bench.caller, seller, None, patch).await.unwrap();
    }

    /// Sets the keys of the bench's customer.
    pub async fn customer_keys(&self, keys: &[(&str, &str)]) {
        self.keys_of(self.bench.customer, keys).await;
    }

    pub async fn keys_of(&self, customer: CustomerId, keys: &[(&str, &str)]) {
        let patch = CustomerPatch { keys: Some(resource_keys(keys)), ..CustomerPatch::default() };
        self.bench.system.update_customer(&self.bench.caller, customer, None, patch).await.unwrap();
    }

    pub async fn customer(&self, id: CustomerId) -> Customer {
        self.bench.system.store().get(id).await.unwrap().expect("the customer")
    }

    /// Loads a script of the provider's as its author wrote it.
    pub async fn load(&self, name: &str, source: &str) -> Script {
        self.bench.script(name, Scope::Provider, source.to_owned()).await
    }

    /// Waits for `count` runs of a function that did something, and answers their logs; fails when one of its runs fails.
    pub async fn logs(&self, function: &str, count: usize) -> Vec<String> {
        let mut last = Vec::new();
        self.bench
            .until(async || {
                let runs = self.bench.runs().await.into_iter().filter(|run| run.function == function);
                last = runs.collect::<Vec<_>>();
                assert!(last.iter().all(|run| run.state != RunState::Dead), "{last:#?}");
                last.iter().filter(|run| did(run)).count() >= count
            })
            .await;
        last.iter().filter(|run| did(run)).map(|run| written(&run.log)).collect()
    }

    /// Runs a scheduled function as if it were that time, and answers its log.
    pub async fn run(&self, script: &Script, at: Timestamp) -> String {
        let run = self.bench.system.run_script(&self.bench.caller, script.id, None, Some(at)).await.unwrap();
        self.bench
            .until(async || {
                let found: Option<ScriptRun> = self.bench.system.store().get(run.id).await.unwrap();
                found.is_some_and(|run| run.finished_at.is_some())
            })
            .await;
        let run: ScriptRun = self.bench.system.store().get(run.id).await.unwrap().unwrap();
        assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
        written(&run.log)
    }

    /// A server that is there.
    pub async fn server(&self, name: &str, start: bool) -> Server {
        let job = self.bench.create(name, start).await;
        self.bench.ended(job.id).await;
        self.bench.server(name).await.expect("the server")
    }
}

/// What a script itself wrote into its log, without the notes of its requests.
fn written(log: &str) -> String {
    let own = |line: &&str| !(line.contains(" B sent, ") && line.contains(" http"));
    log.lines().filter(own).map(|line| format!("{line}\n")).collect()
}

/// Whether a run came to an end and had something to do.
fn did(run: &ScriptRun) -> bool {
    run.finished_at.is_some() && !run.result.contains("CONTINUE")
}

pub(super) fn resource_keys(keys: &[(&str, &str)]) -> Vec<ResourceKey> {
    let key = |(name, value): &(&str, &str)| ResourceKey {
        name: (*name).into(),
        value: (*value).into(),
        kind: KeyKind::BillingEntity,
        ..ResourceKey::default()
    };
    keys.iter().map(key).collect()
}

async fn serve(mut socket: TcpStream, kept: Arc<Mutex<Vec<Asked>>>, answers: Answers) {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = socket.read(&mut piece).await {
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        let asked = Asked { line, head: head.to_owned(), body: body.to_owned() };
        if body.len() < asked.header("content-length").parse().unwrap_or(0) {
            continue;
        }
        let (status, answer) = answers(&asked);
        kept.lock().unwrap().push(asked);
        let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", answer.len()) };
        let text = format!("HTTP/1.1 {status} As Asked\r\n{length}\r\n{answer}");
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        bytes.clear();
    }
}
