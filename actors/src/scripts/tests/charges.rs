//! Of which time billing methods charge.

use super::*;
use crate::{PlanPatch, PluggablePatch, ServerAction};
use sutler_model::{
    Cause, Disk, Evidence, Interval, Invoice, InvoiceCharge, Measurement, Meter, Nanos, PlanCharge, time::month_ms,
};

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
    bench.charge(&script, "FEE", &["SERVER", "CUSTOMER"]).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_charged_by_what_it_had() {
    let bench = Bench::start().await;
    let source = PARTS.replace(
        "local told = {",
        "local r = p.resource local told = { r:getResourceName(), r:getCpu(), r:getRam() / 1024, r:getCustomerName() } told = { table.concat(told, '/'),",
    );
    let script = bench.script("parts", Scope::Provider, source).await;
    bench.charge(&script, "FEE", &["SERVER"]).await;
    let customer = bench.system.store().get::<Customer>(bench.customer).await.unwrap().unwrap();
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let server = bench.server("web").await.unwrap();
    let job = bench.act(server.id, ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;
    assert!(bench.server("web").await.is_none());

    let from = Some(customer.created_at.plus_ms(-86_400_000));
    let drawn = bench.system.preview_invoice(&bench.caller, bench.customer, from, None).await.unwrap();
    let of_server = drawn.charges.iter().find(|charge| charge.resource_id == server.id.0).expect("the server");
    let had = format!("web/{}/{}/{}", server.cpu, server.memory_mib as f64 / 1024.0, customer.name);
    assert_eq!(
        of_server.description.rsplit_once(' ').map(|(told, _)| told.split(' ').next()),
        Some(Some(had.as_str()))
    );
    bench.stop().await;
}

/// Measures notes, and charges one of the currency for each millisecond in which one was there.
const KEEPING: &str = r#"
    function register() return { "weight", "keeping" } end
    function weight(p)
        if p == nil then
            return { ref = "weight", name = "Weight", api = "MEASURE", version = 1, associatedType = "PLUGGABLE_RESOURCE",
                measureValues = { { key = "weight", name = "Weight" } } }
        end
        return { { key = "weight", value = 7 } }
    end
    function keeping(p)
        if p == nil then return { ref = "keeping", api = "BILLING", version = 1 } end
        local time = p.currentBillingTime - p.lastBillingTime
        local weight = p.measureComp:getMAXMeasureBetween(p.lastBillingTime, p.currentBillingTime, "weight")
        weight = weight and weight:get("weight") and weight:get("weight"):getMeasurement() or "unknown"
        local told = { p.lastBillingTime, p.currentBillingTime, p.billingFactor, tostring(p.lastBillingRun),
            p.resource:getProviderType(), tostring(weight) }
        return { { charge = time, description = table.concat(told, " ") } }
    end
"#;

/// What one charge was for and how it opens: the bounds of its part of the period, whether it was the last, what else was told,
/// and the intervals behind it.
struct Opened {
    part: (i64, i64),
    last: bool,
    more: Vec<String>,
    intervals: Vec<Interval>,
}

impl Bench {
    async fn opened(&self, invoice: &Invoice, charge: &InvoiceCharge) -> Opened {
        let words: Vec<&str> = charge.description.split(' ').collect();
        let (from, to, _, last) = told(&words[..4].join(" "));
        assert_eq!(charge.amount, Nanos(i128::from(to - from) * sutler_model::money::ONE), "{charge:?}");
        let (resource, meter) = (charge.resource_id, charge.meter.expect("a meter"));
        let intervals = self
            .system
            .line_intervals(&self.caller, invoice.customer_id, invoice.from, invoice.to, resource, meter)
            .await
            .expect("the intervals behind it");
        // To the millisecond, and with nothing between them.
        let mut at = from;
        for interval in &intervals {
            assert_eq!(
                (interval.key.start.0, interval.quantity, interval.key.meter),
                (at, 1, Meter::PluggableResource)
            );
            at = interval.end.expect("closed with the invoice").0;
        }
        assert_eq!(at, to, "{intervals:?}");
        let run = self.system.store().get::<ScriptRun>(charge.run_id).await.unwrap().expect("its run");
        assert_eq!((run.option.as_str(), run.resource_id), ("BILLING", Some(resource)));
        Opened { part: (from, to), last, more: words[4..].iter().map(|word| (*word).to_owned()).collect(), intervals }
    }

    /// Closes the period up to now.
    pub(super) async fn close(&self) -> Invoice {
        let end = self.system.core().now();
        self.until(async || self.system.core().now() > end.plus_ms(6_000)).await;
        self.system.close_invoice(&self.caller, self.customer, end).await.expect("closed")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pluggable_resource_that_is_gone_is_charged_for_the_time_in_which_it_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start_with(folder.path(), Settings { measure_every_ms: 1_000, ..settings() }).await;
    let (system, caller) = (&bench.system, &bench.caller);
    bench.script("notes", Scope::Provider, super::pluggables::NOTES.to_owned()).await;
    let script = bench.script("keeping", Scope::Provider, KEEPING.to_owned()).await;
    bench.charge(&script, "KEEPING", &["pluggable_resource"]).await;

    let asked_at = system.core().now();
    let short = system.create_pluggable(caller, bench.note("short", "hello")).await.unwrap();
    let made_at = system.core().now();
    let long = system.create_pluggable(caller, bench.note("long", "hello")).await.unwrap();
    // What its provider refuses was never there.
    system.create_pluggable(caller, bench.note("never", "forbidden")).await.unwrap_err();
    let measured = async || all::<Measurement>(system).await.iter().any(|found| found.resource_id == short.id.0);
    bench.until(measured).await;
    let patch = PluggablePatch { name: Some("shorter".into()), ..PluggablePatch::default() };
    system.update_pluggable(caller, short.id, None, patch).await.unwrap();
    let deleting_at = system.core().now();
    system.delete_pluggable(caller, short.id, None).await.unwrap();
    let gone_at = system.core().now();

    let first = bench.close().await;
    assert_eq!(first.lines, [], "it has no price an hour");
    let [of_short, of_long] = &first.charges[..] else { panic!("{:?}", first.charges) };
    assert_eq!((of_short.resource_name.as_str(), of_long.resource_name.as_str()), ("shorter", "long"));
    assert_eq!(first.total, of_short.amount.add(of_long.amount).unwrap());
    let opened = bench.opened(&first, of_short).await;
    assert!((asked_at.0..=made_at.0).contains(&opened.part.0), "from when it was made: {:?}", opened.part);
    assert!((deleting_at.0..=gone_at.0).contains(&opened.part.1), "to when it was gone: {:?}", opened.part);
    assert!(opened.last);
    assert_eq!(opened.more, ["NOTE", "7"], "its kind and what was measured are known yet");
    let names: Vec<&str> = opened.intervals.iter().map(|interval| interval.resource_name.as_str()).collect();
    assert_eq!((names[0], names[names.len() - 1]), ("short", "shorter"));
    assert!(opened.intervals.iter().all(|i| i.ended_by == Some(Cause::system("test"))), "who asked, and nothing else");
    assert_eq!(opened.intervals.last().unwrap().evidence, Some(Evidence::Seen));

    // The other goes in the next period, and is charged for in both without a gap.
    system.delete_pluggable(caller, long.id, None).await.unwrap();
    let second = bench.close().await;
    let [again] = &second.charges[..] else { panic!("{:?}", second.charges) };
    let opened = bench.opened(&second, again).await;
    assert_eq!((again.resource_id, opened.part.0, opened.last), (long.id.0, first.to.0, true));
    assert!(opened.part.1 < second.to.0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_is_charged_up_to_its_deletion_though_its_bytes_are_kept() {
    let bench = Bench::start().await;
    let source = PARTS.replace(
        "tostring(p.lastBillingRun) }",
        "tostring(p.lastBillingRun) } told = { table.concat(told, ' '), p.resource:getResourceState():name(), p.resource:getServerName() }",
    );
    let script = bench.script("parts", Scope::Provider, source).await;
    bench.charge(&script, "FEE", &["DISK"]).await;
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let server = bench.server("web").await.unwrap();
    let job = bench.act(server.id, ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;
    let gone = bench.system.core().now();
    assert_eq!(all::<Disk>(&bench.system).await.len(), 1, "it is in its time of grace");

    let first = bench.close().await;
    let [charge] = &first.charges[..] else { panic!("{:?}", first.charges) };
    let words: Vec<&str> = charge.description.split(' ').collect();
    let (from, to, _, last) = told(&words[..4].join(" "));
    assert!(from >= server.created_at.0 && from < to && to <= gone.0 && last, "{}", charge.description);
    assert_eq!(words[4..], ["DELETED", "web"]);
    assert_eq!(bench.close().await.charges, [], "it was there in none of it");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_charge_of_a_resource_comes_once_however_late_an_invoice_is_closed() {
    let bench = Bench::start().await;
    let script = bench.script("parts", Scope::Provider, PARTS.to_owned()).await;
    bench.charge(&script, "FEE", &["SERVER"]).await;
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let end = bench.system.core().now();
    bench.until(async || bench.system.core().now() > end.plus_ms(6_000)).await;
    let server = bench.server("web").await.unwrap();
    let job = bench.act(server.id, ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;

    let of_server = |invoice: &Invoice| match &invoice.charges[..] {
        [charge] => told(&charge.description),
        charges => panic!("{charges:?}"),
    };
    let first = bench.system.close_invoice(&bench.caller, bench.customer, end).await.expect("closed");
    let (_, to, _, last) = of_server(&first);
    assert_eq!((to, last), (end.0, false), "it ran on after that");
    let (from, _, _, last) = of_server(&bench.close().await);
    assert_eq!((from, last), (end.0, true));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_is_charged_for_the_last_time_up_to_its_closing() {
    let bench = Bench::start().await;
    let script = bench.script("parts", Scope::Provider, PARTS.to_owned()).await;
    bench.charge(&script, "FEE", &["CUSTOMER"]).await;
    let status = async |status| {
        let patch = crate::CustomerPatch { status: Some(status), ..crate::CustomerPatch::default() };
        bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.expect("changed")
    };
    use sutler_model::CustomerStatus::{Active, Closed};
    let closed_at = status(Closed).await.closed_at.expect("when it was closed");
    assert_eq!(status(Closed).await.closed_at, Some(closed_at), "once");
    let first = bench.close().await;
    let [charge] = &first.charges[..] else { panic!("{:?}", first.charges) };
    let (_, to, _, last) = told(&charge.description);
    assert_eq!((to, last), (closed_at.0, true));
    assert_eq!(bench.close().await.charges, [], "nothing came after that");
    assert_eq!(status(Active).await.closed_at, None);
    let again = bench.close().await;
    assert!(!told(&again.charges[0].description).3, "it is there again");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_billing_method_failed_is_told_to_its_owner_and_not_to_who_is_charged() {
    let bench = Bench::start().await;
    let source = PARTS.replace("local told", "error('the price list is gone') local told");
    let script = bench.script("parts", Scope::Provider, source).await;
    bench.charge(&script, "FEE", &["CUSTOMER"]).await;
    let refused = async |caller: &Caller| {
        bench.system.preview_invoice(caller, bench.customer, None, None).await.unwrap_err().to_string()
    };
    let own = refused(&bench.caller).await;
    assert!(own.contains("about FEE Customer: it failed: line ") && own.contains("the price list is gone"), "{own}");
    let told = refused(&bench.as_customer(Role::CustomerAdmin).await).await;
    assert!(told.contains("it failed") && !told.contains("price list"), "{told}");
    bench.stop().await;
}

/// Measures the same of every server.
const LEVEL: &str = r#"
    function register() return { "level" } end
    function level(p)
        if p == nil then
            return { ref = "level", name = "Level", api = "MEASURE", version = 1, associatedType = "SERVER",
                measuredValues = { { key = "level", name = "Level", measureType = "GB" } } }
        end
        return { { key = "level", value = 7 } }
    end
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_librarys_standard_charges_charge_for_time_and_for_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start_with(folder.path(), Settings { measure_every_ms: 1_000, ..settings() }).await;
    let source = include_str!("../../../../scripts/standard-charges/trigger.lua");
    let script = bench.script("standard", Scope::Provider, source.to_owned()).await;
    bench.script("level", Scope::Provider, LEVEL.to_owned()).await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let charge = |component: &str, function: &str, values: &[(&str, &str)]| PlanCharge {
        component: component.into(),
        resource_type: "SERVER".into(),
        script_id: Some(script.id),
        function: Some(function.into()),
        values: values.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
    };
    let time = charge("BACKUP", "charge_by_time", &[("units", "1000000")]);
    // What is left out has its default.
    let level = [("measure", "level"), ("counts", "HIGHEST"), ("units", "0.5"), ("unit_of_measure", "MB")];
    let level = charge("STORE", "charge_by_use", &level);
    let wrong = charge("STORE", "charge_by_use", &[("measure", "level"), ("counts", "ALL"), ("units", "-1")]);
    let update = async |charges: Vec<PlanCharge>| {
        let patch = PlanPatch { charges: Some(charges), ..PlanPatch::default() };
        bench.system.update_plan(&bench.caller, plan.id, None, patch).await
    };
    let refused = update(vec![wrong]).await.unwrap_err().to_string();
    assert!(refused.contains("counts") && refused.contains("a number from 0"), "{refused}");
    update(vec![time, level]).await.unwrap();
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let server = bench.server("web").await.unwrap();
    bench.until(async || all::<Measurement>(&bench.system).await.iter().any(|m| m.resource_id == server.id.0)).await;

    let drawn = bench.close().await;
    let [time, level] = &drawn.charges[..] else { panic!("{:?}", drawn.charges) };
    let month = month_ms(server.created_at);
    let share = (drawn.to.0 - server.created_at.0) as f64 / month as f64;
    let is = |charge: &InvoiceCharge, units: f64| {
        let charged = charge.units.expect("units").0 as f64 / 1e9;
        assert!((charged - units).abs() <= units * 1e-6, "{charged} for {units}: {charge:?}");
    };
    is(time, 1e6 * share);
    is(level, 7.0 * 1024.0 * 0.5 * share);
    assert!(time.description.starts_with("web ("), "{}", time.description);
    assert!(level.description.starts_with("web: 7168 MB of level ("), "{}", level.description);
    bench.stop().await;
}
