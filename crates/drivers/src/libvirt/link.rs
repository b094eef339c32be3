//! The connection to libvirt: kept, lost, and made anew.
//!
//! ```text
//!            open ──► connected ──closed by the other side──► lost ──► (back-off, open) ──► connected
//!  events:            Connected                               Disconnected                  Connected
//! ```
//!
//! Each call has a connection to the daemon for itself while it runs. The client library lets the first thread that waits on
//! a connection do the sending for all others, and before version 9.2 it may miss that another has come: beside a call that
//! a frozen monitor holds up, one after the other waited until the next sign of life ([`KEEP_ALIVE_S`]).

use super::ffi;
use crate::compute::{GuestState, NodeEvent, SeenGuest};
use std::{
    ffi::c_int,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use sutler_model::ServerId;
use tokio::sync::broadcast;
use uuid::Uuid;
use virt::{connect::Connect, error::Error, sys};

/// Between attempts to connect anew: short at first, for a daemon that restarts; then spare.
const BACK_OFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// A silent daemon is given up after this many seconds times [`KEEP_ALIVE_COUNT`].
const KEEP_ALIVE_S: i32 = 5;
const KEEP_ALIVE_COUNT: u32 = 3;
/// Connections kept for calls to come: as many as there are threads for them.
const SPARE: usize = 8;
/// Events kept for a slow reader.
const EVENT_BACKLOG: usize = 1024;

/// A live connection with its registrations.
pub(super) struct Live {
    pub(super) connect: Connect,
    /// Counts the connections of this process.
    pub(super) number: u64,
    lifecycle: c_int,
    watched: bool,
    /// Where further connections are made; none for a driver in this process, which has one for all.
    uri: Option<String>,
    spare: Mutex<Vec<Connect>>,
}

impl Live {
    fn spare(&self) -> MutexGuard<'_, Vec<Connect>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for one call, which may wait for the daemon.
    pub(super) fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let spare = self.spare().pop();
        let connect = match (&self.uri, spare) {
            (None, _) => self.connect.clone(),
            (Some(_), Some(spare)) => spare,
            (Some(uri), None) => {
                let connect = Connect::open(Some(uri))?;
                connect.set_keep_alive(KEEP_ALIVE_S, KEEP_ALIVE_COUNT)?;
                connect
            }
        };
        Ok(Lease { connect, from: self.clone() })
    }
}

/// A connection that one call has for itself. Given back when dropped, unless it is dead.
pub(super) struct Lease {
    pub(super) connect: Connect,
    from: Arc<Live>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.from.uri.is_some() && self.connect.is_alive().unwrap_or(false) {
            let mut spare = self.from.spare();
            if spare.len() < SPARE {
                spare.push(self.connect.clone());
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A registration holds a reference, which would keep the connection open.
        if let Err(error) = ffi::off_lifecycle(&self.connect, self.lifecycle) {
            tracing::debug!(%error, "libvirt no longer knew our registration");
        }
        if self.watched {
            ffi::off_close(&self.connect);
        }
    }
}

/// The connection of one node.
pub(super) struct Link {
    uri: String,
    /// A daemon may go away and come back; what runs in this process does not.
    daemon: bool,
    current: Mutex<Option<Arc<Live>>>,
    events: broadcast::Sender<NodeEvent>,
}

impl Link {
    /// Connects. A daemon that is not there is waited for in the background.
    pub(super) fn open(uri: &str, daemon: bool) -> Result<Arc<Self>, Error> {
        ffi::start_event_loop()?;
        let events = broadcast::channel(EVENT_BACKLOG).0;
        let link = Arc::new(Self { uri: uri.into(), daemon, current: Mutex::new(None), events });
        match link.connect() {
            Ok(live) => *link.current() = Some(live),
            Err(error) if daemon => {
                tracing::warn!(uri, %error, "libvirt is not there yet; trying on");
                link.reconnect();
            }
            Err(error) => return Err(error),
        }
        Ok(link)
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Live>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, while there is one.
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.current().clone()
    }

