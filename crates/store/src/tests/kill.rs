//! kill -9 under load, of a real process.

use super::*;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

const FOLDER: &str = "SUTLER_STORE_TEST_FOLDER";

/// The process that is killed: writes for ever, and prints each acknowledgement. Does nothing unless asked to.
#[test]
fn helper_process_that_writes_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = open(folder);
    let _follower = Follower::start(store.clone(), folder.join("copy")).unwrap();
    run(async {
        let mut last: Option<Server> = None;
        for round in 0_u64.. {
            let mut waiting = Vec::new();
            for i in 0..7 {
                let mut new = server(&store, &store.new_uuid().to_string(), 1);
                new.user_data = Some("x".repeat((round as usize * 37 + i * 101) % 3000));
                let mut changes = set();
                changes.create(&mut new);
                // Each set also changes what the one before it made.
                if let Some(old) = last.take() {
                    let mut changed = old.clone();
                    changed.cpu += 1;
                    changes.update(&old, &mut changed);
                }
                waiting.push((store.submit(changes), new.id));
                last = Some(new);
            }
            for (answer, id) in waiting {
                let seq = answer.await.unwrap().seq;
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {seq} {id}").and_then(|()| out.flush()).unwrap();
            }
        }
    });
}

#[test]
fn kill_9_under_load_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, Uuid> = BTreeMap::new();
    for round in 1..=6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill::helper_process_that_writes_until_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut count = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, told)) = line.split_once("acknowledged ") {
                let (seq, id) = told.split_once(' ').unwrap();
                acknowledged.insert(seq.parse().unwrap(), id.parse().unwrap());
                count += 1;
                if count == round * 53 {
                    // What is still in the pipe was acknowledged too, and is read until the pipe ends.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(count >= round * 53);
        let verified = crate::verify(&folder.path().join("store.redb")).unwrap();
        let store = open(folder.path());
        assert!(verified.seq >= *acknowledged.keys().last().unwrap());
        let feed = store.feed(1, usize::MAX).unwrap();
        assert!(feed.iter().map(|e| e.seq).eq(1..=verified.seq));
        for (seq, id) in &acknowledged {
            assert_eq!(feed[*seq as usize - 1].changes[0].id, *id);
            assert!(run(store.get::<Server>(*id)).unwrap().is_some());
        }
        let follower = Follower::start(store.clone(), folder.path().join("copy")).unwrap();
        let mut status = follower.status();
        run(async { drop(status.wait_for(|s| s.seq >= verified.seq).await.unwrap()) });
    }
    let rebuilt = folder.path().join("rebuilt.redb");
    let committed = rebuild(&folder.path().join("copy"), &rebuilt).unwrap();
    assert!(committed.seq >= *acknowledged.keys().last().unwrap());
    crate::verify(&rebuilt).unwrap();
}
