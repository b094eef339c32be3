//! What a guest is told when it starts.

use super::*;
use crate::{ServerAction, TestRequest, testing::FAR};
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use sutler_drivers::{
    Drivers, Result as DriverResult,
    compute::DiskSource,
    directory::Directory,
    storage::{DiskSpec, SeedSpec, Storage, StoredImage},
};
use sutler_model::{DiskId, JobState, ServerId, ServerState};

/// Simulated storage that writes seeds as real storage does.
struct Seeds {
    rest: Arc<dyn Storage>,
    seeds: Directory,
}

#[async_trait]
impl Storage for Seeds {
    async fn ensure_disk(&self, spec: &DiskSpec) -> DriverResult<DiskSource> {
        self.rest.ensure_disk(spec).await
    }
    async fn delete_disk(&self, id: DiskId) -> DriverResult<()> {
        self.rest.delete_disk(id).await
    }
    async fn list_disks(&self) -> DriverResult<Vec<DiskId>> {
        self.rest.list_disks().await
    }
    async fn ensure_seed(&self, spec: &SeedSpec) -> DriverResult<Option<PathBuf>> {
        self.seeds.ensure_seed(spec).await
    }
    async fn delete_seed(&self, id: ServerId) -> DriverResult<()> {
        self.seeds.delete_seed(id).await
    }
    async fn import_image(&self, storage_key: &str, file: &Path) -> DriverResult<StoredImage> {
        self.rest.import_image(storage_key, file).await
    }
    async fn capture_image(&self, storage_key: &str, disk: DiskId) -> DriverResult<StoredImage> {
        self.rest.capture_image(storage_key, disk).await
    }
    async fn share_image(&self, image: &StoredImage, file: &Path) -> DriverResult<()> {
        self.rest.share_image(image, file).await
    }
    async fn delete_image(&self, storage_key: &str) -> DriverResult<()> {
        self.rest.delete_image(storage_key).await
    }
    async fn space(&self) -> DriverResult<(u64, u64)> {
        self.rest.space().await
    }
    fn image_file(&self, file: &str) -> PathBuf {
        self.rest.image_file(file)
    }
}

async fn bench(root: &Path) -> Bench {
    let seeds = Directory::open(&root.join("storage")).expect("a folder");
    Bench::start_on(root, settings(), sutler_store::Options::default(), |drivers| {
        let storage = Arc::new(Seeds { rest: drivers.storage.clone(), seeds: seeds.clone() });
        Drivers { storage, ..drivers }
    })
    .await
}

/// The bytes of the one seed there is.
fn seed(root: &Path) -> Vec<u8> {
    let mut files = std::fs::read_dir(root.join("storage/seeds")).expect("the folder");
    std::fs::read(files.next().expect("a seed").expect("read").path()).expect("the seed")
}

fn holds(seed: &[u8], text: &str) -> bool {
    seed.windows(text.len()).any(|window| window == text.as_bytes())
}

