//! `log`: lines of the run's log with a level, and fields as JSON.

use crate::{helper::Module, helper::loggable, json, meter::Meter};
use mlua::{Lua, Result, Table, Value as Lv};

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    for (name, level) in [("debug", "DEBUG"), ("info", "INFO"), ("warn", "WARN"), ("error", "ERROR")] {
        module.function(name, move |_, (text, fields): (Lv, Lv)| {
            let text = loggable(&text).unwrap_or_else(|| text.type_name().to_owned());
            let fields = match fields {
                Lv::Nil => String::new(),
                fields => format!(" {}", json::text(&json::from_lua(&fields)?, false)?),
            };
            if let Some(meter) = Meter::current() {
                meter.log(&format!("{level} {text}{fields}"));
            }
            Ok(())
        })?;
    }
    Ok(module.table)
}
