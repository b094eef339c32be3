//! What billing methods are told of resources that are gone.

use super::*;
use crate::{NewPluggable, ServerAction, remains};
use std::collections::BTreeMap;
use sutler_model::{Disk, Invoice, Remains, RemainsId, Remnant, ResourceKey, ServerId, Timestamp, time::DAY_MS};

/// A provider of plots and of guards over servers, and what both cost: by what was filled in, as price lists do.
const PRICED: &str = r##"
    local pin = { key = "pin", name = "Pin", validator = { validatorType = "PASSWORD" } }
    function register() return { "plot_provider", "guard_provider", "by_values" } end
    function plot_provider()
        return { ref = "plots", name = "Plots", api = "PLUGGABLE_PROVIDER", version = 1, providerType = "PLOT",
            createFunction = { executionFunction = "made" },
            productComponentTypes = { { name = "Plot", referenceField = "PLOT",
                configurableList = { { key = "width", name = "Width", required = true }, pin } } } }
    end
    function made() return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" } end
    function guard_provider()
        return { ref = "guards", name = "Guards", version = 1, api = "CONFIG_PROVIDER", providerType = "GUARD",
            resourceConfigs = { { associatedResourceType = "SERVER", useWithBilling = false, productComponentTypes = { {
                resourceName = "Guard", referenceField = "GUARD",
                configurableList = { { key = "width", name = "Width" }, pin } } } } } }
    end
    function by_values(p)
        if p == nil then return { ref = "by_values", api = "BILLING", version = 1 } end
        local r, kind, values = p.resource, p.resource:getResourceType():name(), nil
        if kind == "SERVER" then values = r:getProviderValues("GUARD") end
        if kind == "PLUGGABLE_RESOURCE" then values = r:getResourceValues() end
        local width, told = 1, { kind, r:getResourceName(), r:getResourceState():name(), r:getCustomerName(),
            tostring(r:getResourceCreateDate() ~= nil) }
        if values then
            width = values:get("width") * 1
            table.insert(told, tostring(values:get("pin")))
            table.insert(told, r:getResourceKey():get(0):getValue())
        end
        if kind == "SERVER" then
            for i = 0, r:getDisks():size() - 1 do
                local disk = r:getDisks():get(i)
                table.insert(told, disk:getSize() .. disk:getResourceState():name() .. disk:getServerName())
            end
        elseif kind == "DISK" then
            width = r:getSize()
        end
        return { { charge = width * (p.currentBillingTime - p.lastBillingTime), description = table.concat(told, " ") } }
    end
"##;

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn tier() -> Vec<ResourceKey> {
    vec![ResourceKey { name: "tier".into(), value: "gold".into(), ..ResourceKey::default() }]
}

/// What was told of each resource.
fn told(invoice: &Invoice) -> Vec<&str> {
    invoice.charges.iter().map(|charge| charge.description.as_str()).collect()
}

impl Bench {
    /// The providers, and a plan that charges for everything.
    async fn priced(&self) -> Script {
        let script = self.script("priced", Scope::Provider, PRICED.to_owned()).await;
        self.charge(&script, "FEE", &["SERVER", "DISK", "PLUGGABLE_RESOURCE"]).await;
        script
    }

    fn plot(&self) -> NewPluggable {
        NewPluggable {
            id: None,
            name: "plot".into(),
            provider_type: "plot".into(),
            customer_id: Some(self.customer),
            values: texts(&[("width", "7"), ("pin", "sesame")]),
            keys: tier(),
        }
    }

    /// A server that ran, and is gone.
    async fn guarded_and_gone(&self) -> Server {
        let mut new = self.new_server("web", true);
        new.provider_values = [("GUARD".to_owned(), texts(&[("width", "3"), ("pin", "sesame")]))].into();
        (new.keys, new.user_data) = (tier(), Some("sesame".into()));
        let job = self.system.create_server(&self.caller, self.customer, new, None).await.expect("accepted");
        self.ended(job.id).await;
        let server = self.server("web").await.expect("made");
        let job = self.act(server.id, ServerAction::Delete, "delete").await;
        self.ended(job.id).await;
        assert!(self.server("web").await.is_none());
        server
    }

    async fn preview(&self) -> Invoice {
        self.system.preview_invoice(&self.caller, self.customer, None, None).await.expect("a preview")
    }

