//! A bank for payment providers to ask.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

/// What a bank does with a request once it has noted it.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Mood {
    /// Books it and says so.
    #[default]
    Well,
    /// Never answers.
    Silent,
    /// The same when asked for the first time under a key that begins with [`HOLD`]; books all else.
    Hesitant,
    /// Says that something went wrong, and not whether it was booked.
    Broken,
}

/// How the keys begin that a hesitant bank does not answer at first.
pub const HOLD: &str = "hold-";

/// A bank that books each key once, as real ones do, and remembers who asked what how often.
#[derive(Clone, Default)]
pub struct Bank {
    /// What was asked for under a key, each time.
    asked: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
    mood: Arc<Mutex<Mood>>,
    /// Where it is.
    base: String,
}

impl Bank {
    /// Opens it.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bank = Self { base: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let router = Router::new().route("/", post(Self::book)).with_state(bank.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bank
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    async fn book(State(bank): State<Self>, headers: HeaderMap, Json(order): Json<Value>) -> StatusCode {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let first = key.starts_with(HOLD) && !bank.asked.lock().unwrap().contains_key(&key);
        bank.asked.lock().unwrap().entry(key).or_default().push(order);
        let mood = *bank.mood.lock().unwrap();
        match mood {
            Mood::Hesitant if first => std::future::pending().await,
            Mood::Silent => std::future::pending().await,
            Mood::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Mood::Well | Mood::Hesitant => {
                // Slow enough that some are always on their way.
                tokio::time::sleep(Duration::from_millis(10)).await;
                StatusCode::OK
            }
        }
    }

    /// Makes it behave otherwise from now on.
    pub fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// What it was asked, by key.
    pub fn asked(&self) -> BTreeMap<String, Vec<Value>> {
        self.asked.lock().unwrap().clone()
    }

    /// Takes each key as asked for once.
    pub fn forget_repeats(&self) {
        self.asked.lock().unwrap().values_mut().for_each(|orders| orders.truncate(1));
    }
}
