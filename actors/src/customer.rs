//! The customer actor: the point of admission. Decides whether a customer may have one more server or image.
//!
//! Asked by the operations; mailbox of 1024. It counts what the customer holds, so that two requests at the same time
//! cannot both take the last place of a quota. A restart loses only the count, which is made again from the store.
//! What is deleted is not told to it: before it refuses, it counts anew. It refuses for nothing that is not durable: what is on its
//! way may come to nothing, or be the same request under the same key.

use crate::{
    Core, Error,
    family::Family,
    registry::{Ctx, Entity, Handles, LoadError},
};
use std::collections::HashMap;
use sutler_model::{Customer, CustomerId, CustomerStatus, Disk, DiskState, Evidence, Image, Job, Noun, Server};
use sutler_store::{ChangeSet, Committed, Field, Filter, Snapshot};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

/// Something to admit. Refused with [`Error::Quota`] and [`Error::Suspended`].
pub(crate) struct Admit {
    /// The server or image that takes the place.
    pub id: Uuid,
    /// How much it takes.
    pub more: Holdings,
    /// What stores it.
    pub set: ChangeSet,
    /// Whether it was judged before, and what was on its way then has come to rest: a refusal is for good.
    pub again: bool,
}

/// What becomes of something to admit.
pub(crate) enum Verdict {
    /// Admitted. The answer comes once the commit is durable or refused, so that the next admission need not wait for it.
    Admitted(oneshot::Receiver<Result<Committed, sutler_store::Error>>),
    /// There would be no room if all came to be that is on its way: to be judged again when these have closed.
    After(Box<Admit>, Vec<watch::Receiver<()>>),
}

impl Admit {
    /// A server with its disk and the job that builds it.
    pub fn server(server: Server, disk: Disk, mut job: Job) -> Self {
        let (id, at, cause) = (server.id.into(), server.created_at, job.cause.clone());
        let more = Holdings::of(&server, &disk);
        let mut set = ChangeSet::new(cause.clone());
        let mut family = Family { server: Some(server), disks: vec![disk], ..Family::default() };
        Family::default().turn_into(&mut family, at, Evidence::Seen, &cause, &mut set);
        set.create(&mut job);
        Self { id, more, set, again: false }
    }

    /// An image, stored by `set`.
    pub fn image(image: &Image, set: ChangeSet) -> Self {
        let more = Holdings { disk_gib: image.size_gib, ..Holdings::default() };
        Self { id: image.id.into(), more, set, again: false }
    }
}

impl actix::Message for Admit {
    type Result = Result<Verdict, Error>;
}

/// What a customer holds. Its images take disk space like its disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    servers: u64,
    cpus: u64,
    memory_mib: u64,
    disk_gib: u64,
}

impl Holdings {
    /// One server with its disk.
    fn of(server: &Server, disk: &Disk) -> Self {
        Self { servers: 1, cpus: server.cpu.into(), memory_mib: server.memory_mib, disk_gib: disk.size_gib }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            servers: self.servers + other.servers,
            cpus: self.cpus + other.cpus,
            memory_mib: self.memory_mib + other.memory_mib,
            disk_gib: self.disk_gib + other.disk_gib,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            servers: self.servers.saturating_sub(other.servers),
            cpus: self.cpus.saturating_sub(other.cpus),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
            disk_gib: self.disk_gib.saturating_sub(other.disk_gib),
        }
    }

    /// Counts what the store holds for a customer, without the servers and images in `apart`.
    fn count(snapshot: &Snapshot, id: CustomerId, apart: &[Uuid]) -> Result<Self, sutler_store::Error> {
        let mut held = Self::default();
        each::<Server>(snapshot, id, |server| {
            // A failed creation holds nothing but its name.
            if (server.node_id.is_some() || server.job_id.is_some()) && !apart.contains(&server.id.0) {
                held.servers += 1;
                held.cpus += u64::from(server.cpu);
                held.memory_mib += server.memory_mib;
            }
        })?;
        each::<Disk>(snapshot, id, |disk| {
            if disk.state != DiskState::Deleting && !apart.contains(&disk.server_id.0) {
                held.disk_gib += disk.size_gib;
            }
        })?;
        each::<Image>(snapshot, id, |image| {
            // What the provider's staff took in for the customer is theirs to count.
            if image.base.is_some() && !apart.contains(&image.id.0) {
                held.disk_gib += image.size_gib;
            }
        })?;
        Ok(held)
    }
}

fn each<R: sutler_store::Record>(
    snapshot: &Snapshot,
    id: CustomerId,
    mut f: impl FnMut(&R),
) -> Result<(), sutler_store::Error> {
    let filter = Filter::<R>::new().is(Field::Customer, id.0.as_bytes());
    for record in snapshot.records(filter) {
        f(&record?);
    }
    Ok(())
}

