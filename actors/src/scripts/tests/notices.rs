//! Sign-ins that fail and calls of the API.

use super::*;
use crate::ApiCall;
use sutler_model::{Cause, Happening, Notice, Noun, Timestamp};
use sutler_store::Field;

pub(super) fn request(user: Option<&User>) -> Cause {
    Cause::Request { request_id: "r-1".into(), user_id: user.map(|user| user.id) }
}

pub(super) fn as_user(user: &User, mut caller: Caller) -> Caller {
    caller.user_id = Some(user.id);
    caller.cause = request(Some(user));
    caller
}

pub(super) async fn own_caller(bench: &Bench) -> Caller {
    let plan = all::<Plan>(&bench.system).await.remove(0);
    caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer))
}

pub(super) fn call<'a>(operation: &'a str, method: &'a str) -> ApiCall<'a> {
    ApiCall { operation, method, path: "/api/v1/servers", changes: method != "GET", refusable: true }
}

fn logs(runs: &[ScriptRun]) -> Vec<&str> {
    runs.iter().filter(|run| run.state == RunState::Succeeded).map(|run| run.log.trim()).collect()
}

const SAY: &str = r#"print(p.triggerOption, p.input, p.user:getEmail(), p.customer:getResourceUUID())"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_are_told_with_the_login_name_however_they_ended() {
    let bench = Bench::start().await;
    let system = &bench.system;
    let user = bench.user("ada").await;
    bench.script("won", Scope::Provider, block("POST_AUTH", r#""SUCCESS""#, SAY)).await;
    // Three spellings of one event, each told as its script has it.
    for word in ["FAILURE", "failed", "FAIL"] {
        bench.script(word, Scope::Customer(bench.customer), block("POST_AUTH", &format!("\"{word}\""), SAY)).await;
    }
    let (stranger, _) = bench.stranger().await;
    bench.script("strange", Scope::Customer(stranger), block("POST_AUTH", r#""ANY""#, SAY)).await;
    system.sign_in_failed(&user, request(None));
    let login = format!("ada@example.org/{}", bench.customer);
    let told = |word: &str| format!("{word}\t{login}\tada@example.org\t{}", bench.customer);
    let runs = bench.runs_until(|runs| logs(runs).len() >= 3).await;
    let mut found = logs(&runs);
    found.sort_unstable();
    assert_eq!(found, [told("FAIL"), told("FAILED"), told("FAILURE")]);

    system
        .open_session(&user, "hash".into(), 1_000, request(Some(&user)))
        .await
        .expect("an answer")
        .expect("signed in");
    let runs = bench.runs_until(|runs| logs(runs).len() >= 4).await;
    assert!(logs(&runs).contains(&told("SUCCESS").as_str()), "{runs:#?}");
    assert_eq!(runs.len(), 4);
    // It is in the feed and nowhere else.
    assert!(all::<Notice>(system).await.is_empty());
    assert!(system.store().index().ids(Noun::Notice, Field::User, user.id.0.as_bytes()).is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_trigger_refuses_a_sign_in() {
    let bench = Bench::start().await;
    let (ada, eve) = (bench.user("ada").await, bench.user("eve").await);
    let body = r#"if string.find(p.input, "eve@") then return { exitState = "FAILURE", reason = "not eve" } end"#;
    bench.script("door", Scope::Provider, block("PRE_AUTH", r#""ANY""#, body)).await;
    bench.system.before_sign_in(&ada, request(Some(&ada))).await.expect("let in");
    let error = bench.system.before_sign_in(&eve, request(Some(&eve))).await.expect_err("refused");
    assert!(matches!(&error, Error::Refused { reason, .. } if reason == "not eve"), "{error:?}");
    let runs = bench.runs_until(|runs| runs.len() == 2).await;
    let mut states = states(&runs);
    states.sort_by_key(|state| *state == RunState::Refused);
    assert_eq!(states, [RunState::Succeeded, RunState::Refused]);
    bench.stop().await;
}

const SAY_CALL: &str = r#"print(p.triggerOption, p.input:getMethod(), p.input:getPath(), p.input:getStatus() or "none",
    p.user and p.user:getEmail() or "nobody")"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_the_api_are_told_after_they_ended_and_only_to_whom_they_concern() {
    let bench = Bench::start().await;
    let system = &bench.system;
    let (ada, (stranger, other)) = (bench.user("ada").await, bench.stranger().await);
    let eve = bench.user_of(stranger, "eve").await;
    let (ada, eve) = (as_user(&ada, own_caller(&bench).await), as_user(&eve, other));
    let own = Scope::Customer(bench.customer);
    bench.script("made", own, block("POST_USER_API_CALL", r#""createServer""#, SAY_CALL)).await;
    bench.script("staff", Scope::Provider, block("POST_ADMIN_API_CALL", r#""ANY""#, SAY_CALL)).await;

    // Nobody listens to these: nothing is kept for them.
    let before = *system.store().watch().borrow();
    for (caller, call) in [(&ada, call("createDisk", "POST")), (&eve, call("createServer", "POST"))] {
        assert!(system.begin_call(caller, call).await.expect("goes on").is_none());
    }
    assert_eq!(*system.store().watch().borrow(), before);

    let under_way = system.begin_call(&ada, call("createServer", "POST")).await.expect("goes on").expect("listened to");
    // A changing call is durable before it begins.
    let [notice] = &all::<Notice>(system).await[..] else { panic!("one notice") };
    assert!(matches!(&notice.what, Happening::ApiCall { operation, status: None, .. } if operation == "createServer"));
    under_way.ended(201);
    let told = "createServer\tPOST\t/api/v1/servers\t201\tada@example.org";
    let runs = bench.runs_until(|runs| logs(runs).len() == 1).await;
    assert_eq!(logs(&runs), [told]);
    assert!(all::<Notice>(system).await.is_empty());

    // A reading call leaves its trace once it has ended; one that is cut off says so.
    let reading = system.begin_call(&bench.caller, call("listResources", "GET")).await.expect("goes on");
    assert!(all::<Notice>(system).await.is_empty());
    reading.expect("listened to").ended(200);
    drop(system.begin_call(&bench.caller, call("updateCustomer", "PATCH")).await.expect("goes on"));
    let runs = bench.runs_until(|runs| logs(runs).len() == 3).await;
    let found = logs(&runs);
    assert!(found.contains(&"listResources\tGET\t/api/v1/servers\t200\tnobody"), "{found:?}");
    assert!(found.contains(&"updateCustomer\tPATCH\t/api/v1/servers\tnone\tnobody"), "{found:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_the_end_of_the_program_cut_off_is_told_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_in(folder.path()).await;
    bench.script("all", Scope::Provider, block("POST_ADMIN_API_CALL", r#""ANY""#, SAY_CALL)).await;
    let mut left = Notice {
        id: bench.system.core().new_id(),
        version: 0,
        customer_id: None,
        billing_entity_id: bench.caller.billing_entity_id,
        user_id: None,
        what: Happening::ApiCall {
            staff: true,
            operation: "createCustomer".into(),
            method: "POST".into(),
            path: "/api/v1/customers".into(),
            status: None,
        },
        created_at: Timestamp(1),
    };
    let mut set = ChangeSet::new(request(None));
    set.create(&mut left);
    bench.system.store().commit(set).await.expect("begun");
    bench.stop().await;
    drop(bench);
    let bench = Bench::start_in(folder.path()).await;
    let runs = bench.runs_until(|runs| !logs(runs).is_empty()).await;
    assert_eq!(logs(&runs), ["createCustomer\tPOST\t/api/v1/customers\tnone\tnobody"]);
    assert!(all::<Notice>(&bench.system).await.is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_trigger_refuses_a_call_by_its_name() {
    let bench = Bench::start().await;
    let ada = bench.user("ada").await;
    let ada = as_user(&ada, own_caller(&bench).await);
    let body =
        r#"do return { exitState = "FAILURE", reason = p.triggerOption .. " is not for " .. p.user:getEmail() } end"#;
    bench.script("no", Scope::Provider, block("PRE_USER_API_CALL", r#""createServer""#, body)).await;
    let error = bench.system.begin_call(&ada, call("createServer", "POST")).await.err().expect("refused");
    assert!(
        matches!(&error, Error::Refused { reason, .. } if reason == "createServer is not for ada@example.org"),
        "{error:?}"
    );
    assert!(bench.system.begin_call(&ada, call("listResources", "GET")).await.expect("goes on").is_none());
    // Staff call another API; and who mends triggers is asked nothing.
    assert!(bench.system.begin_call(&bench.caller, call("createServer", "POST")).await.expect("goes on").is_none());
    let mending = ApiCall { refusable: false, ..call("createServer", "POST") };
    assert!(bench.system.begin_call(&ada, mending).await.expect("goes on").is_none());
    bench.stop().await;
}
