//! One of everything that can happen, done by the operations that people and programs have for it.

use super::super::{
    billed::new_plan,
    crashes::Boom,
    notices::{as_user, call, own_caller, request},
    payments::{CARD, Till},
    pluggables::NOTES,
};
use crate::{
    ActionAsked, BillingEntityPatch, BlobPatch, CustomerPatch, ImagePatch, ImageSource, Interaction, NewBillingEntity,
    NewBlob, Payment, PaymentInstancePatch, PaymentMethodPatch, PlanPatch, PluggablePatch, ScriptPatch, ServerAction,
    ServerPatch, Settings, UserPatch,
    scripts::beans::operator_id,
    testing::{Bench, all, new_customer},
};
use std::{collections::BTreeMap, path::Path};
use sutler_drivers::simulated::{Fault, FaultError};
use sutler_model::{
    BillingEntityId, CustomerId, Disk, ImageId, ImageState, Job, JobState, KeyKind, Plan, ResourceKey, Scope, ServerId,
    ServerState, Timestamp, TransactionState, User,
};
use uuid::Uuid;

/// An event that has happened, and what whom it sets off must have been told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) kind: &'static str,
    pub(super) option: &'static str,
    /// The record whose events are kept in order; none: the event's own.
    pub(super) resource: Option<Uuid>,
    /// What `p.input` is.
    pub(super) input: &'static str,
    pub(super) seller: BillingEntityId,
    pub(super) customer: Option<Uuid>,
    pub(super) user: Option<String>,
}

impl Told {
    pub(super) fn event(&self) -> (String, String) {
        (self.kind.to_owned(), self.option.to_owned())
    }
}

/// What has happened.
pub(super) struct Scenario {
    pub(super) bench: Bench,
    pub(super) told: Vec<Told>,
}

/// Events as they are made to happen.
struct Diary {
    told: Vec<Told>,
    seller: BillingEntityId,
    /// Who does it all.
    user: Option<String>,
}

/// The bean of a type of resource.
fn bean(option: &str) -> &'static str {
    match option {
        "SERVER" => "Server",
        "DISK" => "Disk",
        "CUSTOMER" => "Customer",
        "USER" => "User",
        "BILLING_ENTITY" => "BillingEntity",
        "IMAGE" => "Image",
        "INVOICE" => "Invoice",
        "PLUGGABLE_RESOURCE" => "PluggableResource",
        "PAYMENT_METHOD" => "PaymentMethod",
        "PAYMENT_METHOD_INSTANCE" => "PaymentMethodInstance",
        "TRANSACTION" => "Transaction",
        "BLOB" => "Blob",
        "PRODUCTOFFER" => "ProductOffer",
        "FDL" => "FDLCodeBlock",
        other => panic!("no bean for {other}"),
    }
}

