//! Runs without effects.

use crate::{
    http::Server,
    support::{Fixture, Platform},
};
use serde_json::json;
use sutler_lua::Bean;

#[tokio::test]
async fn a_rehearsal_notes_its_writes_and_reads_what_is_there() {
    let server = Bean::new("Server").with("resourceUUID", "s-1").with("resourceName", "web");
    let fixture = Fixture::on(Platform::with(vec![("SERVER", server)]));
    let outcome = fixture
        .rehearse(
            "local job = adminAPI:changeServerStatus('s-1', new('ServerStatus', 'STOPPED'), true, nil, nil)
            local done = adminAPI:waitForJob(job:getResourceUUID(), true)
            local key = new('ResourceKey') key:setName('k')
            local marked = adminAPI:addKey('s-1', key)
            return {adminAPI:getResource('s-1', true):getResourceName(), job:getItemUUID(), done:getStatus():name(), marked:getResourceName()}",
        )
        .await;
    assert_eq!(outcome.result, json!(["web", "s-1", "SUCCESSFUL", "web"]).to_string());
    let writes: Vec<&str> = outcome.writes.iter().map(|write| write.operation.as_str()).collect();
    assert_eq!(writes, ["changeServerStatus", "addKey"]);
    assert_eq!(outcome.writes[0].args[..2], [json!("s-1"), json!("STOPPED")]);
    assert!(fixture.platform.operations().is_empty(), "nothing reached the platform");
}

#[tokio::test]
async fn a_rehearsal_sends_nothing_and_says_where_it_would_have() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let body = format!(
        "local r = http.post('{0}/hook', {{json = {{a = 1}}}})
        local c = new('simplehttp'):newConnection({{url = '{0}/old'}})
        return {{r.status, c:get(print), c:getHTTPStatusCode()}}",
        server.url
    );
    let outcome = fixture.rehearse(&body).await;
    assert_eq!(outcome.result, json!([200, true, 200]).to_string());
    assert!(server.requests().is_empty());
    let urls: Vec<&str> = outcome.calls.iter().map(|call| call.url.as_str()).collect();
    assert_eq!(urls, [format!("{}/hook", server.url), format!("{}/old", server.url)]);
    assert!(outcome.calls.iter().all(|call| call.error.as_deref().is_some_and(|error| error.contains("rehearsal"))));
}

#[tokio::test]
async fn a_rehearsal_leaves_nothing_behind_in_the_block() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        let outcome = fixture.rehearse("count = (count or 0) + 1 return {count}").await;
        assert_eq!(outcome.result, "[1]");
    }
    assert_eq!(fixture.runtime.stats().blocks, 0);
}
