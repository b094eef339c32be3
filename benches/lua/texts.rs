//! What functions for texts and numbers cost, against the same loop in Luau without limits or changes.

use super::{Nobody, call};
use crate::{Measure, store_writes::median};
use anyhow::{Error, Result, anyhow, ensure};
use std::{sync::Arc, time::Instant};
use sutler_lua::{Egress, Exit, Runtime};

/// A call each, and how many times Luau's own time it may take.
const CALLS: [(&str, &str, f64); 12] = [
    ("find", "s:find('k(%a+)=(%d+)')", 2.0),
    ("find_plain", "s:find('needle', 1, true)", 2.0),
    ("match", "s:match('(%a+)=(%d+)')", 2.0),
    ("gmatch", "for _ in s:gmatch('%a+') do end", 2.0),
    ("gsub", "s:gsub('%a', '-')", 2.0),
    ("gsub_table", "s:gsub('%a', { a = 'b' })", 2.0),
    ("gsub_function", "s:gsub('%a+', function(w) return w end)", 2.0),
    ("format", "string.format('%s is %d', s, i)", 2.0),
    ("rep", "s:rep(3)", 2.0),
    ("tonumber", "tonumber('12')", 2.0),
    ("sub", "s:sub(2, 5)", 2.0),
    ("loop", "n = n + i % 7", 2.0),
];
/// Calls of a run: few enough for its limits.
const TURNS: u32 = 1_000;
/// Runs of each.
const ROUNDS: usize = 51;

pub(super) async fn measure() -> Result<Vec<Measure>> {
    let runtime = Runtime::new(1, Arc::new(Nobody), Egress::default());
    let mut measures = Vec::new();
    for ((name, code, target), number) in CALLS.into_iter().zip(1..) {
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
        measures.push(Measure { bench, value, unit: "ns", reference, ratio: value / reference, target });
    }
    Ok(measures)
}

fn failed(error: mlua::Error) -> Error {
    anyhow!("plain Luau: {error}")
}

fn each_ns(run_ns: f64) -> f64 {
    run_ns / f64::from(TURNS)
}