    /// What is kept, as it is stored.
    async fn remains(&self) -> Vec<String> {
        let kept = all::<Remains>(&self.system).await;
        kept.iter().map(|kept| serde_json::to_string(kept).expect("text")).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pluggable_resource_that_is_gone_is_charged_by_its_values_until_its_last_use_is_invoiced() {
    let bench = Bench::start().await;
    bench.priced().await;
    let plot = bench.system.create_pluggable(&bench.caller, bench.plot()).await.unwrap();
    assert_eq!(told(&bench.preview().await), ["PLUGGABLE_RESOURCE plot ACTIVE Customer true sesame gold"]);
    bench.system.delete_pluggable(&bench.caller, plot.id, None).await.unwrap();
    let kept = bench.remains().await;
    assert!(kept.len() == 1 && !kept[0].contains("sesame"), "what is secret goes at once: {kept:?}");

    let gone = "PLUGGABLE_RESOURCE plot DELETED Customer true nil gold";
    assert_eq!(told(&bench.preview().await), [gone]);
    let closed = bench.close().await;
    assert_eq!(told(&closed), [gone]);
    let (resource, meter) = (closed.charges[0].resource_id, closed.charges[0].meter.expect("a meter"));
    let used = bench.system.line_intervals(&bench.caller, bench.customer, closed.from, closed.to, resource, meter);
    let used: i64 = used.await.unwrap().iter().map(|used| used.end.expect("ended").since_ms(used.key.start)).sum();
    assert_eq!(
        closed.total,
        sutler_model::Nanos(i128::from(7 * used) * sutler_model::money::ONE),
        "for its part of the time"
    );
    assert_eq!(bench.remains().await, [""; 0], "and is not needed any more");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_charged_by_its_settings_keys_and_disks() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.priced().await;
    bench.guarded_and_gone().await;
    let kept = bench.remains().await;
    assert!(kept.len() == 1 && !kept[0].contains("sesame"), "{kept:?}");
    let server = "SERVER web DELETED Customer true nil gold 10DELETEDweb";
    assert!(told(&bench.preview().await).contains(&server), "{:?}", told(&bench.preview().await));
    bench.stop().await;
    drop(bench);

    // Its disk goes once its time of grace is over, and is charged for as it was too.
    let bench = Bench::start_with(folder.path(), Settings { disk_grace_ms: 0, ..settings() }).await;
    bench.until(async || all::<Disk>(&bench.system).await.is_empty()).await;
    let closed = bench.close().await;
    let told = told(&closed);
    let disk = told.iter().find(|told| told.starts_with("DISK")).expect("the disk");
    assert!(told.contains(&server) && disk.ends_with(" DELETED Customer true"), "{told:?}");
    assert_eq!(bench.remains().await, [""; 0]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_remains_stays_while_an_invoice_does_not_reach_the_end_and_is_found_by_nobody() {
    let bench = Bench::start().await;
    bench.priced().await;
    let plot = bench.system.create_pluggable(&bench.caller, bench.plot()).await.unwrap();
    let before = bench.system.core().now();
    bench.until(async || bench.system.core().now() > before.plus_ms(6_000)).await;
    bench.system.delete_pluggable(&bench.caller, plot.id, None).await.unwrap();
    bench.system.close_invoice(&bench.caller, bench.customer, before).await.expect("closed");
    assert_eq!(bench.remains().await.len(), 1, "its last part is still to be charged");
    assert_eq!(told(&bench.preview().await), ["PLUGGABLE_RESOURCE plot DELETED Customer true nil gold"]);
    assert!(matches!(bench.system.pluggable(&bench.caller, plot.id).await, Err(Error::NotFound { .. })));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_filled_into_a_form_is_kept_only_while_its_own_block_tells_what_is_secret() {
    let bench = Bench::start().await;
    let script = bench.priced().await;
    let plot = bench.system.create_pluggable(&bench.caller, bench.plot()).await.unwrap();
    let mut new = bench.new_server("web", false);
    new.provider_values = [("GUARD".to_owned(), texts(&[("width", "3"), ("pin", "sesame")]))].into();
    let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect("accepted");
    bench.ended(job.id).await;
    // Others have forms of the same kinds, to which nothing of it is secret.
    let (stranger, _) = bench.stranger().await;
    let plain = PRICED.replace(", validator = { validatorType = \"PASSWORD\" }", "");
    bench.script("plain", Scope::Customer(stranger), plain).await;
    assert_eq!(bench.system.shown_values(&plot), texts(&[("width", "7")]));
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, off).await.unwrap();
    assert_eq!(bench.system.shown_values(&plot), texts(&[]), "nobody tells which of it is secret");
    bench.system.delete_pluggable(&bench.caller, plot.id, None).await.unwrap();
    let job = bench.act(ServerId(job.item_id), ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;
    let mut kept = 0;
    for remains in all::<Remains>(&bench.system).await {
        match remains.was {
            Remnant::PluggableResource(plot) => assert_eq!((plot.name.as_str(), plot.values), ("plot", texts(&[]))),
            Remnant::Server(server, _) => assert_eq!(server.provider_values["GUARD"], texts(&[])),
            Remnant::Disk(_) => continue,
        }
        kept += 1;
    }
    assert_eq!(kept, 2);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_remains_of_a_customer_that_is_not_invoiced_goes_when_it_is_old() {
    let bench = Bench::start().await;
    bench.priced().await;
    let plot = bench.system.create_pluggable(&bench.caller, bench.plot()).await.unwrap();
    bench.system.delete_pluggable(&bench.caller, plot.id, None).await.unwrap();
    let young = all::<Remains>(&bench.system).await.remove(0);
    let ended = |days: i64| Timestamp(bench.system.core().now().0 - days * DAY_MS);
    let mut set = ChangeSet::new(sutler_model::Cause::system("test"));
    for days in [399, 401, 800] {
        let id = RemainsId::new(ended(days).0.unsigned_abs(), [7; 10]);
        set.create(&mut Remains { id, ended_at: ended(days), ..young.clone() });
    }
    bench.system.store().commit(set).await.unwrap();
    remains::sweep(bench.system.core()).await.unwrap();
    let left: Vec<Timestamp> = all::<Remains>(&bench.system).await.iter().map(|kept| kept.ended_at).collect();
    assert!(left.len() == 2 && left.iter().all(|at| *at > ended(400)), "{left:?}");
    bench.stop().await;
}
