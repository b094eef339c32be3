//! What triggers cost those who do not wait for them: a PRE trigger that does nothing, to the request it looks at; and
//! 10,000 enabled triggers of which one matches, to a creation.

use crate::{Measure, provider::Provider, store_writes};
use anyhow::{Context, Result};
use std::time::Instant;
use sutler_actors::NewCustomer;
use sutler_model::{BillingEntityId, Noun, Plan, Scope};

/// Requests with and without, alternating.
const REQUESTS: usize = 4_000;
/// Before anything is clocked.
const WARM_UP: usize = 200;
/// Enabled triggers beside the one that matches.
const TRIGGERS: usize = 10_000;
/// As many as a seller may have.
const EACH: usize = 1_000;
/// Creations in a round beside them.
const CREATIONS: usize = 2_000;
const ROUNDS: usize = 5;

fn block(kind: &str, option: &str) -> String {
    format!(
        "function register() return {{'look'}} end\nfunction look(p)\n  if p == nil then return {{api = 'TRIGGER', \
         triggerType = '{kind}', triggerOptions = {{'{option}'}}}} end\n  return {{exitState = 'CONTINUE'}}\nend\n"
    )
}

pub fn run() -> Result<Vec<Measure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut measures = runtime.block_on(beside())?;
    measures.push(runtime.block_on(many())?);
    Ok(measures)
}

struct Seller {
    entity: BillingEntityId,
    plan: Plan,
}

impl Provider {
    async fn plan(&self) -> Result<Plan> {
        let id = *self.system.store().index().all(Noun::Plan).first().context("a plan")?;
        self.system.store().get::<Plan>(sutler_model::PlanId(id)).await?.context("the plan")
    }

    async fn reseller(&self, name: &str) -> Result<Seller> {
        let parent = self.caller.billing_entity_id;
        let new = sutler_actors::NewBillingEntity { parent_id: parent, name: name.into(), currency: "EUR".parse()? };
        let entity = self.system.create_billing_entity(&self.caller, new).await?.id;
        let like = self.plan().await?;
        let new = sutler_actors::NewPlan {
            billing_entity_id: entity,
            name: "Plan".into(),
            currency: "EUR".parse()?,
            cpu_hour: like.cpu_hour,
            memory_gib_hour: like.memory_gib_hour,
            disk_gib_hour: like.disk_gib_hour,
            unit_price: like.unit_price,
            charges: Vec::new(),
        };
        Ok(Seller { entity, plan: self.system.create_plan(&self.caller, new).await? })
    }

    /// Creates a customer; answers how long that took, in seconds.
    async fn customer(&self, seller: &Seller, name: String) -> Result<f64> {
        let new = NewCustomer {
            name,
            billing_entity_id: seller.entity,
            plan_id: seller.plan.id,
            quota: None,
            keys: Vec::new(),
            contact: Default::default(),
        };
        let begun = Instant::now();
        self.system.create_customer(&self.caller, new).await?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// One seller has a PRE trigger, the other has none; their customers come in turn, each once the commits of the one before
/// are over.
async fn beside() -> Result<Vec<Measure>> {
    let provider = Provider::start().await?;
    let (with, without) = (provider.reseller("with").await?, provider.reseller("without").await?);
    provider.load("look", Scope::Entity(with.entity), &block("PRE_CREATE", "CUSTOMER")).await?;
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..REQUESTS + WARM_UP {
        for ((seller, commits), times) in [(&with, 2), (&without, 1)].into_iter().zip(&mut times) {
            let mut feed = provider.system.store().watch();
            let all = *feed.borrow() + commits;
            let took = provider.customer(seller, format!("c{n}")).await?;
            feed.wait_for(|seq| *seq >= all).await?;
            if n >= WARM_UP {
                times.push(took);
            }
        }
    }
    provider.stop().await;
    let [with, without] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times
    });
    let measure = |name: &str, share: f64| {
        let at = |times: &[f64]| times[((times.len() - 1) as f64 * share) as usize] * 1e6;
        let added = at(&with) - at(&without);
        Measure {
            bench: format!("pre/added_{name}"),
            value: added,
            unit: "µs",
            reference: 200.0,
            ratio: added / 200.0,
            target: 1.0,
        }
    };
    Ok(vec![measure("median", 0.5), measure("p99", 0.99)])
}

/// A creation beside 10,000 enabled triggers of others, and beside the one that matches alone; rounds in turn.
async fn many() -> Result<Measure> {
    let (crowd, alone) = (Provider::start().await?, Provider::start().await?);
    let mut sellers = Vec::new();
    for provider in [&crowd, &alone] {
        let seller = provider.reseller("seller").await?;
        provider.load("match", Scope::Entity(seller.entity), &block("POST_CREATE", "CUSTOMER")).await?;
        sellers.push(seller);
    }
    let source = block("POST_CREATE", "CUSTOMER");
    for n in 0..TRIGGERS / EACH {
        let other = crowd.reseller(&format!("other {n}")).await?;
        for n in 0..EACH {
            crowd.load(&format!("t{n}"), Scope::Entity(other.entity), &source).await?;
        }
    }
    let (mut beside, mut by_itself) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (provider, seller, rates) in [(&crowd, &sellers[0], &mut beside), (&alone, &sellers[1], &mut by_itself)] {
            let begun = Instant::now();
            for n in 0..CREATIONS {
                provider.customer(seller, format!("r{round}-{n}")).await?;
            }
            rates.push(CREATIONS as f64 / begun.elapsed().as_secs_f64());
        }
    }
    crowd.stop().await;
    alone.stop().await;
    let (value, reference) = (store_writes::median(beside), store_writes::median(by_itself));
    Ok(Measure {
        bench: "pre/creations_beside_10000_triggers".into(),
        value,
        unit: "1/s",
        reference,
        ratio: value / reference,
        target: 0.95,
    })
}