    pub(super) fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.events.subscribe()
    }

    pub(super) fn tell(&self, event: NodeEvent) {
        // No listener is no fault.
        let _ = self.events.send(event);
    }

    fn connect(self: &Arc<Self>) -> Result<Arc<Live>, Error> {
        let connect = Connect::open(Some(&self.uri))?;
        let weak = Arc::downgrade(self);
        let to = weak.clone();
        let lifecycle = ffi::on_lifecycle(
            &connect,
            Box::new(move |uuid, event, detail| {
                if let (Some(link), Some(event)) = (to.upgrade(), seen(uuid, event, detail)) {
                    link.tell(event);
                }
            }),
        )?;
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let uri = self.daemon.then(|| self.uri.clone());
        let mut live = Live { connect, number, lifecycle, watched: false, uri, spare: Mutex::default() };
        if self.daemon {
            ffi::on_close(&live.connect, Box::new(move |reason| closed(&weak, reason)))?;
            live.watched = true;
            live.connect.set_keep_alive(KEEP_ALIVE_S, KEEP_ALIVE_COUNT)?;
        }
        Ok(Arc::new(live))
    }

    /// Gives a connection up that turned out dead, and begins to make it anew.
    pub(super) fn lost(self: &Arc<Self>, which: Option<&Arc<Live>>, why: &str) {
        let old = {
            let mut current = self.current();
            match (&*current, which) {
                (Some(now), Some(which)) if !Arc::ptr_eq(now, which) => return,
                _ => current.take(),
            }
        };
        let Some(old) = old else { return };
        self.tell(NodeEvent::Disconnected(why.into()));
        // Closing talks to the daemon, which may hang: not on this thread, which may be the event loop.
        let _ = std::thread::Builder::new().name("libvirt-close".into()).spawn(move || drop(old));
        self.reconnect();
    }

    fn reconnect(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let work = move || {
            let mut waits = BACK_OFF.into_iter().chain(std::iter::repeat(BACK_OFF[BACK_OFF.len() - 1]));
            loop {
                std::thread::sleep(waits.next().unwrap_or_default());
                let Some(link) = weak.upgrade() else { return };
                match link.connect() {
                    Ok(live) => {
                        *link.current() = Some(live);
                        return link.tell(NodeEvent::Connected);
                    }
                    Err(error) => tracing::debug!(uri = link.uri, %error, "libvirt is not back yet"),
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("libvirt-connect".into()).spawn(work) {
            tracing::error!(%error, "no thread to reconnect to libvirt");
        }
    }
}

fn closed(link: &Weak<Link>, reason: c_int) {
    let why = match reason.unsigned_abs() {
        sys::VIR_CONNECT_CLOSE_REASON_EOF => "libvirt closed the connection",
        sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE => "libvirt stopped answering",
        sys::VIR_CONNECT_CLOSE_REASON_CLIENT => return,
        _ => "the connection to libvirt failed",
    };
    if let Some(link) = link.upgrade() {
        link.lost(None, why);
    }
}

/// What a lifecycle event says about a guest; none when it says nothing of its state.
fn seen(uuid: Uuid, event: u32, detail: c_int) -> Option<NodeEvent> {
    let state = match event {
        sys::VIR_DOMAIN_EVENT_STARTED | sys::VIR_DOMAIN_EVENT_RESUMED => GuestState::Running,
        sys::VIR_DOMAIN_EVENT_SUSPENDED | sys::VIR_DOMAIN_EVENT_PMSUSPENDED => GuestState::Paused,
        sys::VIR_DOMAIN_EVENT_CRASHED => GuestState::Crashed,
        sys::VIR_DOMAIN_EVENT_STOPPED => match detail.unsigned_abs() {
            // A QEMU that was killed says so.
            sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED | sys::VIR_DOMAIN_EVENT_STOPPED_FAILED => GuestState::Crashed,
            _ => GuestState::Stopped,
        },
        _ => return None,
    };
    Some(NodeEvent::Guest(SeenGuest { id: ServerId(uuid), state }))
}
