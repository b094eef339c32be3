//! Requests with an idempotency key that are done at once: the same caller, key and request get the same answer, also
//! after a restart. (Jobs remember their own keys.)
//!
//! A receipt is committed before the work and completed after it. If the program dies in between, the feed tells by the
//! first request's id whether the work had its effect: if not, the repeat does it; if so, the repeat is answered by the
//! record that came to be, as it is now, rather than doing it twice.

use super::{Api, common::Answer, problem::Problem};
use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use std::{
    future::{Future, Ready},
    time::Duration,
};
use sutler_actors::{Caller, Error, Idempotency, KeyedRequest};
use sutler_model::{Cause, Noun, Receipt, Reply, Timestamp};
use sutler_store::{ChangeSet, Error as StoreError, FeedEntry, Op, Record, Store};
use uuid::Uuid;

/// How long a key is remembered, milliseconds: a day outlives every sensible retry.
const KEEP_MS: i64 = 24 * 3_600_000;
/// How often old receipts are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Longest body remembered; every record is far smaller.
const BODY_MAX: usize = 256 * 1024;

/// Does `work`, or repeats the answer it gave before under the same key. The work makes a record or takes one a step on, which
/// `show` makes the answer of: a repeat whose first request was cut off in between is answered by the record.
///
/// # Errors
/// Those of `work`; a key that was used with another request.
pub async fn once_for<R: Record, E: Into<Problem>>(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    work: impl Future<Output = Result<R, E>> + Send,
    show: impl Fn(R) -> Answer + Send + Sync,
) -> Answer {
    let show = &show;
    let again = move |id| async move { show(there::<R>(api, id).await?) };
    once_or(api, caller, key, (R::NOUN, again), async move { show(work.await.map_err(Into::into)?) }).await
}

/// Like [`once_for`]: a repeat whose first request was cut off after it had made a record of a noun, or taken one a step on, is
/// answered by `again` from that record's id.
///
/// # Errors
/// Those of `work`; a key that was used with another request.
pub async fn once_or<A: Future<Output = Answer> + Send>(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    again: (Noun, impl FnOnce(Uuid) -> A + Send),
    work: impl Future<Output = Answer> + Send,
) -> Answer {
    keyed(Desk::of(api), caller, key, true, Some(again), |_| work).await
}

/// Like [`once_for`], for work that a run of a script does: the caller it is given asks for the same run in every repeat. So a repeat
/// whose first request was cut off goes on with that run, which changes nothing twice.
///
/// # Errors
/// Those of `work`; a key that was used with another request.
pub async fn once_by_run<W: Future<Output = Answer> + Send>(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    work: impl FnOnce(Caller) -> W + Send,
) -> Answer {
    let work = |request| work(Caller { request, ..caller.clone() });
    keyed(Desk::of(api), caller, key, true, TOLD, work).await
}

/// A record that an earlier request made: who asked for it then may be told again.
///
/// # Errors
/// Not found, when it has gone since.
pub async fn there<R: Record>(api: &Api, id: Uuid) -> Result<R, Problem> {
    api.store().get::<R>(id).await?.ok_or_else(|| Problem::not_found(R::NOUN, id))
}

/// Creates a record of the collection at `place`, once for its key, and answers with it and where it is.
///
/// # Errors
/// Those of `work`; a key that was used with another request.
pub async fn create<R: Record, E: Into<Problem>, V: Serialize>(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    place: &str,
    work: impl Future<Output = Result<R, E>> + Send,
    view: impl Fn(R) -> V + Send + Sync,
) -> Answer {
    once_for(api, caller, key, work, |record: R| {
        let (place, version) = (format!("/api/v1/{place}/{}", record.id()), record.version());
        super::reply::created(&place, version, &view(record))
    })
    .await
}

/// Like [`once_for`], for answers that hold a secret: they are not kept, so a repeat is told that it is one.
///
/// # Errors
/// Those of `work`; a key that was used before.
pub async fn once_with_secret(
    api: &Api,
    caller: &Caller,
    key: Option<Idempotency>,
    work: impl Future<Output = Answer> + Send,
) -> Answer {
    keyed(Desk::of(api), caller, key, false, TOLD, |_| work).await
}

/// How a repeat is answered whose first request was cut off after it had its effect: which noun that was on, and what makes
/// the answer of the record's id.
type Again<F> = Option<(Noun, F)>;

/// It is told what there is, for want of an answer.
const TOLD: Again<fn(Uuid) -> Ready<Answer>> = None;

/// What telling repeats takes of the API.
#[derive(Clone, Copy)]
struct Desk<'a> {
    store: &'a Store,
    working: &'a Working,
}

impl<'a> Desk<'a> {
    fn of(api: &'a Api) -> Self {
        Self { store: api.store(), working: &api.working }
    }
}

