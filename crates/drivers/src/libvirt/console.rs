//! The serial console: what a guest said, what it says, and what is typed.
//!
//! Output comes from the guest's log, which QEMU writes whether anybody listens or not: nothing is lost between what was
//! said and what is said, nothing comes twice, and any number may look on. Input goes through libvirt's console stream,
//! opened with the first key; whoever types last has it. What the guest sends back on that stream is thrown away.

use super::link::Live;
use crate::compute::Console;
use std::{
    fs::File,
    io::ErrorKind,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use sutler_model::ServerId;
use tokio::sync::mpsc;
use virt::{stream::Stream, sys};

/// What of the log is shown first.
const REPLAY_BYTES: u64 = 64 * 1024;
/// How often the log is looked at: below what a person notices.
const LOOK: Duration = Duration::from_millis(20);
/// From this size on a log is cut to its last [`REPLAY_BYTES`]: a guest can talk without end.
const LOG_BYTES: u64 = 4 * 1024 * 1024;
/// How often a stream that takes no more is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Opens the console of a guest whose log is at `log`.
pub(super) fn open(live: Arc<Live>, id: ServerId, log: PathBuf) -> Console {
    let (to_reader, output) = mpsc::channel(64);
    let (input, from_writer) = mpsc::channel(64);
    tokio::spawn(async move {
        if let Err(error) = follow(&log, &to_reader).await {
            tracing::warn!(%error, server = %id, "a console log could not be read");
        }
    });
    // On its own thread: libvirt's streams block.
    let typing = move || {
        if let Err(error) = type_in(&live, id, from_writer) {
            tracing::warn!(%error, server = %id, "a console took no input");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("console-input".into()).spawn(typing) {
        tracing::error!(%error, "no thread for a console");
    }
    Console { output, input }
}

/// Sends the end of the log and then all that is added, until nobody reads any more.
async fn follow(log: &Path, to: &mpsc::Sender<Vec<u8>>) -> std::io::Result<()> {
    let mut open: Option<(File, u64)> = None;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if open.is_none() {
            open = match File::open(log) {
                Ok(file) => {
                    let from = file.metadata()?.len().saturating_sub(REPLAY_BYTES);
                    Some((file, from))
                }
                // A guest that never ran has said nothing.
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
        }
        if let Some((file, at)) = &mut open {
            loop {
                let read = file.read_at(&mut buffer, *at)?;
                if read == 0 {
                    break;
                }
                *at += read as u64;
                if to.send(buffer[..read].to_vec()).await.is_err() {
                    return Ok(());
                }
            }
            let now = file.metadata()?;
            if now.len() < *at {
                // Cut: what is there now was shown, but for what came with the cut.
                *at = now.len();
            }
            if std::fs::metadata(log).is_ok_and(|m| (m.ino(), m.dev()) != (now.ino(), now.dev())) {
                // Another file took its name, as virtlogd's rotation does; it is shown from its beginning.
                open = Some((File::open(log)?, 0));
                continue;
            }
        }
        tokio::select! {
            () = to.closed() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Keeps a log from filling the disk. QEMU appends, so cutting is safe; a few bytes said meanwhile may be lost.
pub(super) fn trim(log: &Path) -> std::io::Result<()> {
    let file = match File::options().read(true).append(true).open(log) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let length = file.metadata()?.len();
    if length <= LOG_BYTES {
        return Ok(());
    }
    let mut tail = vec![0; REPLAY_BYTES as usize];
    file.read_exact_at(&mut tail, length - REPLAY_BYTES)?;
    file.set_len(0)?;
    std::io::Write::write_all(&mut &file, &tail)
}

fn type_in(
    live: &Live,
    id: ServerId,
    mut from: mpsc::Receiver<Vec<u8>>,
) -> std::result::Result<(), virt::error::Error> {
    let mut stream: Option<Stream> = None;
    let mut discarded = [0; 4096];
    loop {
        let keys = match from.try_recv() {
            Ok(keys) => keys,
            Err(mpsc::error::TryRecvError::Disconnected) => break,
            Err(mpsc::error::TryRecvError::Empty) => match &stream {
                // Nothing typed yet: nothing to drain.
                None => match from.blocking_recv() {
                    Some(keys) => keys,
                    None => break,
                },
                Some(open) => {
                    // The guest would stall on what nobody takes.
                    while matches!(open.recv(&mut discarded), Ok(n) if n > 0) {}
                    std::thread::sleep(RETRY);
                    continue;
                }
            },
        };
        let mut left = &keys[..];
        let mut reopened = false;
        while !left.is_empty() {
            let open = match &stream {
                Some(open) => open,
                None => stream.insert(open_stream(live, id)?),
            };
            match open.send(left) {
                Ok(sent) if sent > 0 => left = &left[sent.unsigned_abs()..],
                Ok(_) => {
                    while matches!(open.recv(&mut discarded), Ok(n) if n > 0) {}
                    if from.is_closed() {
                        break;
                    }
                    std::thread::sleep(RETRY);
                }
                // Somebody else took the console, or the guest was started anew: once more.
                Err(_) if !reopened => {
                    reopened = true;
                    stream = None;
                }
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

fn open_stream(live: &Live, id: ServerId) -> std::result::Result<Stream, virt::error::Error> {
    let domain = live.connect.lookup_domain_by_uuid(id.0)?;
    let stream = Stream::new(&live.connect, sys::VIR_STREAM_NONBLOCK)?;
    domain.open_console(None, &stream, sys::VIR_DOMAIN_CONSOLE_FORCE)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_console_begins_with_the_end_of_the_log_and_goes_on_with_what_is_added() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut file = File::options().create(true).append(true).open(&log).unwrap();
        let old: Vec<u8> = (0..REPLAY_BYTES + 10).map(|n| (n % 251) as u8).collect();
        file.write_all(&old).unwrap();
        let (to, mut from) = mpsc::channel(1);
        let task = tokio::spawn(async move { follow(&log, &to).await });
        let mut got = vec![];
        while got.len() < REPLAY_BYTES as usize {
            got.extend(from.recv().await.unwrap());
        }
        assert_eq!(got, old[10..]);
        file.write_all(b"more").unwrap();
        assert_eq!(from.recv().await.unwrap(), b"more");
        // A rotation: another file of the same name.
        std::fs::write(dir.path().join("new"), "fresh").unwrap();
        std::fs::rename(dir.path().join("new"), dir.path().join("log")).unwrap();
        assert_eq!(from.recv().await.unwrap(), b"fresh");
        drop(from);
        task.await.unwrap().unwrap();
    }

    #[test]
    fn a_long_log_is_cut_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        trim(&log).unwrap();
        let mut text = vec![b'x'; LOG_BYTES as usize + 1];
        text.extend(b"the end");
        std::fs::write(&log, &text).unwrap();
        trim(&log).unwrap();
        let left = std::fs::read(&log).unwrap();
        assert_eq!(left.len(), REPLAY_BYTES as usize);
        assert!(left.ends_with(b"the end"));
    }
}
