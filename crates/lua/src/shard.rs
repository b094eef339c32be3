//! One Lua thread: the blocks loaded on it and the runs in progress.

use crate::{
    Call, Egress, Exit, Host, Limit, Limits, Outcome, ScriptError, Texts,
    descriptor::{self, Described, Registration},
    dialect,
    egress::{Clients, tls},
    meter::{Event, Meter, Metered},
    outcome::{self, Returned},
    runtime::{Counters, STACK_BYTES},
    subject::{Left, Subject},
    vm::Vm,
};
use mlua::Value;
use rustls::ClientConfig;
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};
use sutler_model::{PointKind, ScriptId};
use tokio::sync::{Mutex, mpsc, oneshot};

/// What a Lua thread is asked to do.
pub(crate) enum Message {
    /// Run a function.
    Run { call: Box<Call>, reply: oneshot::Sender<Outcome> },
    /// Load a source on trial.
    Register {
        source: Arc<str>,
        texts: Texts,
        limits: Limits,
        reply: oneshot::Sender<Result<Registration, ScriptError>>,
    },
}

/// What the runs of a thread share.
pub(crate) struct Shard {
    pub host: Arc<dyn Host>,
    pub egress: Arc<Egress>,
    pub counters: Arc<Counters>,
    /// How many share the budget for loaded blocks.
    pub threads: usize,
    pub clients: Clients,
    /// TLS for protocols other than HTTP, once one is spoken.
    pub tls: OnceCell<Arc<ClientConfig>>,
}

impl Shard {
    /// What a TLS handshake needs.
    ///
    /// # Errors
    /// In words, when the system's certificates cannot be read.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(known) = self.tls.get() {
            return Ok(known.clone());
        }
        let made = tls(&self.egress)?;
        Ok(self.tls.get_or_init(|| made).clone())
    }
}

/// A block in memory.
struct Loaded {
    vm: Rc<Vm>,
    version: u64,
    used_at: Cell<u64>,
    bytes: Cell<usize>,
}

/// The blocks of a thread, by id.
struct Blocks {
    shard: Rc<Shard>,
    loaded: RefCell<HashMap<ScriptId, Rc<Loaded>>>,
    /// Counts runs; the order of last use.
    clock: Cell<u64>,
    /// What the loaded blocks hold.
    bytes: Cell<usize>,
    /// Held while a block is loaded that has a long source.
    loading: Mutex<()>,
}

/// Counts a run for as long as it lives, a panic included.
struct Running(Arc<Counters>);

impl Running {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.runs.fetch_add(1, Ordering::Relaxed);
        Self(counters.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers messages until the runtime is dropped.
pub(crate) fn serve(shard: Shard, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut tokio = tokio::runtime::Builder::new_current_thread();
    // The compiler goes as deep as a source nests.
    let tokio = match tokio.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(tokio) => tokio,
        Err(error) => {
            tracing::error!(%error, "starting a Lua thread");
            return;
        }
    };
    let blocks = Rc::new(Blocks {
        shard: Rc::new(shard),
        loaded: RefCell::default(),
        clock: Cell::new(0),
        bytes: Cell::new(0),
        loading: Mutex::default(),
    });
    tokio::task::LocalSet::new().block_on(&tokio, async move {
        while let Some(message) = messages.recv().await {
            let blocks = blocks.clone();
            tokio::task::spawn_local(async move {
                match message {
                    Message::Run { call, reply } => {
                        let running = Running::new(&blocks.shard.counters);
                        let outcome = blocks.run(*call).await;
                        drop(running);
                        let _ = reply.send(outcome);
                    }
                    Message::Register { source, texts, limits, reply } => {
                        let _ = reply.send(register(&blocks.shard, &source, texts, limits).await);
                    }
                }
            });
        }
    });
}

impl Blocks {
    async fn run(&self, mut call: Call) -> Outcome {
        let meter = Meter::new(Some(call.who.clone()), call.block.id, call.block.texts.clone(), &call.limits);
        let block = match self.block(&call, &meter).await {
            Ok(block) => block,
            Err(error) => return outcome::failed(&meter, error),
        };
        let asks = outcome::asks(call.params.origin.trigger);
        meter.event.replace(Event {
            function: call.function.clone(),
            option: call.params.option.clone(),
            timestamp_ms: call.params.timestamp_ms,
            origin: std::mem::take(&mut call.params.origin),
        });
        // Kept here as well, so that what the script changes on it is seen afterwards.
        let input = match Subject::take(&mut call.params) {
            Ok(subject) => subject,
            Err(error) => return outcome::failed(&meter, error),
        };
        let (id, limits, shard, spent) = (call.block.id, call.limits, self.shard.clone(), call.params.spent);
        let work = {
            let (vm, input, meter) = (block.vm.clone(), input.clone(), meter.clone());
            async move {
                let env = vm.take(&meter).await?;
                let function = vm.function(&env, &call.function)?;
                let p = vm.params(&shard, call.params, &input)?;
                let (value, reason): (Value, Value) = vm.call(&function, p).await?;
                let returned = vm.to_json(&value).and_then(|value| {
                    Ok(Returned { value, reason: if asks { Some(vm.to_json(&reason)?) } else { None } })
                });
                vm.give_back(env);
                returned
            }
        };
        let ended = drive(&meter, work).await;
        let left = if spent { Ok(Left::default()) } else { input.left() };
        let outcome = match left {
            Ok(left) => outcome::read(&meter, ended, left),
            Err(error) => outcome::failed(&meter, error),
        };
        self.settle(id, &block, &limits, matches!(outcome.exit, Exit::Stopped(Limit::Memory)));
        outcome
    }

