//! Which node a server goes to, and why.
//!
//! Counts what is promised to servers, not what guests use at the moment: a server that stopped keeps its place,
//! so that it can always start again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use sutler_model::{Node, NodeId, NodeState, ServerId};

/// vCPUs promised for each real one. Emulated and idle guests share cores well; memory is never overcommitted.
const CPU_OVERCOMMIT: u64 = 4;

/// The book of promises; cheap to clone.
#[derive(Clone, Default)]
pub struct Placement {
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    nodes: HashMap<NodeId, Room>,
    /// Nodes that take servers, by free memory.
    open: BTreeSet<(u64, NodeId)>,
    servers: HashMap<ServerId, Promise>,
}

#[derive(Clone, Copy)]
struct Room {
    cpus: u64,
    memory_mib: u64,
    cpus_used: u64,
    memory_used_mib: u64,
    open: bool,
}

#[derive(Clone, Copy, PartialEq)]
struct Promise {
    node: NodeId,
    cpu: u64,
    memory_mib: u64,
}

impl Room {
    fn free_memory(&self) -> u64 {
        self.memory_mib.saturating_sub(self.memory_used_mib)
    }

    fn fits(&self, cpu: u64, memory_mib: u64) -> bool {
        self.open && self.cpus_used + cpu <= self.cpus * CPU_OVERCOMMIT && self.free_memory() >= memory_mib
    }
}

impl Placement {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a node's size and state into the book.
    pub fn set_node(&self, node: &Node) {
        let mut book = self.book();
        let room = book.nodes.entry(node.id).or_insert(Room {
            cpus: 0,
            memory_mib: 0,
            cpus_used: 0,
            memory_used_mib: 0,
            open: false,
        });
        let before = (room.free_memory(), node.id);
        room.cpus = node.cpus.into();
        room.memory_mib = node.memory_mib;
        room.open = node.state == NodeState::Up;
        let after = room.open.then(|| (room.free_memory(), node.id));
        book.open.remove(&before);
        book.open.extend(after);
    }

    /// Takes a server that has its node already into the book.
    pub fn hold(&self, server: ServerId, node: NodeId, cpu: u32, memory_mib: u64) {
        let mut book = self.book();
        book.release(server);
        book.promise(server, Promise { node, cpu: cpu.into(), memory_mib });
    }

    /// Promises room on the node with the most free memory that fits. The same server gets the same answer again.
    pub fn reserve(&self, server: ServerId, cpu: u32, memory_mib: u64) -> Option<NodeId> {
        let mut book = self.book();
        if let Some(promise) = book.servers.get(&server) {
            return Some(promise.node);
        }
        let cpu = u64::from(cpu);
        let node = book
            .open
            .range((memory_mib, NodeId::from(uuid::Uuid::nil()))..)
            .rev()
            .map(|(_, id)| *id)
            .find(|id| book.nodes[id].fits(cpu, memory_mib))?;
        book.promise(server, Promise { node, cpu, memory_mib });
        Some(node)
    }

    /// Gives a server's room back.
    pub fn release(&self, server: ServerId) {
        self.book().release(server);
    }

    /// Promised and whole vCPUs and memory (MiB) of a node.
    pub fn usage(&self, node: NodeId) -> Option<[u64; 4]> {
        let book = self.book();
        book.nodes.get(&node).map(|r| [r.cpus_used, r.cpus * CPU_OVERCOMMIT, r.memory_used_mib, r.memory_mib])
    }
}

impl Book {
    fn promise(&mut self, server: ServerId, promise: Promise) {
        self.servers.insert(server, promise);
        self.change(promise.node, |room| {
            room.cpus_used += promise.cpu;
            room.memory_used_mib += promise.memory_mib;
        });
    }

    fn release(&mut self, server: ServerId) {
        let Some(promise) = self.servers.remove(&server) else { return };
        self.change(promise.node, |room| {
            room.cpus_used -= promise.cpu;
            room.memory_used_mib -= promise.memory_mib;
        });
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Room)) {
        // A node that is not configured in this process still holds its servers' promises.
        let closed = Room { cpus: 0, memory_mib: 0, cpus_used: 0, memory_used_mib: 0, open: false };
        let room = self.nodes.entry(node).or_insert(closed);
        let before = room.free_memory();
        change(room);
        let (after, open) = (room.free_memory(), room.open);
        if open {
            self.open.remove(&(before, node));
            self.open.insert((after, node));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::{Kvm, Timestamp};

    fn node(n: u8, cpus: u32, memory_mib: u64, state: NodeState) -> Node {
        Node {
            id: NodeId::new(1, [n; 10]),
            version: 1,
            name: format!("node-{n}"),
            uri: String::new(),
            state,
            state_reason: None,
            cpus,
            memory_mib,
            kvm: Kvm::Unknown,
            kvm_host: String::new(),
            seen_at: Timestamp(0),
            created_at: Timestamp(0),
        }
    }

    fn server(n: u8) -> ServerId {
        ServerId::new(2, [n; 10])
    }

    #[test]
    fn the_emptiest_node_that_fits_gets_the_server() {
        let placement = Placement::default();
        let (small, large) = (node(1, 2, 1024, NodeState::Up), node(2, 2, 4096, NodeState::Up));
        placement.set_node(&small);
        placement.set_node(&large);
        assert_eq!(placement.reserve(server(1), 1, 3500), Some(large.id));
        assert_eq!(placement.reserve(server(2), 1, 600), Some(small.id));
        assert_eq!(placement.reserve(server(3), 1, 600), None, "596 MiB are free on the large node, 424 on the small");
        assert_eq!(placement.reserve(server(1), 1, 3500), Some(large.id), "asking again changes nothing");
        placement.release(server(1));
        assert_eq!(placement.reserve(server(3), 1, 600), Some(large.id));
    }

    #[test]
    fn a_node_that_does_not_answer_takes_nothing_and_keeps_its_servers() {
        let placement = Placement::default();
        let mut only = node(1, 1, 1024, NodeState::Up);
        placement.set_node(&only);
        assert_eq!(placement.reserve(server(1), 4, 512), Some(only.id));
        assert_eq!(placement.reserve(server(2), 1, 128), None, "four vCPUs are promised on one core");
        only.state = NodeState::Unresponsive;
        placement.set_node(&only);
        placement.release(server(1));
        assert_eq!(placement.reserve(server(2), 1, 128), None);
        only.state = NodeState::Up;
        placement.set_node(&only);
        assert_eq!(placement.usage(only.id), Some([0, 4, 0, 1024]));
        assert_eq!(placement.reserve(server(2), 1, 128), Some(only.id));
    }
}
