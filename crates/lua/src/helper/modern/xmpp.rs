//! `xmpp`: a message to a person or a program.

use crate::{
    helper::{Module, text_of},
    peer::{self, Errand, xmpp},
    shard::Shard,
    xml::checked_text,
};
use mlua::{Error, Lua, Result, Table};
use std::rc::Rc;

/// Longest message, bytes: what servers take at least.
const BODY_BYTES: usize = 64 << 10;

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let shard = shard.clone();
    module.waiting("send", move |_, options: Table| {
        let shard = shard.clone();
        async move {
            let text = |name: &str| -> Result<Option<String>> { Ok(text_of(&options.get(name)?)) };
            let must = |name: &str| -> Result<String> {
                text(name)?.ok_or_else(|| Error::runtime(format!("xmpp.send: `{name}` is missing")))
            };
            let url = peer::url("xmpp", &must("url")?, &xmpp::SCHEMES)?;
            let message = xmpp::Message {
                domain: text("domain")?,
                to: must("to")?,
                body: must("body")?,
                subject: text("subject")?,
                id: text("id")?.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            };
            let bytes = message.body.len();
            if bytes > BODY_BYTES {
                return Err(Error::runtime(format!(
                    "xmpp.send: `body` takes {bytes} bytes, and may take {BODY_BYTES}"
                )));
            }
            for part in [&message.to, &message.body, &message.id].into_iter().chain(&message.subject) {
                checked_text(part)?;
            }
            let port = xmpp::port(&url);
            let errand = Errand { helper: "xmpp", method: "SEND", port, url: url.clone(), trusted: false, bytes };
            peer::run(&shard, errand, (), async |line| xmpp::send(&line, &url, &message).await).await
        }
    })?;
    Ok(module.table)
}
