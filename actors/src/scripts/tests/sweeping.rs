//! Runs go when they are old, and only those on which nothing stands.

use super::{
    super::sweep::{Place, step},
    payments::{CARD, PAID, Till},
    *,
};
use std::collections::{BTreeMap, BTreeSet};
use sutler_model::{
    Cause, Evidence, Interval, IntervalKey, Invoice, InvoiceCharge, JobState, Measurement, Meter, Nanos, RunCall,
    RunId, ScriptId, Tax, Timestamp, time::DAY_MS,
};
use uuid::Uuid;

impl Bench {
    /// Sweeps all that may go.
    pub(super) async fn swept(&self) {
        let mut place = Place::default();
        while step(&self.system.inner.scripts.env, &mut place).await.expect("a step") {}
    }

    /// Keeps runs for no time at all.
    fn forgetful() -> Settings {
        Settings { runs_keep_ms: 1, ..settings() }
    }

    async fn has_run(&self, id: RunId) -> bool {
        self.system.store().get::<ScriptRun>(id).await.expect("read").is_some()
    }
}

/// A run of no block that ended well 91 days ago, at a time of its own.
pub(super) fn ended(now: Timestamp, number: u8) -> ScriptRun {
    let at = now.plus_ms(-91 * DAY_MS - i64::from(number));
    ScriptRun {
        id: RunId::new(at.0.unsigned_abs(), [number; 10]),
        version: 0,
        script_id: ScriptId(Uuid::from_u128(1)),
        function: "on_event".to_owned(),
        owner: Scope::Provider,
        seq: None,
        option: "ANY".to_owned(),
        resource_id: Some(Uuid::from_u128(number.into())),
        cause: Cause::system("test"),
        state: RunState::Succeeded,
        attempts: 1,
        next_at: None,
        duration_us: 1,
        log: "said".to_owned(),
        result: String::new(),
        asked: None,
        created_at: at,
        finished_at: Some(at),
    }
}

/// A run that failed to measure.
fn of_measuring(run: ScriptRun) -> ScriptRun {
    ScriptRun { state: RunState::Dead, option: "MEASURE".to_owned(), cause: Cause::system("measure"), ..run }
}

