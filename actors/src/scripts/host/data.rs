//! What a script keeps: [`Datum`]s, each written with the run's mark, so that a repeated run repeats no write.

use super::{Platform, failed};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use sutler_lua::{Data, DataAction, HostError, LIST_BYTES, Who};
use sutler_model::{Cause, DataWrite, Datum, Script, ScriptId, Timestamp};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Order, PageRequest, Snapshot, Store};

/// Most values of a script.
const VALUES_MAX: usize = 10_000;
/// Most bytes of a script, keys and JSON texts.
const BYTES_MAX: usize = 16 << 20;
/// Writes remembered with a value. A run that fails is repeated within the hour; a value that more runs than this write
/// meanwhile counts a repeated write twice.
const DONE_MAX: usize = 64;
/// Tries against others who write the same value: each loses to one who got on, and a counter is what many write at once.
const TRIES: usize = 100;
/// Values deleted in one change set.
const BATCH: usize = 500;

/// What scripts have in use; read from the store when a script first writes.
#[derive(Default)]
pub(super) struct Usage(Mutex<HashMap<ScriptId, Used>>);

#[derive(Clone, Copy, Default)]
struct Used {
    values: usize,
    bytes: usize,
}

pub(super) async fn data(platform: &Platform, who: &Who, request: Data) -> Result<Value, HostError> {
    match &request.action {
        DataAction::List { prefix, after, limit } => {
            let (prefix, after, limit) = (prefix.clone(), after.clone(), *limit);
            let (script, space, now) = (request.script, request.space, platform.store.now());
            let wanted = move |datum: &Datum| {
                datum.space == space
                    && datum.key.starts_with(&prefix)
                    && after.as_ref().is_none_or(|after| datum.key > *after)
                    && datum.value_at(now).is_some()
            };
            let read = platform.store.read(move |snapshot| all(snapshot, script, usize::MAX, wanted));
            let mut found = read.await.map_err(failed)?;
            found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Ok(list(found, limit))
        }
        DataAction::Get { key } => {
            let id = Datum::id_of(request.script, request.space, key);
            let found = platform.store.get::<Datum>(id).await.map_err(failed)?;
            Ok(found.as_ref().and_then(|datum| value(datum, platform.store.now())).unwrap_or_default())
        }
        _ => write(platform, who, request).await,
    }
}

/// Pairs of key and value, and `true` if there are more.
fn list(found: Vec<Datum>, limit: usize) -> Value {
    let (mut items, mut bytes) = (Vec::new(), 0);
    for datum in found {
        bytes += datum.bytes();
        if items.len() == limit || (bytes > LIST_BYTES && !items.is_empty()) {
            items.push(Value::Bool(true));
            break;
        }
        items.push(json!([datum.key, parsed(datum.value.as_deref().unwrap_or("null"))]));
    }
    Value::Array(items)
}

fn value(datum: &Datum, now: Timestamp) -> Option<Value> {
    datum.value_at(now).map(parsed)
}

/// JSON that this module wrote.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

