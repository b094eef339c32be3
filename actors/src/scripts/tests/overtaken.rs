//! Requests about records that others write between their being read and their being changed.

use super::{
    in_use::method,
    reaching::{answer, asking, peer},
    *,
};
use crate::{
    BillingEntityPatch, BlobPatch, CustomerPatch, ImagePatch, NewBlob, PaymentMethodPatch, PlanPatch, UserPatch,
};
use std::pin::pin;
use sutler_model::{BillingEntity, Blob, Cause, Customer, Image, PaymentMethod, PaymentSetup, Plan, User};
use sutler_store::Record;
use tokio::{net::TcpStream, sync::mpsc::UnboundedReceiver};
use uuid::Uuid;

struct Held {
    bench: Bench,
    asked: UnboundedReceiver<TcpStream>,
    _folder: tempfile::TempDir,
}

impl Held {
    /// A bench on which PRE triggers wait until they are answered.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = asking(folder.path()).await;
        Self { bench, asked: peer().await.1, _folder: folder }
    }

    async fn wait_in(&mut self, trigger: &str) {
        let (url, asked) = peer().await;
        self.asked = asked;
        self.bench.script("wait", Scope::Provider, block(trigger, "", &format!("http.get('{url}')"))).await;
    }

    /// Lets a request come as far as its trigger, and somebody else write the record before it goes on.
    async fn overtaken<R: Record, T>(&mut self, record: &R, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        let held = tokio::select! {
            _ = &mut request => panic!("its trigger waits"),
            socket = self.asked.recv() => socket.expect("a request"),
        };
        self.touch::<R>(record.id()).await;
        answer(held).await;
        loop {
            tokio::select! {
                done = &mut request => return done,
                socket = self.asked.recv() => answer(socket.expect("a request")).await,
            }
        }
    }

    async fn touch<R: Record>(&self, id: Uuid) {
        let store = self.bench.system.store();
        let old = store.get::<R>(id).await.expect("read").expect("there");
        let mut set = ChangeSet::new(Cause::system("somebody else"));
        set.update(&old, &mut old.clone());
        store.commit(set).await.expect("written");
    }
}

async fn only<R: Record>(bench: &Bench) -> R {
    all::<R>(&bench.system).await.remove(0)
}

fn blob(bench: &Bench, seller: &BillingEntity) -> NewBlob {
    NewBlob {
        name: "note".into(),
        billing_entity_id: seller.id,
        customer_id: Some(bench.customer),
        media_type: "text/plain".into(),
        public: false,
        content: b"hello".to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_names_no_version_is_made_on_what_others_have_written_meanwhile() {
    let mut held = Held::start().await;
    let (system, caller) = (held.bench.system.clone(), held.bench.caller.clone());
    let name = || Some("Renamed".to_owned());
    let (customer, seller) = (only::<Customer>(&held.bench).await, only::<BillingEntity>(&held.bench).await);
    let (user, image, plan) =
        (held.bench.user("ada").await, only::<Image>(&held.bench).await, only::<Plan>(&held.bench).await);
    let note = system.create_blob(&caller, blob(&held.bench, &seller)).await.expect("kept");
    let script = held.bench.goods().await;
    let method = system.create_payment_method(&caller, method(&held.bench, &script)).await.expect("made");
    held.bench.until(async || only::<PaymentMethod>(&held.bench).await.state == PaymentSetup::Ready).await;
    held.wait_in("PRE_MODIFY").await;

    let patch = CustomerPatch { name: name(), ..CustomerPatch::default() };
    let changed = held.overtaken(&customer, system.update_customer(&caller, customer.id, None, patch.clone())).await;
    assert_eq!(changed.expect("changed").version, customer.version + 2);
    // Who means one version is told.
    let if_match = Some(customer.version + 2);
    let refused = held.overtaken(&customer, system.update_customer(&caller, customer.id, if_match, patch)).await;
    assert!(matches!(refused, Err(Error::Stale { .. })), "{refused:?}");

    let patch = BillingEntityPatch { name: name(), ..BillingEntityPatch::default() };
    let changed = held.overtaken(&seller, system.update_billing_entity(&caller, seller.id, None, patch)).await;
    assert_eq!(changed.expect("changed").name, "Renamed");

    let patch = UserPatch { first_name: name(), ..UserPatch::default() };
    let changed = held.overtaken(&user, system.update_user(&caller, user.id, None, patch)).await;
    assert_eq!(changed.expect("changed").first_name, "Renamed");

    let patch = ImagePatch { name: name(), ..ImagePatch::default() };
    let changed = held.overtaken(&image, system.update_image(&caller, image.id, None, patch)).await;
    assert_eq!(changed.expect("changed").name, "Renamed");

    let patch = PlanPatch { name: name(), ..PlanPatch::default() };
    let changed = held.overtaken(&plan, system.update_plan(&caller, plan.id, None, patch)).await;
    assert_eq!(changed.expect("changed").name, "Renamed");

    let patch = BlobPatch { name: name(), content: Some(b"bye".to_vec()), ..BlobPatch::default() };
    let changed = held.overtaken(&note, system.update_blob(&caller, note.id, None, patch)).await;
    assert_eq!(changed.expect("changed").name, "Renamed");

    let patch = PaymentMethodPatch { name: name(), values: None };
    let changed = held.overtaken(&method, system.update_payment_method(&caller, method.id, None, patch)).await;
    assert_eq!(changed.expect("changed").0.name, "Renamed");
    held.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_names_no_version_is_made_of_what_others_have_written_meanwhile() {
    let mut held = Held::start().await;
    let (system, caller) = (held.bench.system.clone(), held.bench.caller.clone());
    let (user, seller) = (held.bench.user("ada").await, only::<BillingEntity>(&held.bench).await);
    let note = system.create_blob(&caller, blob(&held.bench, &seller)).await.expect("kept");
    held.wait_in("PRE_DELETE").await;
    held.overtaken(&user, system.delete_user(&caller, user.id, None)).await.expect("deleted");
    held.overtaken(&note, system.delete_blob(&caller, note.id, None)).await.expect("deleted");
    assert_eq!(all::<Blob>(&system).await, []);
    assert!(all::<User>(&system).await.iter().all(|left| left.id != user.id));
    held.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_signs_in_by_what_has_been_taken_from_them_since_it_was_checked() {
    let bench = Bench::start().await;
    let system = bench.system.clone();
    let sign_in = async |checked: &User, ttl_ms| {
        let opened = system.open_session(checked, "hash".into(), ttl_ms, Cause::system("test")).await;
        opened.expect("an answer").is_some()
    };
    let change =
        async |user: &User, patch| system.update_user(&bench.caller, user.id, None, patch).await.expect("changed");

    let checked = bench.user("ada").await;
    // All of them find the session that is over, and one of them clears it away.
    assert!(sign_in(&checked, 0).await);
    let at_once = tokio::join!(sign_in(&checked, 1_000), sign_in(&checked, 1_000), sign_in(&checked, 1_000));
    assert_eq!(at_once, (true, true, true));

    let patch = UserPatch { password_hash: Some("another".into()), ..UserPatch::default() };
    let renewed = change(&checked, patch).await;
    assert!(!sign_in(&checked, 1_000).await);
    assert!(sign_in(&renewed, 1_000).await);
    change(&renewed, UserPatch { locked: Some(true), ..UserPatch::default() }).await;
    assert!(!sign_in(&renewed, 1_000).await);
    system.delete_user(&bench.caller, renewed.id, None).await.expect("deleted");
    assert!(!sign_in(&renewed, 1_000).await);
    bench.stop().await;
}
