//! The program as a process: what survives, what ends it, what keeps it from starting.

use crate::support::{Program, World, program};
use serde_json::json;
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Output};

/// Runs the program on `data` expecting it to refuse, and answers what it said.
fn refused(data: &Path, settings: &[(&str, &str)]) -> String {
    let settings: Vec<_> = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let Output { status, stderr, .. } = program::command(data, &settings).output().expect("the program runs");
    let text = String::from_utf8_lossy(&stderr).trim().to_owned();
    assert!(!status.success() && status.code().is_some(), "{status}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(text.lines().count(), 1, "one clear line: {text}");
    text
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let world = World::new().await;
    let ada = world.ada.client.clone();
    let server = world.running_server(&ada, "web-1").await;
    let mut jobs = Vec::new();
    for n in 2..8 {
        jobs.push(ada.post("/servers", world.server(&format!("web-{n}"))).await.expect(202).id());
    }
    let program = world.program.kill_and_restart().await;
    let ada = program.client().with_token(&ada.token.unwrap());
    for job in &jobs {
        let done = ada.finished(job).await;
        assert_eq!(done["state"], "successful", "{done}");
    }
    let servers = ada.get("/servers?state=running").await.expect(200);
    assert_eq!(servers.items().len(), 7, "{}", servers.text);
    ada.server_in(&server, "running").await;
}

// Only debug builds have an address that panics.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_panic_costs_one_request_and_not_the_program() {
    let mut program = Program::start().await;
    let client = program.client();
    for _ in 0..3 {
        client.get("/panic").await.problem(500, "internal");
    }
    client.get("/healthz").await.expect(200);
    assert!(program.is_running());
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("sutler_http_panics_total 3"), "{metrics}");
}

#[tokio::test]
async fn told_to_stop_it_ends_in_order_and_a_restart_finds_everything() {
    let world = World::new().await;
    let token = world.ada.client.token.clone().unwrap();
    let server = world.running_server(&world.ada.client, "web-1").await;
    let mut program = world.program;
    let status = program.stop().await;
    assert!(status.success(), "{status}: {}", program.log());
    let program = program.restart().await;
    let ada = program.client().with_token(&token);
    ada.server_in(&server, "running").await;
    assert_eq!(program.log().matches("First start").count(), 1, "the first start is told once: {}", program.log());
}

#[tokio::test]
async fn the_first_password_is_told_once_unless_it_was_given() {
    let program = Program::start().await;
    assert!(program.log().contains("SUTLER_ADMIN_PASSWORD") && !program.log().contains(program::PASSWORD));
    let folder = tempfile::tempdir().unwrap();
    let said = refused(folder.path(), &[("SUTLER_ADMIN_PASSWORD", "short")]);
    assert!(said.contains("SUTLER_ADMIN_PASSWORD") && said.contains("at least 10"), "{said}");
}

#[tokio::test]
async fn a_second_process_on_the_same_store_is_refused() {
    let program = Program::start().await;
    let said = refused(&program.data(), &[]);
    assert!(said.contains("in use by another process"), "{said}");
    program.client().get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_setting_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    for setting in ["SUTLER_LISTEN_PLAIN", "SUTLER_LISTEN_TLS"] {
        let said = refused(folder.path(), &[(setting, &address)]);
        let name = setting.trim_start_matches("SUTLER_").replace('_', ".").to_lowercase();
        assert!(said.contains(&address) && said.contains(&name), "{said}");
    }
}

#[tokio::test]
async fn a_store_that_is_none_or_a_folder_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("sutler.redb"), "this is no store").unwrap();
    let said = refused(&data, &[]);
    assert!(said.contains("is not a Sutler store"), "{said}");
    assert_eq!(fs::read(data.join("sutler.redb")).unwrap(), b"this is no store", "nothing was touched");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refused(&file, &[]).contains("is not a folder"));
    assert!(refused(Path::new("/proc/nothing/here"), &[]).contains("/proc/nothing/here"));
}

#[tokio::test]
async fn settings_that_are_wrong_keep_the_program_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sutler.toml");
    fs::write(&file, "[limits]\n\nconections = 7\n").unwrap();
    let said = refused(folder.path(), &[("SUTLER_CONFIG", file.to_str().unwrap())]);
    assert!(said.contains("sutler.toml, line 3") && said.contains("did you mean `connections`"), "{said}");
    let said = refused(folder.path(), &[("SUTLER_STORE_CACHE_MB", "7")]);
    assert!(said.contains("did you mean SUTLER_STORE_CACHE_MIB"), "{said}");
    let said = refused(folder.path(), &[("SUTLER_CONFIG", "/no/such/file")]);
    assert!(said.contains("/no/such/file"), "{said}");
    let said = refused(folder.path(), &[("SUTLER_LISTEN_PLAIN", "0.0.0.0:0")]);
    assert!(said.contains("plain_anywhere"), "{said}");
}

#[tokio::test]
async fn the_data_folder_is_for_its_owner_alone() {
    let program = Program::start().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&program.data()), 0o700);
    assert_eq!(mode(&program.data().join("tls/key.pem")), 0o600);
}

#[tokio::test]
async fn stopping_ends_streams_too() {
    let mut program = Program::start().await;
    let admin = program.admin().await;
    let mut stream = admin.request(reqwest::Method::GET, "/events").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    admin.post("/api-keys", json!({ "name": "wake" })).await.expect(201);
    stream.chunk().await.unwrap().expect("a first piece");
    assert!(program.stop().await.success());
}