async fn keyed<A: Future<Output = Answer> + Send, W: Future<Output = Answer> + Send>(
    Desk { store, working }: Desk<'_>,
    caller: &Caller,
    key: Option<Idempotency>,
    keep_body: bool,
    again: Again<impl FnOnce(Uuid) -> A + Send>,
    work: impl FnOnce(Option<KeyedRequest>) -> W + Send,
) -> Answer {
    let (Some(key), Some(user_id), Cause::Request { request_id, .. }) = (key, caller.user_id, &caller.cause) else {
        return work(None).await;
    };
    let id = Uuid::new_v5(&user_id.0, key.key.as_bytes());
    // Before anything is read: who finds an unfinished receipt from here on knows that nobody is at work on it.
    let entered = working.enter(id);
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
    let Some(_entered) = entered else {
        return match earlier {
            Some(earlier) if earlier.request_hash != receipt.request_hash => Err(Error::KeyReused.into()),
            _ => Err(at_work()),
        };
    };
    if let Some(earlier) = earlier {
        if !expired(&earlier, store.now()) {
            match repeat(store, &earlier, &receipt, again.as_ref().map(|(noun, _)| *noun)).await? {
                Repeat::Done(answer) => return Ok(answer),
                Repeat::CutOff(noun, id) => {
                    let told = already_done(format!(
                        "The first request with this Idempotency-Key was cut off after it had made the {noun} `{id}`."
                    ));
                    let Some((_, again)) = again else { return Err(told) };
                    // What has gone since has no answer, and is not made again.
                    let gone = |problem: Problem| if problem.status == 404 { told } else { problem };
                    let answer = again(id).await.map_err(gone)?;
                    let mut answer = finish(store, earlier, keep_body, Ok(answer)).await?;
                    mark(&mut answer);
                    return Ok(answer);
                }
                // What the first one did by a run is known by when it came.
                Repeat::NoEffect => receipt.created_at = earlier.created_at,
            }
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
    let answer = work(Some(KeyedRequest { id, since: receipt.created_at })).await;
    finish(store, receipt, keep_body, answer).await
}

/// What a repeat meets.
enum Repeat {
    /// The answer that the first one got.
    Done(Response),
    /// What the first one did before it was cut off.
    CutOff(Noun, Uuid),
    /// Nothing: the work is to be done now.
    NoEffect,
}

async fn repeat(store: &Store, earlier: &Receipt, now: &Receipt, noun: Option<Noun>) -> Result<Repeat, Problem> {
    if earlier.request_hash != now.request_hash {
        return Err(Error::KeyReused.into());
    }
    if let Some(reply) = &earlier.reply {
        return replay(reply).map(Repeat::Done);
    }
    Ok(match effect(store, earlier, noun).await? {
        None => Repeat::NoEffect,
        Some((noun, id)) => Repeat::CutOff(noun, id),
    })
}

/// What the first request committed, if anything, besides its receipt; of one noun, if that is given.
async fn effect(store: &Store, earlier: &Receipt, noun: Option<Noun>) -> Result<Option<(Noun, Uuid)>, Problem> {
    let cause = Cause::Request { request_id: earlier.request_id.clone(), user_id: Some(earlier.user_id) };
    let ours = move |entry: &FeedEntry| if entry.cause == cause { made(entry, noun) } else { None };
    Ok(store.search_feed(earlier.began_at_seq + 1, ours).await?)
}

/// What came to be by a change set; of the noun that is asked for also what it took a step on.
fn made(entry: &FeedEntry, noun: Option<Noun>) -> Option<(Noun, Uuid)> {
    let aside = |noun| matches!(noun, Noun::Receipt | Noun::ScriptRun | Noun::Notice);
    let fits = |changed: Noun| noun.map_or(!aside(changed), |noun| noun == changed);
    let by = |op| entry.changes.iter().find(|change| fits(change.noun) && change.op == op);
    let found = by(Op::Created).or_else(|| by(Op::Updated).filter(|_| noun.is_some()));
    found.map(|change| (change.noun, change.id))
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
        return Err(already_done(format!(
            "This was done before, see {place}. Its secret is shown once only: delete it and make another."
        )));
    };
    let mut response = super::reply::json(body.clone().into_bytes());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let headers = [(header::LOCATION, &reply.location), (header::ETAG, &reply.etag)];
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?.parse().ok()?)));
    response.headers_mut().extend(headers);
    mark(&mut response);
    Ok(response)
}

/// Says that an answer is a repeated one.
fn mark(response: &mut Response) {
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
}

fn already_done(detail: String) -> Problem {
    Problem::conflict("already_done", detail)
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

#[cfg(test)]
mod tests;
