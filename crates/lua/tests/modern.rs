//! The helpers for new scripts.

use crate::{
    http::Server,
    support::{Fixture, Platform, about, block},
};
use serde_json::{Value, json};
use sutler_lua::{Bean, Egress, Origin, Params};
use sutler_model::{Cause, TriggerType};

/// Throwaway keys of these tests alone, the same one in both forms.
const PKCS1: &str = include_str!("keys/rsa-pkcs1.pem");
const PKCS8: &str = include_str!("keys/rsa-pkcs8.pem");

/// `openssl dgst -sha256 -sign` of "a text to sign" by it.
const SIGNATURE: &str = "lTT476z+tR+4owbQuP2Hml2wPjBm8HdPGXqSAMn+uulun4xfQlWijn8ODLEO3XeLHEtCGgKHupGBJ0vaZ625zWHqLGOxo7QZZZdDLBKVlzPX493qmCUHN3fAW/Uj8S0Cuuavfe09d4dbPNS/0MF+N7W/kQ0Cg4Kn09gnHrf0Ho1ZTvoh3iE/ci5kA1/yr8CD8DvSXPTRI0qEgGN1a7Szb2q214eVRJen6KuLoUjKwsrMFc5u+PDuA+eZjQ4lVaUBjaQKKFfGAtDkQTjXIa/3HIKQPsYWOV7aLpp8dfCEhBzN6L4uDtOhFbiEAx0vAmKrqAWc2Dbn3adQdvsnq0NT6w==";

async fn evaluates_to(cases: Vec<(&str, Value)>) {
    let fixture = Fixture::new();
    for (expression, expected) in cases {
        assert_eq!(fixture.eval(&format!("return {{{expression}}}")).await, json!([expected]), "{expression}");
    }
}

