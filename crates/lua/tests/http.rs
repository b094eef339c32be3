//! `simplehttp` against a server on loopback.

use crate::support::{Fixture, Platform};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::sync::{Arc, Mutex};
use sutler_lua::{Egress, Params};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that answers every request by its path and keeps what it got.
pub struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let mut piece = [0; 4096];
                    let mut is_first = true;
                    while let Ok(length @ 1..) = socket.read(&mut piece).await {
                        bytes.extend_from_slice(&piece[..length]);
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let length = head
                            .lines()
                            .find_map(|line| {
                                line.to_lowercase().strip_prefix("content-length: ").map(|n| n.parse().unwrap())
                            })
                            .unwrap_or(0);
                        if body.len() < length {
                            continue;
                        }
                        bytes.clear();
                        let is_first = std::mem::replace(&mut is_first, false);
                        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                        kept.lock().unwrap().push(text.clone());
                        let answer = match path.as_str() {
                            "/redirect" => {
                                "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_owned()
                            }
                            "/empty" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                            "/missing" => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone".to_owned(),
                            "/cookie" => "HTTP/1.1 200 OK\r\nSet-Cookie: sid=42; Path=/\r\nContent-Length: 2\r\n\r\nok"
                                .to_owned(),
                            "/long" => {
                                format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000))
                            }
                            "/api/v2/tickets.json" => {
                                "HTTP/1.1 201 Created\r\nContent-Length: 20\r\n\r\n{\"ticket\":{\"id\":42}}".to_owned()
                            }
                            "/never" => continue,
                            "/hangup" => return,
                            "/closed" if !is_first => return,
                            _ => {
                                "HTTP/1.1 201 Created\r\nX-Ticket: 7\r\nContent-Length: 8\r\n\r\n{\"id\":7}".to_owned()
                            }
                        };
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, requests }
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A server behind TLS with a certificate that it signed itself.
pub struct TlsServer {
    pub port: u16,
    pub certificate: CertificateDer<'static>,
}

impl TlsServer {
    /// Accepts connections, shakes hands and answers each with the word `secret`.
    pub async fn start(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(mut socket) = acceptor.accept(socket).await else { return };
                    let _ = socket.read(&mut [0; 4096]).await;
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret";
                    let _ = socket.write_all(answer).await;
                    let _ = socket.shutdown().await;
                });
            }
        });
        Self { port, certificate }
    }
}

#[tokio::test]
async fn a_request_carries_what_the_script_set() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let body = format!(
        "local http = new('simplehttp') local c = http.newConnection({{url = '{}/tickets?q=a b+c', enable_cookie = true, ssl_verify = false}})
        c:setRequestHeaders({{['Content-Type'] = 'application/json', ['X-A'] = 1}}) c:setBasicAuth('user', '')
        local got, calls = '', 0
        local ok = c:post('{{\"a\":1}}', function(chunk) got = got .. chunk calls = calls + 1 return true end)
        local code, message = c:getLastError()
        return {{ok, got, calls, c:getHTTPStatusCode(), c:getResponseHeaders()['X-Ticket'], code, message}}",
        server.url
    );
    let outcome = fixture.body(&body, Params::default()).await;
    assert_eq!(outcome.result, json!([true, "{\"id\":7}", 1, 201, "7", 0, ""]).to_string());
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /tickets?q=a%20b+c HTTP/1.1\r\n"), "{request}");
    for line in ["content-type: application/json", "x-a: 1", "authorization: Basic dXNlcjo="] {
        assert!(request.to_lowercase().contains(&line.to_lowercase()), "{line}: {request}");
    }
    assert!(request.ends_with("\r\n\r\n{\"a\":1}"));
    let [call] = &outcome.calls[..] else { panic!("{:?}", outcome.calls) };
    assert_eq!((call.method.as_str(), call.status, call.sent_bytes, call.received_bytes), ("POST", Some(201), 7, 8));
    assert_eq!(call.url, format!("{}/tickets", server.url), "no query in the record");
}

#[tokio::test]
async fn answers_of_every_kind_are_answers() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    for (call, expected) in [
        ("c:get(cb)", json!([true, 302, "", "/elsewhere"])),
        ("c:setURL(base .. '/empty') ok = c:delete(cb)", json!([true, 204, "", null])),
        ("c:setURL(base .. '/missing') ok = c.get(cb)", json!([true, 404, "gone", null])),
        ("c:setURL(base .. '/x') ok = c:put('', cb)", json!([true, 201, "{\"id\":7}", null])),
        ("c:setURL(base .. '/x') ok = c:get()", json!([true, 201, "", null])),
    ] {
        let call = if call.contains("ok =") { call.to_owned() } else { format!("ok = {call}") };
        let body = format!(
            "local base, got, ok = '{}', '', nil local c = new('simplehttp'):newConnection({{url = base .. '/redirect'}})
            local function cb(chunk) got = got .. chunk return true end {call}
            return {{ok, c:getHTTPStatusCode(), got, c:getResponseHeaders().Location}}",
            server.url
        );
        let mut expected = expected;
        if expected[3].is_null() {
            expected.as_array_mut().unwrap().pop();
        }
        assert_eq!(fixture.eval(&body).await, expected, "{call}");
    }
}

