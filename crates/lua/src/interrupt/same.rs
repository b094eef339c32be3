//! However often it makes way, a run answers what it would have answered.

use super::program::program;
use crate::{
    Api, Bean, Data, Egress, Host, HostError, Limit, Limits, Params, Texts, Who, dialect,
    egress::Clients,
    meter::{Meter, Metered, Pace},
    runtime::{Counters, STACK_BYTES},
    shard::Shard,
    subject::Subject,
    vm::Vm,
};
use async_trait::async_trait;
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestRunner, contextualize_config},
};
use serde_json::Value;
use std::{cell::OnceCell, future::poll_fn, pin::pin, rc::Rc, sync::Arc, task::Poll};
use sutler_model::{RunId, Scope, ScriptId};

/// After how many looks runs make way.
const PACES: [u32; 5] = [1, 2, 3, 5, 37];

/// More than any program needs.
const POLLS: usize = 500_000;

/// Answers what it is asked, after others had some turns.
struct Echo;

#[async_trait]
impl Host for Echo {
    async fn list(&self, _: &Who, _: &Api, _: &str, _: &[(String, Vec<String>)]) -> Result<Vec<Bean>, HostError> {
        Ok(Vec::new())
    }
    async fn get(&self, _: &Who, _: &Api, _: &str, _: bool) -> Result<Option<Bean>, HostError> {
        Ok(None)
    }
    async fn data(&self, _: &Who, _: Data) -> Result<Value, HostError> {
        Ok(Value::Null)
    }
    async fn call(&self, _: &Who, _: Api, _: &str, args: Vec<Value>, _: u32) -> Result<Value, HostError> {
        let turns = args.first().and_then(Value::as_i64).unwrap_or_default();
        if turns < 0 {
            return Err(HostError::refused("INVALID_INPUT", "less than nothing"));
        }
        for _ in 0..turns % 4 {
            tokio::task::yield_now().await;
        }
        Ok(Value::Array(args))
    }
}

/// How a run is ended before it ends by itself.
#[derive(Clone, Copy, Debug)]
enum End {
    /// A limit is passed.
    Stop,
    /// Nobody waits for it any more.
    Drop,
}

/// What came of a run.
#[derive(Debug, PartialEq)]
struct Came {
    /// Its answer or error; none: it was ended while it waited.
    answer: Option<Result<Value, String>>,
    log: String,
    stopped: Option<Limit>,
}

/// A Lua state with a program.
struct Loaded {
    shard: Rc<Shard>,
    vm: Rc<Vm>,
}

impl Loaded {
    async fn new(body: &str) -> Self {
        let shard = Rc::new(Shard {
            host: Arc::new(Echo),
            egress: Arc::new(Egress::default()),
            counters: Arc::new(Counters::default()),
            threads: 1,
            clients: Clients::default(),
            tls: OnceCell::new(),
        });
        let source = format!("function f(p) {body}\nend").into();
        let code = dialect::compile(&source).await.unwrap_or_else(|error| panic!("{error}\n{source}"));
        let vm = Rc::new(Vm::load(&code, &Limits::default(), &shard).unwrap());
        Self { shard, vm }
    }

    /// Runs the program, which makes way after so many looks, and may be ended when it has done so some times.
    async fn run(&self, looks: Option<u32>, end: Option<(usize, End)>) -> Came {
        Pace::set(looks);
        let who = Who {
            owner: Scope::Provider,
            script: None,
            run_id: RunId::new(0, [7; 10]),
            depth: 0,
            unrecorded: false,
            repeated: false,
            rehearsal: false,
        };
        let limits = Limits { cpu_ms: 600_000, deadline_ms: 600_000, ..Limits::default() };
        let meter = Meter::new(Some(who), ScriptId::new(1, [1; 10]), Texts::default(), &limits);
        let work = async {
            let mut params = Params::default();
            let input = Subject::take(&mut params)?;
            let env = self.vm.take(&meter).await?;
            let function = self.vm.function(&env, "f")?;
            let p = self.vm.params(&self.shard, params, &input)?;
            let returned = self.vm.call(&function, p).await?;
            let answer = self.vm.to_json(&returned);
            self.vm.give_back(env);
            answer
        };
        let mut polls = 0;
        let answer = {
            let mut run = pin!(Metered::new(meter.clone(), work));
            poll_fn(|cx| {
                if let Some((after, end)) = end
                    && polls >= after
                {
                    match end {
                        End::Stop => meter.stop(Limit::Cpu),
                        End::Drop => return Poll::Ready(None),
                    }
                }
                polls += 1;
                assert!(polls < POLLS, "the run goes on and on: {:?}", meter.take_log());
                run.as_mut().poll(cx)
            })
            .await
        };
        let answer = answer.map(|answer| answer.map_err(|error| error.to_string()));
        Came { answer, log: meter.take_log(), stopped: meter.stopped() }
    }
}

/// Checks one program at all paces.
async fn check(body: &str, end: (usize, End)) -> Result<(), TestCaseError> {
    let expected = Loaded::new(body).await.run(None, None).await;
    for looks in PACES {
        let came = Loaded::new(body).await.run(Some(looks), None).await;
        prop_assert_eq!(&came, &expected, "making way after {} looks:\n{}", looks, body);
    }
    // One that is ended leaves nothing behind that the next could see.
    let ended = Loaded::new(body).await;
    let came = ended.run(Some(3), Some(end)).await;
    match end.1 {
        End::Stop => prop_assert!(came.stopped == Some(Limit::Cpu) || came == expected, "{:?}:\n{}", came, body),
        End::Drop => prop_assert!(came.answer.is_none() || came == expected, "{:?}:\n{}", came, body),
    }
    let next = ended.run(Some(2), None).await;
    prop_assert_eq!(&next, &expected, "after one that was ended ({:?}):\n{}", end, body);
    Ok(())
}

#[test]
fn programs_that_make_way_answer_and_log_as_those_that_never_do() {
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let config = contextualize_config(config);
    let end = prop_oneof![Just(End::Stop), Just(End::Drop)];
    let choices = (proptest::collection::vec(any::<u16>(), 0..500), 0..300_usize, end);
    // Lua threads are as large.
    let tried = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        TestRunner::new(config).run(&choices, |(choices, polls, end)| {
            tokio.block_on(tokio::task::LocalSet::new().run_until(check(&program(&choices), (polls, end))))
        })
    });
    if let Err(failed) = tried.unwrap().join().unwrap() {
        panic!("{failed}");
    }
}