async fn write(platform: &Platform, who: &Who, request: Data) -> Result<Value, HostError> {
    let store = &platform.store;
    let key = request.action.key().to_owned();
    let id = Datum::id_of(request.script, request.space, &key);
    let script_id = request.script;
    for _ in 0..TRIES {
        let read = store.read(move |snapshot| Ok((snapshot.get::<Script>(script_id)?, snapshot.get::<Datum>(id)?)));
        let (script, old) = read.await.map_err(failed)?;
        let script = script.ok_or_else(|| HostError::Failed("the script is no longer there".to_owned()))?;
        let mine = |done: &&DataWrite| done.run_id == who.run_id && done.call_no == request.call_no;
        if let Some(done) = old.iter().flat_map(|old| &old.done).find(mine) {
            return Ok(parsed(&done.answer));
        }
        let now = store.now();
        let step = request.action.decide(old.as_ref().and_then(|old| value(old, now)))?;
        if !step.write {
            return Ok(step.answer);
        }
        let mut new = old.clone().unwrap_or_else(|| Datum {
            id,
            version: 0,
            script_id,
            space: request.space,
            key: key.clone(),
            value: None,
            expires_at: None,
            done: Vec::new(),
            updated_at: now,
        });
        if let Some(ttl_s) = step.ttl_s {
            new.expires_at = ttl_s.map(|s| now.plus_ms(i64::try_from(s.saturating_mul(1_000)).unwrap_or(i64::MAX)));
        }
        if old.as_ref().is_some_and(|old| old.value_at(now).is_none()) && step.ttl_s.is_none() {
            // What was there had ended; this is another.
            new.expires_at = None;
        }
        new.value = step.value.map(|value| value.to_string());
        new.updated_at = now;
        let forgotten = new.done.len().saturating_sub(DONE_MAX - 1);
        new.done.drain(..forgotten);
        new.done.push(DataWrite { run_id: who.run_id, call_no: request.call_no, answer: step.answer.to_string() });
        let (values, bytes) = (usize::from(old.is_none()), new.bytes());
        let before = old.as_ref().map_or(0, Datum::bytes);
        platform.usage.room(store, script_id, values, bytes.saturating_sub(before)).await?;
        let mut set = ChangeSet::new(Cause::run(who.run_id, who.depth.saturating_add(1)));
        match &old {
            Some(old) => set.update(old, &mut new),
            None => set.create(&mut new),
        };
        // So that nothing is kept for a script that was deleted a moment ago.
        set.require(&script);
        match store.commit(set).await {
            Ok(_) => {
                platform.usage.add(script_id, values, bytes, before);
                return Ok(step.answer);
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(HostError::Failed("others keep writing this value; try again".to_owned()))
}

/// The script's data that `wanted` picks, about `most` of them.
fn all(
    snapshot: &Snapshot,
    script: ScriptId,
    most: usize,
    wanted: impl Fn(&Datum) -> bool,
) -> Result<Vec<Datum>, StoreError> {
    let filter = Filter::<Datum>::new().is(Field::Script, script.0.as_bytes());
    let mut page = PageRequest { cursor: None, limit: most.min(1_000), order: Order::Ascending };
    let mut all = Vec::new();
    loop {
        let found = snapshot.page(&filter, &page)?;
        all.extend(found.items.into_iter().filter(|datum| wanted(datum)));
        match found.next {
            Some(next) if all.len() < most => page.cursor = Some(next),
            _ => return Ok(all),
        }
    }
}

impl Usage {
    fn get(&self, script: ScriptId) -> Option<Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&script).copied()
    }

    fn add(&self, script: ScriptId, values: usize, bytes: usize, before: usize) {
        if let Some(used) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&script) {
            used.values += values;
            used.bytes = (used.bytes + bytes).saturating_sub(before);
        }
    }

    /// Counts anew.
    async fn count(&self, store: &Store, script: ScriptId) -> Result<Used, HostError> {
        let found = store.read(move |snapshot| all(snapshot, script, usize::MAX, |_| true)).await.map_err(failed)?;
        let used = Used { values: found.len(), bytes: found.iter().map(Datum::bytes).sum() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(script, used);
        Ok(used)
    }

    /// Makes sure that a script may keep so much more, if need be by removing what has ended.
    async fn room(&self, store: &Store, script: ScriptId, values: usize, bytes: usize) -> Result<(), HostError> {
        let fits = |used: Used| used.values + values <= VALUES_MAX && used.bytes + bytes <= BYTES_MAX;
        if (values, bytes) == (0, 0) || self.get(script).is_some_and(fits) {
            return Ok(());
        }
        let mut used = self.count(store, script).await?;
        if !fits(used) {
            let now = store.now();
            purge(store, script, move |datum| datum.value_at(now).is_none()).await.map_err(failed)?;
            used = self.count(store, script).await?;
        }
        if fits(used) {
            return Ok(());
        }
        Err(HostError::refused(
            "CANNOT_EXCEED_MAX_STORAGE_SIZE",
            format!(
                "a script keeps at most {VALUES_MAX} values and {} MiB, and this one has {} values and {} KiB; delete some",
                BYTES_MAX >> 20,
                used.values,
                used.bytes >> 10
            ),
        ))
    }
}

/// Removes data of a script, a batch at a time.
///
/// # Errors
/// Those of the store.
pub(crate) async fn purge(
    store: &Store,
    script: ScriptId,
    wanted: impl Fn(&Datum) -> bool + Clone + Send + 'static,
) -> Result<(), StoreError> {
    loop {
        let wanted = wanted.clone();
        let found = store.read(move |snapshot| all(snapshot, script, BATCH, wanted)).await?;
        if found.is_empty() {
            return Ok(());
        }
        let mut set = ChangeSet::new(Cause::system("scripts"));
        for datum in &found {
            set.delete(datum);
        }
        match store.commit(set).await {
            // Written meanwhile: looked at again.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
