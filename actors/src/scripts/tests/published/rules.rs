//! Scripts that decide before something happens.

use super::{super::*, Stage};
use crate::{ActionAsked, CustomerPatch, ServerAction};
use sutler_model::{ContactPatch, Nanos};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_against_the_house_rules_are_refused_or_made_to_fit() {
    let stage = Stage::open().await;
    stage.load("policy", include_str!("server_policy.lua")).await;
    stage
        .customer_keys(&[
            ("MAX_RAM_PER_SERVER", "2048"),
            ("MAX_RAM_TOTAL", "4096"),
            ("server.owner", "ada"),
            ("note", "x"),
        ])
        .await;
    let bench = &stage.bench;
    let create = async |name: &str, memory_mib: u64| {
        let new = sutler_model::NewServer { memory_mib, ..bench.new_server(name, false) };
        bench.system.create_server(&bench.caller, bench.customer, new, None).await
    };
    let reason = |refused: Result<Job, Error>| match refused {
        Err(Error::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(create("big", 3072).await), "a server may have 2 GB at most");
    for (name, kept) in [("web", "web"), ("9lives", "s-lives")] {
        let job = create(name, 2048).await.unwrap();
        bench.ended(job.id).await;
        let server = bench.server(kept).await.expect("a server of that name");
        let keys: Vec<_> = server.keys.iter().map(|key| (key.name.as_str(), key.value.as_str())).collect();
        assert_eq!(keys, [("owner", "ada")]);
    }
    let told = reason(create("third", 512).await);
    assert_eq!(told, "all servers together may have 4096 MB, this makes 4608");
    let server = bench.server("web").await.unwrap();
    let patch = |value: &str| crate::ServerPatch {
        keys: Some(super::stage::resource_keys(&[("Protected", value)])),
        ..crate::ServerPatch::default()
    };
    bench.system.update_server(&bench.caller, server.id, None, patch("yes")).await.unwrap();
    let refused =
        bench.system.act_on_server(&bench.caller, server.id, ServerAction::Delete, ActionAsked::default()).await;
    assert_eq!(reason(refused), "web is protected");
    bench.system.update_server(&bench.caller, server.id, None, patch("no")).await.unwrap();
    let job = bench.act(server.id, ServerAction::Delete, "now").await;
    bench.ended(job.id).await;
    assert!(bench.server("web").await.is_none());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tax_follows_a_customers_country_and_number() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let dear = crate::PlanPatch { cpu_hour: Some("3600000".parse().unwrap()), ..crate::PlanPatch::default() };
    bench.system.update_plan(&bench.caller, plan.id, None, dear).await.unwrap();
    stage.server("web", true).await;
    stage.load("vat", include_str!("vat.lua")).await;
    for (country, number, rate) in [
        ("", "", "20"),
        ("gb", "GB1", "20"),
        ("DE", "", "19"),
        ("DE", "DE123", "0"),
        ("FR", "DE123", "20"),
        ("US", "", "0"),
    ] {
        let address = ["", "", "", "", "", country].map(str::to_owned).to_vec();
        let contact =
            ContactPatch { address: Some(address), vat_number: Some(number.into()), ..ContactPatch::default() };
        let patch = CustomerPatch { contact: Some(contact), ..CustomerPatch::default() };
        bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.unwrap();
        let drawn = bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await.unwrap();
        let tax = drawn.tax.expect("a tax");
        assert_eq!(tax.rate, Some(rate.parse::<Nanos>().unwrap()), "{country} {number}");
        assert_eq!(tax.amount > Nanos::ZERO, rate != "0");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_none_of_a_host_is_mended_before_it_is_judged() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    let create = async |name: &str| {
        bench.system.create_server(&bench.caller, bench.customer, bench.new_server(name, false), None).await
    };
    assert!(matches!(create("Web Shop_1").await, Err(Error::Invalid(_))), "nobody could mend it");
    stage.load("names", include_str!("name_rules.lua")).await;
    stage.customer_keys(&[("PREFIX", "acme")]).await;
    let job = create("Web Shop_1").await.unwrap();
    bench.ended(job.id).await;
    assert!(bench.server("acme-web-shop-1").await.is_some());
    assert_eq!(bench.disks().await[0].name, "acme-web-shop-1-boot");
    for beyond in ["-", "a\nb", ""] {
        let refused = create(beyond).await;
        assert!(matches!(&refused, Err(Error::Invalid(problems)) if problems[0].field == "name"), "{refused:?}");
    }
    bench.stop().await;
}
