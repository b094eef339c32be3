//! Every word of `trigger`, and what is said to those who get one wrong.

use super::{Installation, Program};
use crate::support::{eventually, program::PASSWORD};
use serde_json::{Value, json};
use std::fs;

/// A block with a function for new servers and a nightly one. For a server called `bad` it fails.
fn source(word: &str) -> String {
    format!(
        "function register() return {{'greet', 'nightly'}} end\nfunction greet(p)\n  if p == nil then return \
         {{triggerType='POST_CREATE', triggerOptions={{'SERVER'}}}} end\n  if p.input:getResourceName() == 'bad' then \
         error('{word} is not for this one') end\n  print('{word} ' .. p.input:getResourceName())\nend\nfunction nightly(p)\n  \
         if p == nil then return {{triggerType='SCHEDULED', schedule={{frequency={{hours=24}}}}}} end\n  print('{word}')\nend\n"
    )
}

impl Installation {
    /// A server whose triggers try once, with its administrator signed in, a customer `Ada` and an image.
    async fn of_one_try() -> Self {
        let server = Program::with(&[("SUTLER_LUA_TRIES_MAX", "1")]).await;
        let it = Self { home: tempfile::tempdir().unwrap(), server };
        assert_eq!(it.typing(&it.login(), PASSWORD).code, 0);
        it.with_customer_on().await
    }

    /// The trigger's runs of a function, once there are as many that ended.
    async fn ended(&self, trigger: &str, function: &str, count: usize) -> Vec<Value> {
        eventually("the runs end", async || {
            let runs = self.json(&["trigger", "runs", trigger]);
            let runs = runs.as_array().unwrap().iter().filter(|run| run["function"] == function).cloned();
            let ended: Vec<Value> = runs.filter(|run| !run["finished_at"].is_null()).collect();
            (ended.len() >= count).then_some(ended)
        })
        .await
    }
}

#[tokio::test]
async fn a_trigger_is_loaded_from_the_standard_input_for_a_customer_and_lets_events_pass() {
    let it = Installation::with_customer().await;
    let (ada, text) = (it.json(&["customer", "show", "Ada"])["id"].clone(), source("hello"));
    assert_eq!(
        it.typing(&["trigger", "check", "-"], &text).out,
        "greet  POST_CREATE  SERVER\nnightly  SCHEDULED  ANY\n"
    );
    let load =
        ["trigger", "load", "-", "--name", "greet", "--owner", "customer:Ada", "--disabled", "--fail-open", "--new"];
    let loaded = it.typing(&load, &text);
    assert_eq!(loaded.code, 0, "{}", loaded.err);
    let shown = it.json(&["trigger", "show", "greet"]);
    assert_eq!(shown["owner"], json!({ "kind": "customer", "id": ada }));
    assert_eq!((&shown["enabled"], &shown["fail_open"]), (&json!(false), &json!(true)));
    assert!(it.ok(&["trigger", "list"]).contains("greet"));
    assert_eq!(it.json(&["trigger", "enable", "greet"])["enabled"], true);
}

