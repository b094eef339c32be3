//! Actors of triggers that crash.

use super::*;
use crate::{
    registry::{Ctx, Handles},
    scripts::trigger::TriggerActor,
};

/// Crashes a trigger's actor.
pub(super) struct Boom;

impl actix::Message for Boom {
    type Result = ();
}

impl Handles<Boom> for TriggerActor {
    async fn handle(&mut self, _: Boom, _: &Ctx<Self>) {
        panic!("boom");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_actor_loses_no_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let source = block("POST_CREATE", r#""USER""#, "print(p.input:getFirstName())");
    let script = bench.script("log", Scope::Provider, source).await;
    for n in 0..60 {
        bench.user(&format!("a{n}")).await;
        if n % 20 == 10 {
            // What is queued and under way goes with the actor.
            let _ = bench.system.inner.scripts.registry.ask(script.id.0, Boom).await;
        }
    }
    let runs = bench.runs_until(|runs| runs.len() == 60).await;
    assert!(runs.iter().all(|run| run.state == RunState::Succeeded), "{runs:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_quarantined_trigger_wait_for_its_release_and_hold_up_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let source = |name: &str| block("POST_CREATE", r#""USER""#, &format!("print('{name}')"));
    let broken = bench.script("broken", Scope::Provider, source("broken")).await;
    bench.script("sound", Scope::Provider, source("sound")).await;
    let scripts = &bench.system.inner.scripts;
    while scripts.quarantined().is_empty() {
        let _ = scripts.registry.ask(broken.id.0, Boom).await;
    }
    for n in 0..5 {
        bench.user(&format!("a{n}")).await;
    }
    let of = |runs: &[ScriptRun], state| runs.iter().filter(|run| run.state == state).count();
    let runs = bench.runs_until(|runs| of(runs, RunState::Succeeded) == 5 && of(runs, RunState::Pending) == 5).await;
    assert!(runs.iter().all(|run| (run.script_id == broken.id) == (run.state == RunState::Pending)));
    bench.system.release(&bench.caller, "trigger", broken.id.into()).await.expect("released");
    bench.user("last").await;
    let runs = bench.runs_until(|runs| of(runs, RunState::Succeeded) == 12).await;
    assert_eq!(runs.len(), 12);
    bench.stop().await;
}
