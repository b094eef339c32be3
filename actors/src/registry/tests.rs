//! The registry on real arbiters, with an entity that misbehaves on request.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Semaphore, oneshot};

mod metrics;

use super::*;

/// What outlives the actors: their records, and what the tests want of loads and saw of turns.
#[derive(Default)]
struct Records {
    totals: Mutex<HashMap<Uuid, u64>>,
    loads: AtomicUsize,
    load_panics: AtomicBool,
    load_breaks: AtomicBool,
    store_down: AtomicBool,
    /// Turns under way, by entity.
    turns: Mutex<HashMap<Uuid, AtomicUsize>>,
    overlaps: AtomicUsize,
    after_panic: AtomicU64,
}

/// Adds up what it is told.
struct Tally {
    id: Uuid,
    records: Arc<Records>,
    total: u64,
    busy: bool,
}

impl Entity for Tally {
    type Env = Arc<Records>;
    const KIND: &'static str = "tally";
    const MAILBOX: usize = 4;

    async fn load(records: Arc<Records>, id: Uuid) -> Result<Option<Self>, LoadError> {
        records.loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        assert!(!records.load_panics.load(Ordering::SeqCst), "the record bites");
        if records.load_breaks.load(Ordering::SeqCst) {
            return Err(LoadError::broken("half a record"));
        }
        if records.store_down.load(Ordering::SeqCst) {
            return Err(LoadError::unavailable("no store"));
        }
        let total = records.totals.lock().unwrap().get(&id).copied();
        Ok(total.map(|total| Self { id, records, total, busy: false }))
    }

    fn idle(&self) -> bool {
        !self.busy
    }
}

/// Adds, commits, answers the total.
struct Add(u64);
impl Message for Add {
    type Result = u64;
}

impl Handles<Add> for Tally {
    async fn handle(&mut self, Add(n): Add, _: &Ctx<Self>) -> u64 {
        let turns =
            |change: fn(&AtomicUsize) -> usize| change(self.records.turns.lock().unwrap().entry(self.id).or_default());
        if turns(|turns| turns.fetch_add(1, Ordering::SeqCst)) > 0 {
            self.records.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
        self.total += n;
        self.records.totals.lock().unwrap().insert(self.id, self.total);
        turns(|turns| turns.fetch_sub(1, Ordering::SeqCst));
        self.total
    }
}

/// Spoils the state, then panics.
struct Panic;
impl Message for Panic {
    type Result = ();
}

impl Handles<Panic> for Tally {
    async fn handle(&mut self, _: Panic, _: &Ctx<Self>) {
        self.total = 666;
        tokio::task::yield_now().await;
        panic!("spoiled {}", self.total);
    }
}

/// Panics in a background future, or in its continuation.
struct PanicBeside {
    in_done: bool,
}
impl Message for PanicBeside {
    type Result = ();
}

impl Handles<PanicBeside> for Tally {
    async fn handle(&mut self, msg: PanicBeside, ctx: &Ctx<Self>) {
        let work = async move { assert!(msg.in_done, "beside the mailbox") };
        ctx.spawn(work, |entity, (), _| panic!("after {}", entity.total));
    }
}

/// Holds the turn until the sender is used or dropped.
struct Hold {
    held: oneshot::Sender<()>,
    until: oneshot::Receiver<()>,
}
impl Message for Hold {
    type Result = ();
}

impl Handles<Hold> for Tally {
    async fn handle(&mut self, msg: Hold, _: &Ctx<Self>) {
        let _ = msg.held.send(());
        let _ = msg.until.await;
    }
}

/// Says whether there is work that forbids sleep.
struct Busy(bool);
impl Message for Busy {
    type Result = ();
}

impl Handles<Busy> for Tally {
    async fn handle(&mut self, Busy(busy): Busy, _: &Ctx<Self>) {
        self.busy = busy;
    }
}

/// Adds when the gate opens, beside the mailbox.
struct AddBehind(Arc<Semaphore>, u64);
impl Message for AddBehind {
    type Result = ();
}

impl Handles<AddBehind> for Tally {
    async fn handle(&mut self, AddBehind(gate, n): AddBehind, ctx: &Ctx<Self>) {
        let work = async move {
            gate.acquire().await.expect("the gate is never closed").forget();
        };
        ctx.spawn(work, move |entity, (), _| {
            entity.total += n;
            entity.records.totals.lock().unwrap().insert(entity.id, entity.total);
        });
    }
}

/// Adds all in the background, each once its gate opens; zero panics.
struct AddAll(Vec<(Arc<Semaphore>, u64)>);
impl Message for AddAll {
    type Result = ();
}

impl Handles<AddAll> for Tally {
    async fn handle(&mut self, AddAll(all): AddAll, ctx: &Ctx<Self>) {
        let works = all.into_iter().map(|(gate, n)| async move {
            gate.acquire().await.expect("the gate is never closed").forget();
            assert!(n > 0, "nothing to add");
            n
        });
        ctx.spawn_all(works, |entity, added: Vec<u64>, _| {
            entity.total += added.into_iter().sum::<u64>();
            entity.records.totals.lock().unwrap().insert(entity.id, entity.total);
        });
    }
}

struct Fixture {
    pool: ArbiterPool,
    records: Arc<Records>,
    registry: Registry<Tally>,
    announced: Arc<Mutex<Vec<Quarantine>>>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let ended = self.pool.stop();
        if !std::thread::panicking() {
            ended.expect("the pool ends cleanly");
        }
    }
}

