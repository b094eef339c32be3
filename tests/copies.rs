//! The continuous copy: what was acknowledged before a loss of the data folder is there after a rebuild.

use crate::support::{World, eventually, program};
use serde_json::json;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_is_rebuilt_from_its_continuous_copy() {
    let copy = tempfile::tempdir().expect("a folder");
    let folder = copy.path().to_str().expect("text");
    let mut world = World::with(&[("SUTLER_FOLLOWER_DIR", folder)]).await;
    let server = world.running_server(&world.ada.client, "kept").await;
    let customer = world.ada.id.clone();
    world.admin.patch(&format!("/customers/{customer}"), json!({ "name": "Ada Lovelace" })).await.expect(200);
    // The copy says how far it is.
    let position = |text: &str, name: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    eventually("the copy has caught up", async || {
        let text = world.admin.get("/metrics").await.text;
        let (store, copied) = (position(&text, "sutler_store_seq ")?, position(&text, "sutler_follower_seq ")?);
        (copied >= store).then_some(())
    })
    .await;
    assert!(world.program.stop().await.success());

    // The data folder is lost; another is rebuilt from the copy.
    let rebuilt = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_sutler"))
        .args(["store", "rebuild", folder, "--data-dir"])
        .arg(rebuilt.path())
        .env_remove("SUTLER_CONFIG")
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = world.program.data();
    for file in std::fs::read_dir(&data).expect("the data folder").flatten() {
        if file.file_name().to_string_lossy().starts_with("sutler.redb") {
            std::fs::remove_file(file.path()).expect("lost");
        }
    }
    for file in std::fs::read_dir(rebuilt.path()).expect("the rebuilt folder").flatten() {
        std::fs::copy(file.path(), data.join(file.file_name())).expect("copied");
    }
    let program = world.program.restart().await;
    let admin = program.client().sign_in("admin@localhost", program::PASSWORD).await;
    let kept = admin.get(&format!("/servers/{server}")).await.expect(200);
    assert_eq!((&kept.body["name"], &kept.body["state"]), (&json!("kept"), &json!("running")));
    assert_eq!(admin.get(&format!("/customers/{customer}")).await.expect(200).body["name"], "Ada Lovelace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_the_program_starts_reads_on_and_refuses_to_write() {
    let mut world = World::new().await;
    let server = world.running_server(&world.ada.client, "web-1").await;
    let token = world.admin.token.clone().expect("signed in");
    assert!(world.program.stop().await.success());

    // Less is free than the reserve asks for, which is what a full disk is to the store.
    let program = world.program.restart_with("SUTLER_STORE_RESERVE_MIB", "1000000000").await;
    let admin = program.client().with_token(&token);
    assert_eq!(admin.get(&format!("/servers/{server}")).await.expect(200).body["name"], "web-1");
    let customer = format!("/customers/{}", world.ada.id);
    let refused = admin.patch(&customer, json!({ "name": "Ada Lovelace" })).await.problem(503, "busy");
    assert!(refused.body["detail"].as_str().expect("text").contains("nearly full"), "{}", refused.text);
    let health = admin.get("/healthz").await;
    assert_eq!(health.status, 503, "{}", health.text);

    let program = program.restart_with("SUTLER_STORE_RESERVE_MIB", "1").await;
    let admin = program.client().with_token(&token);
    assert_eq!(admin.get("/healthz").await.status, 200);
    assert_eq!(admin.get(&customer).await.expect(200).body["name"], "ada", "what was refused did not happen");
    admin.patch(&customer, json!({ "name": "Ada Lovelace" })).await.expect(200);
}
