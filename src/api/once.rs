//! Requests with an idempotency key that are done at once: the same caller, key and request get the same answer, also
//! after a restart. (Jobs remember their own keys.)
//!
//! A receipt is committed before the work and completed after it. If the program dies in between, the feed tells by the
//! first request's id whether the work had its effect: if not, the repeat does it; if so, the repeat is told what came
//! to be rather than doing it twice.

use super::{Api, common::Answer, problem::Problem};
use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use std::{future::Future, time::Duration};
use sutler_actors::{Caller, Error, Idempotency};
use sutler_model::{Cause, Noun, Receipt, Reply, Timestamp};
use sutler_store::{ChangeSet, Error as StoreError, Op, Store};
use uuid::Uuid;

/// How long a key is remembered, milliseconds: a day outlives every sensible retry.
const KEEP_MS: i64 = 24 * 3_600_000;
/// How often old receipts are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Longest body remembered; every record is far smaller.
const BODY_MAX: usize = 256 * 1024;
/// How many feed entries are read at once when looking for an effect.
const FEED_BATCH: usize = 256;

/// Does `work`, or repeats the answer it gave before under the same key.
///
/// # Errors
/// Those of `work`; a key that was used with another request.
pub async fn once(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    work: impl Future<Output = Answer> + Send,
) -> Answer {
    keyed(api, caller, key, true, work).await
}

/// Like [`once`], for answers that hold a secret: they are not kept, so a repeat is told that it is one.
///
/// # Errors
/// Those of `work`; a key that was used before.
pub async fn once_with_secret(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    work: impl Future<Output = Answer> + Send,
) -> Answer {
    keyed(api, caller, key, false, work).await
}

async fn keyed(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    keep_body: bool,
    work: impl Future<Output = Answer> + Send,
) -> Answer {
    let (Some(key), Some(user_id), Cause::Request { request_id, .. }) = (key, caller.user_id, &caller.cause) else {
        return work.await;
    };
    let store = api.store();
    let id = Uuid::new_v5(&user_id.0, key.key.as_bytes());
    // Before anything is read: who finds an unfinished receipt from here on knows that nobody is at work on it.
    let working = api.working.enter(id);
    let mut receipt = Receipt {
        id: id.into(),
        version: 0,
        user_id,
        request_hash: key.request_hash,
        request_id: request_id.clone(),
        began_at_seq: *store.watch().borrow(),
        reply: None,
        created_at: store.now(),
    };
    let earlier = store.get::<Receipt>(id).await?;
    let Some(_working) = working else {
        return match earlier {
            Some(earlier) if earlier.request_hash != receipt.request_hash => Err(Error::KeyReused.into()),
            _ => Err(at_work()),
        };
    };
    if let Some(earlier) = earlier {
        if !expired(&earlier, store.now())
            && let Some(answer) = repeat(api, &earlier, &receipt).await?
        {
            return Ok(answer);
        }
        commit(store, |set| {
            set.update(&earlier, &mut receipt);
        })
        .await?;
    } else {
        commit(store, |set| {
            set.create(&mut receipt);
        })
        .await?;
    }
    let answer = work.await;
    finish(store, receipt, keep_body, answer).await
}

/// The answer to a repeat of `earlier`; none when the first had no effect and the work is to be done now.
async fn repeat(api: &Api, earlier: &Receipt, now: &Receipt) -> Result<Option<Response>, Problem> {
    if earlier.request_hash != now.request_hash {
        return Err(Error::KeyReused.into());
    }
    if let Some(reply) = &earlier.reply {
        return replay(reply).map(Some);
    }
    match effect(api.store(), earlier).await? {
        None => Ok(None),
        Some((noun, id)) => Err(Problem::conflict(
            "already_done",
            format!("The first request with this Idempotency-Key was cut off after it had made the {noun} `{id}`."),
        )),
    }
}