/// Restarts at once, never sleeps, never times out, unless `change` says so.
fn fixture(change: impl FnOnce(&mut Config)) -> Fixture {
    let pool = ArbiterPool::start(2).unwrap();
    let records = Arc::new(Records::default());
    let announced = Arc::new(Mutex::new(Vec::new()));
    let heard = announced.clone();
    let mut config = Config {
        idle_ms: 3_600_000,
        restarts: 3,
        window_ms: 3_600_000,
        back_off_ms: 0,
        back_off_max_ms: 0,
        ask_timeout_ms: 60_000,
        max_awake: 1_000_000,
        on_quarantine: Some(Arc::new(move |quarantine| heard.lock().unwrap().push(quarantine.clone()))),
    };
    change(&mut config);
    let registry = Registry::new(records.clone(), pool.clone(), config);
    Fixture { pool, records, registry, announced }
}

impl Fixture {
    fn record(&self) -> Uuid {
        let id = Uuid::now_v7();
        self.records.totals.lock().unwrap().insert(id, 0);
        id
    }

    fn total(&self, id: Uuid) -> u64 {
        self.records.totals.lock().unwrap()[&id]
    }

    fn loads(&self) -> usize {
        self.records.loads.load(Ordering::SeqCst)
    }

    /// Begins a turn of `id` that lasts until the sender is dropped.
    async fn hold(&self, id: Uuid) -> oneshot::Sender<()> {
        let ((held, holding), (release, until)) = (oneshot::channel(), oneshot::channel());
        let registry = self.registry.clone();
        tokio::spawn(async move { registry.ask(id, Hold { held, until }).await });
        holding.await.unwrap();
        release
    }
}

/// Waits for a state.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "never: {what}");
}

#[tokio::test]
async fn simultaneous_asks_load_an_entity_once() {
    let f = fixture(|_| {});
    let id = f.record();
    let answers = futures_util::future::join_all((0..4).map(|_| f.registry.ask(id, Add(1)))).await;
    let mut totals: Vec<u64> = answers.into_iter().map(Result::unwrap).collect();
    totals.sort_unstable();
    assert_eq!(totals, [1, 2, 3, 4]);
    assert_eq!((f.loads(), f.registry.awake()), (1, 1));
}

#[tokio::test]
async fn of_works_begun_together_each_comes_back_when_it_ends() {
    let f = fixture(|_| {});
    let id = f.record();
    let (open, shut) = (Arc::new(Semaphore::new(2)), Arc::new(Semaphore::new(0)));
    f.registry.ask(id, AddAll(vec![(shut.clone(), 4), (open.clone(), 1), (open, 2)])).await.unwrap();
    until("the two that need not wait are added", || f.total(id) == 3).await;
    shut.add_permits(1);
    until("the last one is added", || f.total(id) == 7).await;
    assert_eq!(f.loads(), 1);
}

#[tokio::test]
async fn a_panic_in_one_of_several_works_crashes_the_entity() {
    let f = fixture(|_| {});
    let (id, gate) = (f.record(), Arc::new(Semaphore::new(1)));
    f.registry.ask(id, AddAll(vec![(gate, 0), (Arc::new(Semaphore::new(0)), 1)])).await.unwrap();
    until("it is awake no more", || f.registry.awake() == 0).await;
    assert_eq!(f.registry.ask(id, Add(1)).await.unwrap(), 1);
    assert_eq!(f.loads(), 2);
}

#[tokio::test]
async fn what_has_no_record_is_not_found() {
    let f = fixture(|_| {});
    assert!(matches!(f.registry.ask(Uuid::now_v7(), Add(1)).await, Err(AskError::NotFound)));
    assert_eq!(f.registry.awake(), 0);
}