const ADD: &str = r##"
    local server, document = p.input[1], p.input[2]
    local xml = new("FDLXMLHelper")
    local system = xml:findNode(document, "CONFIG/meta/server/system")
    xml:addTextNode(document, system, "rack", "r-7 & up")
    server:addCloudInitData("#!/bin/sh\necho " .. server:getResourceName())
    print(p.triggerOption, xml:findNode(document, "CONFIG/meta/server/foreignkeys/key"):getTextContent())
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_scripts_add_reaches_the_seed_beside_the_customers_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, own) = (folder.path(), "#cloud-config\npackages: [nginx]\n");
    let bench = bench(root).await;
    let script = bench.script("add", Scope::Provider, block("PRE_SERVER_METADATA_UPDATE", r#""ANY""#, ADD)).await;
    let late = r##"p.input[1]:addCloudInitData("#!/bin/sh\necho last")"##;
    let late = block("PRE_SERVER_METADATA_UPDATE", "", late).replace("priority = 0", "priority = 5");
    bench.script("late", Scope::Customer(bench.customer), late).await;
    let mut new = bench.new_server("web", true);
    new.user_data = Some(own.to_owned());
    new.keys.push(sutler_model::ResourceKey {
        name: "stage".into(),
        value: "live".into(),
        kind: sutler_model::KeyKind::User,
        ..sutler_model::ResourceKey::default()
    });
    let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect("accepted");
    let ended = bench.ended(job.id).await;
    assert_eq!(ended.state, JobState::Successful, "{:?}", ended.error);
    let image = seed(root);
    for text in [
        "Content-Type: multipart/mixed",
        &STANDARD.encode(own),
        &STANDARD.encode("#!/bin/sh\necho web"),
        &STANDARD.encode("#!/bin/sh\necho last"),
        "<rack>r-7 &amp; up</rack>",
        "<key name=\"stage\">live</key>",
        "/run/sutler/metadata.xml",
    ] {
        assert!(holds(&image, text), "{text} is not in {}", String::from_utf8_lossy(&image));
    }
    let runs = bench.runs_until(|runs| runs.len() == 2).await;
    assert_eq!(runs.iter().find(|run| run.script_id == script.id).expect("a run").log.trim(), "ANY\tlive");

    // A rehearsal over the start tells what it would add, and adds nothing.
    bench.until(async || bench.server("web").await.is_some_and(|server| server.state == ServerState::Running)).await;
    let rehearsed = bench.system.test_script(&bench.caller, script.id, TestRequest::default()).await.expect("run");
    let changed: Vec<&str> = rehearsed.changes.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(changed, ["cloudInitData", "metadata"], "{rehearsed:?}");

    // Each start is told anew: without scripts as the customer gave it.
    for script in bench.system.store().index().all(sutler_model::Noun::Script) {
        let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
        bench.system.update_script(&bench.caller, script.into(), None, off).await.expect("disabled");
    }
    let id = ServerId(job.item_id);
    let job = bench.act(id, ServerAction::Reboot { force: false }, "again").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let image = seed(root);
    assert!(holds(&image, own) && !holds(&image, "multipart") && !holds(&image, "metadata.xml"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_may_write_the_user_data_and_one_that_refuses_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let bench = bench(root).await;
    let body = r##"
        local node = new("FDLXMLHelper"):findNode(p.input[2], "CONFIG/meta/runtime/system/userdata")
        node:setTextContent("#!/bin/sh\necho in place of " .. node:getTextContent())
        p.input[1]:setCpu(64)
    "##;
    let script = bench.script("write", Scope::Provider, block("PRE_SERVER_METADATA_UPDATE", r#""ANY""#, body)).await;
    let mut new = bench.new_server("web", true);
    new.user_data = Some("<old>".to_owned());
    let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect("accepted");
    let ended = bench.ended(job.id).await;
    assert_eq!(ended.state, JobState::Successful, "{:?}", ended.error);
    assert!(holds(&seed(root), "#!/bin/sh\necho in place of <old>"), "as one text, for nothing was added");
    let runs = bench.runs_until(|runs| runs.len() == 1).await;
    assert!(runs[0].log.contains("cannot be set here: cpu"), "{}", runs[0].log);
    assert_eq!(bench.server("web").await.expect("there").cpu, 2);

    let refuse = r#"do return { exitState = "FAILURE", reason = "no rack" } end"#;
    let patch =
        ScriptPatch { source: Some(block("PRE_SERVER_METADATA_UPDATE", r#""ANY""#, refuse)), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, patch).await.expect("taken");
    let id = ServerId(job.item_id);
    let job = bench.act(id, ServerAction::Stop { force: true }, "stop").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let job = bench.act(id, ServerAction::Start, "start").await;
    let ended = tokio::time::timeout(FAR, bench.ended(job.id)).await.expect("it ends");
    assert_eq!(ended.state, JobState::Failed);
    assert!(ended.error.expect("a reason").message.contains("no rack"));
    assert_eq!(bench.server("web").await.expect("there").state, ServerState::Stopped);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_is_told_before_its_first_start_may_name_its_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let bench = bench(root).await;
    let body = r#"
        local server = p.input[1]
        local address = server:getNics():get(0):getIpAddresses():get(0):getIpAddress()
        server:addCloudInitData("address " .. address)
        -- It is in the record by then.
        local stored = adminAPI:getResource(server:getResourceUUID(), true)
        print(stored:getNics():get(0):getIpAddresses():get(0):getIpAddress() == address)
    "#;
    bench.script("address", Scope::Provider, block("PRE_SERVER_METADATA_UPDATE", "", body)).await;
    let job = bench.create("web", true).await;
    let ended = bench.ended(job.id).await;
    assert_eq!(ended.state, JobState::Successful, "{:?}", ended.error);
    let address = bench.server("web").await.expect("there").nics[0].addresses[0].clone();
    assert!(holds(&seed(root), &STANDARD.encode(format!("address {address}"))));
    let runs = bench.runs_until(|runs| !runs.is_empty()).await;
    assert_eq!(runs.iter().map(|run| run.log.trim()).collect::<Vec<_>>(), ["true"]);
    bench.stop().await;
}

/// Sets metadata of a resource, and prints what came of it and what is kept then.
fn updating(target: &str, parts: &str) -> String {
    format!(
        r#"
        local metadata = new("ResourceMetadata")
        {parts}
        local uuid = {target}
        local ok, problem = pcall(function() return adminAPI:updateMetadata(uuid, metadata) end)
        print(ok, tostring(problem))
        local kept = adminAPI:getResource(uuid, false)
        kept = kept and kept:getResourceMetadata()
        if kept then print(kept:getPublicMetadata(), kept:getRestrictedMetadata(), kept:getPrivateMetadata()) end
        "#
    )
}

/// The first server, image or customer that the script sees.
fn first(kind: &str) -> String {
    format!(r#"adminAPI:listResources(nil, nil, new("ResourceType", "{kind}")):getList():get(0):getResourceUUID()"#)
}

/// What a script says when a user comes to be.
async fn said(bench: &Bench, name: &str, owner: Scope, body: &str) -> String {
    let script = bench.script(name, owner, block("POST_CREATE", r#""USER""#, body)).await;
    let customer = match owner {
        Scope::Customer(id) => id,
        _ => bench.customer,
    };
    bench.user_of(customer, name).await;
    let ended = |run: &ScriptRun| run.script_id == script.id && run.state == RunState::Succeeded;
    let runs = bench.runs_until(|runs| runs.iter().any(ended)).await;
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, off).await.expect("disabled");
    runs.into_iter().find(ended).expect("the run").log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_keeps_on_a_server_reaches_its_guest_but_for_the_private_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, own) = (folder.path(), "#cloud-config\npackages: [nginx]\n");
    let bench = bench(root).await;
    let mut new = bench.new_server("web", false);
    new.user_data = Some(own.to_owned());
    let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect("accepted");
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let parts = r#"
        metadata:setPublicMetadata('<?xml version="1.0"?><site>north</site>')
        metadata:setRestrictedMetadata("<licence>abc &amp; d</licence>")
        metadata:setPrivateMetadata("<cost>secret-7</cost>")"#;
    let server = first("SERVER");
    let log = said(&bench, "keep", Scope::Customer(bench.customer), &updating(&server, parts)).await;
    let kept = "<?xml version=\"1.0\"?><site>north</site>\t<licence>abc &amp; d</licence>\t<cost>secret-7</cost>";
    assert_eq!(log.trim(), format!("true\ttrue\n{kept}"));

    // Without any trigger, and beside the customer's own data.
    let id = ServerId(job.item_id);
    let job = bench.act(id, ServerAction::Start, "start").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let image = seed(root);
    let told =
        "</foreignkeys><public><site>north</site></public><restricted><licence>abc &amp; d</licence></restricted>";
    assert!(holds(&image, told) && holds(&image, own), "{}", String::from_utf8_lossy(&image));
    assert!(!holds(&image, "secret-7"));

    // A trigger finds it in its document.
    let look = r#"print(new("FDLXMLHelper"):findNode(p.input[2], "CONFIG/meta/server/public/site"):getTextContent())"#;
    let script = bench.script("look", Scope::Provider, block("PRE_SERVER_METADATA_UPDATE", "", look)).await;
    let job = bench.act(id, ServerAction::Reboot { force: false }, "again").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.script_id == script.id)).await;
    assert_eq!(runs.iter().find(|run| run.script_id == script.id).expect("a run").log.trim(), "north");

    // What is not set stays; what is empty goes.
    let parts = r#"metadata:setPublicMetadata("") metadata:setRestrictedMetadata("")"#;
    let log = said(&bench, "drop", Scope::Provider, &updating(&server, parts)).await;
    assert_eq!(log.trim(), "true\ttrue\nnil\tnil\t<cost>secret-7</cost>");
    let shown = bench.server("web").await.expect("there").metadata.expect("the private part");
    assert_eq!((shown.private.as_str(), shown.public.as_str()), ("<cost>secret-7</cost>", ""));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_is_no_xml_or_too_long_or_anothers_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path()).await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    let (stranger, _) = bench.stranger().await;
    let server = first("SERVER");
    let own = Scope::Customer(bench.customer);
    for (n, (parts, words)) in [
        ("metadata:setPrivateMetadata('<a><b></a>')", "privateMetadata: is no XML"),
        ("metadata:setPublicMetadata('</m><system/><m>')", "publicMetadata: is no XML: it closes"),
        ("metadata:setRestrictedMetadata(string.rep('x', 16385))", "restrictedMetadata: is 16385 bytes; at most 16384"),
        ("metadata:setSystemMetadata('<a/>')", "systemMetadata: is the platform's own"),
    ]
    .into_iter()
    .enumerate()
    {
        let log = said(&bench, &format!("wrong-{n}"), own, &updating(&server, parts)).await;
        assert!(log.starts_with("false") && log.contains(words) && log.contains("INVALID_INPUT"), "{log}");
    }
    assert!(bench.server("web").await.expect("there").metadata.is_none());

    // Another's server is not there.
    let theirs = format!("'{}'", job.item_id);
    let log =
        said(&bench, "spy", Scope::Customer(stranger), &updating(&theirs, "metadata:setPublicMetadata('x')")).await;
    assert!(log.starts_with("false") && log.contains("NO_SERVER_FOUND"), "{log}");

    // A seller's image shows customers what is public, and takes nothing from them.
    let parts = "metadata:setPublicMetadata('<os/>') metadata:setPrivateMetadata('<cost/>') \
        metadata:setRestrictedMetadata('<key/>')";
    let image = first("IMAGE");
    let log = said(&bench, "offer", Scope::Provider, &updating(&image, parts)).await;
    assert_eq!(log.trim(), "true\ttrue\n<os/>\t<key/>\t<cost/>");
    let log = said(&bench, "take", own, &updating(&image, "metadata:setPublicMetadata('<mine/>')")).await;
    assert!(log.starts_with("false") && log.contains("NO_IMAGE_FOUND"), "{log}");
    assert_eq!(log.trim().lines().last(), Some("<os/>\tnil\tnil"), "{log}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_of_those_who_pay_for_it_comes_with_their_servers() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path()).await;
    bench.script("agent", Scope::Provider, include_str!("published/cloud_init.lua").to_owned()).await;
    let keys = vec![sutler_model::ResourceKey {
        name: "MONITORING".into(),
        value: "gold".into(),
        kind: sutler_model::KeyKind::BillingEntity,
        ..sutler_model::ResourceKey::default()
    }];
    let patch = crate::CustomerPatch { keys: Some(keys), ..crate::CustomerPatch::default() };
    bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.unwrap();
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let seed = seed(folder.path());
    let added = STANDARD.encode("#cloud-config\nruncmd:\n  - [ monitoring-agent, --plan, gold ]\n");
    assert!(holds(&seed, &added[..76]), "{}", String::from_utf8_lossy(&seed));
    // The document is told by the run.
    let runs = bench.runs_until(|runs| runs.len() == 1).await;
    assert_eq!(runs[0].log.trim(), "<plan>gold</plan>");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_is_started_with_is_told_for_that_run_and_no_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let bench = bench(root).await;
    let job = bench.create("web", false).await;
    let id = ServerId(bench.ended(job.id).await.item_id);
    let guard = r#"
        local metadata = p.input:getRuntimeMetadata()
        print(p.triggerOption, metadata and metadata:getPublicMetadata())
    "#;
    let guard = block("PRE_SERVER_STATE_CHANGE", r#""RUNNING""#, guard);
    let guard = bench.script("guard", Scope::Provider, guard).await;
    let after = r#"print(p.input:getRuntimeMetadata():getPrivateMetadata())"#;
    let after = block("POST_SERVER_STATE_CHANGE", r#""RUNNING""#, after);
    let after = bench.script("after", Scope::Customer(bench.customer), after).await;
    let start = r#"
        local metadata = new("ResourceMetadata")
        metadata:setPublicMetadata("<run>7</run>")
        metadata:setPrivateMetadata("<who>ada</who>")
        local running = new("ServerStatus", "RUNNING")
        local job = adminAPI:waitForJob(
            adminAPI:changeServerStatus("SERVER", running, true, metadata, nil):getResourceUUID(), true)
        print(job:getStatus():name(), job:getRuntimeMetadata():getPublicMetadata())
        print(adminAPI:getResource("SERVER", false):getRuntimeMetadata():getPrivateMetadata())
        metadata:setPublicMetadata("<run>")
        print(pcall(function() return adminAPI:changeServerStatus("SERVER", running, true, metadata, nil) end))
    "#;
    let log = said(&bench, "start", Scope::Customer(bench.customer), &start.replace("SERVER", &id.to_string())).await;
    assert!(log.starts_with("SUCCESSFUL\t<run>7</run>\n<who>ada</who>\nfalse"), "{log}");
    assert!(log.contains("INVALID_INPUT: publicMetadata: is no XML"), "{log}");
    let image = seed(root);
    assert!(holds(&image, "</system><public><run>7</run></public></runtime>"), "{}", String::from_utf8_lossy(&image));
    assert!(!holds(&image, "<who>"), "the private part is for no guest");
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.script_id == after.id && !run.log.is_empty())).await;
    let log = |id| runs.iter().find(|run| run.script_id == id).expect("a run").log.trim().to_owned();
    assert_eq!((log(guard.id).as_str(), log(after.id).as_str()), ("RUNNING\t<run>7</run>", "<who>ada</who>"));

    // A guest whose process ended is started again in the same run.
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, after.id, None, off).await.expect("disabled");
    let since = bench.server("web").await.expect("there").state_since;
    assert!(bench.world.kill(id));
    bench
        .until(async || {
            let server = bench.server("web").await.expect("there");
            server.state == ServerState::Running && server.state_since != since && server.job_id.is_none()
        })
        .await;
    assert!(bench.server("web").await.expect("there").runtime_metadata.is_some());

    // The next run knows nothing of it.
    let job = bench.act(id, ServerAction::Stop { force: true }, "off").await;
    bench.ended(job.id).await;
    assert_eq!(bench.server("web").await.expect("there").runtime_metadata, None);
    let job = bench.act(id, ServerAction::Start, "on").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    assert!(!holds(&seed(root), "<run>7</run>"));
    bench.stop().await;
}
