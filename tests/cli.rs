//! The command line, driving the real program against a real server with simulated drivers.

mod customers;
mod images;
mod packages;
mod triggers;

use crate::support::{Program, eventually, program::PASSWORD};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// A running server and the home folder of somebody who uses it.
pub struct Installation {
    /// Where their settings are.
    pub home: TempDir,
    server: Program,
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The program with nothing of the tester's own settings.
fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sutler"));
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("HOME", home).stdin(Stdio::null());
    command
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Installation {
    /// A fresh server, nobody signed in.
    async fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), server: Program::start().await }
    }

    /// A fresh server with its administrator signed in.
    async fn signed_in() -> Self {
        let made = Self::new().await;
        let said = made.typing(&made.login(), PASSWORD);
        assert_eq!(said.code, 0, "{}", said.err);
        made
    }

    /// The command that signs the administrator in, with the password to be typed.
    fn login(&self) -> [&str; 8] {
        let (url, pin) = (self.server.secure.as_str(), self.server.fingerprint.as_str());
        ["login", "--url", url, "--email", "admin@localhost", "--password-stdin", "--fingerprint", pin]
    }

    /// The above with a customer `Ada` and an image `tiny`.
    pub async fn with_customer() -> Self {
        Self::signed_in().await.with_customer_on().await
    }

    /// A customer `Ada` and an image `tiny` on a fresh server.
    async fn with_customer_on(self) -> Self {
        let made = self;
        made.ok(&["customer", "create", "Ada", "--plan", "Standard"]);
        let file = made.home.path().join("tiny.img");
        // A raw disk, as far as its boot sector tells.
        let mut disk = vec![0_u8; 1 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&file, disk).unwrap();
        let file = file.to_str().unwrap();
        made.ok(&["image", "create", "tiny", "--file", file, "--size", "1", "--memory", "64"]);
        made
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.home.path());
        command.args(args);
        command
    }

    pub fn say(&self, args: &[&str]) -> Said {
        said(self.command(args).output().unwrap())
    }

    /// With `typed` on the standard input.
    fn typing(&self, args: &[&str], typed: &str) -> Said {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        said(child.wait_with_output().unwrap())
    }

    /// What a command that must succeed prints.
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.say(args);
        assert_eq!(said.code, 0, "sutler {}: {}", args.join(" "), said.err);
        said.out
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["-o", "json"]].concat())).unwrap()
    }

    pub fn create_server(&self, name: &str, more: &[&str]) -> Said {
        let fixed = ["server", "create", name, "--customer", "ada", "--image", "tiny", "--disk", "1GiB"];
        self.say(&[&fixed[..], &["--cpu", "2", "--memory", "512"], more].concat())
    }
}