    /// The block's Lua state, loaded if need be, before the run's deadline.
    async fn block(&self, call: &Call, meter: &Meter) -> Result<Rc<Loaded>, ScriptError> {
        self.clock.set(self.clock.get() + 1);
        if call.who.rehearsal {
            return self.fresh(call).await;
        }
        if let Some(block) = self.known(call) {
            return Ok(block);
        }
        let loaded = async {
            // Who comes while it is being compiled waits for it here, rather than have it compiled again.
            let long = !dialect::is_short(&call.block.source);
            let _turn = if long { Some(self.loading.lock().await) } else { None };
            match self.known(call) {
                Some(block) => Ok(block),
                None => self.fresh(call).await.inspect(|block| self.keep(call.block.id, block)),
            }
        };
        tokio::time::timeout_at(meter.deadline().into(), loaded).await.unwrap_or_else(|_| {
            meter.stop(Limit::Deadline);
            Err(ScriptError::new("stopped"))
        })
    }

    /// The block, if it is loaded at the call's version.
    fn known(&self, call: &Call) -> Option<Rc<Loaded>> {
        let block =
            self.loaded.borrow().get(&call.block.id).filter(|block| block.version == call.block.version).cloned();
        block.inspect(|block| block.used_at.set(self.clock.get()))
    }

    /// Keeps a block for later runs, in place of another version of it.
    fn keep(&self, id: ScriptId, block: &Rc<Loaded>) {
        self.unload(id);
        self.shard.counters.blocks.fetch_add(1, Ordering::Relaxed);
        self.account(0, block.bytes.get());
        self.loaded.borrow_mut().insert(id, block.clone());
    }

    /// A Lua state of its own, which ends with whoever holds it.
    async fn fresh(&self, call: &Call) -> Result<Rc<Loaded>, ScriptError> {
        let code = dialect::compile(&call.block.source).await?;
        let vm = Rc::new(Vm::load(&code, &call.limits, &self.shard)?);
        Ok(Rc::new(Loaded {
            bytes: Cell::new(vm.bytes()),
            vm,
            version: call.block.version,
            used_at: Cell::new(self.clock.get()),
        }))
    }

    /// After a run: counts the block's memory anew, and unloads what no longer fits.
    fn settle(&self, id: ScriptId, block: &Rc<Loaded>, limits: &Limits, spoiled: bool) {
        let still_loaded = self.loaded.borrow().get(&id).is_some_and(|known| Rc::ptr_eq(known, block));
        if !still_loaded {
            return;
        }
        if spoiled {
            // Its heap is full of what it hoarded; the next run starts on a clean one.
            self.unload(id);
            return;
        }
        let bytes = block.vm.bytes();
        let before = block.bytes.replace(bytes);
        self.account(before, bytes);
        while self.bytes.get() > limits.resident_bytes / self.shard.threads {
            let oldest = self
                .loaded
                .borrow()
                .iter()
                // One in use is kept alive by its runs anyway, so unloading it would free nothing.
                .filter(|(_, loaded)| Rc::strong_count(&loaded.vm) == 1)
                .min_by_key(|(_, loaded)| loaded.used_at.get())
                .map(|(id, _)| *id);
            match oldest {
                Some(id) => self.unload(id),
                None => break,
            }
        }
    }

    fn unload(&self, id: ScriptId) {
        if let Some(block) = self.loaded.borrow_mut().remove(&id) {
            self.shard.counters.blocks.fetch_sub(1, Ordering::Relaxed);
            self.account(block.bytes.get(), 0);
        }
    }

