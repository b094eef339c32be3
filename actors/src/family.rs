//! A server with all that changes together with it: its disks, its open intervals of use, and the image that a job makes of it.
//!
//! This is the one way in which servers and disks are written, so the intervals are always committed with the state
//! change that bounds them. Those of pluggable resources are written where their providers' functions end
//! (`ops/pluggable.rs`).

use sutler_model::{
    Cause, Disk, DiskId, Evidence, Image, Interval, Job, JobInput, Server, ServerId, ServerState, Timestamp,
};
use sutler_rating::meters::{self, Turn};
use sutler_store::{ChangeSet, Field, Filter, Snapshot};
use uuid::Uuid;

/// A server, its disks and its open intervals, as of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// The server; none once it is deleted.
    pub server: Option<Server>,
    /// Its disks, by index; deleted ones stay until their grace period is over.
    pub disks: Vec<Disk>,
    /// Open intervals of the server and its disks.
    pub open: Vec<Interval>,
    /// The image that the job at work makes; none for other jobs.
    pub image: Option<Image>,
}

impl Family {
    /// Reads the family of a server.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(snapshot: &Snapshot, id: ServerId) -> Result<Self, sutler_store::Error> {
        let server = snapshot.get::<Server>(id)?;
        let mut disks = snapshot.all(Filter::<Disk>::new().is(Field::Subject, id.0.as_bytes()))?;
        disks.sort_by_key(|disk| disk.index);
        let mut open = open_intervals(snapshot, id.into())?;
        for disk in &disks {
            open.extend(open_intervals(snapshot, disk.id.into())?);
        }
        Ok(Self { server, disks, open, image: None })
    }

    /// Reads what a job works on.
    ///
    /// # Errors
    /// Those of the store.
    pub fn of_job(snapshot: &Snapshot, job: &Job) -> Result<Self, sutler_store::Error> {
        let mut family = match job.input.server_id() {
            Some(server) => Self::load(snapshot, server)?,
            None => Self::default(),
        };
        if let JobInput::CreateImage { image_id, .. } = job.input {
            family.image = snapshot.get(image_id)?;
        }
        Ok(family)
    }

    /// A disk of the family.
    pub fn disk_mut(&mut self, id: DiskId) -> Option<&mut Disk> {
        self.disks.iter_mut().find(|disk| disk.id == id)
    }

    /// Puts the server into a state, with the reason when it is not as wanted.
    pub fn enter(&mut self, state: ServerState, at: Timestamp, reason: Option<String>) {
        let Some(server) = &mut self.server else { return };
        if server.state != state {
            server.state_since = meters::moment(Some(server), at);
        }
        if matches!(state, ServerState::Stopped | ServerState::Deleting | ServerState::Error) {
            // It was for the run that is over.
            server.runtime_metadata = None;
        }
        server.state = state;
        server.state_reason = reason;
    }

    /// Adds to `set` what leads from `self` to `new`, with the intervals that the change closes and opens. `evidence`
    /// says how the end of what closes is known, and `at` when it was. Afterwards `new` is as it will be stored.
    pub fn turn_into(&self, new: &mut Self, at: Timestamp, evidence: Evidence, cause: &Cause, set: &mut ChangeSet) {
        let mut turns =
            vec![meters::on_server_change(self.server.as_ref(), new.server.as_ref(), at, evidence, &self.open, cause)];
        let gone = self.disks.iter().filter(|old| !new.disks.iter().any(|disk| disk.id == old.id));
        turns.extend(gone.map(|old| meters::on_disk_change(Some(old), None, at, evidence, &self.open, cause)));
        turns.extend(new.disks.iter().map(|disk| {
            let old = self.disks.iter().find(|old| old.id == disk.id);
            meters::on_disk_change(old, Some(disk), at, evidence, &self.open, cause)
        }));

        put(set, self.server.as_ref(), new.server.as_mut());
        put(set, self.image.as_ref(), new.image.as_mut());
        for old in self.disks.iter().filter(|old| !new.disks.iter().any(|disk| disk.id == old.id)) {
            set.delete(old);
        }
        for disk in &mut new.disks {
            put(set, self.disks.iter().find(|old| old.id == disk.id), Some(disk));
        }
        new.open.clone_from(&self.open);
        for turn in turns {
            new.take(turn, set);
        }
    }

    /// Adds to `set` what a turn closes and opens, and takes it in.
    pub(crate) fn take(&mut self, turn: Turn, set: &mut ChangeSet) {
        for (old, pieces) in turn.closed {
            self.open.retain(|open| open.key != old.key);
            let mut pieces = pieces.into_iter();
            if let Some(mut first) = pieces.next() {
                set.update(&old, &mut first);
                self.open.extend(first.end.is_none().then_some(first));
            }
            for mut piece in pieces {
                set.create(&mut piece);
            }
        }
        for mut opened in turn.opened {
            set.create(&mut opened);
            self.open.push(opened);
        }
    }
}

/// The open intervals of a resource.
///
/// # Errors
/// Those of the store.
pub(crate) fn open_intervals(snapshot: &Snapshot, resource: Uuid) -> Result<Vec<Interval>, sutler_store::Error> {
    let filter = Filter::<Interval>::new().is(Field::Subject, resource.as_bytes()).is(Field::Pending, b"1");
    snapshot.all(filter)
}

/// Adds what leads from `old` to `new`; nothing when they are equal.
fn put<R: sutler_store::Record + PartialEq>(set: &mut ChangeSet, old: Option<&R>, new: Option<&mut R>) {
    match (old, new) {
        (None, Some(new)) => {
            set.create(new);
        }
        (Some(old), Some(new)) if old != new => {
            set.update(old, new);
        }
        (Some(old), None) => {
            set.delete(old);
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}
