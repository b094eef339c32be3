//! Servers: create, act, change, console.

use super::{
    jobs::{or_earlier, take_key},
    race::{again, go_on},
    reach::{merged_keys, missing, unchanged, valid},
};
use crate::{
    ActionAsked, Caller, Error, Idempotency, ServerAction, ServerPatch, System,
    customer::{Admit, Verdict},
    family::Family,
    scripts::Decided,
    server::new_job,
};
use sutler_drivers::compute::Console;
use sutler_model::{
    Customer, CustomerId, CustomerStatus, Disk, DiskState, Evidence, FieldError, Image, ImagePermission, ImageState,
    Job, JobInput, NewServer, Nic, Noun, Permission, ResourceMetadata, Server, ServerId, ServerState, Timestamp,
    TriggerType, Wanted, validate,
};
use sutler_store::ChangeSet;

impl System {
    /// Accepts a server and the job that builds it. PRE triggers may change or refuse it.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Quota`], [`Error::Suspended`],
    /// [`Error::Refused`], [`Error::Taken`], [`Error::KeyReused`], [`Error::Busy`].
    pub async fn create_server(
        &self,
        caller: &Caller,
        customer: CustomerId,
        new: NewServer,
        key: Option<Idempotency>,
    ) -> Result<Job, Error> {
        self.create_server_at(caller, customer, new, None, key).await
    }

    /// The same, built at a later time. Its name and its part of the quota are taken at once.
    ///
    /// # Errors
    /// As [`System::create_server`]; [`Error::Invalid`] for a time too far away.
    pub async fn create_server_at(
        &self,
        caller: &Caller,
        customer: CustomerId,
        new: NewServer,
        start_at: Option<Timestamp>,
        key: Option<Idempotency>,
    ) -> Result<Job, Error> {
        self.create_server_with(caller, customer, new, ResourceMetadata::default(), start_at, key).await
    }

    /// The same with metadata on it from the start.
    ///
    /// # Errors
    /// As [`System::create_server_at`]; [`Error::Invalid`] for metadata that is too long or no XML.
    pub(crate) async fn create_server_with(
        &self,
        caller: &Caller,
        customer: CustomerId,
        new: NewServer,
        metadata: ResourceMetadata,
        start_at: Option<Timestamp>,
        key: Option<Idempotency>,
    ) -> Result<Job, Error> {
        let start_at = self.later(start_at)?;
        caller.must(Permission::ServersWrite)?;
        let mut problems = new.problems();
        problems.extend(super::metadata_problems(&metadata));
        // A name that is none of a host may be mended by a trigger; it is judged when they have all had their say.
        if self.inner.scripts.awaits(TriggerType::PreCreate, "SERVER") && validate::name("name", &new.name).is_ok() {
            problems.retain(|problem| problem.field != "name");
        }
        let customer = self.customer(caller, customer).await?;
        // Before the name is judged: the trigger that mended it then may be gone by now.
        if let Some(job) = self.earlier_job(&customer, caller.user_id, key.as_ref()).await? {
            return Ok(job);
        }
        valid(problems)?;
        let accepted = self.accept_server(caller, &customer, &new, metadata, start_at, key.as_ref()).await;
        or_earlier(accepted, self.earlier_job(&customer, caller.user_id, key.as_ref())).await
    }