#[tokio::test]
async fn runs_that_died_are_tried_again_or_passed_over_and_revisions_come_and_go() {
    let it = Installation::of_one_try().await;
    let file = it.home.path().join("greet.lua");
    let path = file.to_str().unwrap();
    for word in ["hello", "good evening", "good night"] {
        fs::write(&file, source(word)).unwrap();
        it.ok(&["trigger", "load", path]);
    }
    assert_eq!(it.create_server("bad", &["--no-start"]).code, 0);
    let dead = it.ended("greet", "greet", 1).await.remove(0);
    assert_eq!(dead["state"], "dead");
    let id = dead["id"].as_str().unwrap();
    assert!(it.ok(&["trigger", "logs", "greet", "--limit", "1"]).contains("good night is not for this one"));
    assert_eq!(it.json(&["trigger", "runs", "greet", "--state", "dead", "--limit", "1"])[0]["id"], id);

    // The failure is looked into with another text, and then mended.
    let seq = dead["seq"].to_string();
    let mended = it.home.path().join("mended.lua");
    fs::write(&mended, source("mended").replace("'bad'", "'worse'")).unwrap();
    let mended = mended.to_str().unwrap();
    let test = ["trigger", "test", "greet", "--function", "greet", "--seq", &seq];
    assert!(it.ok(&test).contains("  failed  event "), "{}", it.ok(&test));
    let tested = it.ok(&[&test[..], &["--file", mended]].concat());
    assert!(tested.contains("  succeeded  event ") && tested.contains("\nmended bad\n"), "{tested}");
    let period = ["--from", "2026-01", "--to", "2999-01-01", "--file", mended];
    let replayed = it.ok(&[&["trigger", "replay", "greet"][..], &period].concat());
    assert!(replayed.ends_with("would have succeeded 1, refused 0, failed 0\n"), "{replayed}");
    it.ok(&["trigger", "load", mended, "--name", "greet"]);
    it.ok(&["trigger", "retry", id]);
    eventually("it goes well now", async || (it.json(&["run", "show", id])["state"] == "succeeded").then_some(()))
        .await;

    it.ok(&["trigger", "rollback", "greet", "--to", "1"]);
    assert_eq!(it.json(&["trigger", "show", "greet"])["revision"], 1);
    let diff = it.ok(&["trigger", "diff", "greet", "--from", "1", "--to", "3"]);
    assert!(diff.contains("\n-  print('hello')\n+  print('good night')\n"), "{diff}");
    assert_eq!(it.json(&["trigger", "sign", "greet", "--revision", "2"])["number"], 2);
    let versions = it.json(&["trigger", "versions", "greet"]);
    let signed: Vec<bool> =
        versions.as_array().unwrap().iter().map(|version| !version["signature"].is_null()).collect();
    assert_eq!(signed, [false, true, false, false]);
    let run = it.json(&["trigger", "run", "greet", "--function", "nightly"]);
    assert_eq!((&run["state"], &run["log"]), (&json!("succeeded"), &json!("hello\n")));

    it.ok(&["server", "delete", "bad"]);
    assert_eq!(it.create_server("bad", &["--no-start"]).code, 0);
    let dead = eventually("the next one dies", async || {
        it.json(&["trigger", "runs", "greet", "--state", "dead"]).as_array().unwrap().first().cloned()
    })
    .await;
    let id = dead["id"].as_str().unwrap();
    it.ok(&["trigger", "skip", id]);
    assert_eq!(it.json(&["run", "show", id])["state"], "skipped");
    let stats = it.json(&["trigger", "stats", "greet"]);
    assert!(stats["last_error"].to_string().contains("hello is not for this one"), "{stats}");
}

