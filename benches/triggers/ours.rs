//! Our side: the actors over a store in this process, one enabled trigger.

use super::Load;
use crate::{provider::Provider, store_writes};
use anyhow::{Context, Result};
use std::time::Instant;
use sutler_model::{Cause, RunState, Scope, ScriptId, ScriptRun};
use sutler_store::{ChangeSet, Field, Filter, Order, PageRequest, Store};

const TRIGGER: &str = r#"
function register() return { "watch" } end
function watch(p)
  if p == nil then
    return { ref = "watch", name = "Watch", description = "Reads five fields", api = "TRIGGER", version = 1,
             triggerType = "POST_CREATE", triggerOptions = { "SERVER" } }
  end
  local s = p.input
  local text = s:getResourceName() .. s:getResourceUUID() .. s:getCustomerUUID() .. s:getBillingEntityUUID()
  return { exitState = (s:getCpu() > 0 and text ~= "") and "SUCCESS" or "CONTINUE" }
end
"#;

pub async fn events_per_s(load: Load) -> Result<f64> {
    let provider = Provider::start().await?;
    let system = provider.system.clone();
    let script = provider.load("watch", Scope::Provider, TRIGGER).await?.id;

    let before = *system.store().watch().borrow();
    let begun = Instant::now();
    let producers: Vec<_> = (0..load.producers).map(|_| tokio::spawn(produce(system.store().clone(), load))).collect();
    for producer in producers {
        producer.await??;
    }
    // Each run is an entry of the feed, as each event is; what else the system writes is a handful.
    let mut head = system.store().watch();
    let all = before + 2 * load.events as u64;
    head.wait_for(|seq| *seq >= all).await?;
    let took = begun.elapsed();
    let stats = system.store().stats();
    eprintln!("{load:?}: {:.1} sets a commit", stats.change_sets as f64 / stats.commits as f64);
    while recorded(system.store(), script).await? < load.events {
        head.changed().await?;
    }
    let rate = load.events as f64 / took.as_secs_f64();
    drop(system);
    provider.stop().await;
    Ok(rate)
}

async fn produce(store: Store, load: Load) -> Result<()> {
    let mut n = 0;
    for _ in 0..load.events / load.producers / load.batch {
        let sets = (0..load.batch).map(|_| {
            n += 1;
            let mut set = ChangeSet::new(Cause::system("bench"));
            set.create(&mut store_writes::record(store.new_uuid(), n));
            set
        });
        for answer in store.submit_all(sets) {
            answer.await.context("committing")?;
        }
    }
    Ok(())
}

/// Runs of the script that ended well.
async fn recorded(store: &Store, script: ScriptId) -> Result<usize> {
    let count = store.read(move |snapshot| {
        let filter = Filter::<ScriptRun>::new().is(Field::Script, script.0.as_bytes());
        let mut page = PageRequest { cursor: None, limit: 1000, order: Order::Ascending };
        let mut count = 0;
        loop {
            let found = snapshot.page(&filter, &page)?;
            count += found.items.iter().filter(|run| run.state == RunState::Succeeded).count();
            match found.next {
                Some(next) => page.cursor = Some(next),
                None => return Ok(count),
            }
        }
    });
    Ok(count.await?)
}
