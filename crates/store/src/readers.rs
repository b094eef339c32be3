//! Threads that read: redb blocks, so reads never run on threads that actors share.

use crate::queue::{Hurry, Queue};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::sync::oneshot;

/// More than cores, so that a few long scans do not hold up lookups.
const THREADS: usize = 4;

type Task = Box<dyn FnOnce() + Send>;

/// A small pool, usable from any executor.
pub(crate) struct Readers {
    queue: Arc<Queue<Task>>,
}

impl Readers {
    pub(crate) fn start() -> std::io::Result<Self> {
        let readers = Self { queue: Arc::new(Queue::new()) };
        for i in 0..THREADS {
            let queue = readers.queue.clone();
            std::thread::Builder::new().name(format!("store-read-{i}")).spawn(move || work(&queue))?;
        }
        Ok(readers)
    }

    /// What `f` answers; none when it panicked.
    pub(crate) async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (to, answer) = oneshot::channel();
        let task: Task = Box::new(move || drop(to.send(f())));
        // Without a taker the task is dropped, and its sender with it.
        drop(self.queue.push(task, Hurry::Now));
        answer.await.ok()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close(drop);
    }
}

fn work(queue: &Queue<Task>) {
    while let Some(task) = queue.next() {
        if catch_unwind(AssertUnwindSafe(task)).is_err() {
            tracing::error!("a read of the store panicked");
        }
    }
}
