//! `syslog`, which writes to the run's log.

use super::{Module, loggable};
use crate::{meter::Meter, shard::Shard};
use mlua::{Lua, Result, Table, Value as Lv};
use std::{cell::RefCell, rc::Rc};

/// Flags of `openlog`, which can be added.
const FLAGS: [(&str, f64); 6] = [
    ("LOG_PID", 1.0),
    ("LOG_CONS", 2.0),
    ("LOG_ODELAY", 4.0),
    ("LOG_NDELAY", 8.0),
    ("LOG_NOWAIT", 16.0),
    ("LOG_PERROR", 32.0),
];
/// Levels by name, `LOG_ERROR` being a common slip.
const LEVELS: [&str; 9] = [
    "LOG_EMERG",
    "LOG_ALERT",
    "LOG_CRIT",
    "LOG_ERR",
    "LOG_WARNING",
    "LOG_NOTICE",
    "LOG_INFO",
    "LOG_DEBUG",
    "LOG_ERROR",
];

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    for (name, value) in FLAGS {
        module.table.raw_set(name, value)?;
    }
    for level in LEVELS {
        module.table.raw_set(level, level)?;
    }
    let ident = Rc::new(RefCell::new(String::new()));
    let opened = ident.clone();
    module.function("openlog", move |_, (name, _flags): (Lv, Lv)| {
        opened.replace(loggable(&name).unwrap_or_default());
        Ok(())
    })?;
    module.function("syslog", move |_, (level, text): (Lv, Lv)| {
        let level = loggable(&level).unwrap_or_else(|| "LOG_INFO".to_owned());
        let text = loggable(&text).unwrap_or_else(|| "nil".to_owned());
        if let Some(meter) = Meter::current() {
            let ident = ident.borrow();
            let colon = if ident.is_empty() { "" } else { ": " };
            meter.log(&format!("{level} {ident}{colon}{text}"));
        }
        Ok(())
    })?;
    module.function("closelog", |_, ()| Ok(()))?;
    super::modern::add_syslog(&module, shard)?;
    Ok(module.table)
}
