//! Operations that scripts ask for at a later time, by a clock that the test sets.

use super::{pluggables::NOTES, *};
use std::sync::atomic::{AtomicI64, Ordering};
use sutler_model::{
    Blob, Cause, JobState, Permission, PluggableResource, RunCall, Timestamp, pluggable::PluggableState,
};
use sutler_store::Options;

const HOUR_MS: i64 = 3_600_000;

/// A way to a bench over a folder, by a clock of its own.
macro_rules! clocked {
    () => {{
        static NOW: AtomicI64 = AtomicI64::new(1_800_000_000_000);
        let options = || Options { clock: || Timestamp(NOW.load(Ordering::SeqCst)), ..Options::default() };
        (&NOW, async move |root: &std::path::Path| Bench::start_by(root, settings(), options()).await)
    }};
}

/// The jobs of operations, in order.
async fn operations(bench: &Bench) -> Vec<Job> {
    let jobs = all::<Job>(&bench.system).await;
    jobs.into_iter().filter(|job| job.input.kind() == "operation").collect()
}

/// The text of the one run, once it has ended well.
async fn said(bench: &Bench) -> String {
    let done = |run: &ScriptRun| !run.log.is_empty() && run.state == RunState::Succeeded;
    let runs = bench.runs_until(|runs| runs.iter().any(done)).await;
    runs.into_iter().find(done).expect("the run").log
}

