//! What the tests of this crate stand on: a system over a simulated world, a provider with one customer, and waits.

use crate::{
    ActionAsked, Caller, Error, Idempotency, ImageSource, NewCustomer, NewImageOf, NewProvider, ServerAction, Settings,
    Setup, System, system::NodeConfig,
};
use std::{path::Path, time::Duration};
use sutler_drivers::{
    Drivers,
    simulated::{Config, Simulated},
};
use sutler_model::{
    Boot, Cause, Customer, CustomerId, Disk, Image, ImageId, ImageState, Interval, Invoice, InvoiceId, Job, JobId,
    NewServer, Permission, Plan, Quota, Role, Scope, Server, ServerId, Timestamp,
};
use sutler_store::{ChangeSet, Filter, Options, Record, Store};
use tempfile::TempDir;
use uuid::Uuid;

/// Longer than any state takes to be reached, also on a busy machine.
pub(crate) const FAR: Duration = Duration::from_secs(60);

/// A running system with all that a test asks of it.
pub(crate) struct Bench {
    pub(crate) system: System,
    pub(crate) world: Simulated,
    pub(crate) caller: Caller,
    pub(crate) customer: CustomerId,
    pub(crate) image: ImageId,
    _folder: Option<TempDir>,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut bench = Self::start_in(folder.path()).await;
        bench._folder = Some(folder);
        bench
    }

    /// Starts on a folder that may hold an earlier run.
    pub(crate) async fn start_in(root: &Path) -> Self {
        Self::start_with(root, Self::settings()).await
    }

    /// Settings that let a test see quickly what comes of what.
    pub(crate) fn settings() -> Settings {
        Settings { node_poll_ms: 50, retry_base_ms: 1, ..Settings::default() }
    }

    pub(crate) async fn start_with(root: &Path, settings: Settings) -> Self {
        Self::start_by(root, settings, Options::default()).await
    }

    /// Starts by the clock of the options.
    pub(crate) async fn start_by(root: &Path, settings: Settings, options: Options) -> Self {
        Self::start_on(root, settings, options, |drivers| drivers).await
    }

    /// Starts on drivers that a test has put something in front of.
    pub(crate) async fn start_on(
        root: &Path,
        settings: Settings,
        options: Options,
        on: impl Fn(Drivers) -> Drivers,
    ) -> Self {
        Self::start_nodes(root, settings, options, 1, on).await
    }

    /// The same with several nodes.
    pub(crate) async fn start_nodes(
        root: &Path,
        settings: Settings,
        options: Options,
        nodes: usize,
        on: impl Fn(Drivers) -> Drivers,
    ) -> Self {
        std::fs::create_dir_all(root).expect("the folder");
        let store = Store::open(&root.join("store.redb"), options).expect("the store opens");
        let file = Some(root.join("world.jsonl"));
        let world = Simulated::new(Config { file, deadline_ms: 100, ..Config::default() }).expect("the world");
        let node = |name: &str, on: &dyn Fn(Drivers) -> Drivers| NodeConfig {
            name: name.into(),
            uri: format!("simulated:///{name}"),
            drivers: on(world.drivers(name)),
        };
        let nodes = (1..=nodes).map(|n| node(&format!("node-{n}"), &on)).collect();
        let setup = Setup { store, nodes, settings, simulated: Some(world.clone()), arbiters: 2 };
        let system = System::start(setup).await.expect("the system starts");
        let new = NewProvider {
            name: "Provider".into(),
            currency: "EUR".parse().expect("a currency"),
            admin_email: "admin@example.org".into(),
            password_hash: "none".into(),
        };
        system.bootstrap(new).await.expect("the provider");
        let plan = all::<Plan>(&system).await.remove(0);
        let caller = caller(&plan, Role::ProviderAdmin, Scope::Provider, None);
        let customer = match all::<Customer>(&system).await.first() {
            Some(customer) => customer.id,
            None => system.create_customer(&caller, new_customer("Customer", &plan)).await.expect("the customer").id,
        };
        let image = match all::<Image>(&system).await.first() {
            Some(image) => image.id,
            None => add_image(&system, &plan).await,
        };
        Self { system, world, caller, customer, image, _folder: None }
    }

    pub(crate) async fn stop(&self) {
        self.system.stop().await;
        self.system.store().close().await;
    }

    pub(crate) fn new_server(&self, name: &str, start: bool) -> NewServer {
        NewServer {
            name: name.into(),
            cpu: 2,
            memory_mib: 1024,
            disk_gib: 10,
            image_id: self.image,
            start,
            user_data: None,
            ssh_keys: Vec::new(),
            keys: Vec::new(),
            provider_values: Default::default(),
        }
    }

    /// Asks for a server; the key is the name, so that asking again gets the same job.
    pub(crate) async fn create(&self, name: &str, start: bool) -> Job {
        let new = self.new_server(name, start);
        let key = Idempotency { key: format!("create-{name}"), request_hash: "same".into() };
        self.system.create_server(&self.caller, self.customer, new, Some(key)).await.expect("accepted")
    }

    pub(crate) async fn act(&self, id: ServerId, action: ServerAction, key: &str) -> Job {
        let key = Idempotency { key: key.into(), request_hash: "same".into() };
        let asked = ActionAsked { key: Some(key), ..ActionAsked::default() };
        self.system.act_on_server(&self.caller, id, action, asked).await.expect("accepted")
    }

    /// Asks for an image of a server or disk.
    pub(crate) async fn image_of(&self, source: ImageSource, name: &str, key: &str) -> Result<Job, Error> {
        let key = Idempotency { key: key.into(), request_hash: "same".into() };
        self.system.create_image(&self.caller, new_image(source, name), None, Some(key)).await
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, id: JobId) -> Job {
        let mut last = None;
        self.until(async || {
            last = self.system.store().get::<Job>(id).await.expect("the job is read");
            last.as_ref().is_some_and(|job| job.state.is_final())
        })
        .await;
        last.expect("the job is there")
    }

    /// Waits until `holds`, looking again after each commit.
    pub(crate) async fn until(&self, mut holds: impl AsyncFnMut() -> bool) {
        let mut feed = self.system.store().watch();
        let wait = async {
            while !holds().await {
                // Not everything a test waits for is a commit.
                let _ = tokio::time::timeout(Duration::from_millis(50), feed.changed()).await;
            }
        };
        tokio::time::timeout(FAR, wait).await.expect("the state is reached");
    }

    pub(crate) async fn server(&self, name: &str) -> Option<Server> {
        all::<Server>(&self.system).await.into_iter().find(|s| s.name == name)
    }

    pub(crate) async fn disks(&self) -> Vec<Disk> {
        all(&self.system).await
    }

    pub(crate) async fn jobs(&self) -> Vec<Job> {
        all(&self.system).await
    }

    pub(crate) async fn intervals(&self) -> Vec<Interval> {
        all(&self.system).await
    }

    /// The meters that run, by name.
    pub(crate) async fn open_meters(&self) -> Vec<&'static str> {
        let mut open: Vec<_> =
            self.intervals().await.iter().filter(|i| i.end.is_none()).map(|i| i.key.meter.name()).collect();
        open.sort_unstable();
        open
    }

    /// Stores an invoice of a customer over an amount, as if a period had been closed.
    pub(crate) async fn invoice(
        &self,
        customer: CustomerId,
        number: u64,
        total: &str,
        issued_at: Timestamp,
    ) -> InvoiceId {
        let mut invoice = Invoice {
            id: self.system.core().new_id(),
            version: 0,
            number: Some(number),
            billing_entity_id: self.caller.billing_entity_id,
            customer_id: customer,
            issued_at,
            ..drawn_up(total)
        };
        let mut set = ChangeSet::new(Cause::system("test"));
        set.create(&mut invoice);
        self.system.store().commit(set).await.expect("the invoice");
        invoice.id
    }

    /// Memory promised on all nodes, MiB.
    pub(crate) fn promised(&self) -> u64 {
        let core = self.system.core();
        core.nodes.ids().into_iter().filter_map(|id| core.placement.usage(id)).map(|[_, _, memory, _]| memory).sum()
    }
}