#[tokio::test]
async fn a_panic_is_answered_and_the_next_ask_finds_the_stored_state() {
    let f = fixture(|_| {});
    let id = f.record();
    assert_eq!(f.registry.ask(id, Add(5)).await.unwrap(), 5);
    let crash = f.registry.ask(id, Panic).await.unwrap_err();
    assert!(matches!(&crash, AskError::Crashed(text) if text == "spoiled 666"), "{crash}");
    assert_eq!(f.registry.ask(id, Add(1)).await.unwrap(), 6);
    assert_eq!(f.loads(), 2);
}

#[tokio::test]
async fn messages_queued_behind_a_panic_go_to_the_next_activation() {
    let f = fixture(|_| {});
    let id = f.record();
    let release = f.hold(id).await;
    let first = f.registry.ask(id, Panic);
    let others = futures_util::future::join_all((0..3).map(|_| f.registry.ask(id, Add(1))));
    let (crash, answers, ()) = futures_util::join!(first, others, async { drop(release) });
    assert!(matches!(crash, Err(AskError::Crashed(_))));
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(f.total(id), 3);
}

#[tokio::test]
async fn a_panic_beside_the_mailbox_restarts_the_entity() {
    for in_done in [false, true] {
        let f = fixture(|_| {});
        let id = f.record();
        f.registry.ask(id, PanicBeside { in_done }).await.unwrap();
        until("the crash is seen", || f.registry.awake() == 0).await;
        assert_eq!(f.registry.ask(id, Add(2)).await.unwrap(), 2);
        assert_eq!(f.loads(), 2);
    }
}

#[tokio::test]
async fn an_entity_that_keeps_crashing_is_quarantined_and_its_siblings_run_on() {
    let f = fixture(|_| {});
    let ids: Vec<Uuid> = (0..20).map(|_| f.record()).collect();
    for _ in 0..4 {
        assert!(matches!(f.registry.ask(ids[0], Panic).await, Err(AskError::Crashed(_))));
    }
    let refusal = f.registry.ask(ids[0], Add(1)).await;
    assert!(matches!(&refusal, Err(AskError::Quarantined { reason }) if reason == "spoiled 666"), "{refusal:?}");
    for &id in &ids[1..] {
        assert_eq!(f.registry.ask(id, Add(1)).await.unwrap(), 1);
    }
    let announced = f.announced.lock().unwrap().clone();
    assert_eq!(announced.len(), 1);
    assert_eq!((announced[0].kind, announced[0].id), ("tally", ids[0]));
    assert_eq!(f.registry.quarantined().iter().map(|q| q.id).collect::<Vec<_>>(), [ids[0]]);
}

#[tokio::test]
async fn a_released_entity_starts_with_a_clean_slate() {
    let f = fixture(|config| config.restarts = 0);
    let id = f.record();
    assert!(!f.registry.release(id));
    for _ in 0..2 {
        assert!(matches!(f.registry.ask(id, Panic).await, Err(AskError::Crashed(_))));
        assert!(matches!(f.registry.ask(id, Add(1)).await, Err(AskError::Quarantined { .. })));
        assert!(f.registry.release(id));
        assert!(f.registry.quarantined().is_empty());
        f.registry.ask(id, Add(1)).await.unwrap();
    }
    assert_eq!(f.total(id), 2);
}

#[tokio::test]
async fn a_load_that_panics_counts_as_a_crash() {
    let f = fixture(|config| config.restarts = 1);
    let id = f.record();
    f.records.load_panics.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let crash = f.registry.ask(id, Add(1)).await;
        assert!(matches!(&crash, Err(AskError::Crashed(text)) if text == "the record bites"), "{crash:?}");
    }
    f.records.load_panics.store(false, Ordering::SeqCst);
    assert!(matches!(f.registry.ask(id, Add(1)).await, Err(AskError::Quarantined { .. })));
    assert_eq!(f.loads(), 2);
}

