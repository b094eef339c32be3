//! One block's Lua state: the compiled source and the environments its runs take turns in.
//!
//! Published scripts assign undeclared globals freely, so two runs that overlap must not share them. Each run therefore
//! takes an environment in which the source has been run once; it is given back afterwards. As long as no run waits there
//! is one; a second one costs the block's tables and closures, because the compiled functions are shared.

use crate::{
    Input, Limit, Limits, Member, Params, ScriptError, dialect, entry, error, interrupt, json,
    meter::Meter,
    object::{self, BeanRef},
    params,
    shard::Shard,
    subject::Subject,
};
use mlua::{FromLuaMulti, Function, IntoLua, IntoLuaMulti, Lua, LuaOptions, Table, Value};
use std::{cell::RefCell, rc::Rc};

/// What the source is called in error messages.
pub(crate) const CHUNK: &str = "script";
/// Environments kept for later when no run uses them.
const SPARE: usize = 4;
/// What of a block's memory is left to the state and its objects, of this many parts all but one: the rest is for what they take
/// beside what is counted, such as the allocator's rounding and the copies that functions of this side make.
const PARTS: usize = 6;

pub(crate) struct Vm {
    lua: Lua,
    main: Function,
    top: Function,
    spare: RefCell<Vec<Table>>,
}

impl Vm {
    /// A state with what [`dialect::compile`] made of the block's source.
    pub fn load(code: &[u8], limits: &Limits, shard: &Rc<Shard>) -> Result<Self, ScriptError> {
        let memory_bytes = limits.memory_bytes / PARTS * (PARTS - 1);
        let setup = || -> mlua::Result<(Lua, Function)> {
            let lua = Lua::new_with(dialect::libraries(), LuaOptions::new().thread_pool_size(SPARE))?;
            lua.set_memory_limit(memory_bytes)?;
            interrupt::install(&lua)?;
            object::register(&lua, memory_bytes)?;
            let base = dialect::base(&lua)?;
            crate::helper::install(&lua, &base, shard)?;
            let top = dialect::top(&lua)?;
            lua.gc_collect()?;
            Ok((lua, top))
        };
        let (lua, top) = setup().map_err(|e| error::from_lua(&e))?;
        let main = lua
            .load(code)
            .set_name(format!("={CHUNK}"))
            .set_mode(mlua::chunk::ChunkMode::Binary)
            .into_function()
            .map_err(|e| error::from_lua(&e))?;
        Ok(Self { lua, main, top, spare: RefCell::default() })
    }

    /// An environment in which the source has run.
    pub async fn take(&self, meter: &Meter) -> Result<Table, ScriptError> {
        object::share(&self.lua).map_err(|e| self.error(&e))?;
        let spare = self.spare.borrow_mut().pop();
        if let Some(env) = spare {
            meter.set_env(&env);
            return Ok(env);
        }
        let prepare = || -> mlua::Result<(Table, Function)> {
            let env = dialect::environment(&self.lua)?;
            let main = self.main.deep_clone()?;
            main.set_environment(env.clone())?;
            Ok((env, main))
        };
        let (env, main) = prepare().map_err(|e| self.error(&e))?;
        meter.set_env(&env);
        self.call::<()>(&main, ()).await?;
        Ok(env)
    }

    /// Calls a function of the block.
    pub async fn call<R: FromLuaMulti>(&self, function: &Function, args: impl IntoLuaMulti) -> Result<R, ScriptError> {
        let mut args = args.into_lua_multi(&self.lua).map_err(|e| self.error(&e))?;
        args.push_front(Value::Function(function.clone()));
        entry::call(&self.top, args).await.map_err(|e| self.error(&e))
    }

    pub fn give_back(&self, env: Table) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(env);
        }
    }

    /// A global function of the block.
    pub fn function(&self, env: &Table, name: &str) -> Result<Function, ScriptError> {
        match entry::unguarded(&self.lua, || env.raw_get::<Value>(name)) {
            Ok(Value::Function(function)) => Ok(function),
            _ => Err(ScriptError::new(format!("the block has no global function `{name}`"))),
        }
    }

    /// The table `p`.
    pub fn params(&self, shard: &Rc<Shard>, params: Params, input: &Subject) -> Result<Table, ScriptError> {
        let build = move || -> mlua::Result<Table> {
            let subject = match params.input {
                Input::Numbers(numbers) => numbers.into_lua(&self.lua)?,
                Input::Text(text) => text.into_lua(&self.lua)?,
                _ => input.to_lua(&self.lua)?,
            };
            // Exact until the year 287396.
            #[allow(clippy::cast_precision_loss)]
            let time = Value::Number(params.timestamp_ms as f64);
            let resource = input.resource();
            let bean = |bean: Option<BeanRef>| bean.into_lua(&self.lua);
            let p = params::table(
                &self.lua,
                [
                    subject,
                    params.option.into_lua(&self.lua)?,
                    params.be_uuid.into_lua(&self.lua)?,
                    time,
                    bean(params.customer.map(BeanRef::from_bean))?,
                    bean(params.user.map(BeanRef::from_bean))?,
                    bean(resource.clone())?,
                ],
            )?;
            for (name, member) in params.more {
                match (member, &resource) {
                    (Member::Resource, Some(bean)) => p.raw_set(name, bean.clone())?,
                    (member, _) => p.raw_set(name, crate::helper::member(&self.lua, shard, member)?)?,
                }
            }
            Ok(p)
        };
        entry::unguarded(&self.lua, build).map_err(|e| self.error(&e))
    }

    pub fn to_json(&self, value: &Value) -> Result<serde_json::Value, ScriptError> {
        entry::unguarded(&self.lua, || json::from_lua(value)).map_err(|e| self.error(&e))
    }

    /// An error that ended the run's code.
    #[allow(clippy::unused_self)]
    pub fn error(&self, error: &mlua::Error) -> ScriptError {
        if error::is_memory(error)
            && let Some(meter) = Meter::current()
        {
            meter.stop(Limit::Memory);
        }
        error::from_lua(error)
    }

    /// Adds the line where a function begins, if the error has none.
    #[allow(clippy::unused_self)]
    pub fn located(&self, function: &Function, error: ScriptError) -> ScriptError {
        let line = error.line.or_else(|| function.info().line_defined.and_then(|line| u32::try_from(line).ok()));
        ScriptError { line, ..error }
    }

    /// Bytes the state holds.
    pub fn bytes(&self) -> usize {
        self.lua.used_memory()
    }
}
