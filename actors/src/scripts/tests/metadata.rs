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
        let storage = Arc::new(Seeds { rest: drivers.storage.clone(), seeds });
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
