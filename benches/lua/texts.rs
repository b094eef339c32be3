//! What functions for texts and numbers cost, against the same loop in Luau without limits or changes.

use super::{Nobody, call};
use crate::{Measure, store_writes::median};
use anyhow::{Error, Result, anyhow, ensure};
use std::{sync::Arc, time::Instant};
use sutler_lua::{Egress, Exit, Runtime};

/// A call each.
const CALLS: [(&str, &str); 12] = [
    ("find", "s:find('k(%a+)=(%d+)')"),
    ("find_plain", "s:find('needle', 1, true)"),
    ("match", "s:match('(%a+)=(%d+)')"),
    ("gmatch", "for _ in s:gmatch('%a+') do end"),
    ("gsub", "s:gsub('%a', '-')"),
    ("gsub_table", "s:gsub('%a', { a = 'b' })"),
    ("gsub_function", "s:gsub('%a+', function(w) return w end)"),
    ("format", "string.format('%s is %d', s, i)"),
    ("rep", "s:rep(3)"),
    ("tonumber", "tonumber('12')"),
    ("sub", "s:sub(2, 5)"),
    ("loop", "n = n + i % 7"),
];
/// How many times Luau's own time each may take.
const TARGET: f64 = 2.0;
/// Calls of a run: few enough for its limits.
const TURNS: u32 = 1_000;
/// Runs of each.
const ROUNDS: usize = 51;

pub(super) async fn measure() -> Result<Vec<Measure>> {
    let runtime = Runtime::new(1, Arc::new(Nobody), Egress::default());
    let mut measures = Vec::new();
    for ((name, code), number) in CALLS.into_iter().zip(1..) {
        let source = format!(
            "function f() local s, n = 'a line with a needle and k=17 at its end', 0 for i = 1, {TURNS} do {code} end return {{ exitState = 'SUCCESS' }} end"
        );
        let lua = mlua::Lua::new();
        let plain = || -> mlua::Result<mlua::Function> {
            lua.load(&source).exec()?;
            lua.globals().get("f")
        };
        let plain = plain().map_err(failed)?;
        let source: Arc<str> = source.into();
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let outcome = runtime.run(call(number, &source)).await;
            ensure!(outcome.exit == Exit::Success, "{name}: {}", outcome.result);
            ours.push(each_ns(outcome.cpu_us as f64 * 1_000.0));
            let begun = Instant::now();
            plain.call::<mlua::Table>(()).map_err(failed)?;
            reference.push(each_ns(begun.elapsed().as_secs_f64() * 1e9));
        }
        let (value, reference) = (median(ours), median(reference));
        let bench = format!("lua/texts/{name}");
        measures.push(Measure { bench, value, unit: "ns", reference, ratio: value / reference, target: TARGET });
    }
    Ok(measures)
}

fn failed(error: mlua::Error) -> Error {
    anyhow!("plain Luau: {error}")
}

fn each_ns(run_ns: f64) -> f64 {
    run_ns / f64::from(TURNS)
}
