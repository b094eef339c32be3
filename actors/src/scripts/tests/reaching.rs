//! PRE runs that reach outside are in the store before they do.

use super::*;
use sutler_lua::Egress;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

/// A server that tells of each request and answers it when told to.
pub(super) async fn peer() -> (String, mpsc::UnboundedReceiver<tokio::net::TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (to, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut piece = [0; 4096];
            let _ = socket.read(&mut piece).await;
            let _ = to.send(socket);
        }
    });
    (url, asked)
}

pub(super) async fn answer(mut socket: tokio::net::TcpStream) {
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await.unwrap();
}

pub(super) async fn asking(root: &std::path::Path) -> Bench {
    let egress = Egress { exceptions: vec!["127.0.0.0/8".parse().unwrap()], ..Egress::default() };
    let settings = Settings { node_poll_ms: 50, egress, ..Settings::default() };
    Bench::start_with(root, settings).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_run_is_recorded_before_its_request_and_closed_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = asking(folder.path()).await;
    let (url, mut asked) = peer().await;
    bench.script("ask", Scope::Provider, block("PRE_CREATE", "'SERVER'", &format!("http.get('{url}')"))).await;
    let (request, ()) = tokio::join!(bench.create("web-1", false), async {
        let socket = asked.recv().await.unwrap();
        let runs = bench.runs().await;
        assert_eq!(states(&runs), [RunState::Running], "the peer was asked, so it is recorded");
        answer(socket).await;
    });
    bench.ended(request.id).await;
    assert_eq!(states(&bench.runs().await), [RunState::Succeeded]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_run_whose_request_is_abandoned_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let bench = asking(folder.path()).await;
    let (url, mut asked) = peer().await;
    bench.script("ask", Scope::Provider, block("PRE_CREATE", "'SERVER'", &format!("http.get('{url}')"))).await;
    tokio::select! {
        _ = bench.create("web-1", false) => panic!("the peer does not answer"),
        _ = asked.recv() => {}
    }
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Dead]).await;
    assert!(runs[0].result.contains("went away"), "{}", runs[0].result);
    assert!(bench.server("web-1").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_run_that_reaches_nowhere_is_recorded_once_its_request_is_over() {
    let bench = Bench::start().await;
    let look = "adminAPI:getResource(p.customer:getResourceUUID(), true)";
    bench.script("look", Scope::Provider, block("PRE_CREATE", "'SERVER'", look)).await;
    let job = bench.create("web-1", false).await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Succeeded]).await;
    assert_eq!(runs[0].version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_another_under_its_key_overtakes_gets_that_ones_job_though_it_took_the_last_place() {
    let folder = tempfile::tempdir().unwrap();
    let bench = asking(folder.path()).await;
    let quota = sutler_model::Quota { servers: 1, cpus: 1000, memory_mib: 1 << 20, disk_gib: 1000 };
    let patch = crate::CustomerPatch { quota: Some(quota), ..crate::CustomerPatch::default() };
    bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.unwrap();
    let (url, mut asked) = peer().await;
    bench.script("ask", Scope::Provider, block("PRE_CREATE", "'SERVER'", &format!("http.get('{url}')"))).await;
    let request = |key: &str| {
        let key = crate::Idempotency { key: key.into(), request_hash: "same".into() };
        bench.system.create_server(&bench.caller, bench.customer, bench.new_server("web", false), Some(key))
    };
    // Both have looked for what their key did before; the later one is done before the other is judged.
    let mut overtaken = std::pin::pin!(request("key"));
    let held = tokio::select! {
        _ = &mut overtaken => panic!("the peer does not answer"),
        socket = asked.recv() => socket.unwrap(),
    };
    let mut first = std::pin::pin!(request("key"));
    let socket = tokio::select! {
        _ = &mut first => panic!("the peer does not answer"),
        socket = asked.recv() => socket.unwrap(),
    };
    answer(socket).await;
    let first = first.await.expect("accepted");
    answer(held).await;
    assert_eq!(overtaken.await.expect("the same job").id, first.id);
    assert_eq!(bench.jobs().await.len(), 1);
    // It is no way around the quota.
    let (other, ()) = tokio::join!(request("other"), async { answer(asked.recv().await.unwrap()).await });
    assert!(matches!(other, Err(Error::Quota { what: "servers", limit: 1, .. })), "{other:?}");
    bench.stop().await;
}