#[tokio::test]
async fn cookies_are_kept_where_asked_for() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let body = format!(
        "for _, keep in ipairs({{true, false}}) do
            local c = new('simplehttp').newConnection{{url = '{0}/cookie', enable_cookie = keep}} c:get() c:setURL('{0}/next') c:get() c:disconnect()
        end",
        server.url
    );
    fixture.eval(&body).await;
    let with: Vec<_> = server.requests().iter().map(|r| r.to_lowercase().contains("cookie: sid=42")).collect();
    assert_eq!(with, [false, true, false, false]);
}

#[tokio::test]
async fn failures_are_false_with_a_number_and_a_message() {
    let server = Server::start().await;
    let egress = Egress {
        allow_private: true,
        response_bytes: 50_000,
        timeout_ms: 300,
        requests: 20,
        deny: vec!["denied.test".parse().unwrap()],
        ..Egress::default()
    };
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, egress);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    for (url, code, words) in [
        (format!("'{closed_url}/'"), 7, "connect"),
        (format!("'{}/never'", server.url), 28, ""),
        (format!("'{}/long'", server.url), 23, "longer than 50000"),
        (format!("'{}/hangup'", server.url), 56, ""),
        ("'http://denied.test/'".to_owned(), 42, "denied"),
        ("'file:///etc/passwd'".to_owned(), 3, "scheme"),
        ("'not a url'".to_owned(), 3, "not a URL"),
        ("{}".to_owned(), 3, "no URL"),
        ("nil".to_owned(), 3, "no URL"),
        ("'http://no-such-host.invalid/'".to_owned(), 6, ""),
    ] {
        let body = format!(
            "local c = new('simplehttp').newConnection({{}}) c:setURL({url}) local ok = c:get(print) local n, m = c:getLastError() return {{ok, n, m}}"
        );
        let result = fixture.eval(&body).await;
        assert_eq!((&result[0], &result[1]), (&json!(false), &json!(code)), "{url}: {result}");
        assert!(result[2].as_str().unwrap().contains(words), "{url}: {result}");
    }
}

#[tokio::test]
async fn a_request_goes_again_where_its_old_connection_was_closed_and_only_there() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let asked = |path: &str| server.requests().iter().filter(|text| text.contains(&format!(" {path} "))).count();
    // The server closes what it has answered once, as it reads what comes next.
    let body = format!(
        "local c = new('simplehttp').newConnection({{}})
        c:setURL('{0}/first') c:post('a', print)
        c:setURL('{0}/closed') local ok = c:post('b', print)
        return {{ ok, c:getHTTPStatusCode() }}",
        server.url
    );
    assert_eq!(fixture.eval(&body).await, json!([true, 201]));
    assert_eq!((asked("/first"), asked("/closed")), (1, 2));
    let modern = format!("http.get('{0}/second') return http.post('{0}/closed', {{ body = 'b' }}).status", server.url);
    assert_eq!(fixture.eval(&modern).await, json!(201));
    // One that was just made is not tried again: nobody knows what the server has done.
    let fresh = format!(
        "local c = new('simplehttp').newConnection({{url = '{}/hangup'}}) local ok = c:post('b', print) return {{ ok, (c:getLastError()) }}",
        Server::start().await.url
    );
    assert_eq!(fixture.eval(&fresh).await, json!([false, 56]));
}

#[tokio::test]
async fn private_targets_are_refused_by_name_and_by_address() {
    let server = Server::start().await;
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, Egress::default());
    let port = server.url.rsplit_once(':').unwrap().1;
    for host in
        ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "169.254.169.254", "[::ffff:127.0.0.1]", "0"]
    {
        let body = format!(
            "local c = new('simplehttp').newConnection({{url = 'http://{host}:{port}/'}}) local ok = c:get(print) local n, m = c:getLastError() return {{ok, n, m}}"
        );
        let result = fixture.eval(&body).await;
        assert_eq!((&result[0], &result[1]), (&json!(false), &json!(42)), "{host}: {result}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_run_sends_no_more_requests_than_it_may_and_registering_sends_none() {
    let server = Server::start().await;
    let egress = Egress { allow_private: true, requests: 3, ..Egress::default() };
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, egress);
    let body = format!(
        "local c, n = new('simplehttp').newConnection{{url = '{}/'}}, 0 for i = 1, 10 do if c:get() then n = n + 1 end end return n",
        server.url
    );
    assert_eq!(fixture.eval(&body).await, json!(3));
    let source =
        format!("new('simplehttp').newConnection{{url = '{}/'}}:get() function register() return {{}} end", server.url);
    let error = fixture.runtime.register(&source, fixture.limits).await.unwrap_err();
    assert!(error.message.contains("while a block registers"), "{error}");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_a_run_authenticates_with_is_in_no_part_of_its_record() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let body = format!(
        "local user = 'http://u:pass-in-url@' .. ('{0}'):sub(8)
        http.get(user .. '/a?api_token=token-in-query&page=2')
        http.get('{0}/b', {{auth = {{user = 'u', password = 'basic-pass'}}, headers = {{Authorization = 'Bearer bearer-token', ['X-Api-Key'] = 'header-key'}}}})
        print('pass-in-url token-in-query basic-pass page=2') log.info('x', {{t = 'bearer-token'}})
        error('broken by header-key')",
        server.url
    );
    let outcome = fixture.body(&body, Params::default()).await;
    let record = format!("{outcome:?}");
    for secret in ["pass-in-url", "token-in-query", "basic-pass", "bearer-token", "header-key"] {
        assert!(!record.contains(secret), "{secret}: {record}");
    }
    assert!(outcome.log.contains("*** *** *** page=2") && outcome.result.contains("broken by ***"), "{record}");
    let sent = server.requests().concat();
    assert!(sent.contains("bearer-token") && sent.contains("token-in-query"), "{sent}");
}

