//! Statements on a real MariaDB.

use crate::{
    real::MariaDb,
    support::{Fixture, Platform},
};
use serde_json::{Value, json};
use sutler_lua::{Egress, Exit, Params};

/// A policy under which the server is found by its name.
pub fn policy(server: &MariaDb) -> Egress {
    Egress {
        hosts: [(MariaDb::NAME.to_owned(), "127.0.0.1".parse().unwrap())].into(),
        exceptions: vec![MariaDb::NAME.parse().unwrap()],
        roots: server.certificate.iter().cloned().collect(),
        ..Egress::default()
    }
}

fn on(egress: Egress) -> Fixture {
    Fixture::with(Platform::with(Vec::new()), 1, egress)
}

#[tokio::test]
async fn values_of_every_type_go_in_and_come_out_exactly_inside_tls() {
    let server = MariaDb::start(true).await;
    let fixture = on(policy(&server));
    let url = server.url();
    let body = format!(
        r#"
        local url = "{url}"
        mysql.execute{{ url = url, sql = [[CREATE TABLE t (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, amount DECIMAL(30,9),
            name VARCHAR(200), note TEXT, ok BOOLEAN, ratio DOUBLE, small FLOAT, tiny TINYINT, year YEAR, big BIGINT, raw BLOB,
            day DATE, at DATETIME(6), span TIME)]] }}
        local sql = "INSERT INTO t (amount, name, note, ok, ratio, small, tiny, year, big, raw, day, at, span) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
        local injection = "x'); DROP TABLE t; --"
        local done = mysql.execute{{ url = url, sql = sql, params = {{ "123456789012345678.123456789", "Grüße", injection, true, 0.1,
            0.1, -5, 2026, "9007199254740993", "\0\1\255", "2026-11-25", "2026-11-25 10:11:12.000013", "-25:01:02" }} }}
        mysql.execute{{ url = url, sql = sql, params = {{ nil, nil, string.rep("ä", 200000 / 20), [13] = nil }} }}
        local rows = mysql.query{{ url = url, sql = "SELECT * FROM t WHERE id = ?", params = {{ done.last_insert_id }} }}
        local second = mysql.query{{ url = url, sql = "SELECT id, amount, LENGTH(note) AS bytes FROM t WHERE amount IS NULL" }}
        local cipher = mysql.query{{ url = url, sql = "SHOW STATUS LIKE 'Ssl_version'" }}
        local row = rows[1]
        local raw = crypto.hex(row.raw)
        row.raw = nil
        return {{ done = done, rows = #rows, row = row, raw = raw, same = row.note == injection, second = second, cipher = cipher[1].Value,
            none = #mysql.query{{ url = url, sql = "SELECT 1 FROM t WHERE FALSE" }},
            changed = mysql.execute{{ url = url, sql = "UPDATE t SET ok = ? WHERE id > ?", params = {{ false, 0 }} }}.affected }}"#
    );
    let outcome = fixture.body(&body, Params::default()).await;
    let found: Value = serde_json::from_str(&outcome.result).unwrap_or_else(|_| panic!("{outcome:?}"));
    assert_eq!(found["done"], json!({"affected": 1, "last_insert_id": 1}));
    assert_eq!(
        found["row"],
        json!({
            "id": 1, "amount": "123456789012345678.123456789", "name": "Grüße", "note": "x'); DROP TABLE t; --", "ok": 1,
            "ratio": 0.1, "small": 0.1, "tiny": -5, "year": 2026, "big": "9007199254740993", "day": "2026-11-25",
            "at": "2026-11-25 10:11:12.000013", "span": "-25:01:02",
        })
    );
    assert_eq!((&found["raw"], &found["same"], &found["rows"]), (&json!("0001ff"), &json!(true), &json!(1)));
    assert_eq!(found["second"], json!([{"id": 2, "bytes": 20_000}]));
    assert!(found["cipher"].as_str().unwrap().starts_with("TLSv1"), "{found}");
    assert_eq!((&found["none"], &found["changed"]), (&json!(0), &json!(2)));
    let calls: Vec<_> = outcome.calls.iter().map(|c| (c.method.as_str(), c.url.as_str(), c.error.clone())).collect();
    let shown = format!("mysql://db.test:{}/billing", server.port);
    assert_eq!(calls[0], ("EXECUTE", shown.as_str(), None));
    assert!(!format!("{outcome:?}").contains("ss word") && !format!("{outcome:?}").contains("ss%20word"));
    // The server saw the value apart from the statement.
    assert!(server.asked().contains("Prepare\tINSERT INTO t (amount"), "{}", server.asked());
}

