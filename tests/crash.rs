//! The crash campaign: the program is killed at random moments under load, hundreds of times, on one store. Afterwards
//! every acknowledged request is there, every job has ended, and records, guests and disks agree.

use crate::support::{Client, Program, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use sutler_drivers::{compute::GuestState, simulated::Simulated};
use tokio::task::JoinSet;

/// How often the program is killed; `SUTLER_TEST_KILLS` sets another number for a long campaign.
const KILLS: u32 = 200;
/// Requests under way at the same time.
const CALLERS: usize = 4;

/// What the program acknowledged: a job's id by the key it was asked for under.
type Acknowledged = Arc<Mutex<BTreeMap<String, String>>>;

/// Where a draw is taken from: a small generator with a printed seed, so that a failure can be run again.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `n` (xorshift64*, Vigna 2016).
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_hundreds_of_times_under_load_it_loses_nothing_and_leaves_nothing_behind() {
    let kills = std::env::var("SUTLER_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |t| u64::from(t.subsec_nanos())) | 1;
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    // The load must not run into limits, and a started guest needs no shutdown patience.
    let World { mut program, admin, ada, image, .. } = World::with(&[
        ("SUTLER_LIMITS_REQUESTS_PER_SECOND", "100000"),
        ("SUTLER_LIMITS_REQUEST_BURST", "100000"),
        ("SUTLER_COMPUTE_POLL_MS", "200"),
    ])
    .await;
    let quota = json!({ "servers": 100_000, "cpus": 100_000, "memory_mib": 1 << 30, "disk_gib": 1 << 20 });
    admin.patch(&format!("/customers/{}", ada.id), json!({ "quota": quota })).await.expect(200);
    let token = ada.client.token.clone().expect("signed in");
    let acknowledged = Acknowledged::default();
    let mut asked = 0_u64;
    for _ in 0..kills {
        let client = Client::new(&program.base).with_token(&token);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            asked += 1;
            let (client, acknowledged, image, first) =
                (client.clone(), acknowledged.clone(), image.clone(), asked * 1000);
            callers.spawn(load(client, acknowledged, image, first));
        }
        // Anywhere from the first request to well into the jobs' steps.
        tokio::time::sleep(Duration::from_micros(dice.below(60_000))).await;
        program = program.kill_and_restart().await;
        callers.shutdown().await;
    }

    let client = Client::new(&program.base).with_token(&token);
    let acknowledged = acknowledged.lock().expect("no caller panicked").clone();
    assert!(acknowledged.len() as u32 > kills / 2, "the load was acknowledged {} times", acknowledged.len());
    for (key, job) in &acknowledged {
        let done = client.finished(job).await;
        assert!(done["state"] == "successful", "{key}: {done}");
    }
    no_job_is_unfinished(&client).await;
    records_and_guests_agree(program, &client).await;
    eprintln!("{} requests were acknowledged over {kills} kills", acknowledged.len());
}

/// Creates servers and deletes every other one, until the connection breaks.
async fn load(client: Client, acknowledged: Acknowledged, image: String, first: u64) {
    for n in first.. {
        let new = json!({ "name": format!("s-{n}"), "cpu": 1, "memory_mib": 64, "disk_gib": 1, "image_id": image });
        let Some(job) = ask(&client, Method::POST, "/servers", &format!("create-{n}"), new, &acknowledged).await else {
            return;
        };
        if n % 2 == 0 {
            let path = format!("/servers/{}", job["item_id"].as_str().expect("a server"));
            let asked = ask(&client, Method::DELETE, &path, &format!("delete-{n}"), Value::Null, &acknowledged).await;
            if asked.is_none() {
                return;
            }
        }
    }
}

/// Asks for a job; none when the program went away before it answered.
async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    key: &str,
    body: Value,
    acknowledged: &Acknowledged,
) -> Option<Value> {
    let mut request = client.request(method, path).header("idempotency-key", key);
    if !body.is_null() {
        request = request.json(&body);
    }
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let job: Value = answer.json().await.ok()?;
    assert_eq!(status, 202, "{path}: {job}");
    let id = job["id"].as_str().expect("a job").to_owned();
    acknowledged.lock().expect("no caller panicked").insert(key.to_owned(), id);
    Some(job)
}

/// Nothing is under way any more, and nothing waits for an operator.
pub async fn no_job_is_unfinished(client: &Client) {
    eventually("every job has ended", async || {
        let page = client.get("/jobs?state=not_started,in_progress,waiting,undoing&limit=1").await.expect(200);
        page.items().is_empty().then_some(())
    })
    .await;
    let stuck = client.get("/jobs?state=needs_operator&limit=1").await.expect(200);
    assert!(stuck.items().is_empty(), "{}", stuck.text);
}

/// Each server runs and has one guest and one disk; nothing else runs. A deleted server's disk stays its grace period.
pub async fn records_and_guests_agree(mut program: Program, client: &Client) {
    let servers = all(client, "/servers?limit=200", |item| assert_eq!(item["state"], "running", "{item}")).await;
    let disks = all(client, "/disks?limit=200", |item| assert_ne!(item["state"], "creating", "{item}")).await;
    let data = program.data();
    assert!(program.stop().await.success());
    let world = Simulated::in_folder(&data).expect("the world outlived the program");
    let guests = world.guests();
    assert!(guests.iter().all(|guest| guest.state == GuestState::Running), "{guests:?}");
    assert_eq!(sorted(guests.iter().map(|guest| guest.id.to_string())), sorted(servers));
    assert_eq!(sorted(world.disks().iter().map(ToString::to_string)), sorted(disks));
}

fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().collect();
    ids.sort();
    ids
}

/// The ids of a whole list, each item checked.
async fn all(client: &Client, path: &str, check: impl Fn(&Value)) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let more = cursor.map_or_else(String::new, |c: String| format!("&cursor={c}"));
        let page = client.get(&format!("{path}{more}")).await.expect(200);
        for item in page.items() {
            check(item);
            ids.push(item["id"].as_str().expect("an id").to_owned());
        }
        match page.body["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return ids,
        }
    }
}