/// Whether `more` fits beside `held`.
fn fits(customer: &Customer, held: Holdings, more: Holdings) -> Result<(), Error> {
    if customer.status != CustomerStatus::Active {
        return Err(Error::Suspended);
    }
    let quota = customer.quota;
    for (what, limit, used, asked) in [
        ("servers", u64::from(quota.servers), held.servers, more.servers),
        ("vCPUs", u64::from(quota.cpus), held.cpus, more.cpus),
        ("MiB of memory", quota.memory_mib, held.memory_mib, more.memory_mib),
        ("GiB of disk", quota.disk_gib, held.disk_gib, more.disk_gib),
    ] {
        if used + asked > limit {
            return Err(Error::Quota { what, limit, used, asked });
        }
    }
    Ok(())
}

/// The actor.
pub(crate) struct CustomerActor {
    core: Core,
    customer: Customer,
    held: Holdings,
    /// Admitted, and not known yet to be durable: the store may or may not count them.
    under_way: HashMap<Uuid, UnderWay>,
}

/// What is admitted and not known yet to be durable.
struct UnderWay {
    more: Holdings,
    /// Closes when it is known.
    known: watch::Sender<()>,
}

impl Entity for CustomerActor {
    type Env = Core;
    const KIND: &'static str = "customer";
    const MAILBOX: usize = 1024;

    async fn load(core: Core, id: Uuid) -> Result<Option<Self>, LoadError> {
        let found = read(&core, CustomerId(id), Vec::new()).await.map_err(LoadError::unavailable)?;
        Ok(found.map(|(customer, held)| Self { core, customer, held, under_way: HashMap::new() }))
    }

    fn idle(&self) -> bool {
        true
    }
}

async fn read(
    core: &Core,
    id: CustomerId,
    apart: Vec<Uuid>,
) -> Result<Option<(Customer, Holdings)>, sutler_store::Error> {
    core.store
        .read(move |s| {
            let Some(customer) = s.get::<Customer>(id)? else { return Ok(None) };
            Ok(Some((customer, Holdings::count(s, id, &apart)?)))
        })
        .await
}

impl CustomerActor {
    /// Reads everything anew; the record may be gone.
    async fn refresh(&mut self) -> Result<(), Error> {
        let id = self.customer.id;
        let found = read(&self.core, id, self.under_way.keys().copied().collect()).await?;
        let (customer, counted) = found.ok_or_else(|| Error::NotFound { noun: Noun::Customer, id: id.to_string() })?;
        self.customer = customer;
        self.held = self.under_way.values().fold(counted, |sum, one| sum.plus(one.more));
        Ok(())
    }
}

