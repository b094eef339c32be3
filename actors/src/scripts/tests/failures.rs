//! PRE triggers that fail: what becomes of the request, and who is told why.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_pre_trigger_refuses_unless_it_is_set_to_let_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Settings { pre_deadline_ms: 300, ..settings() }).await;
    let customer = bench.as_customer(Role::CustomerAdmin).await;
    for (name, body) in [
        ("error", r#"error("secret of the house")"#),
        ("endless", "while true do end"),
        ("illegal", "p.input:setCpu(0)"),
        ("fraction", "p.input:setRam(0.5)"),
    ] {
        let script = bench.script(name, Scope::Provider, block("PRE_CREATE", r#""SERVER""#, body)).await;
        let new = bench.new_server(&format!("web-{name}"), false);
        let refused = bench.system.create_server(&customer, bench.customer, new, None).await.expect_err("refused");
        assert!(
            matches!(&refused, Error::Refused { script, reason } if script == name && !reason.contains("secret")),
            "{refused}"
        );
        let open = ScriptPatch { fail_open: Some(true), ..ScriptPatch::default() };
        bench.system.update_script(&bench.caller, script.id, None, open).await.expect("opened");
        let new = bench.new_server(&format!("web-{name}"), false);
        bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect("let pass");
        let server = bench.server(&format!("web-{name}")).await.expect("the server");
        assert_eq!((server.cpu, server.memory_mib), (2, 1024));
        bench.system.delete_script(&bench.caller, script.id, None).await.expect("deleted");
    }
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Dead; 8]).await;
    assert!(runs.iter().any(|run| run.result.contains("cpu: is 0")), "{runs:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_pre_trigger_failed_is_told_to_those_who_may_see_its_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Settings { pre_deadline_ms: 300, ..settings() }).await;
    let refusal = async |caller: &Caller| {
        let new = bench.new_server("web", false);
        match bench.system.create_server(caller, bench.customer, new, None).await {
            Err(Error::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let (admin, member) = (bench.as_customer(Role::CustomerAdmin).await, bench.as_customer(Role::CustomerMember).await);
    for (name, body, words) in [
        ("raises", r#"error("the naming scheme is broken")"#, "line 8: the naming scheme is broken"),
        ("endless", "while true do end", "did not end before its deadline"),
        ("illegal", "p.input:setCpu(0)", "it set what is not allowed: cpu: is 0"),
    ] {
        let script =
            bench.script(name, Scope::Customer(bench.customer), block("PRE_CREATE", r#""SERVER""#, body)).await;
        for caller in [&admin, &bench.caller] {
            let told = refusal(caller).await;
            let runs = bench.runs().await;
            let run = runs.iter().find(|run| told.contains(&run.id.to_string())).expect("its run is named");
            assert_eq!(told, format!("it failed: {} (run {})", run.result, run.id));
            assert!(told.contains(words), "{told}");
        }
        let told = refusal(&member).await;
        assert!(told.starts_with("it failed; who runs it finds the reason in its run "), "sees no runs: {told}");
        bench.system.delete_script(&bench.caller, script.id, None).await.expect("deleted");
    }
    bench.stop().await;
}