    async fn accept_server(
        &self,
        caller: &Caller,
        customer: &Customer,
        new: &NewServer,
        metadata: ResourceMetadata,
        start_at: Option<Timestamp>,
        key: Option<&Idempotency>,
    ) -> Result<Job, Error> {
        self.room_for_a_job()?;
        let image = self.image_for(customer, new.image_id).await?;
        let may = image.permission_of(customer.id);
        let without = |what| Error::ImagePermission { image: image.name.clone(), what };
        if caller.role.is_customer() && !may.can_create_server {
            return Err(without("make servers from it"));
        }
        if caller.role.is_customer() && new.start && !may.can_start {
            return Err(without("start servers made from it"));
        }
        fits_image(new, &image)?;

        let (mut server, mut disk) = self.draft(caller, customer, new);
        server.metadata = (!metadata.is_empty()).then(|| Box::new(metadata));
        server.provider_values = self.first_values(caller, &server, &new.provider_values).await?;
        let _decided = self.inner.scripts.before_server(caller, &mut server, &mut disk).await?;
        if server.name != new.name && disk.name == boot_disk_name(&new.name) {
            disk.name = boot_disk_name(&server.name);
        }
        // A trigger's changes are held to the same rules as the caller's.
        let changed = NewServer {
            name: server.name.clone(),
            cpu: server.cpu,
            memory_mib: server.memory_mib,
            disk_gib: disk.size_gib,
            user_data: server.user_data.clone(),
            keys: server.keys.clone(),
            ..new.clone()
        };
        valid(changed.problems())?;
        fits_image(&changed, &image)?;

        let input = JobInput::CreateServer { server_id: server.id, disk_id: disk.id, start: new.start };
        let mut job = new_job(&self.inner.core, &server, input, caller.cause.clone(), caller.user_id);
        take_key(&mut job, key);
        self.put_off(&mut job, start_at);
        let _accepted = self.inner.scripts.before_acceptance(&caller.into(), &job).await?;
        server.job_id = Some(job.id);
        let server_id = server.id;
        // It is admitted by the customer's record, which may have changed when it comes to the commit.
        again(None, async || {
            let admit = Admit::server(server.clone(), disk.clone(), job.clone());
            Ok(self.admit(customer.id, admit).await??)
        })
        .await?;
        job.version = 1;
        self.begin(server_id, &job);
        Ok(job)
    }

    /// Accepts a job that acts on a server. Jobs of one server run one after another.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`], [`Error::Suspended`], [`Error::Stale`],
    /// [`Error::KeyReused`], [`Error::Busy`], [`Error::Invalid`] for a time too far away and for metadata that is too long or no
    /// XML. A repeat under the key of a job gets that job, also when the server is gone by then.
    pub async fn act_on_server(
        &self,
        caller: &Caller,
        id: ServerId,
        action: ServerAction,
        asked: ActionAsked,
    ) -> Result<Job, Error> {
        let key = asked.key.clone();
        let accepted = self.accept_action(caller, id, action, asked).await;
        or_earlier(accepted, self.earlier_job_about(caller, (Noun::Server, id.into()), key.as_ref())).await
    }

    async fn accept_action(
        &self,
        caller: &Caller,
        id: ServerId,
        action: ServerAction,
        ActionAsked { if_match, start_at, metadata, key }: ActionAsked,
    ) -> Result<Job, Error> {
        let begins = matches!(action, ServerAction::Start | ServerAction::Reboot { force: false });
        let metadata = metadata.filter(|kept| begins && !kept.is_empty());
        valid(metadata.iter().flat_map(super::metadata::problems))?;
        let start_at = self.later(start_at)?;
        caller.must(Permission::ServersWrite)?;
        again(if_match, async || {
            let mut family = self.store().read(move |s| Family::load(s, id)).await?;
            let Some(server) = family.server.clone() else {
                let earlier = self.earlier_job_on_what_is_gone(caller, (Noun::Server, id.into()), key.as_ref()).await?;
                return earlier.ok_or_else(|| missing(Noun::Server, id.into()));
            };
            self.reach(caller, server.billing_entity_id, Some(server.customer_id), (Noun::Server, id.into())).await?;
            let customer: Customer = self.find(server.customer_id).await?;
            if let Some(job) = self.earlier_job(&customer, caller.user_id, key.as_ref()).await? {
                return Ok(job);
            }
            unchanged(&server, if_match)?;
            if action == ServerAction::Delete
                && server.wanted == Wanted::Deleted
                && let Some(job) = self.deleting(&server).await?
            {
                return self.answer_by(caller, job, key.as_ref()).await;
            }
            if matches!(action, ServerAction::Start | ServerAction::Reboot { .. }) {
                self.image_allows(caller, &server, "start servers made from it", |may| may.can_start).await?;
            }
            self.room_for_a_job()?;
            let input = match start_at {
                None => allowed(&server, &customer, action)?,
                Some(_) if server.wanted == Wanted::Deleted => allowed(&server, &customer, ServerAction::Start)?,
                Some(_) => input_of(server.id, action),
            };
            let mut seen = server.clone();
            seen.runtime_metadata = metadata.clone().map(Box::new).or(seen.runtime_metadata);
            let mut decided = self.before_action(caller, &seen, &family.disks, action).await?;
            let mut job = new_job(&self.inner.core, &server, input, caller.cause.clone(), caller.user_id);
            job.metadata = metadata.clone().map(Box::new);
            take_key(&mut job, key.as_ref());
            self.put_off(&mut job, start_at);
            decided.push(self.inner.scripts.before_acceptance(&caller.into(), &job).await?);
            let decided: Vec<&Decided> = decided.iter().collect();
            for disk in &mut family.disks {
                *disk = Decided::left(&decided, disk.clone()).await?;
            }
            let server = Decided::left(&decided, server).await?;
            family.server = Some(server.clone());

            let at = self.inner.core.now();
            let mut new = family.clone();
            let mut set = ChangeSet::new(caller.cause.clone());
            if job.scheduled {
                set.require(&server);
            } else {
                accept(&mut new, action, &job, at);
                family.turn_into(&mut new, at, Evidence::Seen, &caller.cause, &mut set);
            }
            set.create(&mut job);
            self.store().commit(set).await?;
            self.begin(id, &job);
            Ok(job)
        })
        .await
    }