/// What the first request committed, if anything, besides its receipt.
async fn effect(store: &Store, earlier: &Receipt) -> Result<Option<(Noun, Uuid)>, Problem> {
    let (store, began) = (store.clone(), earlier.began_at_seq);
    let (first, user) = (earlier.request_id.clone(), earlier.user_id);
    let search = move || {
        let mut from = began + 1;
        loop {
            let entries = store.feed(from, FEED_BATCH)?;
            let Some(last) = entries.last() else { return Ok::<_, StoreError>(None) };
            from = last.seq + 1;
            for entry in &entries {
                let cause = Cause::Request { request_id: first.clone(), user_id: Some(user) };
                let ours = entry.cause == cause;
                let aside = |noun| matches!(noun, Noun::Receipt | Noun::ScriptRun | Noun::Notice);
                let made = entry.changes.iter().find(|c| !aside(c.noun) && c.op == Op::Created);
                if let (true, Some(change)) = (ours, made) {
                    return Ok(Some((change.noun, change.id)));
                }
            }
        }
    };
    tokio::task::spawn_blocking(search).await.map_err(|e| Problem::internal(&e))?.map_err(Problem::from)
}

/// Remembers a success; a refusal changed nothing, so its receipt goes and the request may be mended and sent again.
async fn finish(store: &Store, receipt: Receipt, keep_body: bool, answer: Answer) -> Answer {
    let response = match answer {
        Ok(response) => response,
        Err(problem) => {
            forget(store, &receipt).await;
            return Err(problem);
        }
    };
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, BODY_MAX).await.map_err(|e| Problem::internal(&e))?;
    let header = |name: HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = if keep_body { String::from_utf8(bytes.to_vec()).ok() } else { None };
    let reply =
        Reply { status: parts.status.as_u16(), location: header(header::LOCATION), etag: header(header::ETAG), body };
    let mut done = Receipt { reply: Some(reply), ..receipt.clone() };
    commit(store, |set| {
        set.update(&receipt, &mut done);
    })
    .await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn replay(reply: &Reply) -> Answer {
    let Some(body) = &reply.body else {
        let place = reply.location.as_deref().unwrap_or("its list");
        return Err(Problem::conflict(
            "already_done",
            format!("This was done before, see {place}. Its secret is shown once only: delete it and make another."),
        ));
    };
    let mut response = super::reply::json(body.clone().into_bytes());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let headers = [(header::LOCATION, &reply.location), (header::ETAG, &reply.etag)];
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?.parse().ok()?)));
    response.headers_mut().extend(headers);
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

async fn commit(store: &Store, change: impl FnOnce(&mut ChangeSet)) -> Result<(), Problem> {
    let mut set = ChangeSet::new(Cause::system("idempotency"));
    change(&mut set);
    match store.commit(set).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict { .. }) => Err(at_work()),
        Err(error) => Err(error.into()),
    }
}

fn at_work() -> Problem {
    Problem::conflict("in_progress", "The first request with this Idempotency-Key is still at work.")
}

async fn forget(store: &Store, receipt: &Receipt) {
    if let Err(problem) = commit(store, |set| {
        set.delete(receipt);
    })
    .await
    {
        tracing::warn!(detail = problem.detail, "an idempotency receipt could not be removed");
    }
}

fn expired(receipt: &Receipt, now: Timestamp) -> bool {
    now.since_ms(receipt.created_at) > KEEP_MS
}

/// Removes old receipts, for as long as the program runs.
pub async fn sweep(store: Store) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        for id in store.index().all(Noun::Receipt) {
            match store.get::<Receipt>(id).await {
                Ok(Some(receipt)) if expired(&receipt, store.now()) => forget(&store, &receipt).await,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "reading an idempotency receipt"),
            }
        }
    }
}

/// The keyed requests at work in this process: what tells an unfinished receipt from an abandoned one.
#[derive(Default)]
pub struct Working(std::sync::Mutex<std::collections::HashSet<Uuid>>);

/// One of them; leaves when dropped, also by a panic or a caller that hung up.
pub struct Entered<'a>(&'a Working, Uuid);

impl Working {
    /// None when one with this id is at work already.
    fn enter(&self, id: Uuid) -> Option<Entered<'_>> {
        let new = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id);
        new.then(|| Entered(self, id))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.1);
    }
}