#[tokio::test]
async fn who_gets_a_word_of_trigger_wrong_is_told_what_would_be_right() {
    let it = Installation::with_customer().await;
    let write = |name: &str, text: &str| {
        let file = it.home.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let path = write("greet.lua", &source("hello"));
    let (path, folder) = (path.as_str(), it.home.path().to_str().unwrap());
    it.ok(&["trigger", "load", path]);
    let entry = |descriptor: &str| {
        format!("function register() return {{'f'}} end\nfunction f(p) return {{{descriptor}}} end\n")
    };
    let broken = write("broken.lua", "function register() return {'f'} end\nfunction f(p)\n  return {\nend\n");
    let silent = write("silent.lua", "print('no register')\n");
    let missing = write(
        "missing.lua",
        "function register() return {'f', 'g'} end\nfunction f(p) return {triggerType='PRE_AUTH'} end\n",
    );
    let kind = write("kind.lua", &entry("triggerType='AFTER_CREATE'"));
    let never = write("never.lua", &entry("triggerType='SCHEDULED'"));
    let nobody = "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50";
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["trigger"], 2, &["Usage: sutler trigger"]),
        (&["trigger", "frobnicate"], 2, &["unrecognized subcommand"]),
        (&["trigger", "load"], 2, &["<FILE>"]),
        (&["trigger", "load", "-"], 2, &["--name is needed"]),
        (&["trigger", "load", folder, "--name", "x"], 2, &["--name and --new are for one source"]),
        (
            &["trigger", "load", path, "--name", "x", "--owner", "king"],
            2,
            &["must be provider, billing-entity:NAME or customer:NAME"],
        ),
        (&["trigger", "load", path, "--name", "x", "--owner", "customer:Eve"], 3, &["there is no customer `Eve`"]),
        (&["trigger", "load", &broken], 2, &["4"]),
        (&["trigger", "load", path, "--new"], 5, &["name: is already in use"]),
        (&["trigger", "check", "/nowhere.lua"], 2, &["reading `/nowhere.lua`"]),
        (&["trigger", "check", &broken], 2, &["broken.lua:4: "]),
        (&["trigger", "check", &silent], 2, &["silent.lua", "register"]),
        (&["trigger", "check", &missing], 2, &["missing.lua", "`g`"]),
        (&["trigger", "check", &kind], 2, &["kind.lua", "unknown `triggerType` \"AFTER_CREATE\""]),
        (&["trigger", "check", &never], 2, &["never.lua", "no `schedule`"]),
        (&["trigger", "show", "nothing"], 3, &["there is no trigger `nothing`"]),
        (&["trigger", "versions", "nothing"], 3, &["there is no trigger `nothing`"]),
        (&["trigger", "diff", "greet", "--to", "new"], 2, &["--to"]),
        (&["trigger", "diff", "greet", "--from", "1", "--to", "9"], 3, &["revision"]),
        (&["trigger", "sign", "greet", "--revision", "9"], 3, &["revision"]),
        (&["trigger", "rollback", "greet"], 2, &["has no revision before the one in force"]),
        (&["trigger", "rollback", "greet", "--to", "9"], 3, &["revision"]),
        (&["trigger", "test", "greet"], 2, &["function", "greet", "nightly"]),
        (&["trigger", "test", "greet", "--function", "other"], 2, &["function", "greet", "nightly"]),
        (&["trigger", "test", "greet", "--function", "greet"], 2, &["no event of the last"]),
        (&["trigger", "test", "greet", "--function", "greet", "--seq", "999999"], 2, &["seq"]),
        (&["trigger", "test", "greet", "--file", "/nowhere.lua"], 2, &["reading `/nowhere.lua`"]),
        (&["trigger", "test", "greet", "--file", &broken], 2, &["4"]),
        (&["trigger", "replay", "greet"], 2, &["--from"]),
        (
            &["trigger", "replay", "greet", "--from", "yesterday"],
            2,
            &["--from", "must be a time such as 2026-11-22T10:00:00Z"],
        ),
        (
            &["trigger", "replay", "greet", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"],
            2,
            &["to: lies before"],
        ),
        (&["trigger", "runs", "greet", "--state", "gone"], 2, &["dead"]),
        (&["trigger", "logs", "greet", "--count", "1"], 2, &["--follow"]),
        (&["trigger", "logs", "nothing"], 3, &["there is no trigger `nothing`"]),
        (&["trigger", "run", "greet", "--function", "greet"], 2, &["function", "nightly"]),
        (&["trigger", "run", "greet", "--at", "soon"], 2, &["--at", "must be a time such as 2026-11-22T10:00:00Z"]),
        (&["trigger", "retry", "greet"], 2, &["is not the id of a run"]),
        (&["trigger", "retry", nobody], 3, &["run"]),
        (&["trigger", "skip", nobody], 3, &["run"]),
        (&["trigger", "translations", "nothing"], 3, &["there is no trigger `nothing`"]),
        (&["trigger", "stats", "nothing"], 3, &["there is no trigger `nothing`"]),
    ];
    let mut wrong = Vec::new();
    for (args, code, texts) in cases {
        let said = it.say(args);
        if said.code != *code || texts.iter().any(|text| !said.err.contains(text)) || !said.out.is_empty() {
            wrong.push(format!(
                "sutler {}: {} not {code}, {texts:?}: {}{}",
                args.join(" "),
                said.code,
                said.out,
                said.err
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What is taken and yet in vain is said.
    let typo = write("typo.lua", &entry("triggerType='POST_JOB_STATE_CHANGE', triggerOptions={'SUCCESS', 'FAILED'}"));
    let said = it.say(&["trigger", "check", &typo]);
    assert_eq!((said.code, said.out.as_str()), (0, "f  POST_JOB_STATE_CHANGE  SUCCESS,FAILED\n"));
    let told = "`f` will never run for SUCCESS: that is no option of POST_JOB_STATE_CHANGE; there are SUCCESSFUL";
    assert!(said.err.contains(told), "{}", said.err);
    for command in ["enable", "disable", "pause", "resume", "delete"] {
        assert_eq!(it.say(&["trigger", command, "nothing"]).code, 3, "{command}");
    }
}
