//! The look at a run's limits at each safe point of Lua code, where a run that has had its turn makes way for others, too.
//!
//! Luau asks at every call, every turn of a loop and every step of a pattern. On mlua's way to a function of ours an error or
//! panic is caught, which takes many times as long as the look itself. So a C function looks first, and goes that way
//! only when there is something to raise.
//!
//! A run makes way as one that waits for a call to the host does: its coroutine yields the sign that mlua takes for waiting, and
//! goes on at the same instruction when it is resumed. In a metamethod and in the midst of a pattern Luau cannot yield: there it
//! goes on until that returns, or is ended when it lasts.
#![allow(unsafe_code)]

use crate::meter::Meter;
use mlua::{Lua, Result, VmState, ffi};
use std::{os::raw::c_int, sync::OnceLock};

type Interrupt = unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int);

/// The one that mlua puts into every state.
static RAISING: OnceLock<Interrupt> = OnceLock::new();

/// Has a state's code stopped when its run has used up what it may.
///
/// # Errors
/// The lack of memory.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    lua.set_interrupt(|_| Meter::check_current().map(|()| VmState::Continue));
    // SAFETY: the state has its callbacks as long as it lives, and nothing of Lua's is touched.
    unsafe {
        lua.exec_raw((), |state| {
            let interrupt = &raw mut (*ffi::lua_callbacks(state)).interrupt;
            if let Some(raising) = *interrupt {
                RAISING.get_or_init(|| raising);
                *interrupt = Some(look);
            }
        })
    }
}

/// A safe point in a C function of ours.
///
/// # Safety
/// `state` is the one that runs; a Lua error may be raised, so no Rust value with a destructor is alive.
pub(crate) unsafe fn safe_point(state: *mut ffi::lua_State) {
    if !Meter::may_go_on(state.addr()) && Meter::holds() {
        // SAFETY: as promised.
        unsafe { raise(state) }
    }
}

/// Called by Luau; `gc` is negative at a safe point.
unsafe extern "C-unwind" fn look(state: *mut ffi::lua_State, gc: c_int) {
    if gc >= 0 || Meter::may_go_on(state.addr()) {
        return;
    }
    // SAFETY: Luau calls this between two instructions of `state`, or in the middle of a pattern, where it is not yieldable.
    // What is pushed is the one value that is yielded.
    unsafe {
        let may_yield = ffi::lua_isyieldable(state) != 0;
        if may_yield && Meter::makes_way(state.addr()) {
            ffi::lua_pushlightuserdata(state, Lua::poll_pending().0);
            ffi::lua_yield(state, 1);
        } else if may_yield || Meter::holds() {
            raise(state);
        }
    }
}

/// Looks at the limits exactly, and raises what is passed.
///
/// # Safety
/// See [`safe_point`].
unsafe fn raise(state: *mut ffi::lua_State) {
    if let Some(raising) = RAISING.get() {
        // SAFETY: called as Luau would call it. No Rust value lives across the call, which may raise a Lua error.
        unsafe { raising(state, -1) }
    }
}

#[cfg(test)]
mod program;
#[cfg(test)]
mod same;

#[cfg(test)]
mod tests {
    use crate::{Api, Bean, Block, Call, Data, Egress, Exit, Host, HostError, Limits, Params, Runtime, Texts, Who};
    use async_trait::async_trait;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use sutler_model::{RunId, Scope, ScriptId};

