//! `amqp`: messages to a broker, each confirmed.

use crate::{
    helper::{Module, text_of},
    json,
    peer::{
        self, Errand,
        amqp::{self, Broker, Message},
    },
    room::Room,
    shard::Shard,
};
use mlua::{Error, Lua, LuaString, Result, Table, Value as Lv};
use std::rc::Rc;

/// Longest text of the protocol's own: names, keys, properties.
const SHORT_BYTES: usize = 255;
/// Most headers of a message: they have to fit into one frame.
const HEADER_BYTES: usize = 64 << 10;

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let shard = shard.clone();
    module.waiting("publish", move |_, options: Table| {
        let shard = shard.clone();
        async move { publish(&shard, &options).await }
    })?;
    Ok(module.table)
}

async fn publish(shard: &Shard, options: &Table) -> Result<()> {
    let url: Option<String> = options.get("url")?;
    let url = peer::url("amqp", &url.unwrap_or_default(), &["amqp", "amqps"])?;
    let secure = url.scheme() == "amqps";
    let (user, password) = peer::credentials(&url).unwrap_or_else(|| ("guest".to_owned(), "guest".to_owned()));
    // `amqp://host` is the virtual host `/`, `amqp://host/` the one without a name.
    let vhost = url.path().strip_prefix('/').map_or_else(|| "/".to_owned(), peer::decoded);
    let broker = Broker { secure, user, password, vhost };
    let short = |name: &str| {
        let text = text_of(&options.get::<Lv>(name)?);
        match text {
            Some(text) if text.len() > SHORT_BYTES => {
                Err(Error::runtime(format!("amqp.publish: `{name}` is longer than {SHORT_BYTES} bytes")))
            }
            text => Ok(text),
        }
    };
    let queue = short("queue")?;
    let (body, data) = (options.get::<Option<LuaString>>("body")?, options.get::<Lv>("json")?);
    let (body, kind) = match (body, data) {
        (Some(body), Lv::Nil) => (body.as_bytes().to_vec(), None),
        (None, data) if !data.is_nil() => {
            (json::text(&json::from_lua(&data)?, false)?.into_bytes(), Some("application/json".to_owned()))
        }
        _ => return Err(Error::runtime("amqp.publish: give one of `body` and `json`")),
    };
    let mut headers = Vec::new();
    if let Some(given) = options.get::<Option<Table>>("headers")? {
        headers = Room::new("the header of a message", HEADER_BYTES).pairs(&given)?;
        // In a fixed order, so that a repeated run sends the same.
        headers.sort_unstable();
    }
    let message = Message {
        exchange: short("exchange")?.unwrap_or_default(),
        // Without an exchange, messages go to the queue of that name.
        routing_key: short("routing_key")?.or_else(|| queue.clone()).unwrap_or_default(),
        queue,
        content_type: short("content_type")?.or(kind),
        message_id: short("message_id")?,
        headers,
        persistent: options.get::<Option<bool>>("persistent")?.unwrap_or(true),
        mandatory: options.get::<Option<bool>>("mandatory")?.unwrap_or(true),
        body,
    };
    let errand = Errand {
        helper: "amqp",
        method: "PUBLISH",
        port: if secure { 5671 } else { 5672 },
        url,
        trusted: false,
        bytes: message.body.len(),
    };
    peer::run(shard, errand, (), async |line| amqp::publish(&line, &broker, &message).await).await
}
