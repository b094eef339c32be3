//! Our side: the actors over a store in this process, one enabled trigger.

use super::Load;
use crate::store_writes;
use anyhow::{Context, Result};
use std::time::Instant;
use sutler_actors::{Caller, NewProvider, NewScript, NodeConfig, Settings, Setup, System};
use sutler_drivers::simulated::{Config, Simulated};
use sutler_model::{Cause, Noun, Permission, Role, RunState, Scope, ScriptId, ScriptRun};
use sutler_store::{ChangeSet, Field, Filter, Options, Order, PageRequest, Store};

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
    let folder = tempfile::tempdir()?;
    let options = Options { cache_bytes: store_writes::CACHE, reserve_bytes: 0, ..Options::default() };
    let store = Store::open(&folder.path().join("store.redb"), options)?;
    let world = Simulated::new(Config::default())?;
    let node = NodeConfig { name: "n".into(), uri: "simulated:///n".into(), drivers: world.drivers("n") };
    let setup = Setup { store, nodes: vec![node], settings: Settings::default(), simulated: None, arbiters: 2 };
    let system = System::start(setup).await?;
    let script = arm(&system).await?;

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
    while recorded(system.store(), script).await? < load.events {
        head.changed().await?;
    }
    let rate = load.events as f64 / took.as_secs_f64();
    system.stop().await;
    system.store().close().await;
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

/// A provider with the trigger.
async fn arm(system: &System) -> Result<ScriptId> {
    let new = NewProvider {
        name: "Provider".into(),
        currency: "EUR".parse()?,
        admin_email: "admin@example.org".into(),
        password_hash: "none".into(),
    };
    system.bootstrap(new).await?;
    let seller = *system.store().index().all(Noun::BillingEntity).first().context("the provider")?;
    let caller = Caller {
        user_id: None,
        scope: Scope::Provider,
        role: Role::ProviderAdmin,
        permissions: Permission::ALL.to_vec(),
        billing_entity_id: seller.into(),
        customer_id: None,
        cause: Cause::system("bench"),
    };
    let new = NewScript {
        name: "watch".into(),
        owner: Scope::Provider,
        source: TRIGGER.into(),
        enabled: true,
        fail_open: false,
    };
    Ok(system.create_script(&caller, new).await?.id)
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