    /// A block that held `before` bytes holds `now`.
    fn account(&self, before: usize, now: usize) {
        self.bytes.set(self.bytes.get() - before + now);
        self.shard.counters.bytes.fetch_add(now, Ordering::Relaxed);
        self.shard.counters.bytes.fetch_sub(before, Ordering::Relaxed);
    }
}

/// Runs `work` on the account of `meter`, until it ends or is stopped.
async fn drive<T>(meter: &Rc<Meter>, work: impl Future<Output = Result<T, ScriptError>>) -> Result<T, ScriptError> {
    let metered = Metered::new(meter.clone(), work);
    match tokio::time::timeout_at(meter.deadline().into(), metered).await {
        Ok(Some(ended)) => ended,
        // Stopped while it waited; the reason is on the meter.
        Ok(None) => Err(ScriptError::new("stopped")),
        Err(_) => {
            meter.stop(Limit::Deadline);
            Err(ScriptError::new("stopped"))
        }
    }
}

/// Nothing outside can be reached meanwhile: descriptors are read without rights.
async fn register(
    shard: &Rc<Shard>,
    source: &Arc<str>,
    texts: Texts,
    limits: Limits,
) -> Result<Registration, ScriptError> {
    let vm = Rc::new(Vm::load(&dialect::compile(source).await?, &limits, shard)?);
    let meter = Meter::new(None, ScriptId(uuid::Uuid::nil()), texts, &limits);
    let described = drive(&meter, describe(vm, meter.clone())).await;
    let mut registration =
        described.map_err(|error| meter.stopped().map_or(error, |limit| ScriptError::new(limit.to_string())))?;
    registration.info = descriptor::info(source);
    Ok(registration)
}

/// Calls `register()` and then each function it names with nil.
async fn describe(vm: Rc<Vm>, meter: Rc<Meter>) -> Result<Registration, ScriptError> {
    let env = vm.take(&meter).await?;
    let register =
        vm.function(&env, "register").map_err(|_| ScriptError::new("the block has no global function `register`"))?;
    let returned: Value = vm.call(&register, ()).await?;
    let names = match vm.to_json(&returned)? {
        serde_json::Value::Array(names) => names,
        serde_json::Value::Null => Vec::new(),
        _ => return Err(ScriptError::new("`register()` does not return a list of function names")),
    };
    let mut registration = Registration::default();
    for name in names {
        let Some(name) = name.as_str() else {
            return Err(ScriptError::new(format!("`register()` names {name}, which is not a text")));
        };
        if !registration.has(name) {
            describe_one(&vm, &env, name, &mut registration).await?;
        }
    }
    for point in &registration.points {
        for (what, function) in point.functions() {
            if vm.function(&env, function).is_err() {
                let note =
                    format!("`{}` names `{function}` {what}, and the block has no such function", point.function);
                registration.notes.push(note);
            }
        }
    }
    let is_init = |entry: &sutler_model::Entry| entry.function == descriptor::INIT;
    if vm.function(&env, descriptor::INIT).is_ok() && !registration.entries.iter().any(is_init) {
        registration.entries.push(descriptor::init());
    }
    Ok(registration)
}

/// Calls one function with nil and takes in what it describes, with the functions that belong to it.
async fn describe_one(vm: &Vm, env: &mlua::Table, name: &str, into: &mut Registration) -> Result<(), ScriptError> {
    match ask(vm, env, name).await? {
        Described::Trigger(entry) => into.entries.push(entry),
        Described::Point(point, own) => {
            let provider = match &point.kind {
                PointKind::ConfigProvider(provider) => Some(provider.provider_type.clone()),
                PointKind::PluggableProvider(provider) => Some(provider.provider_type.clone()),
                _ => None,
            };
            into.points.push(point);
            for function in own.triggers.into_iter().filter(|function| !into.has(function)).collect::<Vec<_>>() {
                match ask(vm, env, &function).await? {
                    Described::Trigger(entry) => into.entries.push(entry),
                    Described::Point(..) => {
                        let what =
                            format!("`{function}` is among the `triggerFunctions` of `{name}` and is no trigger");
                        return Err(ScriptError::new(what));
                    }
                }
            }
            for function in own.measures {
                let mut measures = match ask(vm, env, &function).await? {
                    Described::Point(point, _) => Some(point),
                    Described::Trigger(_) => None,
                };
                let Some(PointKind::Measure(measure)) = measures.as_mut().map(|point| &mut point.kind) else {
                    let what =
                        format!("`{function}` is among the `measurementFunctions` of `{name}` and measures nothing");
                    return Err(ScriptError::new(what));
                };
                measure.provider_type.clone_from(&provider);
                // One that `register()` names too is the provider's all the same.
                into.points.retain(|point| point.function != function);
                into.points.extend(measures);
            }
        }
    }
    Ok(())
}

/// The descriptor of a function.
async fn ask(vm: &Vm, env: &mlua::Table, name: &str) -> Result<Described, ScriptError> {
    let function = vm.function(env, name)?;
    let returned: Value = vm.call(&function, Value::Nil).await?;
    descriptor::read(name, &vm.to_json(&returned)?).map_err(|e| vm.located(&function, e))
}