impl Diary {
    /// Something happened to a record.
    fn record(&mut self, kinds: &[&'static str], option: &'static str, id: impl Into<Uuid>, whose: Option<CustomerId>) {
        let id = id.into();
        for kind in kinds {
            self.add(kind, option, Some(id), bean(option), whose.map(Uuid::from));
        }
    }

    fn add(
        &mut self,
        kind: &'static str,
        option: &'static str,
        resource: Option<Uuid>,
        input: &'static str,
        customer: Option<Uuid>,
    ) -> &mut Told {
        let (seller, user) = (self.seller, self.user.clone());
        self.told.push(Told { kind, option, resource, input, seller, customer, user });
        self.told.last_mut().expect("just added")
    }
}

/// Pays, fails and waits as the invoice's number says.
const PAY: &str = r#"
    local number = p.invoice:getInvoiceNo()
    if number == 12 then return { returnCode = "FAILED", errorString = "no funds" } end
    if number == 13 then
        p.transaction:setState(new("TransactionState", "AWAITINGINTERACTIVEINPUT"))
        p.transaction:setInteractiveURL("https://bank.example/3ds")
    end
    p.transaction:setProviderReference("pay-" .. number)
"#;

const CREATED: &[&str] = &["PRE_CREATE", "POST_CREATE"];
const MODIFIED: &[&str] = &["PRE_MODIFY", "POST_MODIFY"];
const DELETED: &[&str] = &["PRE_DELETE", "POST_DELETE"];

fn settings() -> Settings {
    Settings { disk_grace_ms: 0, ..super::super::settings() }
}

fn key(name: &str) -> ResourceKey {
    ResourceKey { name: name.into(), value: "yes".into(), kind: KeyKind::User, ..ResourceKey::default() }
}

/// Makes everything happen, under the eyes of a block with this source.
pub(super) async fn happen(folder: &Path, source: String) -> Scenario {
    let mut bench = Bench::start_with(folder, settings()).await;
    let admin = all::<User>(&bench.system).await.remove(0);
    bench.caller = as_user(&admin, bench.caller);
    let mut diary = Diary { told: Vec::new(), seller: bench.caller.billing_entity_id, user: Some(admin.email.clone()) };
    bench.script("everything", Scope::Provider, source).await;

    scripts(&bench, &mut diary).await;
    let ada = people(&bench, &mut diary).await;
    accounts(&bench, &mut diary).await;
    let end = bench.system.core().now();
    let server = servers(&bench, &mut diary).await;
    jobs(&bench, &mut diary).await;
    images(&bench, &mut diary, server).await;
    bench.until(async || bench.system.core().now() > end.plus_ms(6_000)).await;
    invoiced(&bench, &mut diary, end).await;
    let till = Till::with(bench, PAY).await;
    payments(&till, &mut diary).await;
    let bench = till.bench;
    things(&bench, &mut diary).await;
    calls(&bench, &mut diary, &ada).await;
    mishaps(&bench, &mut diary).await;
    diary.add("SCHEDULED", "ANY", None, "times", None).user = None;

    // What the platform sweeps away itself, it does soon after its start.
    let caller = bench.caller.clone();
    bench.stop().await;
    drop(bench);
    let mut bench = Bench::start_with(folder, settings()).await;
    bench.caller = caller;
    Scenario { bench, told: diary.told }
}

async fn scripts(bench: &Bench, diary: &mut Diary) {
    let block = super::block("POST_DELETE", r#""BLOB""#, "");
    let script = bench.script("spare", Scope::Provider, block).await;
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, off).await.expect("changed");
    bench.system.delete_script(&bench.caller, script.id, None).await.expect("deleted");
    diary.record(&["POST_CREATE", "POST_MODIFY", "POST_DELETE"], "FDL", script.id, None);
}

/// Answers somebody who stays.
async fn people(bench: &Bench, diary: &mut Diary) -> User {
    let (system, caller) = (&bench.system, &bench.caller);
    let (ada, eve) = (bench.user("ada").await, bench.user("eve").await);
    let patch = UserPatch { first_name: Some("Eva".into()), ..UserPatch::default() };
    system.update_user(caller, eve.id, None, patch).await.expect("changed");
    system.delete_user(caller, eve.id, None).await.expect("deleted");
    for kinds in [CREATED, MODIFIED, DELETED] {
        diary.record(kinds, "USER", eve.id, Some(bench.customer));
    }

    let cause = || request(Some(&ada));
    system.before_sign_in(&ada, cause()).await.expect("let in");
    system.open_session(&ada, "hash".into(), 1_000, cause()).await.expect("an answer").expect("signed in");
    system.sign_in_failed(&ada, request(None));
    for (kind, option) in [("PRE_AUTH", "ANY"), ("POST_AUTH", "SUCCESS"), ("POST_AUTH", "FAILURE")] {
        let told = diary.add(kind, option, Some(ada.id.into()), "text", Some(bench.customer.into()));
        told.user = Some(ada.email.clone());
    }
    ada
}

async fn accounts(bench: &Bench, diary: &mut Diary) {
    let (system, caller) = (&bench.system, &bench.caller);
    let plan = all::<Plan>(system).await.remove(0);
    let gold = system.create_plan(caller, crate::NewPlan { name: "Gold".into(), ..new_plan(&plan) }).await;
    let gold = gold.expect("the plan");
    let patch = PlanPatch { name: Some("Golden".into()), ..PlanPatch::default() };
    system.update_plan(caller, gold.id, None, patch).await.expect("changed");
    for kinds in [CREATED, MODIFIED] {
        diary.record(kinds, "PRODUCTOFFER", gold.id, None);
    }

    let new = NewBillingEntity { name: "North".into(), parent_id: plan.billing_entity_id, currency: plan.currency };
    let entity = system.create_billing_entity(caller, new).await.expect("the entity");
    let patch = BillingEntityPatch { name: Some("South".into()), ..BillingEntityPatch::default() };
    system.update_billing_entity(caller, entity.id, None, patch).await.expect("changed");
    // Of its coming its parent is told as the one whom it concerns.
    diary.record(CREATED, "BILLING_ENTITY", entity.id, None);
    diary.record(MODIFIED, "BILLING_ENTITY", entity.id, None);
    for told in diary.told.iter_mut().rev().take(4).filter(|told| told.kind != "PRE_CREATE") {
        told.seller = entity.id;
    }

    let customer = system.create_customer(caller, new_customer("Brief", &plan)).await.expect("the customer").id;
    let patch = CustomerPatch { plan_id: Some(gold.id), ..CustomerPatch::default() };
    system.update_customer(caller, customer, None, patch).await.expect("changed");
    for kind in ["PRE_PURCHASE", "POST_PURCHASE"] {
        diary.add(kind, "ANY", Some(customer.into()), "ProductPurchase", Some(customer.into()));
    }
    let new = bench.new_server("child", false);
    let child = system.create_server(caller, customer, new, None).await.expect("accepted");
    bench.ended(child.id).await;
    let job = system.delete_customer(caller, customer, true, None, None, None).await.expect("accepted");
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    for kinds in [CREATED, MODIFIED, DELETED] {
        diary.record(kinds, "CUSTOMER", customer, Some(customer));
    }
    diary.record(&["PRE_DELETE", "POST_DELETE"], "SERVER", child.item_id, Some(customer));
    for kind in ["PRE_JOB_STATE_CHANGE", "POST_JOB_STATE_CHANGE"] {
        diary.add(kind, "SUCCESSFUL", Some(customer.into()), "Job", Some(customer.into()));
    }
}

async fn servers(bench: &Bench, diary: &mut Diary) -> ServerId {
    let (system, caller, whose) = (&bench.system, &bench.caller, bench.customer);
    let server = bench.built("web", true).await;
    diary.record(CREATED, "SERVER", server, Some(whose));
    let disk = all::<Disk>(system).await.into_iter().find(|disk| disk.server_id == server).expect("its disk").id;
    diary.record(CREATED, "DISK", disk, Some(whose));
    diary.add("PRE_SERVER_METADATA_UPDATE", "ANY", Some(server.into()), "Server and document", Some(whose.into()));
    let patch = ServerPatch { keys: Some(vec![key("stage")]), ..ServerPatch::default() };
    system.update_server(caller, server, None, patch).await.expect("changed");
    diary.record(MODIFIED, "SERVER", server, Some(whose));

    let act = async |action: ServerAction, name: &str| {
        let job = bench.act(server, action, name).await;
        assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    };
    act(ServerAction::Reboot { force: true }, "reboot").await;
    act(ServerAction::Stop { force: true }, "stop").await;
    act(ServerAction::Start, "start").await;
    for option in ["RUNNING", "STOPPED", "REBOOTING"] {
        diary.add("PRE_SERVER_STATE_CHANGE", option, Some(server.into()), "Server", Some(whose.into()));
    }
    for option in ["STARTING", "RUNNING", "STOPPING", "STOPPED"] {
        diary.add("POST_SERVER_STATE_CHANGE", option, Some(server.into()), "Server", Some(whose.into()));
    }
    // What the platform sees is nobody's doing.
    assert!(bench.world.freeze(server));
    bench.until(async || bench.server("web").await.is_some_and(|server| server.state == ServerState::Frozen)).await;
    assert!(bench.world.thaw(server));
    bench.until(async || bench.server("web").await.is_some_and(|server| server.state == ServerState::Running)).await;
    diary.add("POST_SERVER_STATE_CHANGE", "RECOVERY", Some(server.into()), "Server", Some(whose.into())).user = None;

    let gone = bench.built("gone", false).await;
    let disk = all::<Disk>(system).await.into_iter().find(|disk| disk.server_id == gone).expect("its disk").id;
    let job = bench.act(gone, ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;
    diary.record(DELETED, "SERVER", gone, Some(whose));
    diary.add("PRE_SERVER_STATE_CHANGE", "DELETING", Some(gone.into()), "Server", Some(whose.into()));
    diary.add("POST_SERVER_STATE_CHANGE", "DELETING", Some(gone.into()), "Server", Some(whose.into()));
    diary.record(&["PRE_DELETE"], "DISK", disk, Some(whose));
    // Its data goes after a time of grace.
    diary.record(&["POST_DELETE"], "DISK", disk, Some(whose));
    diary.told.last_mut().expect("there").user = None;
    server
}

async fn jobs(bench: &Bench, diary: &mut Diary) {
    let whose = bench.customer;
    let states = |diary: &mut Diary, job: &Job, options: &[&'static str]| {
        for option in options {
            for kind in ["PRE_JOB_STATE_CHANGE", "POST_JOB_STATE_CHANGE"] {
                diary.add(kind, option, Some(job.item_id), "Job", Some(whose.into()));
            }
        }
    };
    let fault = |call: &str, error| Fault { call: call.into(), times: 1, error: Some(error), ..Fault::default() };
    bench.world.fault(fault("start", FaultError::Transient));
    let late = bench.create("late", true).await;
    assert_eq!(bench.ended(late.id).await.state, JobState::Successful);
    states(diary, &late, &["NOT_STARTED", "IN_PROGRESS", "WAITING", "SUCCESSFUL"]);

    bench.world.fault(fault("start", FaultError::Permanent));
    let broken = bench.create("broken", true).await;
    assert_eq!(bench.ended(broken.id).await.state, JobState::Failed);
    states(diary, &broken, &["FAILED"]);
    // Its start is undone, and then the rest.
    for option in ["BUILDING", "ERROR"] {
        diary.add("POST_SERVER_STATE_CHANGE", option, Some(broken.item_id), "Server", Some(whose.into()));
    }

    let at = Some(bench.system.core().now().plus_ms(3_600_000));
    let asked = ActionAsked { start_at: at, ..ActionAsked::default() };
    let off = ServerAction::Stop { force: true };
    let job = bench.system.act_on_server(&bench.caller, ServerId(late.item_id), off, asked).await.expect("accepted");
    bench.system.cancel_job(&bench.caller, job.id).await.expect("cancelled");
    assert_eq!(bench.ended(job.id).await.state, JobState::Cancelled);
    states(diary, &job, &["CANCELLED"]);

    for call in ["start", "undefine"] {
        bench.world.fault(fault(call, FaultError::Permanent));
    }
    let stuck = bench.create("stuck", true).await;
    assert_eq!(bench.ended(stuck.id).await.state, JobState::NeedsOperator);
    diary.add("POST_EXCEPTION", "JOB", Some(stuck.item_id), "Exception", Some(whose.into()));
}

async fn images(bench: &Bench, diary: &mut Diary, server: ServerId) {
    let (system, caller, whose) = (&bench.system, &bench.caller, bench.customer);
    let stop = bench.act(server, ServerAction::Stop { force: true }, "for-the-image").await;
    bench.ended(stop.id).await;
    let job = bench.image_of(ImageSource::Server(server), "golden", "golden").await.expect("accepted");
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let image = ImageId(job.item_id);
    let patch = ImagePatch { name: Some("gilded".into()), ..ImagePatch::default() };
    system.update_image(caller, image, None, patch).await.expect("changed");
    let patch = ImagePatch { state: Some(ImageState::Retired), ..ImagePatch::default() };
    system.update_image(caller, image, None, patch).await.expect("retired");
    for kinds in [CREATED, MODIFIED, &["PRE_DELETE"]] {
        diary.record(kinds, "IMAGE", image, Some(whose));
    }
    // It goes once nothing is made from it.
    diary.record(&["POST_DELETE"], "IMAGE", image, Some(whose));
    diary.told.last_mut().expect("there").user = None;
}

async fn payments(till: &Till, diary: &mut Diary) {
    let (system, caller, whose) = (&till.bench.system, &till.bench.caller, till.bench.customer);
    diary.record(CREATED, "PAYMENT_METHOD", till.method.id, None);
    let (card, registered) = till.card("Visa", CARD).await;
    diary.record(CREATED, "PAYMENT_METHOD_INSTANCE", card.id, Some(whose));
    diary.record(&["POST_CREATE"], "TRANSACTION", registered.id, Some(whose));

    let paid = till.paid(till.invoice(11, "10").await).await;
    let part = system.refund(caller, paid.id, Some("4".parse().unwrap()), None).await.expect("accepted");
    till.settled(part.id.0).await;
    let rest = system.refund(caller, paid.id, None, None).await.expect("accepted");
    till.settled(rest.id.0).await;
    let failed = till.paid(till.invoice(12, "10").await).await;
    let how = Payment {
        interaction: Interaction { allowed: true, return_url: Some("https://shop.example/back".into()) },
        ..Payment::default()
    };
    let invoice = till.invoice(13, "10").await;
    let waits = till.settled(system.pay_invoice(caller, invoice, how).await.expect("accepted").id.0).await;
    assert_eq!(waits.state, TransactionState::AwaitingInput);
    let cancel = system.cancel_transaction(caller, waits.id, None).await.expect("accepted");
    till.settled(cancel.id.0).await;
    for (kind, option, id) in [
        ("PRE_PAYMENT", "MAKE_PAYMENT", paid.id),
        ("PRE_PAYMENT", "REFUND_PAYMENT", part.id),
        ("PRE_PAYMENT", "REFUND_TRANSACTION", rest.id),
        ("POST_PAYMENT", "SUCCESS", paid.id),
        ("POST_PAYMENT", "FAILURE", failed.id),
        ("POST_PAYMENT", "CANCELLED", waits.id),
    ] {
        diary.add(kind, option, Some(id.into()), "Transaction", Some(whose.into()));
    }

    let patch = PaymentInstancePatch { name: Some("Master".into()), ..PaymentInstancePatch::default() };
    system.update_payment_instance(caller, card.id, None, patch).await.expect("changed");
    let removed = system.remove_payment_instance(caller, card.id, None, None).await.expect("accepted");
    till.settled(removed.expect("a transaction").id.0).await;
    for kinds in [MODIFIED, DELETED] {
        diary.record(kinds, "PAYMENT_METHOD_INSTANCE", card.id, Some(whose));
    }
    let patch = PaymentMethodPatch { name: Some("Plastic".into()), ..PaymentMethodPatch::default() };
    system.update_payment_method(caller, till.method.id, None, patch).await.expect("changed");
    system.delete_payment_method(caller, till.method.id, None).await.expect("deleted");
    for kinds in [MODIFIED, DELETED] {
        diary.record(kinds, "PAYMENT_METHOD", till.method.id, None);
    }
}

/// Blobs, pluggable resources, and keys that a script sets.
async fn things(bench: &Bench, diary: &mut Diary) {
    let (system, caller, whose) = (&bench.system, &bench.caller, bench.customer);
    let new = NewBlob {
        name: "logo".into(),
        billing_entity_id: diary.seller,
        customer_id: Some(whose),
        media_type: "text/plain".into(),
        public: false,
        content: b"logo".to_vec(),
    };
    let blob = system.create_blob(caller, new).await.expect("the blob").id;
    let patch = BlobPatch { name: Some("mark".into()), ..BlobPatch::default() };
    system.update_blob(caller, blob, None, patch).await.expect("changed");
    system.delete_blob(caller, blob, None).await.expect("deleted");
    for kinds in [CREATED, MODIFIED, DELETED] {
        diary.record(kinds, "BLOB", blob, Some(whose));
    }

    bench.script("notes", Scope::Provider, NOTES.to_owned()).await;
    let note = system.create_pluggable(caller, bench.note("one", "hello")).await.expect("the note").id;
    let values = BTreeMap::from([("text".to_owned(), "world".to_owned())]);
    let patch = PluggablePatch { values, ..PluggablePatch::default() };
    system.update_pluggable(caller, note, None, patch).await.expect("changed");
    system.delete_pluggable(caller, note, None).await.expect("deleted");
    for kinds in [CREATED, MODIFIED, DELETED] {
        diary.record(kinds, "PLUGGABLE_RESOURCE", note, Some(whose));
    }

    let disk = bench.disks().await.into_iter().find(|disk| disk.customer_id == whose).expect("a disk").id;
    let body = format!(
        r#"
        local key = new("ResourceKey")
        key:setName("shelf")
        key:setValue("top")
        adminAPI:addKey("{disk}", key)
        "#
    );
    let chore = bench.script(
        "chore",
        Scope::Provider,
        super::block("SCHEDULED", "", &body)
            .replace("triggerType", "schedule = { frequency = { hours = 24 } }, triggerType"),
    );
    let chore = chore.await;
    system.run_script(caller, chore.id, None, None).await.expect("run");
    // A script did it.
    diary.record(&["POST_MODIFY"], "DISK", disk, Some(whose));
    diary.told.last_mut().expect("there").user = None;
}

async fn calls(bench: &Bench, diary: &mut Diary, ada: &User) {
    let own = as_user(ada, own_caller(bench).await);
    let asked = call("createServer", "POST");
    bench.system.begin_call(&own, asked).await.expect("let through").expect("listened to").ended(202);
    for kind in ["PRE_USER_API_CALL", "POST_USER_API_CALL"] {
        let told = diary.add(kind, "createServer", Some(ada.id.into()), "ApiCall", Some(bench.customer.into()));
        told.user = Some(ada.email.clone());
    }
    let asked = call("createServer", "POST");
    bench.system.begin_call(&bench.caller, asked).await.expect("let through").expect("listened to").ended(202);
    let admin = bench.caller.user_id.expect("somebody");
    for kind in ["PRE_ADMIN_API_CALL", "POST_ADMIN_API_CALL"] {
        let operator = operator_id(diary.seller);
        diary.add(kind, "createServer", Some(admin.into()), "ApiCall", Some(operator));
    }
}

async fn invoiced(bench: &Bench, diary: &mut Diary, end: Timestamp) {
    let whose = bench.customer;
    let invoice = bench.system.close_invoice(&bench.caller, whose, end).await.expect("closed");
    diary.record(&["POST_CREATE"], "INVOICE", invoice.id, Some(whose));
    for kind in ["POST_BILLING", "POST_COLLECTION"] {
        diary.add(kind, "ANY", Some(invoice.id.into()), "Invoice", Some(whose.into()));
    }
    diary.add("TAX_CALCULATION", "INVOICE", None, "Invoice", Some(whose.into()));
    diary.add("POST_UNIT_TRANSACTION", "ANY", Some(invoice.id.into()), "UnitTransaction", Some(whose.into()));
}

async fn mishaps(bench: &Bench, diary: &mut Diary) {
    bench.system.request_broke("GET", "/api/v1/me", "r-1");
    diary.add("POST_EXCEPTION", "API", None, "Exception", None).user = None;
    while bench.system.inner.customers.quarantined().is_empty() {
        let _ = bench.system.inner.customers.ask(bench.customer.into(), Boom).await;
    }
    diary.add("POST_EXCEPTION", "ACTOR", Some(bench.customer.into()), "Exception", None).user = None;
}