impl Handles<Admit> for CustomerActor {
    async fn handle(&mut self, ask: Admit, ctx: &Ctx<Self>) -> Result<Verdict, Error> {
        let stored = self.core.store.index().version(Noun::Customer, self.customer.id.into());
        if stored != Some(self.customer.version) || fits(&self.customer, self.held, ask.more).is_err() {
            self.refresh().await?;
        }
        match fits(&self.customer, self.held, ask.more) {
            Err(Error::Quota { .. }) if !ask.again && !self.under_way.is_empty() => {
                let all = self.under_way.values().map(|one| one.known.subscribe()).collect();
                return Ok(Verdict::After(Box::new(ask), all));
            }
            judged => judged?,
        }
        let Admit { id, more, mut set, .. } = ask;
        set.require(&self.customer);
        self.held = self.held.plus(more);
        self.under_way.insert(id, UnderWay { more, known: watch::Sender::new(()) });
        let (answer, answered) = oneshot::channel();
        ctx.spawn(self.core.store.submit(set), move |actor: &mut Self, committed, _: &Ctx<Self>| {
            actor.under_way.remove(&id);
            if committed.is_err() {
                actor.held = actor.held.minus(more);
            }
            // The caller may have gone; what it asked for is admitted all the same.
            let _ = answer.send(committed);
        });
        Ok(Verdict::Admitted(answered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use std::{
        sync::{Condvar, Mutex},
        time::SystemTime,
    };
    use sutler_model::{BillingEntityId, Cause, ImageBase, PlanId, Quota, Timestamp};
    use sutler_store::{Options, Store};

    fn customer(status: CustomerStatus) -> Customer {
        Customer {
            id: CustomerId::new(1, [1; 10]),
            version: 1,
            name: "Analytical Engines".into(),
            billing_entity_id: BillingEntityId::new(1, [2; 10]),
            status,
            plan_id: PlanId::new(1, [3; 10]),
            quota: Quota { servers: 2, cpus: 4, memory_mib: 4096, disk_gib: 100 },
            warning_level: None,
            invoiced_until: Timestamp(0),
            provider_values: Default::default(),
            metadata: None,
            keys: Vec::new(),
            contact: Default::default(),
            created_at: Timestamp(0),
            closed_at: None,
        }
    }

    #[test]
    fn the_last_place_of_a_quota_can_be_taken_and_no_more() {
        let active = customer(CustomerStatus::Active);
        let one = Holdings { servers: 1, cpus: 2, memory_mib: 2048, disk_gib: 50 };
        assert!(fits(&active, one, one).is_ok());
        let Err(Error::Quota { what, limit, used, asked }) = fits(&active, one.plus(one), one) else {
            panic!("the third server must be refused");
        };
        assert_eq!((what, limit, used, asked), ("servers", 2, 2, 1));
        let large = Holdings { servers: 1, cpus: 1, memory_mib: 4097, disk_gib: 1 };
        assert!(matches!(
            fits(&active, Holdings::default(), large),
            Err(Error::Quota { what: "MiB of memory", limit: 4096, used: 0, asked: 4097 })
        ));
    }

    #[test]
    fn a_suspended_customer_gets_nothing() {
        let suspended = customer(CustomerStatus::Suspended);
        let one = Holdings { servers: 1, ..Holdings::default() };
        assert!(matches!(fits(&suspended, Holdings::default(), one), Err(Error::Suspended)));
    }

    /// Whether the store's writer is to be held before its next commit, and whether it is.
    static HELD: (Mutex<(bool, bool)>, Condvar) = (Mutex::new((false, false)), Condvar::new());

    /// Holds the writer in the middle of a commit, so that nothing handed over after this is decided.
    fn hold(store: &Store, mut something: Image) {
        HELD.0.lock().expect("no panic").0 = true;
        let mut set = ChangeSet::new(Cause::system("test"));
        set.create(&mut something);
        drop(store.submit_all([set]));
        let held = HELD.0.lock().expect("no panic");
        drop(HELD.1.wait_while(held, |(_, is)| !*is).expect("no panic"));
    }

    fn let_go() {
        HELD.0.lock().expect("no panic").0 = false;
        HELD.1.notify_all();
    }

    /// The machine's clock. The store's writer looks at it once for each commit, and waits there while it is held.
    fn clock() -> Timestamp {
        if std::thread::current().name() == Some("store-write") {
            let mut held = HELD.0.lock().expect("no panic");
            held.1 = held.0;
            HELD.1.notify_all();
            held = HELD.1.wait_while(held, |(to_be, _)| *to_be).expect("no panic");
            held.1 = false;
        }
        let since = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        Timestamp(i64::try_from(since.as_millis()).expect("not so far"))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_refused_for_what_may_come_to_nothing_or_be_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = Bench::start_by(folder.path(), Bench::settings(), Options { clock, ..Options::default() }).await;
        let quota = Quota { servers: 1, cpus: 1, memory_mib: 1, disk_gib: 1 };
        let patch = crate::CustomerPatch { quota: Some(quota), ..crate::CustomerPatch::default() };
        bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.expect("the quota is set");
        let ask =
            async |admit: Admit| bench.system.inner.customers.ask(bench.customer.into(), admit).await.expect("there");
        let offered: Image = bench.system.store().get(bench.image).await.expect("read").expect("the image");
        let base = ImageBase { noun: Noun::Server, id: Uuid::from_u128(1), name: "web".into() };
        let copy = || Image {
            id: bench.system.core().new_id(),
            name: bench.system.store().new_uuid().to_string(),
            customer_id: Some(bench.customer),
            base: Some(base.clone()),
            ..offered.clone()
        };
        let admit = |mut image: Image| {
            let mut set = ChangeSet::new(Cause::system("test"));
            set.create(&mut image);
            Admit::image(&image, set)
        };
        for comes_to_nothing in [true, false] {
            // One that is there already cannot be made.
            let image = if comes_to_nothing { offered.clone() } else { copy() };
            hold(bench.system.store(), Image { customer_id: None, ..copy() });
            let Ok(Verdict::Admitted(first)) = ask(admit(image)).await else { panic!("there is room") };
            let Ok(Verdict::After(second, others)) = ask(admit(copy())).await else { panic!("it waits for the first") };
            let_go();
            assert_eq!(first.await.expect("an answer").is_err(), comes_to_nothing);
            for mut other in others {
                assert!(other.changed().await.is_err(), "it closes");
            }
            let judged = ask(Admit { again: true, ..*second }).await;
            match comes_to_nothing {
                true => {
                    let Ok(Verdict::Admitted(second)) = judged else { panic!("there is room again") };
                    second.await.expect("an answer").expect("stored");
                }
                false => assert!(matches!(judged, Err(Error::Quota { what: "GiB of disk", .. }))),
            }
            let room = Quota { disk_gib: 2, ..quota };
            let patch = crate::CustomerPatch { quota: Some(room), ..crate::CustomerPatch::default() };
            bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.expect("room for one more");
        }
        bench.stop().await;
    }
}