    /// Lets PRE triggers refuse an action: for a deletion those on deleting the server and each of its disks, then those on
    /// the state it is to reach.
    async fn before_action(
        &self,
        caller: &Caller,
        server: &Server,
        disks: &[Disk],
        action: ServerAction,
    ) -> Result<Vec<Decided>, Error> {
        let scripts = &self.inner.scripts;
        let mut seen = server.clone();
        let mut decided = Vec::new();
        let state = match action {
            ServerAction::Start => "RUNNING",
            ServerAction::Stop { .. } => "STOPPED",
            ServerAction::Reboot { .. } => "REBOOTING",
            ServerAction::Delete => {
                decided.push(scripts.before(caller, TriggerType::PreDelete, &mut seen).await?);
                for disk in disks {
                    decided.push(scripts.before(caller, TriggerType::PreDelete, &mut disk.clone()).await?);
                }
                "DELETING"
            }
        };
        decided.push(scripts.before_as(&caller.into(), TriggerType::PreServerStateChange, state, &mut seen).await?);
        Ok(decided)
    }

    /// Changes a server's record; a running guest is left alone.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`].
    pub async fn update_server(
        &self,
        caller: &Caller,
        id: ServerId,
        if_match: Option<u64>,
        patch: ServerPatch,
    ) -> Result<Server, Error> {
        caller.must(Permission::ServersWrite)?;
        let patch = &patch;
        let (new, _decided) = self
            .decided(if_match, async || {
                let mut old: Server = self.find(id).await?;
                self.reach(caller, old.billing_entity_id, Some(old.customer_id), (Noun::Server, id.into())).await?;
                unchanged(&old, if_match)?;
                let mut new = old.clone();
                if let Some(keys) = &patch.ssh_keys {
                    new.ssh_keys.clone_from(keys);
                }
                if let Some(data) = &patch.user_data {
                    new.user_data = (!data.is_empty()).then(|| data.clone());
                }
                if let Some(keys) = &patch.keys {
                    new.keys = merged_keys(caller, &old.keys, keys);
                }
                if let Some(values) = &patch.provider_values {
                    new.provider_values = self.checked_values(caller, &old, &old.provider_values, values).await?;
                }
                let as_new = NewServer {
                    name: new.name.clone(),
                    cpu: new.cpu,
                    memory_mib: new.memory_mib,
                    disk_gib: *sutler_model::server::DISK_GIB.start(),
                    image_id: new.image_id,
                    start: false,
                    user_data: new.user_data.clone(),
                    ssh_keys: new.ssh_keys.clone(),
                    keys: new.keys.clone(),
                    provider_values: Default::default(),
                };
                valid(as_new.problems().into_iter().chain(patch.metadata.onto(&mut new.metadata)))?;
                let decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
                go_on(&[&decided], &mut old, &mut new).await?;
                let mut set = ChangeSet::new(caller.cause.clone());
                set.update(&old, &mut new);
                Ok((set, (new, decided)))
            })
            .await?;
        Ok(new)
    }

