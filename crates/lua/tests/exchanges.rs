//! `simplehttp` against servers that answer byte by byte as they please.

use crate::{
    http::TlsServer,
    support::{Fixture, Platform},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use sutler_lua::{Egress, Exit, Limit, Params, ScriptError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that reads one request of each connection, body included, and answers each with the next of its answers. Where
/// there are several, they say that they close it.
struct Raw {
    url: String,
    got: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// What becomes of a connection once the answer is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    /// It stays open, and nothing more is said.
    Stall,
}

impl Raw {
    async fn start(answers: Vec<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = got.clone();
        tokio::spawn(async move {
            let mut open = Vec::new();
            for answer in answers {
                let Ok((mut socket, _)) = listener.accept().await else { return };
                let mut bytes = Vec::new();
                let mut piece = vec![0; 64 << 10];
                while !whole(&bytes) {
                    match socket.read(&mut piece).await {
                        Ok(length @ 1..) => bytes.extend_from_slice(&piece[..length]),
                        _ => break,
                    }
                }
                kept.lock().unwrap().push(bytes);
                // A client that has seen enough hangs up.
                let _ = socket.write_all(&answer).await;
                if then == Then::Stall {
                    open.push(socket);
                }
            }
            std::future::pending::<()>().await;
        });
        Self { url, got }
    }

    /// One that answers once and closes.
    async fn once(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(vec![answer.into()], Then::Close).await
    }

    fn requests(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

/// Whether a request is there with its body.
fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    bytes.len() >= end + 4 + length
}

/// What a script gets of an answer: whether there was one, its status, the body, how often it was called, and the last error.
async fn got(answer: impl Into<Vec<u8>>, method: &str) -> Value {
    let server = Raw::once(answer).await;
    let arguments = if ["post", "put"].contains(&method) { "'body', cb" } else { "cb" };
    let body = format!(
        "local got, calls = '', 0
        local function cb(chunk) got = got .. chunk calls = calls + 1 return true end
        local c = new('simplehttp'):newConnection({{ url = '{}/x' }})
        local ok = c:{method}({arguments})
        return {{ ok, c:getHTTPStatusCode(), got, calls, (c:getLastError()) }}",
        server.url
    );
    Fixture::new().eval(&body).await
}

#[tokio::test]
async fn bodies_come_in_every_way_that_http_has() {
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
    for (answer, method, expected) in [
        (ok("Content-Length: 2\r\n\r\nhi"), "get", json!([true, 200, "hi", 1, 0])),
        (ok("\r\nuntil the end"), "get", json!([true, 200, "until the end", 1, 0])),
        ("HTTP/1.0 200 OK\r\n\r\nold".to_owned(), "get", json!([true, 200, "old", 1, 0])),
        (
            ok("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"),
            "get",
            json!([true, 200, "abcde", 1, 0]),
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), "delete", json!([true, 204, "", 0, 0])),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n".to_owned(), "get", json!([true, 304, "", 0, 0])),
        (ok("Content-Length: 9\r\n\r\n"), "head", json!([true, 200, "", 0, 0])),
        (
            format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("Content-Length: 2\r\n\r\nhi")),
            "post",
            json!([true, 200, "hi", 1, 0]),
        ),
        (
            format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", ok("Content-Length: 0\r\n\r\n")),
            "put",
            json!([true, 200, "", 0, 0]),
        ),
        // Longer than it says: what it says counts.
        (ok("Content-Length: 2\r\n\r\nhi there"), "get", json!([true, 200, "hi", 1, 0])),
    ] {
        assert_eq!(got(answer.clone(), method).await, expected, "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_whole_answer_is_a_failure_with_a_number() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nX: ",
    ] {
        assert_eq!(got(answer, "get").await, json!([false, 0, "", 0, 56]), "{answer}");
    }
}

#[tokio::test]
async fn bytes_go_out_and_come_back_as_they_are() {
    let all: Vec<u8> = (0..=255).collect();
    let server =
        Raw::once([&b"HTTP/1.1 200 OK\r\nContent-Length: 256\r\nX-Raw: \xe9\r\n\r\n"[..], &all].concat()).await;
    let body = format!(
        "local bytes = {{}} for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
        local all, got = table.concat(bytes), nil
        local c = new('simplehttp'):newConnection({{ url = '{}' }})
        c:setRequestHeaders({{ ['X-Name'] = 'Zoë' }})
        c:put(all, function(chunk) got = chunk return true end)
        return {{ got == all, c:getResponseHeaders()['X-Raw'] == '\\233' }}",
        server.url
    );
    assert_eq!(Fixture::new().eval(&body).await, json!([true, true]));
    let sent = server.got.lock().unwrap().remove(0);
    assert!(sent.ends_with(&all));
    assert!(String::from_utf8(sent[..sent.len() - 256].to_vec()).unwrap().contains("x-name: Zoë\r\n"));
}

#[tokio::test]
async fn what_nobody_asked_to_pack_is_handed_over_packed() {
    let packed = b"\x1f\x8b\x08\x00packed";
    let answer = [&b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n"[..], packed].concat();
    let server = Raw::once(answer).await;
    let body = format!(
        "local got local c = new('simplehttp'):newConnection({{ url = '{}' }})
        c:get(function(chunk) got = chunk return true end)
        return {{ got == '\\31\\139\\8\\0packed', c:getResponseHeaders()['Content-Encoding'] }}",
        server.url
    );
    assert_eq!(Fixture::new().eval(&body).await, json!([true, "gzip"]));
    assert!(!server.requests()[0].to_lowercase().contains("accept-encoding"), "{:?}", server.requests());
}

#[tokio::test]
async fn headers_are_found_in_any_case_and_several_of_a_name_are_joined() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nSet-Cookie: a=1; Path=/\r\nETag: \"7\"\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n";
    let server = Raw::start(vec![answer.into(), answer.into()], Then::Close).await;
    let body = format!(
        "local c = new('simplehttp'):newConnection({{ url = '{0}' }}) c:get()
        local h = c:getResponseHeaders()
        return {{ h['Set-Cookie'], h['ETag'], h['etag'], h['CONTENT-LENGTH'], tostring(h['X-None']), http.get('{0}').headers['set-cookie'] }}",
        server.url
    );
    assert_eq!(
        Fixture::new().eval(&body).await,
        json!(["a=1; Path=/, b=2", "\"7\"", "\"7\"", "0", "nil", "a=1; Path=/, b=2"])
    );
}

#[tokio::test]
async fn cookies_follow_a_redirect_by_hand_to_their_own_server_only() {
    let redirect = "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /home\r\nSet-Cookie: sid=1; Path=/\r\nSet-Cookie: t=2; Path=/\r\nContent-Length: 0\r\n\r\n";
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let own = Raw::start(vec![redirect.into(), plain.into()], Then::Close).await;
    let other = Raw::once(plain).await;
    let hosts = ["own.test", "other.test"].map(|name| (name.to_owned(), "127.0.0.1".parse().unwrap())).into();
    let egress = Egress { allow_private: true, hosts, ..Egress::default() };
    let body = format!(
        "local own, other = '{}', '{}'
        local c = new('simplehttp'):newConnection({{ url = own .. '/login', enable_cookie = true }})
        c:post('user=a')
        c:setURL(own .. c:getResponseHeaders().Location) c:get()
        c:setURL(other .. '/home') c:get()",
        own.url.replace("127.0.0.1", "own.test"),
        other.url.replace("127.0.0.1", "other.test")
    );
    Fixture::with(Platform::with(Vec::new()), 1, egress).body(&body, Params::default()).await;
    let cookies = |server: &Raw| -> Vec<Option<String>> {
        let of = |request: &String| request.lines().find_map(|line| line.strip_prefix("cookie: ")).map(str::to_owned);
        server.requests().iter().map(of).collect()
    };
    assert_eq!(cookies(&own), [None, Some("sid=1; t=2".to_owned())]);
    assert_eq!(cookies(&other), [None]);
}

#[tokio::test]
async fn a_request_says_what_it_is_as_libcurl_does_and_its_length_is_that_of_its_body() {
    let answers = vec![b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(); 5];
    let server = Raw::start(answers, Then::Close).await;
    let body = format!(
        "local c = new('simplehttp'):newConnection({{ url = '{}' }})
        c:post('a=1')
        c:post('')
        c:put('x')
        c:setBasicAuth('user', 'password')
        c:setRequestHeaders({{ Authorization = 'Bearer t', ['Content-Length'] = 1, ['Transfer-Encoding'] = 'chunked', Expect = '100-continue', ['content-type'] = 'text/plain' }})
        c:post(('x'):rep(1048576))
        c:clearRequestHeaders()
        c:get()",
        server.url
    );
    Fixture::new().eval(&body).await;
    let heads: Vec<Vec<String>> = server
        .requests()
        .iter()
        .map(|request| {
            let (head, _) = request.split_once("\r\n\r\n").unwrap();
            let telling = ["content-length", "content-type", "authorization", "transfer-encoding", "expect"];
            let mut lines: Vec<String> = head
                .lines()
                .filter(|line| telling.iter().any(|name| line.starts_with(name)))
                .map(str::to_owned)
                .collect();
            lines.sort();
            lines
        })
        .collect();
    let form = "content-type: application/x-www-form-urlencoded";
    assert_eq!(heads[0], ["content-length: 3", form]);
    assert_eq!(heads[1], ["content-length: 0", form]);
    assert_eq!(heads[2], ["content-length: 1"]);
    assert_eq!(
        heads[3],
        ["authorization: Bearer t", "content-length: 1048576", "content-type: text/plain", "expect: 100-continue"]
    );
    assert_eq!(heads[4], ["authorization: Basic dXNlcjpwYXNzd29yZA=="]);
    assert!(server.requests()[3].ends_with(&"x".repeat(1 << 20)));
}

#[tokio::test]
async fn a_callback_that_returns_false_ends_the_request_and_one_that_raises_the_run() {
    for (callback, expected) in [
        ("function() return false end", json!([true, false, 23, 200])),
        ("function() end", json!([true, true, 0, 200])),
        ("nil", json!([true, true, 0, 200])),
        ("function() error('broken') end", json!([false, "script:2: broken", 0, 200])),
        ("function() error('broken', 2) end", json!([false, "broken", 0, 200])),
        ("function() error({ code = 7 }) end", json!([false, { "code": 7 }, 0, 200])),
        (
            "function() new('simplehttp'):newConnection():get(function(piece) end) error({ code = 8 }) end",
            json!([false, { "code": 8 }, 0, 200]),
        ),
    ] {
        let server = Raw::once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        let body = format!(
            "local c = new('simplehttp'):newConnection({{ url = '{}' }})
            local done, ok = pcall(function() return c:get({callback}) end)
            return {{ done, ok, (c:getLastError()), c:getHTTPStatusCode() }}",
            server.url
        );
        assert_eq!(Fixture::new().eval(&body).await, expected, "{callback}");
    }
}

#[tokio::test]
async fn what_a_callback_raises_ends_the_run_in_its_own_words_and_what_stops_the_run_passes_through() {
    let stopped = |limit| Exit::Stopped(limit);
    let failed = |line, message: &str| Exit::Failed(ScriptError { line, message: message.into() });
    for (callback, exit) in [
        ("error({ message = 'too large', code = 7 })", failed(None, "too large")),
        ("error('broken')", failed(Some(2), "broken")),
        ("while true do end", stopped(Limit::Cpu)),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", stopped(Limit::Memory)),
    ] {
        let server = Raw::once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        let body = format!(
            "local c = new('simplehttp'):newConnection({{ url = '{}' }})
            c:get(function() {callback} end)",
            server.url
        );
        assert_eq!(Fixture::new().body(&body, Params::default()).await.exit, exit, "{callback}");
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_holds_neither_its_run_nor_its_thread() {
    let partial = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi".to_vec();
    let server = Raw::start(vec![partial; 20], Then::Stall).await;
    let egress = Egress { allow_private: true, timeout_ms: 300, ..Egress::default() };
    let fixture = Arc::new(Fixture::with(Platform::with(Vec::new()), 1, egress));
    let body = format!(
        "local c = new('simplehttp'):newConnection({{ url = '{}' }}) local ok = c:get() return {{ ok, (c:getLastError()) }}",
        server.url
    );
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (fixture, body) = (fixture.clone(), body.clone());
        waiting.spawn(async move { fixture.eval(&body).await });
    }
    // All wait on the one thread, and one that does not goes on meanwhile.
    assert_eq!(fixture.eval("return 1").await, json!(1));
    assert_eq!(waiting.join_all().await, vec![json!([false, 28]); 20]);
}

#[tokio::test]
async fn a_certificate_is_looked_at_unless_the_script_says_otherwise() {
    let server = TlsServer::start("localhost").await;
    for (verify, expected) in [("false", json!([true, "secret", 0])), ("true", json!([false, "", 7]))] {
        let body = format!(
            "local got = '' local c = new('simplehttp'):newConnection({{ url = 'https://127.0.0.1:{}/', ssl_verify = {verify} }})
            local ok = c:get(function(chunk) got = got .. chunk return true end)
            return {{ ok, got, (c:getLastError()) }}",
            server.port
        );
        assert_eq!(Fixture::new().eval(&body).await, expected, "{verify}");
    }
}

/// The example of a request of 2012 that Twitter's documentation signs step by step.
#[tokio::test]
async fn a_request_is_signed_by_hand_for_oauth_1() {
    let body = "local encode = new('simplehttp').URLEncode
        local p = {
            status = 'Hello Ladies + Gentlemen, a signed OAuth request!', include_entities = 'true',
            oauth_consumer_key = 'xvz1evFS4wEEPTGEFPHBog', oauth_nonce = 'kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg',
            oauth_signature_method = 'HMAC-SHA1', oauth_timestamp = '1318622958',
            oauth_token = '370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb', oauth_version = '1.0',
        }
        local parts = {}
        for key, value in pairs(p) do parts[#parts + 1] = encode(key) .. '=' .. encode(value) end
        table.sort(parts)
        local base = 'POST&' .. encode('https://api.twitter.com/1.1/statuses/update.json') .. '&' .. encode(table.concat(parts, '&'))
        local key = encode('kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw') .. '&' .. encode('LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE')
        return new('FDLHashHelper'):toBase64(crypto.unhex(crypto.hmac_sha1(key, base)))";
    assert_eq!(Fixture::new().eval(body).await, json!("hCtSmYh+iHYCEqBWrE7C7hYmtUk="));
}
