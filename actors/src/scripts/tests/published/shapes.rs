//! Scripts that put into shape what is created, and find it again by what is related to it.

use super::{super::*, Stage};
use sutler_model::{NewServer, ServerState};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_created_gets_metadata_and_keys_and_is_found_by_its_relations() {
    let stage = Stage::open().await;
    let system = &stage.bench.system;
    let script = stage.load("onboarding", include_str!("onboarding.lua")).await;
    let plan = all::<Plan>(system).await.remove(0);
    let acme = system.create_customer(&stage.bench.caller, crate::testing::new_customer("Acme", &plan)).await.unwrap();
    assert_eq!(acme.metadata.as_ref().expect("its metadata").private, "<CONFIG><crm>Acme</crm></CONFIG>");
    assert_eq!(acme.contact.organisation, "Acme Ltd");
    let new = |name: &str, image_id| NewServer {
        name: name.into(),
        cpu: 1,
        memory_mib: 512,
        disk_gib: 10,
        image_id,
        start: true,
        user_data: None,
        ssh_keys: Vec::new(),
        keys: Vec::new(),
        provider_values: Default::default(),
    };
    // What a script makes of it is held to the same rules.
    let broken = system.create_server(&stage.bench.caller, acme.id, new("broken", stage.bench.image), None).await;
    let broken = broken.unwrap_err().to_string();
    assert!(!broken.is_empty());
    let run = stage.bench.runs().await.into_iter().rfind(|run| run.function == "onboarding_server").expect("its run");
    assert!(run.result.contains("resourceMetadata.publicMetadata"), "{run:#?}");
    let job = system.create_server(&stage.bench.caller, acme.id, new("web", stage.bench.image), None).await.unwrap();
    stage.bench.ended(job.id).await;
    let server = stage.bench.server("web").await.expect("the server");
    assert_eq!(server.metadata.expect("its metadata").public, "<CONFIG><role>web</role></CONFIG>");
    let disk = all::<sutler_model::Disk>(system).await.remove(0);
    assert_eq!((disk.keys[0].name.as_str(), disk.keys[0].value.as_str()), ("TIER", "ssd"));
    stage.bench.until(async || stage.bench.server("web").await.is_some_and(|s| s.state == ServerState::Running)).await;
    let log = stage.run(&script, sutler_model::Timestamp(1)).await;
    let expected = [
        "DISK\tserver.status\tweb-boot",
        "DISK\tserver.customer.resourcekey.value\tweb-boot",
        "DISK\tresourcekey.value\tweb-boot",
        "SERVER\tcustomer.organisationName\tweb",
        "SERVER\timage.size\tweb",
        "JOB\tuser.email\t",
        "<CONFIG><role>web</role></CONFIG>\tnil",
        "<CONFIG><crm>Acme</crm></CONFIG>\tAcme Ltd",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_does_for_its_session_user_is_that_users_and_seconds_are_a_time() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    bench.user("ada").await;
    let script = stage.load("provisioning", include_str!("provisioning.lua")).await;
    let log = stage.run(&script, sutler_model::Timestamp(1)).await;
    let (wrong, rest) = log.split_once('\n').expect("four lines");
    assert!(wrong.contains("restrictedMetadata: is no XML"), "{log}");
    assert_eq!(rest, "<CONFIG><first/></CONFIG>\nNOT_STARTED\ttrue\nCANCELLED\n");
    assert_eq!(stage.logs("provisioning_created", 1).await, ["ada@example.org\n"]);
    // Its creation in three states, and the start that was taken back.
    let mut told = stage.logs("provisioning_job", 5).await;
    told.sort();
    let ada = |job: &str, state: &str| format!("{job} {state}\tada@example.org\n");
    let expected = [
        ada("CREATE_SERVER", "IN_PROGRESS"),
        ada("CREATE_SERVER", "NOT_STARTED"),
        ada("CREATE_SERVER", "SUCCESSFUL"),
        ada("START_SERVER", "CANCELLED"),
        ada("START_SERVER", "NOT_STARTED"),
    ];
    assert_eq!(told, expected);
    bench.stop().await;
}