pub(super) fn charge(run_id: RunId) -> InvoiceCharge {
    InvoiceCharge {
        resource_id: Uuid::from_u128(4),
        resource_name: "web".to_owned(),
        component: "Backup".to_owned(),
        description: "10 GB".to_owned(),
        units: None,
        unit_price: Nanos(1),
        amount: Nanos(10),
        run_id,
        meter: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_runs_on_which_nothing_stands_go_when_they_are_old() {
    let bench = Bench::start().await;
    let now = bench.system.store().now();
    let customer = bench.customer;
    let built = bench.create("web", false).await;
    let job = bench.ended(built.id).await;
    let run = |number| ended(now, number);
    let [free, seen, refused, skipped, measured] = [1, 2, 3, 4, 16].map(run);
    let seen = ScriptRun { seq: Some(1), ..seen };
    let refused = ScriptRun { state: RunState::Refused, ..refused };
    let skipped = ScriptRun { state: RunState::Skipped, ..skipped };
    let failed = of_measuring(run(5));
    let go = [free, seen, refused, skipped, measured.clone(), failed];

    let of = |number: u8, change: &dyn Fn(&mut ScriptRun)| {
        let mut run = run(number);
        change(&mut run);
        run
    };
    let young = of(10, &|run| run.finished_at = Some(now.plus_ms(-89 * DAY_MS)));
    let unseen = of(11, &|run| run.seq = Some(1 << 40));
    let dead = of(12, &|run| run.state = RunState::Dead);
    let pending = of(13, &|run| (run.state, run.finished_at) = (RunState::Pending, None));
    let charged = run(14);
    let taxed = of(15, &|run| (run.option, run.resource_id) = ("INVOICE".to_owned(), Some(customer.0)));
    let [began, ended_use, jobs, caused] = [17, 18, 19, 20].map(run);
    let repeated = of(21, &|run| run.cause = Cause::run(dead.id, 1));
    // The call of a run that is gone, which a job makes that has not ended.
    let mut later = Job {
        id: bench.system.core().new_id(),
        state: JobState::NotStarted,
        scheduled: true,
        start_at: Some(now.plus_ms(DAY_MS)),
        idempotency_key: None,
        ..job.clone()
    };
    let call = RunCall { number: 1, operation: "invoke".to_owned(), about: None, job_id: Some(later.id) };
    let by_job = Cause::Run { run_id: RunId(Uuid::from_u128(5)), depth: 1, by_call: Some(Box::new(call)) };
    let deferred = of(23, &|run| run.cause = by_job.clone());
    let second = of(22, &|run| (run.cause, run.state) = (Cause::run(caused.id, 1), RunState::Dead));
    let mut stay =
        [young, unseen, dead, pending, charged, taxed, began, ended_use, jobs, caused, repeated, second, deferred];
    let [.., charged, taxed, began, ended_use, jobs, _, _, _, _] = stay.clone();

    let invoice = |change: &dyn Fn(&mut Invoice)| {
        let mut invoice = Invoice {
            id: bench.system.core().new_id(),
            version: 0,
            billing_entity_id: bench.caller.billing_entity_id,
            customer_id: customer,
            ..crate::testing::drawn_up("10")
        };
        change(&mut invoice);
        invoice
    };
    let mut with_charge = invoice(&|invoice| invoice.charges = vec![charge(charged.id)]);
    let mut with_tax = invoice(&|invoice| {
        (invoice.to, invoice.tax) = (taxed.id.event_at(), Some(Tax { rate: None, amount: Nanos(1) }));
    });
    let mut found = Measurement {
        resource_id: measured.resource_id.expect("a resource"),
        at: measured.id.event_at(),
        script_id: measured.script_id,
        function: measured.function.clone(),
        version: 0,
        customer_id: None,
        billing_entity_id: bench.caller.billing_entity_id,
        run_id: measured.id,
        values: BTreeMap::new(),
    };
    let used = |start: i64, began_by: Cause, ended_by: Cause| Interval {
        key: IntervalKey {
            customer_id: customer,
            start: Timestamp(start),
            resource_id: job.item_id,
            meter: Meter::Cpu,
        },
        version: 0,
        billing_entity_id: bench.caller.billing_entity_id,
        resource_name: "web".to_owned(),
        provider_type: None,
        quantity: 2,
        end: Some(Timestamp(start + 10)),
        evidence: Some(Evidence::Seen),
        began_by,
        ended_by: Some(ended_by),
    };
    let mut first = used(0, Cause::run(began.id, 1), Cause::system("test"));
    let mut last = used(10, Cause::system("test"), Cause::run(ended_use.id, 1));
    let mut asked = Job {
        id: bench.system.core().new_id(),
        cause: Cause::run(jobs.id, 1),
        state: JobState::Failed,
        idempotency_key: None,
        ..job
    };
    let mut go = go;
    let mut set = ChangeSet::new(Cause::system("test"));
    for run in stay.iter_mut().chain(&mut go) {
        set.create(run);
    }
    set.create(&mut with_charge).create(&mut with_tax).create(&mut found).create(&mut asked).create(&mut later);
    set.create(&mut first).create(&mut last);
    bench.system.store().commit(set).await.expect("committed");

    bench.swept().await;
    let left: BTreeSet<RunId> = bench.runs().await.into_iter().map(|run| run.id).collect();
    let kept: BTreeSet<RunId> = stay.iter().map(|run| run.id).collect();
    assert_eq!(left, kept);
    // To everybody it is as if it had never been.
    let (_, stranger) = bench.stranger().await;
    for who in [&bench.caller, &stranger] {
        let error = bench.system.retry_run(who, go[0].id).await.map(drop).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    // What was waited for has gone: the dead letters are passed over, and who depended on them goes with the next round.
    for id in [stay[2].id, stay[11].id] {
        let old = bench.system.store().get::<ScriptRun>(id).await.expect("read").expect("the run");
        let mut new = ScriptRun { state: RunState::Skipped, ..old.clone() };
        let mut set = ChangeSet::new(Cause::system("test"));
        set.update(&old, &mut new);
        bench.system.store().commit(set).await.expect("skipped");
    }
    bench.swept().await;
    // The first round finds `caused` still named by `second`, which is later; the next does not.
    bench.swept().await;
    let left: BTreeSet<RunId> = bench.runs().await.into_iter().map(|run| run.id).collect();
    let gone: BTreeSet<RunId> = [2, 9, 10, 11].into_iter().map(|n: usize| stay[n].id).collect();
    assert_eq!(left, kept.difference(&gone).copied().collect());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sweep_had_no_time_for_goes_after_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let now = bench.system.store().now();
    let mut set = ChangeSet::new(Cause::system("test"));
    for n in 0..700_u32 {
        let at = now.plus_ms(-100 * DAY_MS + i64::from(n));
        let mut run = ended(now, 1);
        run.id = RunId::new(at.0.unsigned_abs(), [1; 10]);
        set.create(&mut run);
    }
    let mut kept = ended(now, 2);
    kept.state = RunState::Dead;
    set.create(&mut kept);
    bench.system.store().commit(set).await.expect("committed");
    let mut place = Place::default();
    assert!(step(&bench.system.inner.scripts.env, &mut place).await.expect("a step"));
    let left = bench.runs().await.len();
    assert!((300..600).contains(&left), "a step is small: {left} are left");
    bench.stop().await;
    drop(bench);
    let path = folder.path().join("store.redb");
    sutler_store::verify(&path).expect("the store is whole");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let runs = bench.runs_until(|runs| runs.len() == 1).await;
    assert_eq!(runs, [kept]);
    bench.stop().await;
    drop(bench);
    sutler_store::verify(&path).expect("the store is whole");
    let for_good = Settings { runs_keep_ms: 0, ..settings() };
    let bench = Bench::start_with(folder.path(), for_good).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocks_counts_and_last_error_outlast_its_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Bench::forgetful()).await;
    let body = r#"if p.input:getFirstName() == "bad" and event.attempt == 1 then error("at first") end"#;
    let script = bench.script("moody", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    for name in ["one", "bad", "two"] {
        bench.user(name).await;
    }
    let all = |runs: &[ScriptRun]| runs.iter().filter(|run| run.state == RunState::Succeeded).count() == 3;
    let runs = bench.runs_until(all).await;
    let bad = runs.iter().find(|run| run.attempts == 2).expect("the run that failed at first");
    let counts = bench.system.script_counts(&bench.caller, script.id).await.expect("counts");
    assert_eq!(counts.last_error.as_ref().map(|error| error.run_id), Some(bad.id));
    bench
        .until(async || {
            bench.swept().await;
            bench.runs().await.len() == 1
        })
        .await;
    assert_eq!(bench.runs().await, std::slice::from_ref(bad));
    assert_eq!(bench.system.script_counts(&bench.caller, script.id).await.expect("counts"), counts);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_of_a_schedule_whose_runs_were_swept_are_not_made_up_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Bench::forgetful()).await;
    let tick = r#"
        function register() return { "tick" } end
        function tick(p)
            if p == nil then
                return { triggerType = "SCHEDULED", schedule = { frequency = { seconds = 1 }, missed = "each" } }
            end
        end
    "#;
    let script = bench.script("tick", Scope::Provider, tick.to_owned()).await;
    bench.runs_until(|runs| runs.len() >= 3).await;
    let patch = |paused| ScriptPatch { paused: Some(paused), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, patch(true)).await.expect("paused");
    bench.runs_until(|runs| runs.iter().all(|run| run.finished_at.is_some())).await;
    let newest = bench.runs().await.into_iter().map(|run| run.created_at).max().expect("a run");
    bench
        .until(async || {
            bench.swept().await;
            bench.runs().await.len() == 1
        })
        .await;
    assert_eq!(bench.runs().await[0].created_at, newest, "the newest tells how far the schedule is");
    bench.stop().await;
    drop(bench);
    let bench = Bench::start_with(folder.path(), Settings { runs_keep_ms: 0, ..settings() }).await;
    bench.system.update_script(&bench.caller, script.id, None, patch(false)).await.expect("resumed");
    let runs = bench.runs_until(|runs| runs.len() >= 3).await;
    assert!(runs.iter().all(|run| run.created_at >= newest), "{newest} {runs:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paid_opens_to_its_run_when_all_others_are_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let till = Till::with(Bench::start_with(folder.path(), Bench::forgetful()).await, PAID).await;
    till.card("Visa", CARD).await;
    let bench = &till.bench;
    let watch = bench.script("watch", Scope::Provider, block("POST_PAYMENT", "", "print(p.triggerOption)")).await;
    let paid = till.paid(till.invoice(1, "2.50").await).await;
    let told = |runs: &[ScriptRun]| runs.iter().any(|r| r.script_id == watch.id && r.finished_at.is_some());
    bench.runs_until(told).await;
    bench
        .until(async || {
            bench.swept().await;
            !bench.runs().await.iter().any(|run| run.script_id == watch.id)
        })
        .await;
    for run in &paid.run_ids {
        assert!(bench.has_run(*run).await, "{paid:?}");
    }
    assert!(!paid.run_ids.is_empty());
    bench.stop().await;
}
