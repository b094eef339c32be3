//! The `FDLEmailHelper`, an object that is itself called: mail through the provider's relay.

use super::{
    Module, acting,
    modern::{HEAD_BYTES, MAIL_BYTES, Mail, deliver},
    module::drop_self,
};
use crate::{object::Val, room::Room, schema::Type, shard::Shard};
use base64::{Engine, engine::general_purpose::STANDARD};
use mlua::{Error, Lua, MultiValue, Result, Table, Value as Lv};
use serde_json::Value;
use std::rc::Rc;

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

/// To, from, reply-to, cc, bcc, subject, body, and attachments by name. The eighth argument is nil in every known use; a map or
/// table can mean nothing else.
async fn send(shard: Rc<Shard>, args: MultiValue) -> Result<bool> {
    let arg = |at: usize| {
        let most = if at == 6 { MAIL_BYTES } else { HEAD_BYTES };
        let text = args.get(at).map(|arg| Room::new("a part of a message", most).text(arg)).transpose()?.flatten();
        Ok::<_, Error>(text.filter(|text| !text.trim().is_empty()))
    };
    // One text with commas, or a list.
    let people = |at: usize| match args.get(at) {
        Some(list @ (Lv::Table(_) | Lv::UserData(_))) => {
            let list = Val::from_lua(list, &Type::List(Box::new(Type::Text)))?.to_json(false)?;
            let people: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut room = Room::new("a part of a message", HEAD_BYTES);
            people.iter().try_for_each(|one| room.take(one.len() + 2))?;
            Ok(Some(people.join(", ")).filter(|text| !text.trim().is_empty()))
        }
        _ => arg(at),
    };
    let mut mail = Mail {
        to: people(0)?.ok_or_else(|| Error::runtime("FDLEmailHelper: nobody to send to"))?,
        from: arg(1)?,
        reply_to: arg(2)?,
        cc: people(3)?,
        bcc: people(4)?,
        subject: arg(5)?.unwrap_or_default(),
        ..Mail::default()
    };
    mail.take_body(arg(6)?.unwrap_or_default());
    if let Some(files @ (Lv::Table(_) | Lv::UserData(_))) = args.get(7) {
        mail.attach(&Val::from_lua(files, &Type::Map(Box::new(Type::Text)))?.to_json(false)?)?;
    }
    deliver(&shard, mail, None).await.map(|()| true)
}

/// Sends what the host has prepared for `adminAPI:sendEmail`; of a rehearsal nothing is sent.
pub(super) async fn send_prepared(shard: &Shard, prepared: &Value) -> Result<bool> {
    if acting()?.1.rehearsal {
        return Ok(true);
    }
    let text = |field: &str| prepared[field].as_str().map(str::to_owned).filter(|text| !text.trim().is_empty());
    let mut mail = Mail {
        to: text("to").ok_or_else(|| Error::runtime("INVALID_EMAIL_ADDRESS: nobody to send to"))?,
        from: text("from"),
        reply_to: text("reply_to"),
        cc: text("cc"),
        bcc: text("bcc"),
        subject: text("subject").unwrap_or_default(),
        ..Mail::default()
    };
    mail.take_body(text("body").unwrap_or_default());
    mail.attach(&prepared["attachments"])?;
    deliver(shard, mail, None).await.map(|()| true)
}

impl Mail {
    /// Takes files by their names. A content is base64, as over the original's API; one that is not stands for itself.
    fn attach(&mut self, files: &Value) -> Result<()> {
        let mut room = Room::new("a message", MAIL_BYTES);
        for (name, content) in files.as_object().into_iter().flatten() {
            let content = content.as_str().unwrap_or_default();
            room.take(name.len() + content.len())?;
            let bytes = STANDARD.decode(content).unwrap_or_else(|_| content.as_bytes().to_vec());
            self.attachments.push((name.clone(), content_type(name).to_owned(), bytes));
        }
        Ok(())
    }

    /// Takes a text as the body; one that begins with a tag and ends some is a page, or a part of one.
    fn take_body(&mut self, body: String) {
        let mut beginning = body.trim_start().chars();
        let tag =
            beginning.next() == Some('<') && beginning.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '!');
        if tag && body.contains("</") {
            self.html = Some(body);
        } else {
            self.body = Some(body);
        }
    }
}

/// The content type of a file, by its name.
fn content_type(name: &str) -> &'static str {
    const TYPES: [(&str, &str); 8] = [
        (".csv", "text/csv; charset=utf-8"),
        (".txt", "text/plain; charset=utf-8"),
        (".html", "text/html; charset=utf-8"),
        (".xml", "application/xml"),
        (".json", "application/json"),
        (".pdf", "application/pdf"),
        (".png", "image/png"),
        (".jpg", "image/jpeg"),
    ];
    let name = name.to_ascii_lowercase();
    TYPES.iter().find(|(ending, _)| name.ends_with(ending)).map_or("application/octet-stream", |(_, kind)| kind)
}
