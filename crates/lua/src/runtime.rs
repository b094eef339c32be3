//! The threads that run Lua, and the handle everyone else holds.

use crate::{
    Call, Egress, Host, Limits, Outcome, ScriptError, Texts,
    descriptor::Registration,
    egress::Clients,
    pages,
    shard::{self, Message, Shard},
};
use std::{
    cell::OnceCell,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use sutler_model::ScriptId;
use tokio::sync::{mpsc, oneshot};

/// Lua calls Rust calls Lua up to two hundred deep before it gives up.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// Loaded blocks and what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks whose Lua state is loaded.
    pub blocks: usize,
    /// Bytes these states hold.
    pub bytes: usize,
    /// Runs in progress, those that wait included.
    pub runs: usize,
}

/// Counters that all threads share.
#[derive(Default)]
pub(crate) struct Counters {
    pub blocks: AtomicUsize,
    pub bytes: AtomicUsize,
    pub runs: AtomicUsize,
}

/// Runs code blocks. Cheap to share behind an [`Arc`]; callable from any executor.
pub struct Runtime {
    shards: Vec<mpsc::UnboundedSender<Message>>,
    counters: Arc<Counters>,
}

impl Runtime {
    /// Starts `threads` threads (at least one), which end when the runtime is dropped.
    ///
    /// # Panics
    /// When the system refuses a thread.
    pub fn new(threads: usize, host: Arc<dyn Host>, egress: Egress) -> Self {
        pages::map_large_pieces();
        let threads = threads.max(1);
        let counters = Arc::new(Counters::default());
        let egress = Arc::new(egress);
        let shards = (0..threads)
            .map(|number| {
                let (sender, receiver) = mpsc::unbounded_channel();
                let (host, egress, counters) = (host.clone(), egress.clone(), counters.clone());
                std::thread::Builder::new()
                    .name(format!("lua-{number}"))
                    .stack_size(STACK_BYTES)
                    .spawn(move || {
                        shard::serve(
                            Shard {
                                host,
                                egress,
                                counters,
                                threads,
                                clients: Clients::default(),
                                tls: OnceCell::new(),
                            },
                            receiver,
                        )
                    })
                    .expect("the system starts a thread");
                sender
            })
            .collect();
        Self { shards, counters }
    }

    /// Compiles a source, runs it, calls `register()` and each entry it names with nil, and reports what they describe.
    /// Nothing outside can be reached meanwhile.
    ///
    /// # Errors
    /// What is wrong and where.
    pub async fn register(&self, source: &str, limits: Limits) -> Result<Registration, ScriptError> {
        self.register_with(source, Texts::default(), limits).await
    }

    /// The same for a block with texts, which its descriptors may ask for.
    ///
    /// # Errors
    /// As [`Runtime::register`].
    pub async fn register_with(&self, source: &str, texts: Texts, limits: Limits) -> Result<Registration, ScriptError> {
        let (reply, answer) = oneshot::channel();
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        self.send(hasher.finish(), Message::Register { source: source.into(), texts, limits, reply });
        answer.await.unwrap_or_else(|_| Err(ScriptError::new("the Lua thread ended")))
    }

    /// Runs one function of a block. Never fails as such: whatever happens is in the outcome.
    pub async fn run(&self, call: Call) -> Outcome {
        let (reply, answer) = oneshot::channel();
        self.send(place(call.block.id), Message::Run { call: Box::new(call), reply });
        answer.await.unwrap_or_else(|_| Outcome::refused("the Lua thread ended"))
    }

    /// What is loaded now.
    pub fn stats(&self) -> Stats {
        Stats {
            blocks: self.counters.blocks.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            runs: self.counters.runs.load(Ordering::Relaxed),
        }
    }

    fn send(&self, place: u64, message: Message) {
        let shard = usize::try_from(place % self.shards.len() as u64).unwrap_or(0);
        // A thread that ended drops the reply, which the caller sees.
        let _ = self.shards[shard].send(message);
    }
}

fn place(id: ScriptId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
