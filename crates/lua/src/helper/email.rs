//! The `FDLEmailHelper`, an object that is itself called.

use super::{Module, module::drop_self, platform, text_of};
use crate::{Api, shard::Shard};
use mlua::{Lua, MultiValue, Result, Table};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Its eight arguments in order. Those before the subject and after the body are nil in every known use.
const FIELDS: [&str; 8] = ["to", "from", "replyTo", "cc", "bcc", "subject", "body", "attachments"];

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let own = module.table.to_pointer();
    let meta = lua.create_table()?;
    let host = shard.clone();
    meta.raw_set(
        "__call",
        lua.create_async_function(move |_, mut args: MultiValue| {
            drop_self(&mut args, own);
            send(host.clone(), args)
        })?,
    )?;
    let host = shard.clone();
    module.waiting("sendEmail", move |_, args: MultiValue| send(host.clone(), args))?;
    module.table.set_metatable(Some(meta))?;
    Ok(module.table)
}

/// Hands the message to the host as the operation `sendEmail` with one object.
async fn send(shard: Rc<Shard>, args: MultiValue) -> Result<bool> {
    let mut mail = Map::new();
    for (name, value) in FIELDS.iter().zip(args.iter()) {
        if let Some(text) = text_of(value) {
            mail.insert((*name).to_owned(), Value::String(text));
        }
    }
    let answer = platform::call(&shard, Api::Admin, "sendEmail", vec![Value::Object(mail)]).await?;
    Ok(answer != Value::Bool(false))
}
