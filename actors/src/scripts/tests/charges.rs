//! Of which time billing methods charge.

use super::*;
use crate::{PlanPatch, ServerAction};
use sutler_model::{PlanCharge, time::month_ms};

const PARTS: &str = r#"
    function register() return { "parts" } end
    function parts(p)
        if p == nil then return { ref = "parts", api = "BILLING", version = 1 } end
        local told = { p.lastBillingTime, p.currentBillingTime, p.billingFactor, tostring(p.lastBillingRun) }
        return { { units = 0, description = table.concat(told, " ") } }
    end
"#;

/// What a run was told: the bounds of its period in milliseconds, the share of a month, and whether it is the last.
fn told(description: &str) -> (i64, i64, f64, bool) {
    let words: Vec<&str> = description.split(' ').collect();
    let [from, to, factor, last] = words[..] else { panic!("{description}") };
    (from.parse().unwrap(), to.parse().unwrap(), factor.parse().unwrap(), last == "true")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_billing_method_is_told_of_the_time_in_which_its_resource_was_there() {
    let bench = Bench::start().await;
    let script = bench.script("parts", Scope::Provider, PARTS.to_owned()).await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let charge = |resource_type: &str| PlanCharge {
        component: "FEE".into(),
        resource_type: resource_type.into(),
        script_id: Some(script.id),
        function: None,
        values: Default::default(),
    };
    let patch = PlanPatch { charges: Some(vec![charge("SERVER"), charge("CUSTOMER")]), ..PlanPatch::default() };
    bench.system.update_plan(&bench.caller, plan.id, None, patch).await.unwrap();
    let customer = bench.system.store().get::<Customer>(bench.customer).await.unwrap().unwrap();
    let month = month_ms(customer.created_at);
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let server = bench.server("web").await.unwrap();

    // A period that began before either was there; a preview goes up to now.
    let from = customer.created_at.plus_ms(-86_400_000);
    let charged = async || {
        let drawn = bench.system.preview_invoice(&bench.caller, bench.customer, Some(from), None).await.unwrap();
        let of = |id| drawn.charges.iter().find(|charge| charge.resource_id == id).map(|one| told(&one.description));
        (drawn.to.0, of(server.id.0).expect("the server"), of(bench.customer.0).expect("the customer"))
    };
    // As exactly as a script's numbers are written.
    let is_share = |factor: f64, from: i64, to: i64| {
        let share = (to - from) as f64 / month as f64;
        (factor - share).abs() <= share * 1e-9
    };
    let (to, of_server, of_customer) = charged().await;
    assert_eq!((of_server.0, of_server.1, of_server.3), (server.created_at.0, to, false));
    assert_eq!((of_customer.0, of_customer.1, of_customer.3), (customer.created_at.0, to, false));
    assert!(is_share(of_server.2, server.created_at.0, to), "{of_server:?}");

    // Once it is gone, up to when it was last used; and that is the last time.
    let job = bench.act(server.id, ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;
    let gone = bench.system.core().now();
    let (_, of_server, _) = charged().await;
    assert!(of_server.3 && of_server.0 >= server.created_at.0 && of_server.1 <= gone.0, "{of_server:?}");
    assert!(is_share(of_server.2, of_server.0, of_server.1), "{of_server:?}");
    bench.stop().await;
}
