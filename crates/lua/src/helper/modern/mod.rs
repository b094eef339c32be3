//! The small set of globals for scripts written here: plain names, plain tables, errors raised.
//!
//! `docs/reference/triggers.md` lists them. A script that assigns a global of the same name has its own from then on.

mod amqp;
mod crypto;
mod event;
mod http;
mod kv;
mod log;
mod mysql;
mod smtp;
mod syslog;
mod time;
mod xmpp;

pub(super) use smtp::{BYTES as MAIL_BYTES, HEAD_BYTES, Mail, deliver};
pub(super) use syslog::add as add_syslog;

use super::json;
use crate::shard::Shard;
use mlua::{Lua, Result, Table};
use std::rc::Rc;

/// The global of that name.
///
/// # Errors
/// Those of the Lua state: no memory.
pub(super) fn create(lua: &Lua, shard: &Rc<Shard>, name: &str) -> Result<Option<Table>> {
    Ok(Some(match name {
        "amqp" => amqp::create(lua, shard)?,
        "crypto" => crypto::create(lua)?,
        "event" => event::create(lua)?,
        "http" => http::create(lua, shard)?,
        "json" => json::modern(lua)?,
        "kv" => kv::create(lua, shard)?,
        "log" => log::create(lua)?,
        "mysql" => mysql::create(lua, shard)?,
        "smtp" => smtp::create(lua, shard)?,
        "time" => time::create(lua)?,
        "xmpp" => xmpp::create(lua, shard)?,
        _ => return Ok(None),
    }))
}