const ASK: &str = r#"
    if p.input:getEmail() ~= "ada@example.org" then return { exitState = "CONTINUE" } end
    local later = p.timeStamp + 3600000
    local customer = adminAPI:getResource(p.input:getCustomerUUID(), false)
    customer:setResourceName("Renamed")
    local job = adminAPI:modifyCustomer(customer, later)
    print(job:getJobType():name(), job:getStatus():name(), job:isScheduled(), job:getItemName())
    local user = new("User")
    user:setEmail("bob@example.org")
    user:setFirstName("Bob")
    user:setLastName("Babbage")
    user:setCustomerUUID(p.input:getCustomerUUID())
    job = adminAPI:createUser(user, "a long password", later)
    print(job:getJobType():name(), job:getStatus():name(), job:getItemType():name())
    userAPI:setSessionUser("ada@example.org/" .. p.input:getCustomerUUID())
    local blob = new("Blob")
    blob:setResourceName("note")
    blob:setValue("hello")
    job = userAPI:createBlob(blob, later)
    print(job:getJobType():name(), job:getStatus():name())
    job = userAPI:deleteResource(p.input:getResourceUUID(), false, later + 3600000)
    print(job:getJobType():name(), job:getItemName())
    job = userAPI:createBlob(blob, p.timeStamp - 1000)
    print(job:getResourceType():name(), job:getResourceName())
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_at_once_is_done_in_its_time_over_a_restart_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (now, start) = clocked!();
    let bench = start(folder.path()).await;
    bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, ASK)).await;
    bench.user("ada").await;
    let expected = "MODIFY_CUSTOMER\tNOT_STARTED\ttrue\tCustomer\nCREATE_USER\tNOT_STARTED\tUSER\n\
                    CREATE_BLOB\tNOT_STARTED\nDELETE_USER\tada Lovelace\nBLOB\tnote\n";
    assert_eq!(said(&bench).await, expected);
    let waiting = operations(&bench).await;
    assert_eq!(waiting.len(), 4);
    assert!(waiting.iter().all(|job| job.scheduled && job.state == JobState::NotStarted));
    let kept = serde_json::to_string(&waiting).expect("JSON");
    assert!(!kept.contains("a long password") && kept.contains("$argon2id$"), "no password waits in a job");
    assert_eq!(all::<User>(&bench.system).await.iter().filter(|user| user.email == "bob@example.org").count(), 0);
    bench.stop().await;
    drop(bench);

    now.fetch_add(HOUR_MS / 2, Ordering::SeqCst);
    let bench = start(folder.path()).await;
    let job = bench.create("other", false).await;
    bench.ended(job.id).await;
    assert!(operations(&bench).await.iter().all(|job| job.scheduled), "it is not their time yet");
    now.fetch_add(HOUR_MS, Ordering::SeqCst);
    for job in &waiting[..3] {
        let ended = bench.ended(job.id).await;
        assert_eq!((ended.state, &ended.error), (JobState::Successful, &None), "{ended:#?}");
        assert_eq!((ended.progress_percent, &ended.request), (100, &None), "what it was asked with is not kept");
    }
    let customer = bench.system.store().get::<Customer>(bench.customer).await.expect("read").expect("there");
    assert_eq!(customer.name, "Renamed");
    let users = all::<User>(&bench.system).await;
    let bob = users.iter().find(|user| user.email == "bob@example.org").expect("the user");
    assert_eq!(bob.id.0, waiting[1].item_id, "the id was known beforehand");
    assert!(bob.password_hash.starts_with("$argon2id$"), "they sign in with what was given");
    assert_eq!(all::<Blob>(&bench.system).await.iter().filter(|blob| blob.name == "note").count(), 2);
    let last = bench.system.store().get::<Job>(waiting[3].id).await.expect("read").expect("the job");
    assert!(last.scheduled && last.item_name == "ada Lovelace");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_for_later_is_taken_back_or_refused_by_what_is_by_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let (now, start) = clocked!();
    let bench = start(folder.path()).await;
    bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, ASK)).await;
    let ada = bench.user("ada").await;
    said(&bench).await;
    let waiting = operations(&bench).await;
    let member = crate::testing::caller(
        &all::<Plan>(&bench.system).await.remove(0),
        Role::CustomerMember,
        Scope::Customer(bench.customer),
        Some(bench.customer),
    );
    let refused = bench.system.cancel_job(&member, waiting[1].id).await;
    assert!(matches!(refused, Err(Error::Forbidden(Permission::CustomersWrite))), "{refused:?}");
    let cancelled = bench.system.cancel_job(&bench.caller, waiting[1].id).await.expect("cancelled");
    assert_eq!((cancelled.state, cancelled.scheduled), (JobState::Cancelled, false));
    // Who asked is locked by then, and so may do nothing any more.
    let patch = crate::UserPatch { locked: Some(true), ..Default::default() };
    bench.system.update_user(&bench.caller, ada.id, None, patch).await.expect("locked");
    now.fetch_add(HOUR_MS + 1, Ordering::SeqCst);
    let blob = bench.ended(waiting[2].id).await;
    assert_eq!((blob.state, blob.error.map(|error| error.code)), (JobState::Failed, Some("no_user_found".to_owned())));
    assert_eq!(bench.ended(waiting[0].id).await.state, JobState::Successful);
    assert!(all::<User>(&bench.system).await.iter().all(|user| user.email != "bob@example.org"));
    assert_eq!(all::<Blob>(&bench.system).await.len(), 1, "only the one whose time had passed");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_waits_for_what_it_asked_for_later_and_triggers_may_refuse_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let guard = r#"
        if p.input:getJobType():name() == "MODIFY_CUSTOMER" then
            return { exitState = "REFUSE", reason = "not on a " .. p.input:getItemType():name() }
        end
    "#;
    bench.script("guard", Scope::Provider, block("PRE_JOB_STATE_CHANGE", r#""IN_PROGRESS""#, guard)).await;
    let body = r#"
        if p.input:getEmail() ~= "ada@example.org" then return { exitState = "CONTINUE" } end
        local soon = p.timeStamp + 1500
        local customer = adminAPI:getResource(p.input:getCustomerUUID(), false)
        customer:setResourceName("Renamed")
        local job = adminAPI:modifyCustomer(customer, soon)
        local user = adminAPI:getResource(p.input:getResourceUUID(), false)
        user:setFirstName("Augusta")
        local other = adminAPI:modifyUser(user, soon)
        job = adminAPI:waitForJob(job:getResourceUUID(), true)
        print(job:getStatus():name(), job:getInfo())
        other = adminAPI:waitForJob(other:getResourceUUID(), true)
        print(other:getStatus():name(), adminAPI:getResource(p.input:getResourceUUID(), false):getFirstName())
    "#;
    bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    let log = said(&bench).await;
    assert_eq!(log, "FAILED\trefused by trigger `guard`: not on a CUSTOMER\nSUCCESSFUL\tAugusta\n");
    let customer = bench.system.store().get::<Customer>(bench.customer).await.expect("read").expect("there");
    assert_eq!(customer.name, "Customer");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_run_asks_for_nothing_again_whose_time_has_come_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = r#"
        local customer = adminAPI:getResource(p.input:getCustomerUUID(), false)
        customer:setResourceName("Renamed")
        local job = adminAPI:modifyCustomer(customer, p.timeStamp + 300)
        if event.attempt == 1 then
            adminAPI:waitForJob(job:getResourceUUID(), true)
            customer:setResourceName("Since")
            adminAPI:updateCustomer(customer)
            error("once more")
        end
        print(job:getResourceUUID(), adminAPI:getResource(p.input:getCustomerUUID(), false):getResourceName())
    "#;
    bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    let log = said(&bench).await;
    let [job] = &operations(&bench).await[..] else { panic!("one job") };
    assert_eq!(log, format!("{}\tSince\n", job.id));
    bench.stop().await;
}

/// Asks for two notes, of which the provider of notes makes one.
const NOTES_LATER: &str = r#"
    for _, text in ipairs({ "welcome", "forbidden" }) do
        local note = new("PluggableResource")
        note:setResourceName(text)
        note:setProviderType("NOTE")
        note:setCustomerUUID(p.input:getCustomerUUID())
        note:getResourceValues():put("text", text)
        adminAPI:createPluggableResource(note, p.timeStamp + 3600000)
    end
    print("asked")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_cut_off_while_a_provider_worked_ends_as_the_provider_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let provider = bench.script("notes", Scope::Provider, super::pluggables::NOTES.to_owned()).await;
    bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, NOTES_LATER)).await;
    bench.user("ada").await;
    said(&bench).await;
    let store = bench.system.store();
    let jobs = operations(&bench).await;
    for job in &jobs {
        // As a crash leaves it once the provider is to be asked.
        let request = job.request.clone().expect("a call");
        let by_call = Some(Box::new(RunCall {
            number: request.call_no,
            operation: request.operation.clone(),
            about: None,
            job_id: Some(job.id),
        }));
        let call = Cause::Run { run_id: request.run_id, depth: 1, by_call };
        let mut set = ChangeSet::new(Cause::system("test"));
        set.update(job, &mut Job { state: JobState::InProgress, scheduled: false, ..job.clone() });
        store.commit(set).await.expect("committed");
        let mut set = ChangeSet::new(call);
        set.create(&mut PluggableResource {
            id: job.item_id.into(),
            version: 0,
            name: job.item_name.clone(),
            provider_type: "NOTE".into(),
            script_id: provider.id,
            customer_id: Some(bench.customer),
            billing_entity_id: job.billing_entity_id,
            values: [("text".to_owned(), job.item_name.clone())].into(),
            pending: None,
            state: PluggableState::Creating,
            turns: 1,
            state_reason: None,
            keys: Vec::new(),
            created_at: store.now(),
        });
        store.commit(set).await.expect("committed");
    }
    bench.stop().await;
    drop(bench);

    let bench = Bench::start_with(folder.path(), settings()).await;
    let welcome = bench.ended(jobs[0].id).await;
    assert_eq!((welcome.state, &welcome.error), (JobState::Successful, &None));
    let forbidden = bench.ended(jobs[1].id).await;
    let error = forbidden.error.map(|error| (error.code, error.message));
    let refused = ("function_failed".to_owned(), "its provider refused it".to_owned());
    assert_eq!((forbidden.state, error), (JobState::Failed, Some(refused)));
    let notes: Vec<_> = all::<PluggableResource>(&bench.system).await.into_iter().map(|note| note.name).collect();
    assert_eq!(notes, ["welcome"]);
    bench.stop().await;
}

