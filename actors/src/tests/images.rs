//! Images made of servers and disks: whose they are, what they may be used for, and when they go.

use crate::{
    ActionAsked, Caller, Error, Idempotency, ImagePatch, ImageSource, ServerAction, Settings,
    testing::{Bench, all, caller, new_customer, new_image},
};
use sutler_model::{
    Disk, Image, ImageId, ImagePermission, ImageState, Job, JobState, Noun, Plan, Role, Scope, Server, ServerId,
    Timestamp,
};

async fn built(bench: &Bench, name: &str, start: bool) -> Server {
    let job = bench.create(name, start).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.server(name).await.expect("the server")
}

async fn made(bench: &Bench, source: ImageSource, name: &str) -> Image {
    let job = bench.image_of(source, name, name).await.expect("accepted");
    let job = bench.ended(job.id).await;
    assert_eq!((job.state, &job.error), (JobState::Successful, &None));
    bench.system.store().get(ImageId(job.item_id)).await.expect("read").expect("the image")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_a_disk_makes_servers_once_its_own_server_has_stopped() {
    let bench = Bench::start().await;
    let server = built(&bench, "web", true).await;
    let refused = bench.image_of(ImageSource::Server(server.id), "golden", "a").await;
    let Err(Error::State { noun: Noun::Server, detail, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(detail, "the server is running; stop it before an image is made of it");
    let stop = bench.act(server.id, ServerAction::Stop { force: true }, "off").await;
    bench.ended(stop.id).await;

    let disk = bench.disks().await.remove(0);
    let image = made(&bench, ImageSource::Disk(disk.id), "golden").await;
    assert_eq!((image.state, image.size_gib, image.memory_mib_min), (ImageState::Ready, 10, 32));
    assert_eq!((image.customer_id, image.billing_entity_id), (Some(bench.customer), server.billing_entity_id));
    let base = image.base.clone().expect("what it was made of");
    assert_eq!((base.noun, base.id, base.name.as_str()), (Noun::Disk, disk.id.0, "web-boot"));
    assert!(matches!(bench.image_of(ImageSource::Disk(disk.id), "Golden", "b").await, Err(Error::Taken { .. })));

    let mut new = bench.new_server("clone", true);
    new.image_id = image.id;
    let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect("accepted");
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_makes_an_image_of_anothers_server_and_an_image_takes_its_customers_room() {
    let bench = Bench::start().await;
    let server = built(&bench, "web", false).await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let mut other = new_customer("Other", &plan);
    other.quota = None;
    let other = bench.system.create_customer(&bench.caller, other).await.expect("the customer");
    let stranger = caller(&plan, Role::CustomerAdmin, Scope::Customer(other.id), Some(other.id));
    let disk = bench.disks().await.remove(0);
    for source in [ImageSource::Server(server.id), ImageSource::Disk(disk.id)] {
        let refused = bench.system.create_image(&stranger, new_image(source, "stolen"), None, None).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    let member = caller(&plan, Role::CustomerMember, Scope::Customer(bench.customer), Some(bench.customer));
    let source = ImageSource::Server(server.id);
    let refused = bench.system.create_image(&member, new_image(source, "mine"), None, None).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");

    let quota = sutler_model::Quota { servers: 9, cpus: 9, memory_mib: 1 << 20, disk_gib: 19 };
    let patch = crate::CustomerPatch { quota: Some(quota), ..Default::default() };
    bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.expect("changed");
    let refused = bench.image_of(source, "large", "a").await;
    assert!(
        matches!(refused, Err(Error::Quota { what: "GiB of disk", limit: 19, used: 10, asked: 10 })),
        "{refused:?}"
    );
    assert_eq!(all::<Image>(&bench.system).await.len(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_image_does_not_allow_its_customers_people_cannot_do_nor_grant_themselves() {
    let bench = Bench::start().await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let ada = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    let server = built(&bench, "web", false).await;
    let image = made(&bench, ImageSource::Server(server.id), "golden").await;
    let only = |permission| ImagePatch { owner_permission: Some(permission), ..ImagePatch::default() };
    let none = ImagePermission { can_start: false, can_console: false, can_image: false, ..ImagePermission::ALL };
    bench.system.update_image(&bench.caller, image.id, None, only(none)).await.expect("changed");
    let kept = bench.system.update_image(&ada, image.id, None, only(ImagePermission::ALL)).await.expect("unchanged");
    assert_eq!(kept.owner_permission, none, "a customer takes away and gives nothing");

    let mut new = bench.new_server("clone", false);
    new.image_id = image.id;
    let job = bench.system.create_server(&ada, bench.customer, new.clone(), None).await.expect("accepted");
    let clone = ServerId(bench.ended(job.id).await.item_id);
    let refused = bench.system.act_on_server(&ada, clone, ServerAction::Start, ActionAsked::default()).await;
    assert!(matches!(refused, Err(Error::ImagePermission { .. })), "{refused:?}");
    let copy = new_image(ImageSource::Server(clone), "copy");
    let refused = bench.system.create_image(&ada, copy.clone(), None, None).await;
    assert!(matches!(refused, Err(Error::ImagePermission { .. })), "{refused:?}");
    assert!(matches!(bench.system.server_console(&ada, clone).await, Err(Error::ImagePermission { .. })));

    // Its seller may, and what it makes of it allows no more.
    let job = bench.system.create_image(&bench.caller, copy, None, None).await.expect("accepted");
    let copy = ImageId(bench.ended(job.id).await.item_id);
    let copy = bench.system.store().get::<Image>(copy).await.expect("read").expect("the image");
    assert_eq!((copy.owner_permission, copy.user_permission), (none, none));
    let job = bench.system.act_on_server(&bench.caller, clone, ServerAction::Start, ActionAsked::default()).await;
    assert_eq!(bench.ended(job.expect("accepted").id).await.state, JobState::Successful);

    let closed = ImagePermission { can_create_server: false, ..ImagePermission::ALL };
    bench.system.update_image(&ada, image.id, None, only(closed)).await.expect("taken away");
    let refused = bench.system.create_server(&ada, bench.customer, new, None).await;
    assert!(matches!(refused, Err(Error::ImagePermission { .. })), "{refused:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_image_goes_with_the_last_disk_made_from_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = || Settings { disk_grace_ms: 0, ..Bench::settings() };
    let bench = Bench::start_with(folder.path(), settings()).await;
    let server = built(&bench, "web", false).await;
    let image = made(&bench, ImageSource::Server(server.id), "golden").await;
    let retire = ImagePatch { state: Some(ImageState::Retired), ..ImagePatch::default() };
    let mut new = bench.new_server("clone", false);
    new.image_id = image.id;
    let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect("accepted");
    let clone = ServerId(bench.ended(job.id).await.item_id);
    bench.system.update_image(&bench.caller, image.id, None, retire).await.expect("retired");
    bench.stop().await;
    drop(bench);

    // A start is a round of the keeper's: the image stays while a disk needs it.
    let bench = Bench::start_with(folder.path(), settings()).await;
    let job = bench.act(clone, ServerAction::Delete, "away").await;
    bench.ended(job.id).await;
    assert!(all::<Image>(&bench.system).await.iter().any(|kept| kept.id == image.id));
    bench.stop().await;
    drop(bench);
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.until(async || all::<Image>(&bench.system).await.iter().all(|kept| kept.id != image.id)).await;
    assert!(all::<Disk>(&bench.system).await.iter().all(|disk| disk.server_id != clone));
    assert_eq!(bench.world.images(), ["tiny.qcow2"], "its file is gone, and no other");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_for_later_is_made_in_its_time_or_taken_back_without_a_trace() {
    let bench = Bench::start().await;
    let server = built(&bench, "web", true).await;
    let soon = |ms: i64| Some(Timestamp(bench.system.core().now().0 + ms));
    let ask = async |name: &str, ms: i64| -> Job {
        let new = new_image(ImageSource::Server(server.id), name);
        bench.system.create_image(&bench.caller, new, soon(ms), None).await.expect("accepted")
    };
    let later = ask("later", 3_600_000).await;
    assert!(later.scheduled);
    bench.system.cancel_job(&bench.caller, later.id).await.expect("cancelled");
    assert_eq!(bench.ended(later.id).await.state, JobState::Cancelled);
    assert_eq!(all::<Image>(&bench.system).await.len(), 1, "its record is gone");

    // The server still runs when the time has come.
    let job = ask("running", 50).await;
    let job = bench.ended(job.id).await;
    assert_eq!((job.state, job.error.map(|error| error.code)), (JobState::Failed, Some("server_not_stopped".into())));
    let running = bench.server("web").await.expect("the server");
    assert_eq!((running.state, running.job_id), (sutler_model::ServerState::Running, None));
    let stop = bench.act(server.id, ServerAction::Stop { force: true }, "off").await;
    bench.ended(stop.id).await;
    let job = ask("stopped", 50).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_gets_the_job_of_an_image_also_when_what_it_was_made_of_is_going_or_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = || Settings { disk_grace_ms: 0, ..Bench::settings() };
    let bench = Bench::start_with(folder.path(), settings()).await;
    let server = built(&bench, "web", false).await;
    let disk = bench.disks().await.remove(0);
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let mut owner = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    owner.user_id = Some(uuid::Uuid::from_u128(1).into());
    let staff = Caller { user_id: Some(uuid::Uuid::from_u128(2).into()), ..bench.caller.clone() };
    let nobody = bench.caller.clone();
    let callers = [&owner, &staff, &nobody];
    let ask = async |bench: &Bench, caller: &Caller, source, hash: &str| {
        let of = if matches!(source, ImageSource::Server(_)) { "server" } else { "disk" };
        let key = Idempotency { key: of.to_owned(), request_hash: hash.to_owned() };
        let name = format!("{of} {}", caller.user_id.map_or(0, |user| user.0.as_u128()));
        bench.system.create_image(caller, new_image(source, &name), None, Some(key)).await
    };
    let sources = [ImageSource::Server(server.id), ImageSource::Disk(disk.id)];
    let mut made = Vec::new();
    for caller in callers {
        for source in sources {
            let job = ask(&bench, caller, source, "same").await.expect("accepted");
            assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
            made.push(job.id);
        }
    }
    let repeated = async |bench: &Bench| {
        let mut found = Vec::new();
        for caller in callers {
            for source in sources {
                found.push(ask(bench, caller, source, "same").await.map(|job| job.id));
            }
            let other = ask(bench, caller, sources[1], "another").await;
            assert!(matches!(other, Err(Error::KeyReused)), "{other:?}");
        }
        found.into_iter().collect::<Result<Vec<_>, _>>().expect("the job of then")
    };
    let job = bench.act(server.id, ServerAction::Delete, "away").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    assert_eq!(bench.disks().await.len(), 1, "the disk is kept for its time of grace");
    assert_eq!(repeated(&bench).await, made);
    bench.stop().await;
    drop(bench);

    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.until(async || bench.disks().await.is_empty()).await;
    assert_eq!(repeated(&bench).await, made);
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let other = bench.system.create_customer(&bench.caller, new_customer("Other", &plan)).await.expect("the customer");
    let mut stranger = caller(&plan, Role::CustomerAdmin, Scope::Customer(other.id), Some(other.id));
    stranger.user_id = owner.user_id;
    for source in sources {
        let refused = ask(&bench, &stranger, source, "same").await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    bench.stop().await;
}