    /// A running server's serial console.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] unless it runs, [`Error::Driver`].
    pub async fn server_console(&self, caller: &Caller, id: ServerId) -> Result<Console, Error> {
        caller.must(Permission::ServersConsole)?;
        let server: Server = self.find(id).await?;
        self.reach(caller, server.billing_entity_id, Some(server.customer_id), (Noun::Server, id.into())).await?;
        self.image_allows(caller, &server, "open consoles of servers made from it", |may| may.can_console).await?;
        let off = |detail: &str| Error::State { noun: Noun::Server, id: id.into(), detail: detail.to_owned() };
        let node = server.node_id.ok_or_else(|| off("the server has no console before it is built"))?;
        let drivers = self.inner.core.nodes.get(node).ok_or_else(|| off("the server's node is not reachable"))?;
        if !server.state.is_metered() {
            return Err(off(&format!("the server is {}; start it to use its console", server.state.name())));
        }
        Ok(drivers.compute.console(id).await?)
    }

    /// Has the customer's actor store what fits into its quota. The inner error is the store's.
    pub(super) async fn admit(
        &self,
        customer: CustomerId,
        mut admit: Admit,
    ) -> Result<Result<sutler_store::Committed, sutler_store::Error>, Error> {
        let id = customer.into();
        let answer = loop {
            match self.inner.customers.ask(id, admit).await.map_err(|e| asked(e, id))?? {
                Verdict::Admitted(answer) => break answer,
                Verdict::After(refused, others) => {
                    for mut other in others {
                        // Nothing is ever sent: it closes.
                        let _ = other.changed().await;
                    }
                    admit = Admit { again: true, ..*refused };
                }
            }
        };
        answer.await.map_err(|_| Error::Busy {
            detail: "this customer's actor restarted; ask again, best with the same Idempotency-Key".to_owned(),
            retry_after_s: 1,
        })
    }

    /// Refuses a customer's people what the image of a server does not let them do.
    pub(super) async fn image_allows(
        &self,
        caller: &Caller,
        server: &Server,
        what: &'static str,
        allows: impl Fn(ImagePermission) -> bool + Send,
    ) -> Result<(), Error> {
        if !caller.role.is_customer() {
            return Ok(());
        }
        match self.store().get::<Image>(server.image_id).await? {
            Some(image) if !allows(image.permission_of(server.customer_id)) => {
                Err(Error::ImagePermission { image: image.name, what })
            }
            _ => Ok(()),
        }
    }

    async fn image_for(&self, customer: &Customer, id: sutler_model::ImageId) -> Result<Image, Error> {
        let unusable = || Error::Invalid(vec![FieldError::new("image_id", format!("there is no image `{id}` to use"))]);
        let image = self.store().get::<Image>(id).await?.ok_or_else(unusable)?;
        let offered = image.customer_id.is_none_or(|owner| owner == customer.id)
            && self.path(customer.billing_entity_id).await?.contains(&image.billing_entity_id);
        if offered && image.state == ImageState::Ready { Ok(image) } else { Err(unusable()) }
    }

    fn draft(&self, caller: &Caller, customer: &Customer, new: &NewServer) -> (Server, Disk) {
        let core = &self.inner.core;
        let (id, at): (ServerId, _) = (core.new_id(), core.now());
        let server = Server {
            id,
            version: 0,
            name: new.name.clone(),
            customer_id: customer.id,
            billing_entity_id: customer.billing_entity_id,
            cpu: new.cpu,
            memory_mib: new.memory_mib,
            image_id: new.image_id,
            node_id: None,
            nics: vec![Nic::derived(id, 0)],
            state: ServerState::Building,
            state_since: at,
            state_reason: None,
            wanted: if new.start { Wanted::Running } else { Wanted::Stopped },
            job_id: None,
            user_data: new.user_data.clone(),
            ssh_keys: new.ssh_keys.clone(),
            keys: merged_keys(caller, &[], &new.keys),
            provider_values: std::collections::BTreeMap::new(),
            metadata: None,
            runtime_metadata: None,
            created_at: at,
        };
        let disk = Disk {
            id: core.new_id(),
            version: 0,
            name: boot_disk_name(&new.name),
            customer_id: customer.id,
            billing_entity_id: customer.billing_entity_id,
            server_id: id,
            index: 0,
            size_gib: new.disk_gib,
            image_id: Some(new.image_id),
            node_id: None,
            state: DiskState::Creating,
            delete_requested_at: None,
            keys: Vec::new(),
            created_at: at,
        };
        (server, disk)
    }