#[tokio::test]
async fn a_proxy_gets_the_requests_whose_target_the_policy_lets_pass() {
    let proxy = Server::start().await;
    let egress = Egress {
        proxy: Some(proxy.url.parse().unwrap()),
        hosts: [("out.test", "9.9.9.9"), ("in.test", "10.0.0.1")]
            .map(|(name, address)| (name.to_owned(), address.parse().unwrap()))
            .into(),
        ..Egress::default()
    };
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, egress);
    let asked = |url: &str| format!("return {{pcall(http.get, '{url}')}}");
    assert_eq!(fixture.eval(&asked("http://out.test/a")).await[0], json!(true));
    assert!(proxy.requests()[0].starts_with("GET http://out.test/a HTTP/1.1"), "{:?}", proxy.requests());
    for url in ["http://in.test/", "http://127.0.0.1/", "http://localhost/"] {
        let refused = fixture.eval(&asked(url)).await;
        assert!(refused[1].as_str().unwrap().contains("not a public one"), "{url}: {refused}");
    }
    assert_eq!(proxy.requests().len(), 1);
}

#[tokio::test]
async fn a_name_can_be_given_an_address_and_a_certificate_of_ones_own_be_trusted() {
    let server = TlsServer::start("inner.test").await;
    let hosts = [("inner.test".to_owned(), "127.0.0.1".parse().unwrap())].into();
    let strict = Egress { allow_private: true, hosts, ..Egress::default() };
    let asked = format!(
        "local ok, r = pcall(http.get, 'https://inner.test:{}/') return {{ok, ok and r.body or r}}",
        server.port
    );
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, strict.clone());
    let refused = fixture.eval(&asked).await;
    assert!(refused[1].as_str().unwrap().contains("certificate"), "{refused}");
    let trusting = Egress { roots: vec![server.certificate.clone()], ..strict };
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, trusting);
    assert_eq!(fixture.eval(&asked).await, json!([true, "secret"]));
}

/// What a run tries beyond its limit is refused, and only the first of it is in its record.
#[tokio::test]
async fn a_run_that_sends_too_much_does_not_fill_its_record() {
    let platform = Platform::with(Vec::new());
    let fixture = Fixture::with(platform, 1, Egress { allow_private: true, requests: 2, ..Egress::default() });
    let body = "local refused = 0
        for i = 1, 20 do
            local ok, why = pcall(http.get, 'http://127.0.0.1:1/')
            if why:find('a run may send 2 requests', 1, true) then refused = refused + 1 end
            ok, why = pcall(amqp.publish, { url = 'amqp://127.0.0.1:1', queue = 'q', body = 'b' })
            if why:find('a run may send 2 requests', 1, true) then refused = refused + 1 end
        end
        return refused";
    let outcome = fixture.body(body, Params::default()).await;
    assert_eq!((outcome.result.as_str(), outcome.calls.len()), ("38", 3));
}

#[tokio::test]
async fn a_url_and_a_password_have_a_length() {
    for (call, why) in [
        ("http.get('http://a/' .. ('x'):rep(70000))", "http: a URL has more than 65536 bytes"),
        (
            "http.get('http://a/', { auth = { user = 'u', password = ('x'):rep(70000) } })",
            "a name and password has more than 65536 bytes",
        ),
        ("new('simplehttp'):newConnection({ url = ('x'):rep(70000) })", "a URL has more than 65536 bytes"),
        ("new('simplehttp'):newConnection({}):setURL(('x'):rep(70000))", "a URL has more than 65536 bytes"),
        (
            "amqp.publish({ url = 'amqp://a/' .. ('x'):rep(70000), queue = 'q', body = 'b' })",
            "amqp: `url` must have at most 65536 bytes",
        ),
    ] {
        let failed = Fixture::new().eval(call).await;
        assert_eq!(failed, json!(format!("error: line 1: {why}")), "{call}");
    }
}
