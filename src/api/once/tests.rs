//! Requests that were cut off after their effect, by a crash or because their caller hung up, and their repeats.

use super::*;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use sutler_model::{ApiKey, BillingEntityId, Role, Scope, UserId};
use sutler_store::Options;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Goes on with each look.
fn clock() -> Timestamp {
    static NOW: AtomicI64 = AtomicI64::new(1_800_000_000_000);
    Timestamp(NOW.fetch_add(1, Ordering::Relaxed))
}

struct Bench {
    store: Store,
    working: Working,
    requests: AtomicU32,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store.redb"), Options { clock, ..Options::default() }).unwrap();
        Self { store, working: Working::default(), requests: AtomicU32::new(0), _folder: folder }
    }

    /// Another request of the same user.
    fn caller(&self) -> Caller {
        let user_id = UserId(Uuid::from_u128(7));
        let request_id = format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed));
        Caller {
            user_id: Some(user_id),
            scope: Scope::Provider,
            role: Role::ProviderAdmin,
            permissions: Vec::new(),
            billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
            customer_id: None,
            cause: Cause::Request { request_id, user_id: Some(user_id) },
            request: None,
        }
    }

    /// Asks under one key for `work`, given what it changes things as.
    async fn ask<F: Future<Output = Answer> + Send>(&self, work: impl FnOnce(Cause) -> F) -> Answer {
        let caller = self.caller();
        let work = work(caller.cause.clone());
        self.ask_as(caller, |_| work).await
    }

    /// The same, given what the request is known by.
    async fn ask_as<F: Future<Output = Answer> + Send>(
        &self,
        caller: Caller,
        work: impl FnOnce(Option<KeyedRequest>) -> F + Send,
    ) -> Answer {
        let key = Idempotency { key: "key-1".into(), request_hash: "same".into() };
        let again = (Noun::ApiKey, async |id| {
            let found = self.store.get::<ApiKey>(id).await?;
            show(&found.ok_or_else(|| Problem::not_found(Noun::ApiKey, id))?)
        });
        let desk = Desk { store: &self.store, working: &self.working };
        keyed(desk, &caller, Some(key), true, Some(again), work).await
    }

    /// Asks for `change`, whose caller hangs up when it is done and not yet answered.
    async fn cut_off(&self, change: impl FnOnce(&mut ChangeSet) + Send) {
        let (tell, told) = oneshot::channel();
        let work = async |cause| {
            let mut set = ChangeSet::new(cause);
            change(&mut set);
            self.store.commit(set).await.unwrap();
            tell.send(()).unwrap();
            std::future::pending().await
        };
        tokio::select! {
            answer = self.ask(work) => panic!("{answer:?}"),
            done = told => done.unwrap(),
        }
    }
}

fn record() -> ApiKey {
    ApiKey {
        id: Uuid::from_u128(9).into(),
        version: 0,
        name: "robot".into(),
        user_id: Uuid::from_u128(7).into(),
        billing_entity_id: Uuid::from_u128(1).into(),
        customer_id: None,
        secret_hash: String::new(),
        scopes: Vec::new(),
        expires_at: None,
        created_at: Timestamp(1),
    }
}

fn show(key: &ApiKey) -> Answer {
    crate::api::reply::created("/here", key.version, &key.name)
}

async fn never(_: Cause) -> Answer {
    panic!("it is not done twice")
}

/// Status, body and whether it says that it is a repeat.
async fn read(answer: Answer) -> (u16, String, bool) {
    let answer = answer.unwrap();
    let (status, marked) = (answer.status().as_u16(), answer.headers().contains_key("idempotent-replayed"));
    let body = to_bytes(answer.into_body(), BODY_MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), marked)
}

#[tokio::test]
async fn a_repeat_is_answered_by_the_record_that_the_first_request_made() {
    let bench = Bench::new();
    let mut made = record();
    bench.cut_off(|set| _ = set.create(&mut made)).await;
    let mut renamed = ApiKey { name: "renamed".into(), ..made.clone() };
    let mut set = ChangeSet::new(Cause::system("test"));
    set.update(&made, &mut renamed);
    bench.store.commit(set).await.unwrap();
    assert_eq!(read(bench.ask(never).await).await, (201, "\"renamed\"".into(), true), "as it is now");
    let mut set = ChangeSet::new(Cause::system("test"));
    set.delete(&renamed);
    bench.store.commit(set).await.unwrap();
    assert_eq!(read(bench.ask(never).await).await, (201, "\"renamed\"".into(), true), "the answer was kept");
    bench.store.close().await;
}

#[tokio::test]
async fn a_step_that_the_first_request_took_is_not_taken_again() {
    let bench = Bench::new();
    let mut there = record();
    let mut set = ChangeSet::new(Cause::system("test"));
    set.create(&mut there);
    bench.store.commit(set).await.unwrap();
    let mut taken = ApiKey { name: "resumed".into(), ..there.clone() };
    bench.cut_off(|set| _ = set.update(&there, &mut taken)).await;
    assert_eq!(read(bench.ask(never).await).await, (201, "\"resumed\"".into(), true));
    bench.store.close().await;
}

#[tokio::test]
async fn what_has_gone_since_is_told_and_not_made_again() {
    let bench = Bench::new();
    let mut made = record();
    bench.cut_off(|set| _ = set.create(&mut made)).await;
    let mut set = ChangeSet::new(Cause::system("test"));
    set.delete(&made);
    bench.store.commit(set).await.unwrap();
    for _ in 0..2 {
        let told = bench.ask(never).await.unwrap_err();
        assert_eq!((told.status, told.kind), (409, "already_done"));
        assert!(told.detail.contains(&made.id.to_string()), "{}", told.detail);
    }
    bench.store.close().await;
}

#[tokio::test]
async fn what_was_cut_off_before_it_had_an_effect_is_done_by_the_repeat() {
    let bench = Bench::new();
    bench.cut_off(|_| {}).await;
    let work = async |cause| {
        let mut made = record();
        let mut set = ChangeSet::new(cause);
        set.create(&mut made);
        bench.store.commit(set).await?;
        show(&made)
    };
    assert_eq!(read(bench.ask(work).await).await, (201, "\"robot\"".into(), false));
    bench.store.close().await;
}

#[tokio::test]
async fn a_request_that_was_cut_off_is_known_as_the_same_by_its_repeats() {
    let bench = Bench::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..2 {
        let work = async |request| {
            tell.send(request).unwrap();
            std::future::pending().await
        };
        tokio::select! {
            answer = bench.ask_as(bench.caller(), work) => panic!("{answer:?}"),
            () = async { while told.is_empty() { tokio::task::yield_now().await } } => {}
        }
        let first = told.recv().await.unwrap();
        assert!(first.is_some());
        let work = async |request| {
            tell.send(request).unwrap();
            Err(already_done("it is refused".to_owned()))
        };
        bench.ask_as(bench.caller(), work).await.unwrap_err();
        assert_eq!(told.recv().await.unwrap(), first);
    }
    bench.store.close().await;
}
