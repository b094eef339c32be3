//! `sendEmail`, to the provider's relay.

use super::*;
use sutler_lua::Egress;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A message as a relay has it: the recipients of the envelope, in order of their names, and the text.
type Mail = (Vec<String>, String);

/// A relay that takes every message and tells of it.
pub(super) async fn relay() -> (String, mpsc::UnboundedReceiver<Mail>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (to, mails) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Some(mail) = taken(socket).await {
                let _ = to.send(mail);
            }
        }
    });
    (url, mails)
}

/// One session of SMTP (RFC 5321); none where the peer went away before its message was whole.
async fn taken(socket: TcpStream) -> Option<Mail> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 relay.test\r\n").await.ok()?;
    let mut recipients = Vec::new();
    let mut text = None;
    while let Some(line) = lines.next_line().await.ok()? {
        let command = line.to_uppercase();
        if let Some(to) = line.strip_prefix("RCPT TO:") {
            recipients.push(to.trim_matches(['<', '>']).to_owned());
        }
        let answer = match command.split([' ', ':']).next()? {
            "QUIT" => break,
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let mut body = String::new();
                loop {
                    match lines.next_line().await.ok()?? {
                        line if line == "." => break,
                        line => body = body + line.strip_prefix('.').unwrap_or(&line) + "\n",
                    }
                }
                text = Some(body);
                "250 taken"
            }
            _ => "250 fine",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    recipients.sort();
    Some((recipients, text?))
}

async fn mailing(root: &std::path::Path, relay: &str) -> Bench {
    let egress = Egress {
        relay: Some(relay.parse().unwrap()),
        mail_from: "Shop <shop@seller.test>".into(),
        ..Egress::default()
    };
    Bench::start_with(root, Settings { egress, ..settings() }).await
}

/// Writes to the customer with the UUID, after `more` was set.
fn writing(customer: CustomerId, more: &str) -> String {
    format!(
        r#"
        local mail = new("CustomerEmail")
        mail:setCustomerUUID("{customer}")
        mail:setEmailType(new("EmailType", "GENERAL_EMAIL"))
        local details = mail:getEmailSettingDetails()
        {more}
        print(pcall(function() return adminAPI:sendEmail(mail) end))
        "#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_people_or_those_named_are_written_to_through_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let (url, mut mails) = relay().await;
    let bench = mailing(folder.path(), &url).await;
    let locked = bench.user("bob").await;
    let lock = crate::UserPatch { locked: Some(true), ..crate::UserPatch::default() };
    bench.system.update_user(&bench.caller, locked.id, None, lock).await.expect("locked");

    // Nobody named: all who are not locked.
    let details = r#"
        details:put(new("EmailVAR", "EMAIL_SUBJECT"), "Your bill")
        details:put(new("EmailVAR", "EMAIL_BODY"), "Dear customer,\n.\nplease pay")
        details:put(new("EmailVAR", "EMAIL_FOOTER"), "the shop")
        details:put(new("EmailVAR", "REPLY_TO"), "billing@seller.test")"#;
    let body = writing(bench.customer, details);
    let script = bench.script("all", Scope::Provider, block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user("ada").await;
    let (to, text) = mails.recv().await.expect("a mail");
    assert_eq!(to, ["ada@example.org"], "{text}");
    for words in [
        "From: Shop <shop@seller.test>",
        "To: ada@example.org",
        "Reply-To: billing@seller.test",
        "Subject: Your bill",
        "Dear customer,\n.\nplease pay\nthe shop",
    ] {
        assert!(text.replace('\r', "").contains(words), "{words}: {text}");
    }
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Succeeded]).await;
    assert!(runs[0].log.starts_with("true\ttrue\n"), "{}", runs[0].log);
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, off).await.expect("disabled");

    // Those named, by address and by user, and a subject of the platform's where there is none.
    let named = format!(
        r#"mail:getSendToEmail():add("carol@elsewhere.test")
        mail:getSendTo():add("{}")
        details:put(new("EmailVAR", "BCC_ADDRESS"), "archive@seller.test")
        details:put(new("EmailVAR", "UNIT_BALANCE"), "12")"#,
        locked.id
    );
    let body = writing(bench.customer, &named);
    bench.script("named", Scope::Provider, block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user("dora").await;
    let (to, text) = mails.recv().await.expect("a mail");
    assert_eq!(to, ["archive@seller.test", "bob@example.org", "carol@elsewhere.test"]);
    assert!(text.contains("general email") && text.contains("UNIT_BALANCE: 12"), "{text}");
    assert!(!text.contains("archive@"), "nobody sees who gets a blind copy: {text}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_written_to_across_a_border_or_where_there_is_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (url, mut mails) = relay().await;
    let bench = mailing(folder.path(), &url).await;
    let (stranger, _) = bench.stranger().await;
    let body = writing(bench.customer, "");
    let spy = bench.script("spy", Scope::Customer(stranger), block("POST_CREATE", r#""USER""#, &body)).await;
    let body = writing(stranger, "");
    let own = bench.script("own", Scope::Provider, block("POST_CREATE", r#""SERVER""#, &body)).await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    bench.user_of(stranger, "eve").await;
    let ended = |run: &ScriptRun| run.state == RunState::Succeeded;
    let runs = bench.runs_until(|runs| runs.iter().filter(|run| ended(run)).count() == 2).await;
    let log = |id| runs.iter().find(|run| run.script_id == id).expect("a run").log.clone();
    assert!(log(spy.id).contains("NO_CUSTOMER_FOUND"), "{runs:#?}");
    assert!(log(own.id).contains("INVALID_EMAIL_ADDRESS"), "{runs:#?}");
    assert!(mails.try_recv().is_err());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_run_writes_under_the_message_id_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let (url, mut mails) = relay().await;
    let bench = mailing(folder.path(), &url).await;
    let sending = r#"
        mail:getSendToEmail():add("carol@elsewhere.test")
        adminAPI:sendEmail(mail)
        smtp.send{to = "dora@elsewhere.test", subject = "x", body = "y"}
        if event.attempt == 1 then error("cut off") end"#;
    let body = writing(bench.customer, sending);
    bench.script("cut off", Scope::Provider, block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user("ada").await;
    bench.user("bob").await;
    let mut ids: std::collections::BTreeMap<String, Vec<Vec<String>>> = Default::default();
    // For each user the two mails, and then all three again: what `writing` sends at last goes out in the second try.
    for _ in 0..10 {
        let (to, text) = mails.recv().await.expect("a mail");
        let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("a Message-ID").to_owned();
        ids.entry(id).or_default().push(to);
    }
    // Of each of the two runs: two mails twice, one once.
    let mut times: Vec<usize> = ids.values().map(Vec::len).collect();
    times.sort_unstable();
    assert_eq!(times, [1, 1, 2, 2, 2, 2], "{ids:?}");
    let sent = |run: &ScriptRun| run.log.contains("SEND smtp://127.0.0.1:") && run.log.contains(": done, ");
    bench.runs_until(|runs| runs.len() == 2 && runs.iter().all(sent)).await;
    assert!(ids.values().all(|to| to.iter().all(|one| *one == to[0])), "{ids:?}");
    bench.stop().await;
}