#[tokio::test]
async fn statements_together_take_effect_together_and_errors_are_the_servers() {
    let server = MariaDb::start(false).await;
    let fixture = on(policy(&server));
    let url = server.url();
    let run = async |call: &str| fixture.eval(&call.replace("URL", &format!("'{url}'"))).await;
    run("mysql.execute{url = URL, sql = 'CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB'}").await;
    let both = "mysql.execute{url = URL, statements = {{sql = 'INSERT INTO t VALUES (?)', params = {1}}, {sql = 'INSERT INTO t VALUES (?)', params = {NEXT}}}}";
    let failed = run(&both.replace("NEXT", "1")).await;
    assert!(failed.as_str().unwrap().contains("mysql: statement 2: the server says 1062 Duplicate entry"), "{failed}");
    assert_eq!(run("return #mysql.query{url = URL, sql = 'SELECT id FROM t'}").await, json!(0));
    assert_eq!(run(&format!("return {}.affected", both.replace("NEXT", "2"))).await, json!(2));
    for (call, words) in [
        ("mysql.query{url = URL, sql = 'SELEKT'}", "the server says 1064"),
        (
            "mysql.query{url = URL, sql = 'SELECT ?', params = {1, 2}}",
            "2 parameters are given, and the statement has 1",
        ),
        ("mysql.query{url = URL, sql = 'SELECT ?', params = {print}}", "parameter 1 is a function"),
        ("mysql.query{url = URL, sql = 'SELECT ?', params = {name = 1}}", "in the order of the question marks"),
        ("mysql.query{url = URL}", "`sql` is missing"),
        ("mysql.query{sql = 'SELECT 1'}", "`url` is missing"),
        ("mysql.query{url = 'http://db.test', sql = 'SELECT 1'}", "must begin with `mysql://`"),
        ("mysql.query{url = (URL):gsub('^mysql', 'mysqls'), sql = 'SELECT 1'}", "the server offers no TLS"),
        (
            "mysql.query{url = 'mysql://robot:wrong-pass@db.test:PORT/billing', sql = 'SELECT 1'}",
            "signing in: the server says 1045",
        ),
        ("mysql.query{url = 'mysql://127.0.0.2:PORT/billing', sql = 'SELECT 1'}", "not a public one"),
        ("mysql.query{url = URL, sql = 'SELECT a.seq FROM seq_1_to_200 a, seq_1_to_200 b'}", "more than 10000 rows"),
    ] {
        let said = run(&call.replace("PORT", &server.port.to_string())).await;
        assert!(
            said.as_str().is_some_and(|said| said.contains(words) && !said.contains("wrong-pass")),
            "{call}: {said}"
        );
    }
    let open = run(&format!(
        "return mysql.query{{url = 'mysql://nobody@db.test:{}', sql = 'SELECT CURRENT_USER() AS me'}}[1].me",
        server.port
    ))
    .await;
    assert_eq!(open, json!("nobody@127.0.0.1"));
}

#[tokio::test]
async fn a_rehearsal_asks_no_database_and_an_untrusted_one_is_not_signed_in_to() {
    let server = MariaDb::start(true).await;
    let fixture = on(policy(&server));
    let body = format!("return #mysql.query{{url = '{}', sql = 'SELECT 1'}}", server.url());
    let outcome = fixture.rehearse(&body).await;
    assert_eq!((outcome.exit, outcome.result.as_str()), (Exit::Continue, "0"));
    assert!(!server.asked().contains("SELECT 1"));
    let untrusted = Egress { roots: Vec::new(), ..policy(&server) };
    let said = on(untrusted).eval(&body).await;
    assert!(said.as_str().unwrap().contains("certificate"), "{said}");
    assert!(!server.asked().contains("robot@"), "{}", server.asked());
}