/// Asks for a change in a moment.
const RENAME: &str = r#"
    local customer = adminAPI:getResource(p.input:getCustomerUUID(), false)
    customer:setResourceName("Renamed")
    adminAPI:modifyCustomer(customer, p.timeStamp + 300)
    print("asked")
"#;

/// Asks for something new in a moment.
const NOTE: &str = r#"
    local blob = new("Blob")
    blob:setResourceName("note")
    blob:setValue("hello")
    adminAPI:createBlob(blob, p.timeStamp + 300)
    print("asked")
"#;

/// Renames the customer in the store of a program that is down, as somebody might have just before, if it has been renamed.
async fn renamed_since(root: &std::path::Path, customer: CustomerId) -> bool {
    let store = sutler_store::Store::open(&root.join("store.redb"), Options::default()).expect("the store opens");
    let old = store.get::<Customer>(customer).await.expect("read").expect("the customer");
    let renamed = old.name == "Renamed";
    if renamed {
        let mut set = ChangeSet::new(Cause::system("somebody"));
        set.update(&old, &mut Customer { name: "Since".to_owned(), ..old.clone() });
        store.commit(set).await.expect("committed");
    }
    store.close().await;
    renamed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_killed_after_any_commit_of_its_job_is_done_once() {
    for (operation, body) in [("rename", RENAME), ("note", NOTE)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut crashes, mut since) = (0, 0);
        for after in 0.. {
            let root = folder.path().join(after.to_string());
            let bench = Bench::start_with(&root, settings()).await;
            bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
            let customer = bench.customer;
            bench.stop().await;
            drop(bench);
            let child = "scripts::tests::deferred::the_child_of_the_crash_test";
            let killed = !crate::jobs::run_child(child, &root, operation, after).success();
            let renamed = killed && renamed_since(&root, customer).await;

            let bench = Bench::start_with(&root, settings()).await;
            assert_eq!(said(&bench).await, "asked\n");
            let [job] = &operations(&bench).await[..] else { panic!("one job") };
            let job = bench.ended(job.id).await;
            let killed_at = format!("{operation} killed after commit {after}");
            assert_eq!((job.state, &job.error), (JobState::Successful, &None), "{killed_at}");
            let now = bench.system.store().get::<Customer>(customer).await.expect("read").expect("the customer");
            let notes = all::<Blob>(&bench.system).await.len();
            match operation {
                "rename" => assert_eq!(now.name, if renamed { "Since" } else { "Renamed" }, "{killed_at}"),
                _ => assert_eq!(notes, 1, "{killed_at}"),
            }
            bench.stop().await;
            if !killed {
                break;
            }
            (crashes, since) = (crashes + 1, since + usize::from(renamed));
        }
        // It is accepted, begins, is carried out and ends; the child may be faster than its killer at the end.
        assert!(crashes >= 3 && (since >= 1 || operation != "rename"), "{operation}: {crashes} {since}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the crash test as a child process"]
async fn the_child_of_the_crash_test() {
    let root = std::path::PathBuf::from(crate::jobs::var("SUTLER_TEST_ROOT"));
    let bench = Bench::start_with(&root, settings()).await;
    crate::jobs::die_as_told();
    bench.user("ada").await;
    said(&bench).await;
    for job in operations(&bench).await {
        bench.ended(job.id).await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_a_sellers_own_is_changed_in_its_time_as_its_own_customers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (now, start) = clocked!();
    let bench = start(folder.path()).await;
    let ask = r#"
        local image = adminAPI:getResource("IMAGE", true)
        image:setResourceName("renamed")
        local at_once = adminAPI:modifyImage(image, nil)
        image:setResourceName("renamed again")
        local later = adminAPI:modifyImage(image, p.timeStamp + 3600000)
        local own = adminAPI:getResource(image:getCustomerUUID(), true)
        print(own:getStatus():name(), at_once:getCustomerUUID() == own:getResourceUUID(), later:getCustomerUUID() == own:getResourceUUID())
    "#;
    let ask = ask.replace("IMAGE\"", &format!("{}\"", bench.image));
    bench.script("ask", Scope::Provider, block("POST_CREATE", r#""USER""#, &ask)).await;
    bench.user("ada").await;
    assert_eq!(said(&bench).await, "ADMIN\ttrue\ttrue\n");
    let job = operations(&bench).await.remove(0);
    assert_eq!(job.customer_id, None, "no record is called a customer that is none");
    now.fetch_add(HOUR_MS, Ordering::SeqCst);
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let image: sutler_model::Image = bench.system.store().get(bench.image).await.unwrap().unwrap();
    assert_eq!(image.name, "renamed again");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_own_block_sets_in_its_time_what_its_form_leaves_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (now, start) = clocked!();
    let bench = start(folder.path()).await;
    let body = r#"
        local later, note = p.timeStamp + 3600000, new("PluggableResource")
        note:setResourceName(NAME)
        note:setProviderType("NOTE")
        note:setCustomerUUID(p.input:getCustomerUUID())
        note:getResourceValues():put("text", "hello")
        note:getResourceValues():put("made", "by hand")
        adminAPI:createPluggableResource(note, later)
        print("asked")
    "#;
    let own = NOTES.replace(r#"{ "note_provider", "note_report" }"#, r#"{ "note_provider", "on_event" }"#)
        + &block("POST_CREATE", r#""USER""#, body).replace("function register()", "local function unused()");
    let own = bench.script("notes", Scope::Provider, own.replace("NAME", r#""own""#)).await;
    let other = block("POST_CREATE", r#""USER""#, &body.replace("NAME", r#""other""#));
    bench.script("other", Scope::Provider, other).await;
    bench.user("ada").await;
    let asked = |run: &&ScriptRun| run.log == "asked\n";
    bench.runs_until(|runs| runs.iter().filter(asked).count() == 2).await;
    now.fetch_add(HOUR_MS + 1, Ordering::SeqCst);
    let waiting = operations(&bench).await;
    for job in &waiting {
        let ended = bench.ended(job.id).await;
        let expected = if job.item_name == "own" { JobState::Successful } else { JobState::Failed };
        assert_eq!(ended.state, expected, "{ended:#?}");
    }
    let notes = all::<PluggableResource>(&bench.system).await;
    assert_eq!(notes.iter().map(|note| note.name.as_str()).collect::<Vec<_>>(), ["own"]);
    assert_eq!((waiting.len(), notes[0].script_id), (2, own.id));
    bench.stop().await;
}
