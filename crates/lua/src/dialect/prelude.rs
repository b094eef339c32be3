//! The language's functions, written in Lua: what every state needs at once, and the parts that come when a script first names
//! one of theirs, for every function takes memory in every loaded block.

use super::{load_text, native, text};
use crate::{meter::Meter, object};
use mlua::{Function, IntoLuaMulti, Lua, Result, StdLib, Table, Value, chunk::ChunkMode, chunk::Compiler};
use std::sync::LazyLock;

/// A source of the prelude, compiled once for the process.
type Part = LazyLock<std::result::Result<Vec<u8>, String>>;

static BASE: Part = LazyLock::new(|| compiled(include_str!("prelude/base.lua")));
static BIT32: Part = LazyLock::new(|| compiled(include_str!("prelude/bit32.lua")));
static CONNECTION: Part = LazyLock::new(|| compiled(include_str!("prelude/connection.lua")));
static COROUTINE: Part = LazyLock::new(|| compiled(include_str!("prelude/coroutine.lua")));
static LOAD: Part = LazyLock::new(|| compiled(include_str!("prelude/load.lua")));
static MATH: Part = LazyLock::new(|| compiled(include_str!("prelude/math.lua")));
static STRING: Part = LazyLock::new(|| compiled(include_str!("prelude/string.lua")));
static TABLE: Part = LazyLock::new(|| compiled(include_str!("prelude/table.lua")));
static TONUMBER: Part = LazyLock::new(|| compiled(include_str!("prelude/tonumber.lua")));

/// What an error of a host function takes beside its text: a stack trace, and what it was called with.
const ERROR_BYTES: usize = 1 << 10;

/// Where a state keeps what its parts need.
const HOST: &str = "sutler.prelude";

fn compiled(source: &str) -> std::result::Result<Vec<u8>, String> {
    Compiler::new().compile(source).map_err(|error| error.to_string())
}

/// Libraries that a state has from the beginning.
pub(crate) fn libraries() -> StdLib {
    StdLib::STRING | StdLib::COROUTINE
}

/// Runs a part.
fn run(lua: &Lua, part: &Part, args: impl IntoLuaMulti) -> Result<()> {
    let code = part.as_ref().map_err(mlua::Error::runtime)?;
    lua.load(code.as_slice()).set_name("=prelude").set_mode(ChunkMode::Binary).call(args)
}

/// Runs a part that needs a library which may not be loaded yet.
fn run_with(lua: &Lua, part: &Part, library: StdLib, name: &str) -> Result<()> {
    let host: Table = lua.named_registry_value(HOST)?;
    let kept: Table = host.raw_get("g")?;
    if kept.raw_get::<Value>(name)?.is_nil() {
        lua.load_std_libs(library)?;
        take_globals(lua, |name, value| kept.raw_set(name, value))?;
    }
    run(lua, part, host)
}

/// Leaves nothing of the original globals to be found but the coroutine library, which is what mlua itself looks up there.
fn take_globals(lua: &Lua, keep: impl Fn(&Value, Value) -> Result<()>) -> Result<()> {
    let globals = lua.globals();
    for pair in globals.clone().pairs::<Value, Value>() {
        let (name, value) = pair?;
        if name.as_string().is_none_or(|name| name != "coroutine") {
            keep(&name, value)?;
            globals.raw_set(name, Value::Nil)?;
        }
    }
    Ok(())
}

/// The table that stands behind every environment of a Lua state.
pub(crate) fn base(lua: &Lua) -> Result<Table> {
    let globals = lua.globals();
    let base = lua.create_table_with_capacity(0, 24)?;
    let host = host(lua)?;
    run(lua, &BASE, (&globals, &base, &host))?;
    lua.set_named_registry_value(HOST, host)?;
    take_globals(lua, |_, _| Ok(()))?;
    Ok(base)
}

/// A fresh environment for one run at a time.
pub(crate) fn environment(lua: &Lua) -> Result<Table> {
    lua.named_registry_value::<Table>(HOST)?.raw_get::<Function>("environment")?.call(())
}