#[tokio::test]
async fn signing_in_pins_the_certificate_and_keeps_the_session_private() {
    let it = Installation::new().await;
    let pinned = it.login();
    let stranger = it.typing(&pinned[..6], PASSWORD);
    assert_eq!(stranger.code, 7);
    assert!(stranger.err.contains(&it.server.fingerprint), "{}", stranger.err);

    let refused = it.typing(&pinned, "something else");
    assert_eq!(refused.code, 4);
    assert!(refused.err.contains("request id "), "{}", refused.err);
    assert_eq!(it.typing(&pinned, PASSWORD).code, 0);

    let profiles = it.home.path().join(".config/sutler/profiles.toml");
    assert_eq!(fs::metadata(&profiles).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(it.json(&["whoami"])["user"]["email"], "admin@localhost");
    let other = "00".repeat(32);
    let wrong = it.say(&["whoami", "--fingerprint", &other]);
    assert_eq!(wrong.code, 7);
    assert!(wrong.err.contains("not the pinned"), "{}", wrong.err);

    it.ok(&["logout"]);
    assert!(!fs::read_to_string(&profiles).unwrap().contains("token"));
    assert_eq!(it.say(&["whoami"]).code, 4);
    assert_eq!(it.say(&["logout"]).code, 4);
}

#[tokio::test]
async fn a_server_lives_from_create_to_delete() {
    let it = Installation::with_customer().await;
    let made = it.create_server("web-1", &["--key", "env=prod"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("create_server web-1: successful"), "{}", made.err);

    let shown = it.json(&["server", "show", "web-1"]);
    assert_eq!((&shown["state"], &shown["memory_mib"]), (&Value::from("running"), &Value::from(512)));
    assert_eq!(shown["keys"][0]["value"], "prod");
    let table = it.ok(&["server", "list", "--state", "running"]);
    assert!(table.starts_with("ID ") && table.contains("web-1  running"), "{table}");
    assert_eq!(it.ok(&["server", "list", "--state", "stopped"]).lines().count(), 1, "only the heads of the columns");
    assert_eq!(it.json(&["disk", "list", "--server", "web-1"])[0]["size_gib"], 1);

    let console = it.say(&["server", "console", "web-1", "--until", "simulated server"]);
    assert_eq!(console.code, 0, "{}", console.err);
    let silent = it.say(&["server", "console", "web-1", "--until", "never said", "--timeout", "1"]);
    assert_eq!(silent.code, 1);
    assert!(silent.err.contains("did not show `never said`"), "{}", silent.err);

    it.ok(&["server", "stop", "web-1", "--force"]);
    assert_eq!(it.json(&["server", "show", "web-1"])["state"], "stopped");
    it.ok(&["server", "start", "WEB-1"]);
    let yaml = it.ok(&["server", "reboot", "web-1", "-o", "yaml"]);
    assert!(yaml.contains("\nstate: running\n"), "{yaml}");
    it.ok(&["server", "update", "web-1", "--key", "env=test"]);
    assert_eq!(it.json(&["server", "show", "web-1"])["keys"][0]["value"], "test");
    it.ok(&["server", "delete", "web-1"]);
    assert_eq!(it.say(&["server", "show", "web-1"]).code, 3);
}

#[tokio::test]
async fn every_kind_of_failure_has_its_code_and_says_what_to_do() {
    let it = Installation::with_customer().await;
    assert_eq!(it.create_server("web-1", &[]).code, 0);
    let create = |more: &[&'static str]| {
        let mut args = vec!["server", "create", "web-1", "--customer", "Ada", "--image", "tiny", "--disk", "1"];
        args.extend(more);
        args
    };
    let cases: &[(Vec<&str>, i32, &str)] = &[
        (vec!["server"], 2, "Usage: sutler server"),
        (vec!["frobnicate"], 2, "unrecognized subcommand"),
        (vec!["server", "create", "x"], 2, "--image"),
        (create(&["--cpu", "two", "--memory", "64"]), 2, "must be a whole number"),
        (create(&["--cpu", "0", "--memory", "1"]), 2, "cpu: is 0; must be from 1 to 128 vCPUs"),
        (create(&["--cpu", "1", "--memory", "64"]), 5, "name: is already in use"),
        (vec!["server", "show", "nothing"], 3, "there is no server `nothing`"),
        (vec!["server", "show", "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50"], 3, "There is no server"),
        (vec!["job", "show", "web-1"], 2, "is not the id of a job"),
        (vec!["job", "cancel", "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50"], 3, "request id "),
        (vec!["customer", "update", "Ada"], 2, "nothing to change"),
        (vec!["whoami", "--profile", "prod"], 2, "there is no profile `prod` (there are: default)"),
        (vec!["whoami", "--url", "https://127.0.0.1:1"], 7, "is the server running?"),
        (vec!["whoami", "--url", "ftp://127.0.0.1"], 2, "it must begin with https://"),
        (vec!["trigger", "load", "/nowhere.lua"], 2, "reading `/nowhere.lua`"),
        (vec!["invoice", "close", "Ada", "--to", "2999-01"], 2, "to: "),
        (vec!["config", "check", "/nowhere.toml"], 1, "/nowhere.toml"),
    ];
    for (args, code, text) in cases {
        let said = it.say(args);
        assert_eq!(said.code, *code, "sutler {}: {}", args.join(" "), said.err);
        assert!(said.err.contains(text), "sutler {}: {}", args.join(" "), said.err);
        assert_eq!(said.out, "", "sutler {} prints mistakes to the standard error", args.join(" "));
    }
}

#[tokio::test]
async fn a_reseller_sells_to_a_customer_who_acts_for_itself_alone() {
    let it = Installation::with_customer().await;
    it.ok(&["billing-entity", "create", "North", "--currency", "SEK"]);
    let prices = ["--cpu-hour", "0.1", "--memory-gib-hour", "0.05", "--disk-gib-hour", "0.001"];
    it.ok(&[&["plan", "create", "basic", "--billing-entity", "north"][..], &prices].concat());
    assert_eq!(it.json(&["plan", "show", "basic"])["currency"], "SEK");
    it.ok(&["customer", "create", "Eva", "--billing-entity", "North", "--plan", "basic"]);
    let user = ["user", "create", "eva@example.org", "--first-name", "Eva", "--last-name", "Ek"];
    let whose = ["--role", "customer_admin", "--customer", "Eva", "--billing-entity", "North", "--password-stdin"];
    let made = it.typing(&[&user[..], &whose].concat(), "a long pass phrase\n");
    assert_eq!(made.code, 0, "{}", made.err);

    let (url, pin) = (it.server.secure.as_str(), it.server.fingerprint.as_str());
    let login = ["login", "--profile", "eva", "--url", url, "--fingerprint", pin, "--email", "eva@example.org"];
    let said = it.typing(&[&login[..], &["--password-stdin"]].concat(), "a long pass phrase\n");
    assert_eq!(said.code, 0, "{}", said.err);
    let eva = |args: &[&str]| it.say(&[&["--profile", "eva"][..], args].concat());
    let size = ["--image", "tiny", "--cpu", "1", "--memory", "64", "--disk", "1"];
    let made = eva(&[&["server", "create", "www"][..], &size].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(it.create_server("web-1", &[]).code, 0);
    let seen = eva(&["server", "list"]).out;
    assert!(seen.contains("www") && !seen.contains("web-1"), "{seen}");
    assert_eq!(eva(&["server", "show", "web-1"]).code, 3);
    assert_eq!(eva(&["node", "list"]).code, 4);

    it.ok(&["user", "lock", "eva@example.org"]);
    assert_eq!(eva(&["whoami"]).code, 4);
}

#[tokio::test]
async fn every_noun_is_listed_in_every_format() {
    let it = Installation::signed_in().await;
    for noun in [
        "server",
        "disk",
        "image",
        "node",
        "customer",
        "billing-entity",
        "user",
        "key",
        "plan",
        "invoice",
        "job",
        "trigger",
        "run",
        "quarantine",
    ] {
        assert!(it.json(&[noun, "list"]).is_array(), "{noun}");
        assert!(it.ok(&[noun, "list"]).lines().next().unwrap().contains("ID"), "{noun}");
        it.ok(&[noun, "list", "-o", "yaml"]);
    }
}

#[tokio::test]
async fn a_name_that_several_have_is_answered_with_the_candidates() {
    let it = Installation::with_customer().await;
    it.ok(&["customer", "create", "Bob", "--plan", "Standard", "--quota-cpus", "4"]);
    assert_eq!(it.json(&["customer", "show", "bob"])["quota"]["cpus"], 4);
    for owner in ["Ada", "Bob"] {
        let args = ["server", "create", "web", "--customer", owner, "--image", "tiny", "--disk", "1", "--no-start"];
        it.ok(&[&args[..], &["--cpu", "1", "--memory", "64"]].concat());
    }
    let said = it.say(&["server", "show", "web"]);
    assert_eq!(said.code, 2);
    let servers = it.json(&["server", "list", "--name", "web"]);
    let servers = servers.as_array().unwrap();
    assert_eq!(servers.len(), 2);
    for server in servers {
        assert_eq!(server["state"], "stopped");
        assert!(said.err.contains(server["id"].as_str().unwrap()), "{}", said.err);
    }
}

#[tokio::test]
async fn the_store_of_a_running_server_is_copied_and_restored() {
    let mut it = Installation::with_customer().await;
    assert_eq!(it.create_server("web-1", &[]).code, 0);
    let listed = it.ok(&["server", "list"]);
    assert!(listed.contains("ADDRESSES") && listed.contains("10.0.2.15"), "{listed}");
    assert!(it.json(&["server", "stats", "web-1"])["cpu_ns"].is_u64());
    let copy = it.home.path().join("copy.redb");
    let copy = copy.to_str().unwrap();
    let data = it.server.data();
    let data = data.to_str().unwrap();

    // From beside the server there is no way into its file, and the error names the one there is.
    let refused = it.say(&["backup", copy, "--data-dir", data]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("--online"), "{}", refused.err);
    assert!(it.ok(&["backup", copy, "--online"]).contains("everything up to event"));
    assert!(it.say(&["backup", copy, "--online"]).err.contains("not overwritten"));
    assert_eq!(fs::read_dir(data).unwrap().flatten().filter(|f| f.path().ends_with("download.copy")).count(), 0);

    // What comes later is not in it.
    it.ok(&["customer", "create", "Bob", "--plan", "Standard"]);
    assert!(it.server.stop().await.success());
    for file in fs::read_dir(data).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("sutler.redb") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    it.ok(&["restore", copy, "--data-dir", data]);
    it.server = it.server.restart().await;
    let said = it.typing(&it.login(), PASSWORD);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(it.json(&["server", "show", "web-1"])["state"], "running");
    assert_eq!(it.json(&["customer", "list"]).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failing_job_fails_its_command_and_can_be_watched_again() {
    let it = Installation::with_customer().await;
    it.ok(&["simulate", "fault", "--call", "start", "--error", "permanent"]);
    let failed = it.create_server("web-1", &[]);
    assert_eq!(failed.code, 6, "{}", failed.err);
    assert!(failed.err.contains("(create_server web-1) ended as failed"), "{}", failed.err);

    let listed = it.json(&["job", "list", "--state", "failed"]);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(it.say(&["job", "watch", id]).code, 6);
    assert_eq!(it.json(&["job", "show", id])["state"], "failed");
}

#[tokio::test]
async fn a_job_goes_on_when_its_watcher_is_interrupted_and_can_be_cancelled() {
    let it = Installation::with_customer().await;
    it.ok(&["simulate", "fault", "--call", "start", "--delay-ms", "600000"]);
    let accepted = it.create_server("web-1", &["--no-wait", "-o", "json"]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    let job: Value = serde_json::from_str(&accepted.out).unwrap();
    let id = job["id"].as_str().unwrap();

    let mut watcher = it.command(&["job", "watch", id]).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(watcher.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert!(line.starts_with("create_server web-1: "), "{line}");
    let sent = Command::new("kill").args(["-INT", &watcher.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    progress.read_to_string(&mut rest).unwrap();
    assert_eq!(watcher.wait().unwrap().code(), Some(130));
    assert!(rest.contains(&format!("the job goes on: sutler job watch {id}")), "{rest}");

    assert_eq!(it.json(&["job", "show", id])["finished"], false);
    it.ok(&["job", "cancel", id, "--no-wait"]);
    assert_eq!(it.json(&["job", "show", id])["cancel_requested"], true);
}

#[tokio::test]
async fn triggers_are_checked_loaded_replaced_and_read_back() {
    let it = Installation::with_customer().await;
    let file = it.home.path().join("greet.lua");
    let path = file.to_str().unwrap();
    let source = |word: &str| {
        format!(
            "function register() return {{'greet'}} end\nfunction greet(p)\n  if p == nil then return {{ref='greet', \
             name='Greet', description='Greets', triggerType='POST_CREATE', triggerOptions={{'SERVER'}}, \
             api='TRIGGER', version=1}} end\n  print('{word}')\n  return {{exitState='SUCCESS'}}\nend\n"
        )
    };
    fs::write(&file, "function register(\n").unwrap();
    for command in ["check", "load"] {
        let refused = it.say(&["trigger", command, path]);
        assert_eq!(refused.code, 2, "{command}: {}", refused.err);
    }
    fs::write(&file, source("hello")).unwrap();
    assert_eq!(it.ok(&["trigger", "check", path]), "greet  POST_CREATE  SERVER\n");
    assert!(it.ok(&["trigger", "load", path]).starts_with("loaded: greet "));
    assert_eq!(it.say(&["trigger", "load", path, "--new"]).code, 5);

    assert_eq!(it.create_server("web-1", &[]).code, 0);
    let logs = || it.ok(&["trigger", "logs", "greet"]);
    eventually("the trigger ran", async || logs().contains("\nhello\n").then_some(())).await;
    fs::write(&file, source("good evening")).unwrap();
    assert!(it.ok(&["trigger", "load", path]).starts_with("loaded anew: greet "));
    assert_eq!(it.create_server("web-2", &[]).code, 0);
    eventually("the new source ran", async || logs().contains("\ngood evening\n").then_some(())).await;

    let runs = it.json(&["trigger", "runs", "greet", "--state", "succeeded"]);
    assert_eq!(runs.as_array().unwrap().len(), 2);
    let stats = it.json(&["trigger", "stats", "greet"]);
    assert_eq!((&stats["succeeded"], &stats["failed"], &stats["last_error"]), (&json!(2), &json!(0), &Value::Null));
    let tested = it.ok(&["trigger", "test", "greet"]);
    assert!(tested.contains("  greet  SERVER  succeeded  event ") && tested.contains("\ngood evening\n"), "{tested}");
    fs::write(&file, source("good night")).unwrap();
    let replayed = it.ok(&["trigger", "replay", "greet", "--from", "2026-01-01T00:00:00Z", "--file", path]);
    assert_eq!(replayed.matches("\ngood night\n").count(), 2, "{replayed}");
    assert!(replayed.ends_with("would have succeeded 2, refused 0, failed 0\n"), "{replayed}");
    let versions = it.json(&["trigger", "versions", "greet"]);
    assert_eq!(versions.as_array().unwrap().len(), 2);
    assert!(it.ok(&["trigger", "diff", "greet"]).contains("\n-  print('hello')\n+  print('good evening')\n"));
    assert_eq!(it.json(&["trigger", "sign", "greet"])["number"], 2);
    assert!(it.ok(&["trigger", "rollback", "greet"]).starts_with("back to revision 1: greet "));
    assert_eq!(it.say(&["trigger", "rollback", "greet"]).code, 2, "there is nothing before the first");
    assert_eq!(it.json(&["trigger", "pause", "greet"])["paused"], true);
    assert_eq!(it.json(&["trigger", "resume", "greet"])["paused"], false);
    assert_eq!(it.json(&["run", "show", runs[1]["id"].as_str().unwrap()])["log"], "hello\n");
    it.ok(&["trigger", "disable", "greet"]);
    assert_eq!(it.json(&["trigger", "show", "greet"])["enabled"], false);
    it.ok(&["trigger", "delete", "greet"]);
    assert_eq!(it.say(&["trigger", "show", "greet"]).code, 3);
}

#[tokio::test]
async fn a_scheduled_trigger_runs_now_at_a_given_time_while_its_log_is_followed() {
    let it = Installation::with_customer().await;
    let file = it.home.path().join("nightly.lua");
    fs::write(
        &file,
        "function register() return {'nightly'} end\nfunction nightly(p)\n  if p == nil then return {triggerType='SCHEDULED', \
         schedule={frequency={hours=24}}} end\n  print('due ' .. p.input[1] .. ' now ' .. p.input[3])\nend\n",
    )
    .unwrap();
    it.ok(&["trigger", "load", file.to_str().unwrap()]);
    let follow = ["trigger", "logs", "nightly", "--limit", "0", "--follow", "--count", "1"];
    let mut tail = it.command(&follow).stdout(Stdio::piped()).spawn().unwrap();
    eventually("the tail has seen a run", async || {
        let run = it.json(&["trigger", "run", "nightly", "--at", "2026-01-01T00:00:00Z"]);
        assert_eq!(
            (&run["state"], &run["log"]),
            (&json!("succeeded"), &json!("due 1767225600000 now 1767225600000\n"))
        );
        tail.try_wait().unwrap()
    })
    .await;
    let told = std::io::read_to_string(tail.stdout.take().unwrap()).unwrap();
    assert!(told.starts_with("== 2026-01-01T00:00:00Z  nightly  ANY  succeeded  run "), "{told}");
    assert_eq!(it.say(&["trigger", "run", "nightly", "--function", "other"]).code, 2);
    it.ok(&["trigger", "pause", "nightly"]);
    assert_eq!(it.say(&["trigger", "run", "nightly"]).code, 5);
}

#[tokio::test]
async fn a_bill_opens_to_the_intervals_behind_each_line() {
    let it = Installation::with_customer().await;
    assert_eq!(it.create_server("web-1", &[]).code, 0);
    it.ok(&["server", "stop", "web-1"]);
    let text = it.ok(&["invoice", "preview", "Ada", "--explain"]);
    assert!(text.starts_with("preview (not an invoice)\n"), "{text}");
    assert!(text.contains(" × 2 vCPU × 0.01 EUR/h = 0.00 EUR\n"), "{text}");
    assert!(text.contains("  0.5 GiB  seen\n"), "{text}");

    let preview = it.json(&["invoice", "preview", "Ada", "--explain"]);
    let cpu = preview["lines"].as_array().unwrap().iter().find(|l| l["meter"] == "cpu").unwrap();
    let intervals = cpu["opened"]["intervals"].as_array().unwrap();
    assert_eq!(intervals.len(), 1);
    assert_eq!(it.json(&["usage", "Ada", "--meter", "cpu", "--resource", "web-1"]), Value::from(intervals.clone()));

    // A period can be closed once it lies a few seconds back.
    let to = intervals[0]["end"].as_str().unwrap();
    let closed = eventually("the period may be closed", async || {
        let said = it.say(&["invoice", "close", "Ada", "--to", to, "-o", "json"]);
        assert!(matches!(said.code, 0 | 2), "{}", said.err);
        (said.code == 0).then(|| serde_json::from_str::<Value>(&said.out).unwrap())
    })
    .await;
    assert_eq!(closed["number"], 1);
    let shown = it.ok(&["invoice", "show", closed["id"].as_str().unwrap()]);
    assert!(shown.starts_with("invoice 1\n"), "{shown}");
    assert_eq!(it.json(&["invoice", "list", "--customer", "Ada"])[0]["number"], 1);
}

#[tokio::test]
async fn events_are_followed_and_a_closed_pipe_is_no_failure() {
    let it = Installation::with_customer().await;
    let first = it.ok(&["events", "tail", "--from", "1", "--count", "3"]);
    assert!(first.contains("billing_entity.created") && first.contains(" Provider"), "{first}");
    let lines = it.ok(&["events", "tail", "--from", "1", "--count", "2", "-o", "json"]);
    let seqs: Vec<u64> =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["seq"].as_u64().unwrap()).collect();
    assert!(seqs.len() == 2 && seqs[0] < seqs[1], "{seqs:?}");

    let mut tail = it.command(&["events", "tail", "--from", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // The reader is gone now; the next event tells the program so.
    for n in 0..1000 {
        if let Some(status) = tail.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            return;
        }
        it.ok(&["customer", "update", "Ada", "--key", &format!("n={n}")]);
    }
    panic!("the program still writes to nobody");
}

#[tokio::test]
async fn a_key_acts_within_its_scopes_until_it_is_revoked() {
    let it = Installation::signed_in().await;
    let key = it.json(&["key", "create", "robot", "--scope", "servers_read", "--expires", "2999-01"]);
    let secret = key["secret"].as_str().unwrap();
    let robot = |args: &[&str]| said(it.command(args).env("SUTLER_TOKEN", secret).output().unwrap());
    assert_eq!(robot(&["server", "list"]).code, 0);
    assert_eq!(robot(&["customer", "list"]).code, 4);
    it.ok(&["key", "revoke", "robot"]);
    assert_eq!(robot(&["server", "list"]).code, 4);
}

#[tokio::test]
async fn a_store_is_backed_up_and_restored_offline() {
    let mut it = Installation::with_customer().await;
    let (data, kept) = (it.server.data(), it.home.path().join("kept"));
    let folder = |name: &str| it.home.path().join(name).to_str().unwrap().to_owned();
    let (data, copy) = (data.to_str().unwrap().to_owned(), folder("copy.redb"));
    let busy = it.say(&["backup", &copy, "--data-dir", &data]);
    assert_eq!(busy.code, 1);
    assert!(busy.err.contains("Stop it first"), "{}", busy.err);

    assert!(it.server.stop().await.success());
    let made = it.json(&["backup", &copy, "--data-dir", &data]);
    assert!(made["seq"].as_u64().unwrap() > 0);
    assert_eq!(it.say(&["backup", &copy, "--data-dir", &data]).code, 1, "a backup is not overwritten");
    assert_eq!(it.say(&["backup", &copy, "--data-dir", &folder("none")]).code, 3, "there is nothing to back up");
    assert_eq!(it.say(&["restore", &copy, "--data-dir", &data]).code, 1, "a store is not overwritten");
    assert_eq!(it.json(&["store", "verify", &copy])["records"]["customer"], 1);
    let damaged = folder("damaged.redb");
    fs::write(&damaged, "not a store").unwrap();
    assert_eq!(it.say(&["store", "verify", &damaged]).code, 1);
    assert_eq!(it.say(&["store", "rebuild", &folder("none"), "--data-dir", &folder("other")]).code, 1);

    fs::rename(&data, kept).unwrap();
    assert_eq!(it.json(&["restore", &copy, "--data-dir", &data])["seq"], made["seq"]);
    assert_eq!(it.json(&["store", "verify", "--data-dir", &data])["seq"], made["seq"]);
    let Installation { home, server } = it;
    let it = Installation { home, server: server.restart().await };
    assert_eq!(it.typing(&it.login(), PASSWORD).code, 0);
    assert_eq!(it.json(&["customer", "list"])[0]["name"], "Ada");
}

#[tokio::test]
async fn a_store_is_rebuilt_from_its_continuous_copy() {
    let copy = tempfile::tempdir().unwrap();
    let copy = copy.path().join("copy").to_str().unwrap().to_owned();
    let server = Program::with(&[("SUTLER_FOLLOWER_DIR", &copy)]).await;
    let mut it = Installation { home: tempfile::tempdir().unwrap(), server };
    assert_eq!(it.typing(&it.login(), PASSWORD).code, 0);
    it.ok(&["customer", "create", "Ada", "--plan", "Standard"]);

    assert!(it.server.stop().await.success());
    let data = it.server.data().to_str().unwrap().to_owned();
    let seq = &it.json(&["store", "verify", "--data-dir", &data])["seq"];
    fs::rename(&data, it.home.path().join("lost")).unwrap();
    assert_eq!(&it.json(&["store", "rebuild", &copy, "--data-dir", &data])["seq"], seq);
    let Installation { home, server } = it;
    let it = Installation { home, server: server.restart().await };
    assert_eq!(it.typing(&it.login(), PASSWORD).code, 0);
    assert_eq!(it.json(&["customer", "list"])[0]["name"], "Ada");
}

#[test]
fn the_program_tells_about_itself() {
    let home = tempfile::tempdir().unwrap();
    let say = |args: &[&str]| said(program(home.path()).args(args).output().unwrap());
    let document: Value = serde_json::from_str(&say(&["openapi"]).out).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(say(&["completions", shell]).out.contains("billing-entity"), "{shell}");
    }
    let man = home.path().join("man");
    assert_eq!(say(&["man", man.to_str().unwrap()]).code, 0);
    assert!(fs::read_to_string(man.join("sutler-server-create.1")).unwrap().contains("memory"));
    let help = say(&["server", "create", "--help"]);
    assert!(help.code == 0 && help.out.contains("cloud-init user data"), "{}", help.out);

    let file = home.path().join("sutler.toml");
    fs::write(&file, say(&["config", "default"]).out).unwrap();
    assert_eq!(say(&["config", "check", file.to_str().unwrap()]).code, 0);
    fs::write(&file, "[jobs]\nat_once = \"many\"\n").unwrap();
    let wrong = say(&["config", "check", file.to_str().unwrap()]);
    assert!(wrong.code == 1 && wrong.err.contains("line 2"), "{}", wrong.err);
}