#[tokio::test]
async fn a_broken_record_is_quarantined_but_a_store_that_is_down_quarantines_nobody() {
    let f = fixture(|config| config.restarts = 1);
    let (broken, whole) = (f.record(), f.record());
    f.records.store_down.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        assert!(matches!(f.registry.ask(whole, Add(1)).await, Err(AskError::Load(_))));
    }
    f.records.store_down.store(false, Ordering::SeqCst);
    assert_eq!(f.registry.ask(whole, Add(1)).await.unwrap(), 1);
    f.records.load_breaks.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(f.registry.ask(broken, Add(1)).await, Err(AskError::Load(_))));
    }
    let refusal = f.registry.ask(broken, Add(1)).await;
    assert!(
        matches!(&refusal, Err(AskError::Quarantined { reason }) if reason.contains("half a record")),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn an_ask_waits_for_a_near_restart_and_is_told_of_a_far_one() {
    let f = fixture(|config| (config.back_off_ms, config.back_off_max_ms) = (20, 20));
    let id = f.record();
    assert!(f.registry.ask(id, Panic).await.is_err());
    assert_eq!(f.registry.ask(id, Add(1)).await.unwrap(), 1);

    let f = fixture(|config| (config.back_off_ms, config.back_off_max_ms) = (3_600_000, 3_600_000));
    let id = f.record();
    assert!(f.registry.ask(id, Panic).await.is_err());
    let refusal = f.registry.ask(id, Add(1)).await;
    assert!(matches!(refusal, Err(AskError::BackingOff { retry }) if retry > Duration::from_secs(60)), "{refusal:?}");
}

#[tokio::test]
async fn an_idle_entity_sleeps_and_wakes_with_its_state() {
    let f = fixture(|config| config.idle_ms = 1);
    let id = f.record();
    assert_eq!(f.registry.ask(id, Add(3)).await.unwrap(), 3);
    until("asleep", || f.registry.awake() == 0).await;
    assert_eq!(f.registry.ask(id, Add(4)).await.unwrap(), 7);
    assert_eq!(f.loads(), 2);
}

#[tokio::test]
async fn an_entity_with_work_does_not_sleep() {
    let f = fixture(|config| config.idle_ms = 0);
    let (busy, beside, witness) = (f.record(), f.record(), f.record());
    let gate = Arc::new(Semaphore::new(0));
    f.registry.ask(busy, Busy(true)).await.unwrap();
    f.registry.ask(beside, AddBehind(gate.clone(), 9)).await.unwrap();
    // Sweeps pass while an idle one comes and goes.
    for _ in 0..3 {
        f.registry.ask(witness, Add(1)).await.unwrap();
        until("the witness sleeps", || f.registry.awake() == 2).await;
    }
    gate.add_permits(1);
    until("the background work is done", || f.total(beside) == 9).await;
    f.registry.ask(busy, Busy(false)).await.unwrap();
    until("all sleep", || f.registry.awake() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn background_work_that_ends_during_another_turn_is_not_lost() {
    const ROUNDS: u64 = 2000;
    let f = fixture(|_| {});
    let id = f.record();
    let gate = Arc::new(Semaphore::new(0));
    for _ in 0..ROUNDS {
        // The gate opens while the next turn begins.
        f.registry.ask(id, AddBehind(gate.clone(), 1)).await.unwrap();
        let opener = gate.clone();
        let (_, added) = tokio::join!(tokio::spawn(async move { opener.add_permits(1) }), f.registry.ask(id, Add(1)));
        added.unwrap();
    }
    until("everything is added", || f.total(id) == 2 * ROUNDS).await;
}

#[tokio::test]
async fn above_the_limit_the_least_recently_used_sleep_first() {
    let f = fixture(|config| config.max_awake = 16);
    let ids: Vec<Uuid> = (0..17).map(|_| f.record()).collect();
    for &id in &ids[..16] {
        f.registry.ask(id, Add(1)).await.unwrap();
    }
    f.registry.ask(ids[0], Add(1)).await.unwrap();
    assert_eq!(f.registry.awake(), 16);
    f.registry.ask(ids[16], Add(1)).await.unwrap();
    until("three of seventeen sleep", || f.registry.awake() == 14).await;
    let loads = f.loads();
    f.registry.ask(ids[0], Add(1)).await.unwrap();
    f.registry.ask(ids[4], Add(1)).await.unwrap();
    assert_eq!(f.loads(), loads);
    f.registry.ask(ids[1], Add(1)).await.unwrap();
    assert_eq!(f.loads(), loads + 1);
}

#[tokio::test]
async fn a_full_mailbox_refuses_and_drains() {
    let f = fixture(|_| {});
    let id = f.record();
    let release = f.hold(id).await;
    let asks = futures_util::future::join_all((0..10).map(|_| f.registry.ask(id, Add(1))));
    let (answers, ()) = futures_util::join!(asks, async { drop(release) });
    let full = answers.iter().filter(|answer| matches!(answer, Err(AskError::Full))).count();
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((full, done), (10 - Tally::MAILBOX, Tally::MAILBOX));
    assert_eq!(f.registry.ask(id, Add(1)).await.unwrap(), Tally::MAILBOX as u64 + 1);
}

#[tokio::test]
async fn an_ask_that_timed_out_in_the_queue_is_never_begun() {
    let f = fixture(|config| config.ask_timeout_ms = 50);
    let id = f.record();
    let release = f.hold(id).await;
    assert!(matches!(f.registry.ask(id, Add(1)).await, Err(AskError::Timeout)));
    drop(release);
    assert_eq!(f.registry.ask(id, Add(10)).await.unwrap(), 10);
}

#[tokio::test]
async fn stopping_finishes_what_is_queued_and_ends_the_activation() {
    let f = fixture(|_| {});
    let id = f.record();
    f.registry.ask(id, Busy(true)).await.unwrap();
    let release = f.hold(id).await;
    let (added, (), ()) = futures_util::join!(f.registry.ask(id, Add(1)), f.registry.stop(id), async { drop(release) });
    assert_eq!(added.unwrap(), 1);
    assert_eq!(f.registry.awake(), 0);
    f.registry.stop(id).await;
    assert_eq!(f.registry.ask(id, Add(1)).await.unwrap(), 2);
    assert_eq!(f.loads(), 2);
}

#[tokio::test]
async fn after_shutdown_everything_sleeps_and_asks_are_refused() {
    let f = fixture(|_| {});
    let ids: Vec<Uuid> = (0..50).map(|_| f.record()).collect();
    for &id in &ids {
        f.registry.ask(id, Add(1)).await.unwrap();
    }
    f.registry.shut_down().await;
    assert_eq!(f.registry.awake(), 0);
    assert!(matches!(f.registry.ask(ids[0], Add(1)).await, Err(AskError::Stopped)));
    assert!(f.announced.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_pool_that_stopped_under_a_registry_answers_stopped() {
    let f = fixture(|_| {});
    let id = f.record();
    f.pool.stop().unwrap();
    f.pool.stop().unwrap();
    assert!(matches!(f.registry.ask(id, Add(1)).await, Err(AskError::Stopped)));
}

#[tokio::test]
async fn dropping_the_registry_ends_its_actors() {
    let f = fixture(|_| {});
    let id = f.record();
    f.registry.ask(id, Add(1)).await.unwrap();
    let other: Registry<Tally> = Registry::new(f.records.clone(), f.pool.clone(), Config::default());
    other.ask(id, Add(1)).await.unwrap();
    let before = Arc::strong_count(&f.records);
    drop(other);
    until("its actor let go of the records", || Arc::strong_count(&f.records) <= before - 2).await;
}

/// Callers on many threads against sleep, stop, eviction and panics: every message is begun exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_is_lost_or_doubled_while_entities_come_and_go() {
    const CALLERS: usize = 16;
    const ASKS: usize = 400;
    let f = fixture(|config| {
        (config.idle_ms, config.max_awake, config.restarts) = (0, 3, usize::MAX);
    });
    let ids: Arc<[Uuid]> = (0..6).map(|_| f.record()).collect();
    let callers = (0..CALLERS).map(|caller| {
        let (registry, ids, records) = (f.registry.clone(), ids.clone(), f.records.clone());
        tokio::spawn(async move {
            let mut added = 0u64;
            for n in 0..ASKS {
                let id = ids[(caller * 7 + n * 5) % ids.len()];
                match (caller + n) % 13 {
                    0 => registry.stop(id).await,
                    1 => match registry.ask(id, Panic).await {
                        Err(AskError::Crashed(_)) => {
                            records.after_panic.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(AskError::Full) => {}
                        other => panic!("a panic was answered {other:?}"),
                    },
                    _ => match registry.ask(id, Add(1)).await {
                        Ok(_) => added += 1,
                        Err(AskError::Full) => tokio::task::yield_now().await,
                        Err(error) => panic!("an ask failed: {error}"),
                    },
                }
            }
            added
        })
    });
    let mut added = 0;
    for caller in futures_util::future::join_all(callers).await {
        added += caller.unwrap();
    }
    let stored: u64 = ids.iter().map(|&id| f.total(id)).sum();
    assert_eq!(stored, added);
    assert!(added > 0 && f.records.after_panic.load(Ordering::Relaxed) > 0);
    assert_eq!(f.records.overlaps.load(Ordering::SeqCst), 0, "two activations of one entity took turns at once");
    assert!(f.loads() > ids.len(), "entities came and went");
}