/// The function that calls others for the host: what it raises has words.
pub(crate) fn top(lua: &Lua) -> Result<Function> {
    lua.named_registry_value::<Table>(HOST)?.raw_get("top")
}

/// A function that makes one that requests and then has a callback take the answer: of `request`, which answers whether it
/// has one, the callback and what to call it with, and of `turned_down`, which hears of a callback that answers false.
pub(crate) fn requesting(lua: &Lua) -> Result<Function> {
    let host: Table = lua.named_registry_value(HOST)?;
    if host.raw_get::<Value>("requesting")?.is_nil() {
        run(lua, &CONNECTION, &host)?;
    }
    host.raw_get("requesting")
}

/// A global that comes to be now, if it is one of the language's that do.
pub(crate) fn late(lua: &Lua, base: &Table, name: &str) -> Result<Option<Value>> {
    match name {
        "bit32" => run_with(lua, &BIT32, StdLib::BIT, name)?,
        "coroutine" => {
            let host: Table = lua.named_registry_value(HOST)?;
            host.raw_set("made_way", lua.create_function(|_, ()| Ok(Meter::made_way()))?)?;
            run_with(lua, &COROUTINE, StdLib::TABLE, "table")?;
        }
        "getfenv" | "load" | "loadstring" | "setfenv" => {
            let host: Table = lua.named_registry_value(HOST)?;
            host.raw_set("load_text", lua.create_function(load_text)?)?;
            host.raw_set("env", lua.create_function(|_, ()| Ok(Meter::current().and_then(|meter| meter.env())))?)?;
            run_with(lua, &LOAD, StdLib::TABLE, "table")?;
        }
        "math" => run_with(lua, &MATH, StdLib::MATH, name)?,
        "table" | "unpack" => {
            run_with(lua, &TABLE, StdLib::TABLE, "table")?;
        }
        "tonumber" => run(lua, &TONUMBER, lua.named_registry_value::<Table>(HOST)?)?,
        _ => return Ok(None),
    }
    base.raw_get(name).map(Some)
}

/// What the prelude asks of Rust.
fn host(lua: &Lua) -> Result<Table> {
    let host = lua.create_table_with_capacity(0, 16)?;
    host.raw_set("pending", Lua::poll_pending())?;
    host.raw_set("mark", native::mark())?;
    // Makes functions that stand before Luau's own.
    host.raw_set("native", lua.create_function(native::make)?)?;
    host.raw_set("joined", native::JOINED)?;
    host.raw_set(
        "text",
        lua.create_function(|lua, raised: Value| match &raised {
            Value::Error(error) => {
                let text = crate::error::text(error);
                object::discarded(lua, ERROR_BYTES + 2 * text.len())?;
                Ok(Value::String(lua.create_string(text)?))
            }
            _ => Ok(raised),
        })?,
    )?;
    host.raw_set("words", lua.create_function(|_, (raised, text)| Ok(crate::error::words(&raised, text)))?)?;
    let lack = || mlua::Error::MemoryError("not enough memory".to_owned());
    host.raw_set("no_memory", lua.create_function(move |_, ()| -> Result<()> { Err(lack()) })?)?;
    host.raw_set(
        "log",
        lua.create_function(|_, line: mlua::LuaString| {
            if let Some(meter) = Meter::current() {
                meter.log(&line.to_string_lossy());
            }
            Ok(())
        })?,
    )?;
    host.raw_set("metatable", lua.create_function(|_, of: Table| Ok(of.metatable()))?)?;
    let make_strings = lua.create_function(|lua, ()| {
        let host: Table = lua.named_registry_value(HOST)?;
        host.raw_set("find_plain", lua.create_function(text::find_plain)?)?;
        run_with(lua, &STRING, StdLib::TABLE, "table")
    })?;
    host.raw_set("make_strings", make_strings)?;
    Ok(host)
}
