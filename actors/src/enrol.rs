//! At start: each configured node gets its record, its size and its KVM verdict.
//!
//! Thousands of nodes enrol side by side, so that their questions overlap and their records share commits.

use crate::{Core, Error, jobs::chain, system::NodeConfig};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;
use sutler_drivers::Drivers;
use sutler_model::{Cause, Kvm, Node, NodeId, NodeState, Noun};
use sutler_store::ChangeSet;

/// Nodes asked at the same time.
const AT_ONCE: usize = 256;

/// Finds the record of each node by its name, or makes it; tells who runs guests where from now on. The ids, in the
/// given order.
pub(crate) async fn enrol_all(core: &Core, nodes: Vec<NodeConfig>) -> Result<Vec<NodeId>, Error> {
    let mut known = recorded(core).await?;
    let enrolments = nodes.into_iter().map(|config| {
        let record = known.remove(&config.name.to_lowercase());
        async move {
            let node = enrol(core, &config, record).await?;
            core.placement.set_node(&node);
            core.nodes.insert(node.id, config.drivers);
            Ok(node.id)
        }
    });
    stream::iter(enrolments).buffered(AT_ONCE).try_collect().await
}

/// All records by lower-case name, in one read.
async fn recorded(core: &Core) -> Result<HashMap<String, Node>, Error> {
    let ids = core.store.index().all(Noun::Node);
    let read = move |s: &sutler_store::Snapshot| {
        ids.into_iter().filter_map(|id| s.get::<Node>(id).transpose()).collect::<Result<Vec<_>, _>>()
    };
    Ok(core.store.read(read).await?.into_iter().map(|node| (node.name.to_lowercase(), node)).collect())
}

async fn enrol(core: &Core, config: &NodeConfig, known: Option<Node>) -> Result<Node, Error> {
    let capacity = config.drivers.compute.capacity().await;
    let (kvm, kvm_host) = kvm(&config.drivers, known.as_ref()).await;
    config.drivers.compute.use_kvm(kvm == Kvm::Usable);
    let mut node = known.clone().unwrap_or_else(|| new(core, config));
    (node.kvm, node.kvm_host) = (kvm, kvm_host);
    node.uri.clone_from(&config.uri);
    match capacity {
        Ok(capacity) => {
            node.cpus = capacity.cpus;
            node.memory_mib = capacity.memory_mib;
            if node.state == NodeState::Unresponsive {
                node.state = NodeState::Up;
            }
            node.state_reason = None;
        }
        Err(error) => {
            node.state = NodeState::Unresponsive;
            node.state_reason = Some(chain(&error));
        }
    }
    let mut set = ChangeSet::new(Cause::system("start-up"));
    match &known {
        Some(old) if *old == node => return Ok(node),
        Some(old) => set.update(old, &mut node),
        None => set.create(&mut node),
    };
    match (core.store.commit(set).await, known) {
        (Ok(_), _) => Ok(node),
        // A full disk must not keep a controller from starting: reads go on, and the next look records the rest.
        (Err(sutler_store::Error::DiskFull { .. }), Some(old)) => Ok(old),
        (Err(error), _) => Err(error.into()),
    }
}

/// The answer of the self-test, and the host it is for. It is remembered for as long as the host is the same; a tiny guest at each
/// start would only cost time.
async fn kvm(drivers: &Drivers, known: Option<&Node>) -> (Kvm, String) {
    // Which host it is cannot be told: then it is tested at each start.
    let host = drivers.compute.kvm_host().await.unwrap_or_default();
    let remembered = known.filter(|node| node.kvm != Kvm::Unknown && !host.is_empty() && node.kvm_host == host);
    let kvm = match remembered {
        Some(node) => node.kvm.clone(),
        None => drivers.compute.test_kvm().await.unwrap_or(Kvm::Unknown),
    };
    if let Some(before) = known.filter(|node| node.kvm != Kvm::Unknown && node.kvm != kvm) {
        tracing::info!(node = %before.name, before = ?before.kvm, now = ?kvm, "the KVM self-test has another answer than before");
    }
    (kvm, host)
}

fn new(core: &Core, config: &NodeConfig) -> Node {
    let now = core.now();
    Node {
        id: core.new_id(),
        version: 0,
        name: config.name.clone(),
        uri: config.uri.clone(),
        state: NodeState::Unresponsive,
        state_reason: None,
        cpus: 0,
        memory_mib: 0,
        kvm: Kvm::Unknown,
        kvm_host: String::new(),
        seen_at: now,
        created_at: now,
    }
}