    /// The job a server is being deleted by; none when it ended without deleting.
    async fn deleting(&self, server: &Server) -> Result<Option<Job>, Error> {
        let Some(id) = server.job_id else { return Ok(None) };
        let job = self.store().get::<Job>(id).await?;
        Ok(job.filter(|job| matches!(job.input, JobInput::DeleteServer { .. }) && !job.state.is_final()))
    }
}

/// What the disk is called that a server of a name boots from.
fn boot_disk_name(server: &str) -> String {
    format!("{server}-boot")
}

fn fits_image(new: &NewServer, image: &Image) -> Result<(), Error> {
    let mut problems = Vec::new();
    if new.disk_gib < image.size_gib {
        problems.push(FieldError::new(
            "disk_gib",
            format!("is {}; the image `{}` needs at least {} GiB", new.disk_gib, image.name, image.size_gib),
        ));
    }
    if new.memory_mib < image.memory_mib_min {
        problems.push(FieldError::new(
            "memory_mib",
            format!("is {}; the image `{}` needs at least {} MiB", new.memory_mib, image.name, image.memory_mib_min),
        ));
    }
    valid(problems)
}

/// The job that an action makes.
const fn input_of(server_id: ServerId, action: ServerAction) -> JobInput {
    match action {
        ServerAction::Start => JobInput::StartServer { server_id },
        ServerAction::Stop { force } => JobInput::StopServer { server_id, force },
        ServerAction::Reboot { force } => JobInput::RebootServer { server_id, force },
        ServerAction::Delete => JobInput::DeleteServer { server_id },
    }
}

/// Whether the action is possible now, and the job it makes.
pub(crate) fn allowed(server: &Server, customer: &Customer, action: ServerAction) -> Result<JobInput, Error> {
    let refuse = |detail: &str| Error::State { noun: Noun::Server, id: server.id.into(), detail: detail.to_owned() };
    if action == ServerAction::Delete {
        return Ok(input_of(server.id, action));
    }
    if server.wanted == Wanted::Deleted {
        return Err(refuse("the server is being deleted"));
    }
    if server.state == ServerState::Error {
        return Err(refuse("the server could not be built; delete it and create it again"));
    }
    match action {
        ServerAction::Start | ServerAction::Reboot { .. } if customer.status != CustomerStatus::Active => {
            Err(Error::Suspended)
        }
        ServerAction::Reboot { .. } if server.wanted != Wanted::Running => {
            Err(refuse("the server is stopped; start it instead"))
        }
        _ => Ok(input_of(server.id, action)),
    }
}

/// What accepting an action changes in the record.
pub(crate) fn accept(family: &mut Family, action: ServerAction, job: &Job, at: Timestamp) {
    let Some(server) = &mut family.server else { return };
    server.job_id = Some(job.id);
    let state = server.state;
    match action {
        ServerAction::Start => {
            server.wanted = Wanted::Running;
            if state == ServerState::Stopped {
                family.enter(ServerState::Starting, at, None);
            }
        }
        ServerAction::Stop { .. } => {
            server.wanted = Wanted::Stopped;
            if state.is_metered() {
                family.enter(ServerState::Stopping, at, None);
            }
        }
        ServerAction::Reboot { .. } => {}
        ServerAction::Delete => {
            server.wanted = Wanted::Deleted;
            family.enter(ServerState::Deleting, at, None);
        }
    }
}

/// An actor's refusal to answer, as an operation's error.
pub(crate) fn asked(error: crate::registry::AskError, id: uuid::Uuid) -> Error {
    use crate::registry::AskError as A;
    let busy = |detail: &str| Error::Busy { detail: detail.to_owned(), retry_after_s: 1 };
    match error {
        A::NotFound => missing(Noun::Customer, id),
        A::Quarantined { reason } => Error::Quarantined { kind: "customer", id, reason },
        A::Full | A::Timeout => busy("too many requests for this customer are waiting"),
        A::BackingOff { .. } | A::Crashed(_) | A::Stopped => busy("this customer's actor is restarting"),
        A::Load(error) => busy(&format!("the customer could not be loaded: {error}")),
    }
}
