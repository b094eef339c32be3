//! A platform in memory, and short ways to run scripts on it.

use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};
use sutler_lua::*;
use sutler_model::{DataSpace, RunId, Scope, ScriptId};
use tokio::sync::Semaphore;

/// One call that reached the platform.
#[derive(Clone, Debug)]
pub struct Seen {
    pub api: Api,
    pub operation: String,
    pub args: Vec<Value>,
    pub call_no: u32,
}

/// Beans by resource type, and what was asked of them.
pub struct Platform {
    pub beans: Mutex<Vec<(String, Bean)>>,
    pub seen: Mutex<Vec<Seen>>,
    pub hints: Mutex<Vec<(String, Vec<String>)>>,
    /// `waitForJob` waits for one of these.
    pub jobs_done: Semaphore,
    pub waiting: AtomicU32,
    /// What scripts keep.
    pub kept: Mutex<BTreeMap<(ScriptId, DataSpace, String), Value>>,
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            beans: Mutex::default(),
            seen: Mutex::default(),
            hints: Mutex::default(),
            jobs_done: Semaphore::new(0),
            waiting: AtomicU32::new(0),
            kept: Mutex::default(),
        }
    }
}

impl Platform {
    pub fn with(beans: Vec<(&str, Bean)>) -> Arc<Self> {
        let beans = beans.into_iter().map(|(kind, bean)| (kind.to_owned(), bean)).collect();
        Arc::new(Self { beans: Mutex::new(beans), ..Self::default() })
    }

    pub fn operations(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.operation.clone()).collect()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Host for Platform {
    async fn list(
        &self,
        _: &Who,
        _: &Api,
        resource_type: &str,
        equal: &[(String, Vec<String>)],
    ) -> Result<Vec<Bean>, HostError> {
        *self.hints.lock().unwrap() = equal.to_vec();
        if resource_type == "NONSENSE" {
            return Err(HostError::refused("INVALID_RESOURCE_TYPE", "there is no type NONSENSE"));
        }
        if resource_type == "FIREWALL" {
            return Err(HostError::Absent { nouns: "firewalls".into(), operation: "a list of firewalls".into() });
        }
        let beans = self.beans.lock().unwrap();
        Ok(beans.iter().filter(|(kind, _)| kind == resource_type).map(|(_, bean)| bean.clone()).collect())
    }

    async fn get(&self, _: &Who, _: &Api, uuid: &str, _children: bool) -> Result<Option<Bean>, HostError> {
        // The real one waits for the store, so what asks it must be able to wait.
        tokio::task::yield_now().await;
        let beans = self.beans.lock().unwrap();
        Ok(beans.iter().map(|(_, bean)| bean).find(|bean| bean.text("resourceUUID").as_deref() == Some(uuid)).cloned())
    }

    async fn data(&self, _: &Who, request: Data) -> Result<Value, HostError> {
        let mut kept = self.kept.lock().unwrap();
        let place = |key: &str| (request.script, request.space, key.to_owned());
        if let DataAction::List { prefix, after, limit } = &request.action {
            let after = after.clone().unwrap_or_default();
            let mut found = kept
                .iter()
                .filter(|((script, space, key), _)| {
                    (*script, *space) == (request.script, request.space) && key.starts_with(prefix)
                })
                .filter(|((.., key), _)| *key > after)
                .map(|((.., key), value)| json!([key, value]));
            let mut items: Vec<Value> = found.by_ref().take(*limit).collect();
            items.extend(found.next().map(|_| json!(true)));
            return Ok(Value::Array(items));
        }
        let place = place(request.action.key());
        let step = request.action.decide(kept.get(&place).cloned())?;
        match step.value {
            Some(value) if step.write => drop(kept.insert(place, value)),
            None if step.write => drop(kept.remove(&place)),
            _ => {}
        }
        Ok(step.answer)
    }

    async fn call(
        &self,
        _: &Who,
        api: Api,
        operation: &str,
        args: Vec<Value>,
        call_no: u32,
    ) -> Result<Value, HostError> {
        let seen = Seen { api, operation: operation.to_owned(), args: args.clone(), call_no };
        self.seen.lock().unwrap().push(seen);
        let job = |kind: &str| json!({"@bean": "Job", "resourceUUID": format!("job-{call_no}"), "jobType": kind, "status": "IN_PROGRESS", "itemUUID": args[0]});
        match operation {
            "addKey" | "removeKey" => {
                let uuid = args[0].as_str().unwrap_or_default().to_owned();
                let mut beans = self.beans.lock().unwrap();
                let Some((_, bean)) =
                    beans.iter_mut().find(|(_, bean)| bean.text("resourceUUID").as_ref() == Some(&uuid))
                else {
                    return Err(HostError::refused("NO_RESOURCE_FOUND", format!("there is no resource {uuid}")));
                };
                let mut keys = bean.properties.remove("resourceKey").unwrap_or_else(|| json!([]));
                let list = keys.as_array_mut().unwrap();
                list.retain(|key| operation == "addKey" || key["name"] != args[1]["name"]);
                if operation == "addKey" {
                    list.push(args[1].clone());
                }
                bean.properties.insert("resourceKey", keys);
                let mut answer = Value::from(bean.properties.clone());
                answer["@bean"] = json!(bean.kind);
                Ok(answer)
            }
            "updateCustomer" => Ok(args[0].clone()),
            "changeServerStatus" => Ok(job(if args[1] == "RUNNING" { "START_SERVER" } else { "SHUTDOWN_SERVER" })),
            "createBlob" => Ok(json!({"@bean": "Blob", "resourceUUID": format!("blob-{call_no}")})),
            "modifyBlob" => Ok(Value::Null),
            "deleteResource" => Ok(job("DELETE_RESOURCE")),
            "waitForJob" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                self.jobs_done.acquire().await.unwrap().forget();
                Ok(json!({"@bean": "Job", "resourceUUID": args[0], "status": "SUCCESSFUL"}))
            }
            "echo" => Ok(Value::Array(args)),
            other => Err(HostError::Unsupported(other.to_owned())),
        }
    }
}