    /// Answers what it is asked, after others had a turn.
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
            tokio::task::yield_now().await;
            Ok(Value::Array(args))
        }
    }

    async fn run(body: &str) -> (Exit, String) {
        let runtime = Runtime::new(1, Arc::new(Echo), Egress::default());
        let source = format!("function f(p) {body}\nend").into();
        let outcome = runtime
            .run(Call {
                block: Block { id: ScriptId::new(1, [1; 10]), version: 1, source, texts: Texts::default() },
                function: "f".to_owned(),
                who: Who {
                    owner: Scope::Provider,
                    script: None,
                    run_id: RunId::new(0, [7; 10]),
                    depth: 0,
                    unrecorded: false,
                    repeated: false,
                    rehearsal: false,
                },
                params: Params::default(),
                limits: Limits { cpu_ms: 60_000, ..Limits::default() },
            })
            .await;
        (outcome.exit, outcome.result)
    }

    #[tokio::test]
    async fn a_run_that_makes_way_at_every_few_steps_computes_what_it_would_have() {
        let body = r"
            local function values(n) if n == 0 then return end return n, values(n - 1) end
            local function count(...) return select('#', ...) end
            local Point = {} Point.__index = Point
            Point.__add = function(a, b) return setmetatable({x = a.x + b.x}, Point) end
            function Point:twice() return self + self end
            local function numbers(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i, i * i) end return nil end) end
            local wrong = {}
            local function check(what, right) if not right then wrong[#wrong + 1] = what end end
            for turn = 1, 20 do
                check('multiple values', count(values(30)) == 30 and count(table.unpack({values(20)})) == 20)
                local list = {values(10)}
                check('constructor', #list == 10 and list[10] == 1)
                local sum = 0
                for i, square in numbers(20) do sum = sum + square - i end
                check('coroutine in a loop', sum == 2660)
                local ok, raised, more = pcall(function(a, ...) if ... == 7 then return a, ... end error({at = turn}) end, 1, turn % 2 == 0 and 7 or 8)
                if turn % 2 == 0 then check('pcall', ok and raised == 1 and more == 7) else check('error', not ok and raised.at == turn) end
                local texts = {}
                for key, value in pairs({a = 1, b = 2, c = 3, 4, 5}) do texts[#texts + 1] = key .. '=' .. value end
                table.sort(texts, function(a, b) return a < b end)
                check('sort', table.concat(texts, ' ') == '1=4 2=5 a=1 b=2 c=3')
                check('metamethods', setmetatable({x = 3}, Point):twice():twice().x == 12)
                local inner = coroutine.create(function(a, b) local c, d = coroutine.yield(a + b) return c * d end)
                local _, first = coroutine.resume(inner, 1, 2)
                local _, second = coroutine.resume(inner, 3, 4)
                check('coroutine', first == 3 and second == 12 and coroutine.status(inner) == 'dead')
                local back = ('abc'):gsub('%a', function(letter) return coroutine.wrap(function() for i = 1, 5 do end return letter .. letter end)() end)
                check('coroutine in gsub', back == 'aabbcc')
                check('gsub with signs', ('a b a b'):gsub('%a', '<%0%-%e>', 3) == '<a-e> <b-e> <a-e> b')
                local asked = setmetatable({}, {__index = function(_, key) return key .. '!' end})
                check('gsub by a table that asks', select(2, ('a b a b'):gsub('%a', asked)) == 4 and ('a b'):gsub('%a', asked) == 'a! b!')
                check('rep with separators', ('x'):rep(5, '-') == 'x-x-x-x-x')
                check('tonumber with signs', tonumber('-11', 2) == -3)
                local met = setmetatable({}, {__index = function(_, key) return coroutine.wrap(function() for i = 1, 50 do end return key end)() end})
                check('coroutine in a metamethod', met.abc == 'abc')
                local none = coroutine.wrap(function() coroutine.yield() return 5 end)
                check('nothing yielded', count(none()) == 0 and none() == 5)
                check('xpcall', select(2, xpcall(function() error('x', 0) end, function(e) return e .. 'y' end)) == 'xy')
            end
            return table.concat(wrong, ', ')";
        assert_eq!(run(body).await, (Exit::Continue, json!("").to_string()));
    }

    #[tokio::test]
    async fn what_is_waited_for_may_come_while_a_run_makes_way() {
        let body = r"
            local calls = 0
            local function call(i)
                for j = 1, i % 60 do end
                if adminAPI:echo(i):get(0) == i then calls = calls + 1 end
            end
            for i = 1, 200 do call(i) end
            coroutine.wrap(function() for i = 1, 200 do call(i) end end)()
            local function deep(n)
                if n == 0 then for i = 1, 200 do call(i) end else coroutine.wrap(deep)(n - 1) end
            end
            deep(4)
            return calls";
        assert_eq!(run(body).await, (Exit::Continue, json!(600).to_string()));
    }
}
