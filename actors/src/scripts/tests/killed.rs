//! Killed before each commit of what providers do for others: it is done to its end, changes nothing twice and leaves nothing
//! behind, also in a store that is made from its copy. And killed while old runs go.

use super::{
    sweeping::{charge, ended},
    *,
};
use crate::{NewPluggable, PluggablePatch, jobs, remains};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use sutler_lua::Egress;
use sutler_model::{
    Blob, Cause, Image, Invoice, PluggableResource, PluggableResourceId, RunCall, RunId, Timestamp,
    pluggable::PluggableState, time::DAY_MS,
};
use sutler_store::{Follower, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use uuid::Uuid;

/// A provider of vaults and of an action on servers. Each of its functions counts itself on the customer, so that a second time
/// would show; tells the peer, under the run's key; and makes a file.
const PROVIDER: &str = r##"
function register() return { "vaults", "ticks", "call" } end

local function work(what)
    local count = 0
    for _, key in ipairs(adminAPI:getResource("WHOM", true):getResourceKey()) do
        if key:getName() == what then count = tonumber(key:getValue()) end
    end
    local key = new("ResourceKey")
    key:setName(what)
    key:setType(new("ResourceKeyType", "USER_KEY"))
    key:setValue(tostring(count + 1))
    adminAPI:addKey("WHOM", key)
    local answer = http.post("PEER" .. what, { headers = { ["Idempotency-Key"] = event.run }, json = {} })
    if not answer.ok then error("the peer answered " .. tostring(answer.status)) end
    local blob = new("Blob")
    blob:setResourceName(what)
    blob:setValue(what)
    adminAPI:createBlob(blob, nil)
end

local function yes(text) return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = text } end

function vaults(p)
    local grow = { key = "grow", name = "Grow", returnType = "STRING", executionFunction = "vault_grow" }
    return {
        ref = "vaults", name = "Vaults", api = "PLUGGABLE_PROVIDER", version = 1, providerType = "VAULT",
        createFunction = { executionFunction = "vault_create" }, modifyFunction = { executionFunction = "vault_modify" },
        deleteFunction = { executionFunction = "vault_delete" },
        productComponentTypes = { { name = "Vault", referenceField = "VAULT", optional = false,
            configurableList = { { key = "size", name = "Size", required = true },
                { key = "made", name = "Made", readOnly = true } } } },
        actionFunctions = { grow },
    }
end
function vault_create(p)
    work("create")
    if p.resourceValues.size == "huge" then
        return { returnCode = "FAILED", errorCode = 507, errorString = "there is no room for that" }
    end
    p.resource:getResourceValues():put("made", "of " .. p.resourceValues.size)
    return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end
function vault_modify(p)
    work("modify")
    p.resource:getResourceValues():put("made", "again of " .. p.resourceValues.size)
    return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end
function vault_delete(p)
    work("delete")
    return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end
function vault_grow(p)
    work("grow")
    return yes("grown by " .. (p.parameters.by or "nothing") .. " from " .. p.resourceValues.size)
end

function ticks(p)
    local function action(key, waits)
        return { key = key, name = key, returnType = "STRING", executionFunction = "tick_" .. key, synchronous = waits,
            parameters = { { key = "by", name = "By" } } }
    end
    return {
        ref = "ticks", name = "Ticks", description = "", api = "CONFIG_PROVIDER", version = 1, providerType = "TICKS",
        resourceConfigs = { { associatedResourceType = "CUSTOMER", useWithBilling = false, productComponentTypes = { {
            resourceName = "Ticks", referenceField = "TICKS", configurableList = {},
            actionFunctions = { action("now", true), action("alone", false) } } } } },
    }
end
function tick_now(p) work("now") return yes("ticked by " .. p.parameters.by) end
function tick_alone(p) work("alone") return yes("ticked by " .. p.parameters.by) end

-- Has the actions invoked for each user who comes.
function call(p)
    if p == nil then
        return { ref = "call", name = "call", description = "", priority = 0, triggerType = "POST_CREATE",
            triggerOptions = { "USER" }, api = "TRIGGER", version = 1 }
    end
    local by = new("Map")
    by:put("by", "seven")
    print(adminAPI:invokeAction("WHOM", "now", by, "TICKS"):getInfo())
    print(adminAPI:invokeAction("WHOM", "alone", by, "TICKS"):getInfo())
    return { exitState = "SUCCESS" }
