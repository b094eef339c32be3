//! What the platform measures of servers by itself.

use super::*;
use sutler_model::Timestamp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_billing_method_finds_what_a_server_read_and_wrote_though_no_script_measures_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start_with(folder.path(), Settings { measure_every_ms: 1_000, ..settings() }).await;
    let source = r#"
        function register() return { "io" } end
        function io(p)
            if p == nil then return { ref = "io", api = "BILLING", version = 1 } end
            local found = p.measureComp:getMAXMeasureBetween(p.lastBillingTime, p.currentBillingTime, "disk_read,disk_write")
            if found == nil then return nil end
            local function of(key)
                return found:get(key):getMeasurement() * convert_mtype(found:get(key):getMeasurementType():name(), "B")
            end
            return { { units = -of("disk_read"), description = tostring(of("disk_read") > of("disk_write")) } }
        end
    "#;
    let script = bench.script("io", Scope::Provider, source.to_owned()).await;
    bench.charge(&script, "IO", &["SERVER"]).await;
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let id = bench.server("web").await.unwrap().id;
    let read = async || -> Vec<i128> {
        let found = bench.system.measurements(id.0, Timestamp(0), Timestamp(i64::MAX), 100).await.unwrap().items;
        found.iter().map(|found| found.values["disk_read"].value.0 / 1_000_000_000).collect()
    };
    bench.until(async || read().await.len() >= 2).await;
    let job = bench.act(id, crate::ServerAction::Stop { force: true }, "stop").await;
    bench.ended(job.id).await;
    let stopped = read().await.len();
    bench.until(async || read().await.len() > stopped).await;
    let job = bench.act(id, crate::ServerAction::Start, "start").await;
    bench.ended(job.id).await;
    bench.until(async || read().await.len() > stopped + 2).await;
    let all = read().await;
    assert!(all.is_sorted() && all.last() > Some(&all[stopped]), "{all:?}");
    let preview = bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await.unwrap();
    let [charge] = &preview.charges[..] else { panic!("{preview:?}") };
    assert_eq!(charge.description, "true");
    let units = charge.units.unwrap().0 / 1_000_000_000;
    assert!(units >= *all.last().unwrap(), "{units} of {all:?}");
    bench.stop().await;
}