/// A runtime on a platform.
pub struct Fixture {
    pub runtime: Arc<Runtime>,
    pub platform: Arc<Platform>,
    pub limits: Limits,
}

impl Fixture {
    pub fn new() -> Self {
        Self::on(Platform::with(Vec::new()))
    }

    pub fn on(platform: Arc<Platform>) -> Self {
        Self::with(platform, 1, Egress { allow_private: true, ..Egress::default() })
    }

    pub fn with(platform: Arc<Platform>, threads: usize, egress: Egress) -> Self {
        let runtime = Arc::new(Runtime::new(threads, platform.clone(), egress));
        // Generous, so that only tests about limits meet them.
        let limits = Limits { cpu_ms: 20_000, deadline_ms: 60_000, ..Limits::default() };
        Self { runtime, platform, limits }
    }

    /// Runs a function of a block.
    pub async fn run(&self, block: &Block, function: &str, params: Params) -> Outcome {
        self.call(block, function, params, false).await
    }

    /// Runs the body of a function without effects.
    pub async fn rehearse(&self, body: &str) -> Outcome {
        self.call(&block(&format!("function f(p) {body}\nend")), "f", Params::default(), true).await
    }

    /// Runs a function of a block without effects.
    pub async fn rehearsal(&self, block: &Block, function: &str) -> Outcome {
        self.call(block, function, Params::default(), true).await
    }

    async fn call(&self, block: &Block, function: &str, params: Params, rehearsal: bool) -> Outcome {
        let who = Who {
            owner: Scope::Provider,
            script: None,
            run_id: RunId::new(0, [7; 10]),
            depth: 0,
            unrecorded: false,
            repeated: false,
            rehearsal,
        };
        let call = Call { block: block.clone(), function: function.to_owned(), who, params, limits: self.limits };
        self.runtime.run(call).await
    }

    /// Runs the body of a function with parameter `p` in a block of its own.
    pub async fn body(&self, body: &str, params: Params) -> Outcome {
        self.run(&block(&format!("function f(p) {body}\nend")), "f", params).await
    }

    /// What a body returns, as JSON; its error text if it fails.
    pub async fn eval(&self, body: &str) -> Value {
        let outcome = self.body(body, Params::default()).await;
        match outcome.exit {
            Exit::Failed(error) => Value::String(format!("error: {error}")),
            Exit::Stopped(limit) => Value::String(format!("stopped: {limit}")),
            _ => serde_json::from_str(&outcome.result).unwrap(),
        }
    }
}

/// A block with an id of its own.
pub fn block(source: &str) -> Block {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Block { id: ScriptId::new(1, random), version: 1, source: source.into(), texts: Texts::default() }
}

/// The parameters of an event on a bean.
pub fn about(bean: Bean, option: &str) -> Params {
    Params { input: Input::Bean(bean), option: option.to_owned(), be_uuid: "be-1".to_owned(), ..Params::default() }
}