end
"##;

/// What is done, and what the provider's functions are called by which it is.
const KINDS: [(&str, &[&str]); 6] = [
    ("create", &["create"]),
    ("refuse", &["create"]),
    ("modify", &["modify"]),
    ("delete", &["delete"]),
    ("call", &["alone", "now"]),
    ("alone", &["alone"]),
];

/// The machine's clock. The store's writer looks at it once for each commit, and is killed there when its time has come.
fn clock() -> Timestamp {
    if std::thread::current().name() == Some("store-write") {
        jobs::committed();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(i64::try_from(since.as_millis()).expect("not so far"))
}

async fn started(root: &Path) -> Bench {
    let egress = Egress { exceptions: vec!["127.0.0.0/8".parse().expect("a net")], ..Egress::default() };
    let settings = Settings { egress, run_tries_max: 20, ..settings() };
    Bench::start_by(root, settings, Options { clock, ..Options::default() }).await
}

/// What a peer was asked, and under which keys.
type Asked = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// A server that says yes to all, and notes the path and the key of each request.
async fn peer() -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let noted = Asked::default();
    let noting = noted.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let noted = noting.clone();
            tokio::spawn(async move {
                let (mut text, mut piece) = (String::new(), [0; 4096]);
                while !text.contains("\r\n\r\n") {
                    match socket.read(&mut piece).await {
                        Ok(n) if n > 0 => text.push_str(&String::from_utf8_lossy(&piece[..n])),
                        _ => return,
                    }
                }
                let path = text.split([' ', '/']).nth(2).unwrap_or_default().to_owned();
                let key = text.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("idempotency-key").then(|| value.trim().to_owned())
                });
                let key = key.unwrap_or_default();
                noted.lock().unwrap_or_else(PoisonError::into_inner).entry(path).or_default().push(key);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                let _ = socket.write_all(answer).await;
            });
        }
    });
    (url, noted)
}

/// Lets the copy in a folder come up to where the store is.
async fn copied(store: &Store, copy: &Path) {
    let (store, copy, runtime) = (store.clone(), copy.to_owned(), tokio::runtime::Handle::current());
    let copying = move || {
        let follower = Follower::start(store.clone(), copy).expect("the copy");
        let mut status = follower.status();
        let seq = store.stats().seq;
        drop(runtime.block_on(status.wait_for(|status| status.seq >= seq)).expect("copied"));
    };
    tokio::task::spawn_blocking(copying).await.expect("it is a copy");
}

/// A folder like that of a program which is down, with the store made from its copy, which began before.
async fn rebuilt(root: &Path, copy: &Path) -> PathBuf {
    let store = Store::open(&root.join("store.redb"), Options::default()).expect("the store opens");
    copied(&store, copy).await;
    store.close().await;
    drop(store);
    let to = root.join("rebuilt");
    std::fs::create_dir(&to).expect("the folder");
    sutler_store::rebuild(copy, &to.join("store.redb")).expect("rebuilt");
    std::fs::copy(root.join("world.jsonl"), to.join("world.jsonl")).expect("copied");
    to
}