#[tokio::test]
async fn digests_and_encodings_are_those_of_their_standards() {
    evaluates_to(vec![
        // FIPS 180-4's own examples.
        ("crypto.sha1('abc')", json!("a9993e364706816aba3e25717850c26c9cd0d89d")),
        ("crypto.sha256('abc')", json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        ("#crypto.sha384('')", json!(96)),
        ("crypto.sha512('abc'):sub(1, 16)", json!("ddaf35a193617aba")),
        // RFC 4231, test case 2, and RFC 2202, test case 2.
        (
            "crypto.hmac_sha256('Jefe', 'what do ya want for nothing?')",
            json!("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ),
        ("crypto.hmac_sha1('Jefe', 'what do ya want for nothing?')", json!("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")),
        ("crypto.hmac_sha512('Jefe', 'what do ya want for nothing?'):sub(1, 16)", json!("164b7a7bfcf819e2")),
        // RFC 4648, section 10.
        ("crypto.base64('fooba')", json!("Zm9vYmE=")),
        ("crypto.base64url('\\251\\255')", json!("-_8")),
        ("crypto.unbase64('Zm9vYmE=\\n') .. crypto.unbase64('Zm9vYg')", json!("foobafoob")),
        ("crypto.hex('\\0\\255a') .. crypto.unhex('6a4B')", json!("00ff61jK")),
        ("crypto.equal('abc', 'abc')", json!(true)),
        ("crypto.equal('abc', 'abd') or crypto.equal('abc', 'ab')", json!(false)),
        ("#crypto.random(16)", json!(16)),
        ("#crypto.uuid()", json!(36)),
        ("crypto.uuid() == crypto.uuid()", json!(false)),
    ])
    .await;
}

#[tokio::test]
async fn an_rsa_signature_is_the_one_that_openssl_makes() {
    let fixture = Fixture::new();
    for key in [PKCS1, PKCS8] {
        let signature = fixture.eval(&format!("return crypto.rsa_sha256([[{key}]], 'a text to sign')")).await;
        assert_eq!(signature, json!(SIGNATURE));
        // A PSS signature is another each time; openssl verified one of these when this was written.
        let pss = fixture.eval(&format!("return #crypto.rsa_pss_sha256([[{key}]], 'a text to sign')")).await;
        assert_eq!(pss, json!(344));
    }
}

#[tokio::test]
async fn bad_input_to_crypto_raises_without_repeating_a_secret() {
    let fixture = Fixture::new();
    for (call, words) in [
        ("crypto.rsa_sha256('hunter2', 'a')", "not a private key in PEM form"),
        ("crypto.unbase64('*')", "crypto.unbase64: "),
        ("crypto.unhex('abc')", "not pairs of hexadecimal digits"),
        ("crypto.unhex('zz')", "not pairs of hexadecimal digits"),
        ("crypto.random(100000)", "at most 1024 bytes"),
        ("crypto.random(-1)", "error"),
        ("crypto.sha256(('x'):rep(9000000))", "longer than 8388608 bytes"),
        ("crypto.sha256({})", "error"),
    ] {
        let said = fixture.eval(&format!("return {call}")).await;
        let said = said.as_str().unwrap();
        assert!(said.starts_with("error: ") && said.contains(words) && !said.contains("hunter2"), "{call}: {said}");
    }
}

#[tokio::test]
async fn times_are_milliseconds_that_format_parse_and_fall_apart() {
    evaluates_to(vec![
        ("time.format(1700000000123)", json!("2023-11-14T22:13:20.123Z")),
        ("time.format(0, 'dd/MM/yyyy')", json!("01/01/1970")),
        ("time.parse('2023-11-14T22:13:20Z')", json!(1_700_000_000_000_i64)),
        ("time.parse('14.11.2023', 'dd.MM.yyyy')", json!(1_699_920_000_000_i64)),
        ("time.parts(1700000000123).hour", json!(22)),
        ("time.parts(1700000000123).weekday", json!(2)),
        ("time.now() > 1700000000123", json!(true)),
    ])
    .await;
    let fixture = Fixture::new();
    for call in [
        "time.parse('tomorrow')",
        "time.format(0/0)",
        "time.parts(1e300)",
        "time.format(0, ('y'):rep(1000))",
        "time.parse('2023', ('y'):rep(1000))",
    ] {
        let said = fixture.eval(&format!("return {call}")).await;
        assert!(said.as_str().unwrap().starts_with("error: "), "{call}: {said}");
    }
}

#[tokio::test]
async fn log_lines_carry_a_level_and_fields() {
    let fixture = Fixture::new();
    let body = "log.debug('a') log.info('b', {n = 1}) log.warn(2) log.error(nil, {list = {1, 2}}) print('plain')";
    let outcome = fixture.body(body, Params::default()).await;
    assert_eq!(outcome.log, "DEBUG a\nINFO b {\"n\":1}\nWARN 2\nERROR nil {\"list\":[1,2]}\nplain\n");
}

#[tokio::test]
async fn a_request_is_one_call_and_its_answer_one_table() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let body = format!(
        "local r = http.post('{0}/a', {{json = {{n = 1}}, headers = {{['X-A'] = 'b'}}, auth = {{user = 'u', password = 'p'}}}})
        local form = http.request{{method = 'put', url = '{0}/b', form = {{b = 'two words', a = 1}}}}
        local gone = http.get('{0}/missing')
        return {{r.status, r.ok, r.json().id, r:json().id, r.headers['x-ticket'], form.ok, gone.status, gone.ok, gone.body}}",
        server.url
    );
    let outcome = fixture.body(&body, Params::default()).await;
    assert_eq!(outcome.result, json!([201, true, 7, 7, "7", true, 404, false, "gone"]).to_string());
    let requests = server.requests();
    let [post, put, get] = &requests[..] else { panic!("{requests:?}") };
    for part in
        ["POST /a ", "content-type: application/json\r\n", "x-a: b\r\n", "authorization: Basic dTpw\r\n", "{\"n\":1}"]
    {
        assert!(post.contains(part), "{part}: {post}");
    }
    assert!(put.starts_with("PUT /b ") && put.ends_with("\r\n\r\na=1&b=two+words"), "{put}");
    assert!(put.contains("content-type: application/x-www-form-urlencoded"), "{put}");
    assert!(get.starts_with("GET /missing "), "{get}");
    assert_eq!(outcome.calls.len(), 3, "each is in the run's record");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_raises() {
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, Egress::default());
    for (call, words) in [
        ("http.get('http://127.0.0.1:1/')", "http: "),
        ("http.get('nonsense')", "not a URL"),
        ("http.get()", "error"),
        ("http.request{}", "`url` is missing"),
        ("http.request{url = 'http://127.0.0.1/', method = 'B D'}", "`B D` is no method"),
        ("http.post('http://127.0.0.1/', {json = {}, body = 'x'})", "give one of"),
        ("http.post('http://127.0.0.1/', {json = print})", "error"),
    ] {
        let said = fixture.eval(&format!("return {call}")).await;
        let said = said.as_str().unwrap();
        assert!(said.starts_with("error: ") && said.contains(words), "{call}: {said}");
    }
}

#[tokio::test]
async fn a_script_may_use_the_names_for_itself() {
    let fixture = Fixture::new();
    assert_eq!(fixture.eval("local t = time.now() time = 5 return {time, t > 0}").await, json!([5, true]));
}

#[tokio::test]
async fn event_says_what_set_the_run_off_and_gives_way_to_a_scripts_own() {
    let fixture = Fixture::new();
    let origin = Origin {
        trigger: Some(TriggerType::PostCreate),
        seq: Some(17),
        attempt: 2,
        cause: Some(Cause::Request { request_id: "r-1".to_owned(), user_id: None }),
    };
    let params =
        || Params { origin: origin.clone(), timestamp_ms: 1_700_000_000_123, ..about(Bean::new("User"), "USER") };
    let body = "return { event.type, event.option, event.seq, event.attempt, event.cause.request_id, event.time,
        event.rehearsal, #event.run, event.none == nil, event().entry, pcall(function() event.seq = 1 end) }";
    let outcome = fixture.body(body, params()).await;
    let found: serde_json::Value = serde_json::from_str(&outcome.result).unwrap();
    let known = json!(["POST_CREATE", "USER", 17, 2, "r-1", 1_700_000_000_123_i64, false, 36, true, "f", false]);
    assert_eq!(found.as_array().unwrap()[..11], known.as_array().unwrap()[..]);
    let own = block("function event(x) return 'own ' .. x end function f(p) return { event('y') } end");
    assert_eq!(fixture.run(&own, "f", params()).await.result, "[\"own y\"]");
    let early = block("local seen = event.type function f(p) return { tostring(seen), event.seq } end");
    assert_eq!(fixture.run(&early, "f", params()).await.result, "[\"POST_CREATE\",17]");
}

/// What editors are told of the helpers.
const TYPES: &str = include_str!("../../../scripts/sutler.d.luau");

#[tokio::test]
async fn editors_are_told_of_each_helpers_functions_and_of_no_other() {
    let fixture = Fixture::new();
    let mut seen = 0;
    for block in TYPES.split("\ndeclare ").skip(1) {
        let Some((name, members)) = block.split_once(": {\n") else { continue };
        let mut told: Vec<&str> = members
            .lines()
            .take_while(|line| *line != "}")
            .filter_map(|line| line.strip_prefix("    ")?.split_once(':'))
            .map(|(member, _)| member)
            .collect();
        told.sort_unstable();
        // What an event has is made when it is asked for.
        let all = if name == "event" { "event()" } else { name };
        let names = format!(
            "local names = {{}} for name, value in pairs({all}) do if type(value) ~= 'number' or '{name}' == 'event' then
            table.insert(names, name) end end table.sort(names) return names"
        );
        let there = fixture.eval(&names).await;
        let there: Vec<&str> = there.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        if name == "event" {
            // Not every run has all of it.
            assert!(there.iter().all(|name| told.contains(name)), "{there:?}");
        } else {
            assert_eq!(there, told, "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, 12);
}
