//! Missed times of a schedule, over restarts and pauses.

use super::*;
use sutler_model::Timestamp;

/// A block that is due every second since it was loaded.
fn every_second(missed: &str) -> String {
    format!(
        r#"
        function register() return {{ "tick" }} end
        function tick(p)
            if p == nil then
                return {{ triggerType = "SCHEDULED", schedule = {{ frequency = {{ seconds = 1 }}, missed = "{missed}" }} }}
            end
            print(p.input[1])
        end
        "#
    )
}

/// Due times of the runs, in order.
async fn dues(bench: &Bench) -> Vec<Timestamp> {
    bench.runs().await.iter().map(|run| run.created_at).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missed_time_of_a_pause_runs_in_order_where_that_is_wanted() {
    let bench = Bench::start().await;
    let script = bench.script("tick", Scope::Provider, every_second("each")).await;
    bench.until(async || !dues(&bench).await.is_empty()).await;
    let patch = |paused| ScriptPatch { paused: Some(paused), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, patch(true)).await.unwrap();
    let before = dues(&bench).await.len();
    // What is missed is time itself.
    let since = bench.system.store().now();
    bench.until(async || bench.system.store().now().since_ms(since) > 3_200).await;
    assert!(dues(&bench).await.len() <= before + 1, "a paused script runs nothing but what was begun");
    bench.system.update_script(&bench.caller, script.id, None, patch(false)).await.unwrap();
    bench.until(async || dues(&bench).await.len() >= before + 4).await;
    let times = dues(&bench).await;
    assert!(times.windows(2).all(|pair| pair[1].since_ms(pair[0]) == 1_000), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_missed_times_of_a_pause_the_latest_runs_unless_said_otherwise() {
    let bench = Bench::start().await;
    let script = bench.script("tick", Scope::Provider, every_second("once")).await;
    bench.until(async || !dues(&bench).await.is_empty()).await;
    let patch = |paused| ScriptPatch { paused: Some(paused), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, patch(true)).await.unwrap();
    let before = dues(&bench).await;
    let since = bench.system.store().now();
    bench.until(async || bench.system.store().now().since_ms(since) > 3_200).await;
    bench.system.update_script(&bench.caller, script.id, None, patch(false)).await.unwrap();
    bench.until(async || dues(&bench).await.len() > before.len() + 1).await;
    let times = dues(&bench).await;
    let gap = times.windows(2).map(|pair| pair[1].since_ms(pair[0])).max().unwrap();
    assert!(gap >= 2_000, "the times between were passed over: {times:?}");
}