const VAULT: Uuid = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0007);

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Bench {
    async fn vault(&self) -> Option<PluggableResource> {
        self.system.store().get::<PluggableResource>(PluggableResourceId(VAULT)).await.expect("read")
    }

    async fn make(&self, size: &str) -> Result<PluggableResource, Error> {
        let new = NewPluggable {
            id: Some(VAULT.into()),
            name: "vault".into(),
            provider_type: "vault".into(),
            customer_id: Some(self.customer),
            values: texts(&[("size", size)]),
            keys: Vec::new(),
        };
        self.system.create_pluggable(&self.caller, new).await
    }

    /// Does what is of a kind, to its end.
    async fn carry_out(&self, kind: &str) {
        match kind {
            "create" => drop(self.make("small").await.expect("made")),
            "refuse" => {
                let refused = self.make("huge").await.expect_err("refused").to_string();
                assert!(refused.contains("no room for that"), "{refused}");
            }
            "modify" => {
                let patch = PluggablePatch { values: texts(&[("size", "large")]), ..PluggablePatch::default() };
                self.system.update_pluggable(&self.caller, VAULT.into(), None, patch).await.expect("changed");
            }
            "delete" => self.system.delete_pluggable(&self.caller, VAULT.into(), None).await.expect("deleted"),
            "call" => drop(self.user("ada").await),
            _ => {
                let by = texts(&[("by", "seven")]);
                let customer = self.customer.0;
                let asked = self.system.invoke_action(&self.caller, customer, "TICKS", "alone", &by).await;
                assert_eq!(asked.expect("accepted").answer, None, "nobody waits for it");
            }
        }
    }

    /// What remains of the resource is there exactly when it was there and is gone.
    async fn check_what_remains(&self, kind: &str, told: &str) {
        let read = self.system.store().read(|snapshot| {
            let there = snapshot.get::<PluggableResource>(PluggableResourceId(VAULT))?.is_some();
            Ok((there, remains::find(snapshot, VAULT)?.is_some()))
        });
        let (there, remains) = read.await.expect("read");
        assert_eq!(remains, kind == "delete" && !there, "{told}");
    }

    /// Whether it was accepted before a kill.
    async fn is_accepted(&self, kind: &str, runs_before: usize) -> bool {
        match kind {
            // What was refused leaves nothing but its run.
            "create" | "refuse" => self.vault().await.is_some() || self.runs().await.len() > runs_before,
            "modify" => self.vault().await.is_some_and(|vault| vault.turns > 1),
            "delete" => self.vault().await.is_none_or(|vault| vault.turns > 1),
            "call" => self.ada().await,
            _ => self.runs().await.len() > runs_before,
        }
    }

    async fn ada(&self) -> bool {
        all::<User>(&self.system).await.iter().any(|user| user.email.starts_with("ada"))
    }

    /// Waits until nothing is under way any more.
    async fn is_at_rest(&self, kind: &str) {
        let live = |run: &ScriptRun| matches!(run.state, RunState::Pending | RunState::Running | RunState::Retrying);
        self.until(async || {
            let rests = self.vault().await.is_none_or(|vault| vault.state == PluggableState::Active);
            let runs = self.runs().await;
            let called = kind != "call"
                || ["call", "tick_now", "tick_alone"]
                    .iter()
                    .all(|name| runs.iter().any(|run| run.function == *name && run.finished_at.is_some()));
            rests && called && !runs.iter().any(live)
        })
        .await;
    }

    /// It was done once.
    async fn check(&self, kind: &str, functions: &[&str], asked: &BTreeMap<String, Vec<String>>, told: &str) {
        let vault = self.vault().await;
        let values =
            vault.as_ref().map(|vault| (vault.state, vault.values["size"].as_str(), vault.values["made"].as_str()));
        let expected = match kind {
            "create" => Some((PluggableState::Active, "small", "of small")),
            "modify" => Some((PluggableState::Active, "large", "again of large")),
            _ => None,
        };
        assert_eq!(values, expected, "{told}");
        let customer = self.system.store().get::<Customer>(self.customer).await.expect("read").expect("the customer");
        let counts = |name: &str| {
            let key = customer.keys.iter().find(|key| key.name == name);
            key.map(|key| key.value.clone()).unwrap_or_default()
        };
        let blobs = all::<Blob>(&self.system).await;
        for name in functions {
            assert_eq!(counts(name), "1", "{told}: {name} is counted once");
            assert_eq!(blobs.iter().filter(|blob| blob.name == *name).count(), 1, "{told}: {name} made one file");
            let mut keys = asked[*name].clone();
            keys.dedup();
            assert_eq!(keys.len(), 1, "{told}: {name} asked under one key: {keys:?}");
            let run = self.system.store().get::<ScriptRun>(RunId(keys[0].parse().expect("a run"))).await.expect("read");
            let run = run.expect("the run is recorded");
            let state = if kind == "refuse" { RunState::Refused } else { RunState::Succeeded };
            assert_eq!(run.state, state, "{told}: {run:?}");
            assert_eq!(run.asked, None, "{told}: what may be secret is dropped");
        }
        if kind == "call" {
            let runs = self.runs().await;
            let call = runs.iter().find(|run| run.function == "call").expect("the caller's run");
            assert_eq!(
                (call.state, call.log.as_str()),
                (RunState::Succeeded, "ticked by seven\nnil\n"),
                "{told}: {call:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_does_is_done_once_when_the_program_is_killed_before_any_commit() {
    for (kind, functions) in KINDS {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut crashes, mut repeated) = (0, 0);
        for before in 0.. {
            let root = folder.path().join(before.to_string());
            let (url, asked) = peer().await;
            let bench = started(&root).await;
            let source = PROVIDER.replace("PEER", &url).replace("WHOM", &bench.customer.to_string());
            bench.script("provider", Scope::Provider, source).await;
            if matches!(kind, "modify" | "delete") {
                bench.make("small").await.expect("made");
            }
            let runs = bench.runs().await.len();
            let copy = root.join("copy");
            copied(bench.system.store(), &copy).await;
            bench.stop().await;
            drop(bench);
            asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let child = "scripts::tests::killed::the_child_of_the_crash_test";
            let killed = !jobs::run_child(child, &root, kind, before).success();
            let until_then = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();

            for root in [&rebuilt(&root, &copy).await, &root] {
                asked.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&until_then);
                let told = format!("{kind} killed before commit {before}, in {}", root.display());
                let bench = started(root).await;
                bench.check_what_remains(kind, &told).await;
                if killed && !bench.is_accepted(kind, runs).await {
                    // The caller never saw an answer.
                    bench.carry_out(kind).await;
                }
                bench.is_at_rest(kind).await;
                let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
                bench.check(kind, functions, &asked, &told).await;
                bench.check_what_remains(kind, &told).await;
                bench.stop().await;
                repeated += usize::from(asked.values().any(|keys| keys.len() > 1));
            }
            if !killed {
                break;
            }
            crashes += 1;
        }
        eprintln!("{kind}: killed {crashes} times, {repeated} of them after its peer had been asked");
        // It is accepted, its run is recorded, it writes twice, its run ends, and it is settled.
        assert!(crashes >= 4, "{kind} was killed {crashes} times");
        assert!(repeated >= 1, "{kind} was never killed after its peer had been asked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the crash test as a child process"]
async fn the_child_of_the_crash_test() {
    let root = std::path::PathBuf::from(jobs::var("SUTLER_TEST_ROOT"));
    let kind = jobs::var("SUTLER_TEST_KIND");
    let bench = started(&root).await;
    jobs::die_as_told();
    bench.carry_out(&kind).await;
    bench.is_at_rest(&kind).await;
    bench.stop().await;
}

/// Runs that are to go, by age: more than two steps of the sweep take.
const OLD: usize = 600;
/// How many of them are gone after each step, which looks at 256: first at one that stays, and later at another.
const STEPS: [usize; 4] = [0, 255, 510, OLD];
/// Which of them have made a call.
const CALLERS: [usize; 4] = [0, 255, 256, OLD - 1];

/// What is known of old runs: those that go, oldest first, and those that stay, which is one that an invoice names and a dead
/// letter.
struct OldRuns {
    go: Vec<RunId>,
    stay: [RunId; 2],
}

impl Bench {
    /// Stores old runs; some have made a call.
    async fn grow_old(&self) -> OldRuns {
        let now = self.system.store().now();
        let old = |n: usize| {
            let at = now.plus_ms(-100 * DAY_MS + i64::try_from(n).expect("a small number"));
            ScriptRun { id: RunId::new(at.0.unsigned_abs(), [1; 10]), ..ended(now, 1) }
        };
        let mut runs: Vec<ScriptRun> = (0..OLD).map(old).collect();
        // Among the others by their age.
        let mut billed = ScriptRun { id: RunId::new(runs[300].id.event_at().0.unsigned_abs(), [2; 10]), ..old(0) };
        let mut dead = ScriptRun { id: RunId::new(1, [3; 10]), state: RunState::Dead, ..old(0) };
        let mut invoice = Invoice {
            id: self.system.core().new_id(),
            billing_entity_id: self.caller.billing_entity_id,
            customer_id: self.customer,
            charges: vec![charge(billed.id)],
            ..crate::testing::drawn_up("10")
        };
        let mut set = ChangeSet::new(Cause::system("test"));
        for run in &mut runs {
            set.create(run);
        }
        set.create(&mut billed).create(&mut dead).create(&mut invoice);
        self.system.store().commit(set).await.expect("committed");
        let known = OldRuns { go: runs.into_iter().map(|run| run.id).collect(), stay: [billed.id, dead.id] };
        let offered = self.system.store().get::<Image>(self.image).await.expect("read").expect("the image");
        for run_id in CALLERS.map(|n| known.go[n]).into_iter().chain(known.stay) {
            let call = RunCall { number: 1, operation: "createImage".to_owned(), about: None, job_id: None };
            let by_call = Cause::Run { run_id, depth: 0, by_call: Some(Box::new(call)) };
            let mut set = ChangeSet::new(by_call);
            let id = self.system.core().new_id();
            set.create(&mut Image { id, name: run_id.to_string(), ..offered.clone() });
            self.system.store().commit(set).await.expect("a call");
        }
        known
    }
}

/// What a store has of old runs: those that are there yet, and of whose calls something is noted.
async fn left(store: &Store, known: &OldRuns) -> (Vec<RunId>, Vec<RunId>) {
    let ids: Vec<RunId> = known.go.iter().chain(&known.stay).copied().collect();
    let read = store.read(move |snapshot| {
        let (mut there, mut called) = (Vec::new(), Vec::new());
        for id in ids {
            there.extend(snapshot.get::<ScriptRun>(id)?.map(|run| run.id));
            called.extend(snapshot.call(id.0, 1)?.map(|_| id));
        }
        Ok((there, called))
    });
    read.await.expect("read")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_runs_go_a_whole_step_at_a_time_when_the_program_is_killed_before_any_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut crashes, mut between) = (0, 0);
    for before in 0.. {
        let root = folder.path().join(before.to_string());
        let for_good = Settings { runs_keep_ms: 0, ..settings() };
        let bench = Bench::start_with(&root, for_good).await;
        let copy = root.join("copy");
        copied(bench.system.store(), &copy).await;
        let known = bench.grow_old().await;
        bench.stop().await;
        drop(bench);
        let child = "scripts::tests::killed::the_child_that_sweeps";
        let killed = !jobs::run_child(child, &root, "sweep", before).success();

        sutler_store::verify(&root.join("store.redb")).expect("the store is whole");
        for root in [&rebuilt(&root, &copy).await, &root] {
            let told = format!("killed before commit {before}, in {}", root.display());
            let store = Store::open(&root.join("store.redb"), Options::default()).expect("the store opens");
            let (there, called) = left(&store, &known).await;
            store.close().await;
            drop(store);
            // The oldest go first, a step as a whole, and none without its calls.
            let gone = known.go.len() + known.stay.len() - there.len();
            assert_eq!(there[..there.len() - 2], known.go[gone..], "{told}");
            assert_eq!(there[there.len() - 2..], known.stay, "{told}");
            assert!(STEPS.contains(&gone), "{told}: {gone} are gone");
            let callers = CALLERS.into_iter().filter(|n| *n >= gone).map(|n| known.go[n]);
            assert_eq!(called, callers.chain(known.stay).collect::<Vec<_>>(), "{told}: {gone} are gone");
            assert!(killed || gone == OLD, "{told}: {gone} are gone");
            between += usize::from(gone > 0 && gone < OLD);

            let bench = started(root).await;
            bench.until(async || left(bench.system.store(), &known).await.0 == known.stay).await;
            assert_eq!(left(bench.system.store(), &known).await.1, known.stay, "{told}");
            bench.stop().await;
        }
        if !killed {
            break;
        }
        crashes += 1;
    }
    eprintln!("killed {crashes} times; {between} stores were left in between two steps");
    assert!(crashes >= 3 && between >= 4, "{crashes} {between}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the crash test as a child process"]
async fn the_child_that_sweeps() {
    jobs::die_as_told();
    let bench = started(&PathBuf::from(jobs::var("SUTLER_TEST_ROOT"))).await;
    bench.runs_until(|runs| runs.len() == 2).await;
    bench.stop().await;
}