/// Every record of a noun.
pub(crate) async fn all<R: Record>(system: &System) -> Vec<R> {
    system.store().read(|s| s.all(Filter::new())).await.expect("the records are read")
}

/// A caller of the provider's entity.
pub(crate) fn caller(plan: &Plan, role: Role, scope: Scope, customer_id: Option<CustomerId>) -> Caller {
    Caller {
        user_id: None,
        scope,
        role,
        permissions: Permission::ALL.into_iter().filter(|p| role.allows(*p)).collect(),
        billing_entity_id: plan.billing_entity_id,
        customer_id,
        cause: Cause::system("test"),
        request: None,
    }
}

pub(crate) fn new_customer(name: &str, plan: &Plan) -> NewCustomer {
    NewCustomer {
        name: name.into(),
        billing_entity_id: plan.billing_entity_id,
        plan_id: plan.id,
        quota: Some(Quota { servers: 1000, cpus: 10_000, memory_mib: 1 << 30, disk_gib: 1 << 20 }),
        keys: Vec::new(),
        contact: Default::default(),
    }
}

/// An invoice over an amount as it is drawn up, of nobody in particular.
pub(crate) fn drawn_up(total: &str) -> Invoice {
    let id = Uuid::from_u128(1);
    Invoice {
        id: id.into(),
        version: 1,
        number: None,
        billing_entity_id: id.into(),
        customer_id: id.into(),
        from: Timestamp(0),
        to: Timestamp(1),
        currency: "EUR".parse().expect("a currency"),
        lines: Vec::new(),
        charges: Vec::new(),
        total: total.parse().expect("an amount"),
        tax: None,
        issued_at: Timestamp(1),
    }
}

pub(crate) fn new_image(source: ImageSource, name: &str) -> NewImageOf {
    NewImageOf { id: None, name: name.into(), source, owner_permission: None, user_permission: None }
}

async fn add_image(system: &System, plan: &Plan) -> ImageId {
    let mut image = Image {
        id: system.core().new_id(),
        version: 0,
        name: "tiny".into(),
        billing_entity_id: plan.billing_entity_id,
        customer_id: None,
        storage_key: "tiny.qcow2".into(),
        size_gib: 1,
        sha256: String::new(),
        boot: Boot::Disk,
        memory_mib_min: 32,
        state: ImageState::Ready,
        base: None,
        owner_permission: Default::default(),
        user_permission: Default::default(),
        retired_at: None,
        keys: Vec::new(),
        metadata: None,
        created_at: Timestamp(0),
    };
    // The simulated storage clones only what was taken in.
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut boot_sector = [0_u8; 512];
    boot_sector[510..].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(file.path(), boot_sector).expect("written");
    for storage in system.core().nodes.storages() {
        storage.import_image(&image.storage_key, file.path()).await.expect("the image is taken in");
    }
    let mut set = ChangeSet::new(Cause::system("test"));
    set.create(&mut image);
    system.store().commit(set).await.expect("the image");
    image.id
}
