//! `smtp`: mail through the provider's relay or a server of the script's own.

use crate::{
    helper::{Module, acting},
    peer::{self, Errand, smtp},
    room::Room,
    shard::Shard,
};
use lettre::{
    Message,
    message::{Attachment, Mailbox, Mailboxes, MultiPart, SinglePart, header::ContentType},
};
use mlua::{Error, Lua, LuaString, Result, Table, Value as Lv};
use std::rc::Rc;
use uuid::Uuid;

/// Most recipients of a message.
const RECIPIENTS: usize = 100;
/// Longest message before it is encoded, bytes: it is copied and encoded outside the limits of the run.
pub(in crate::helper) const BYTES: usize = 4 << 20;
/// Longest list of addresses, and longest subject.
pub(in crate::helper) const HEAD_BYTES: usize = 64 << 10;

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let shard = shard.clone();
    module.waiting("send", move |_, options: Table| {
        let shard = shard.clone();
        async move {
            let mail = Mail::read(&options)?;
            let server: Option<String> = options.get("server")?;
            deliver(&shard, mail, server.as_deref()).await
        }
    })?;
    Ok(module.table)
}

/// A message as a script gives it. Addresses are texts such as `Ada <ada@example.org>`, several of them with commas.
#[derive(Default)]
pub(in crate::helper) struct Mail {
    pub from: Option<String>,
    pub to: String,
    pub cc: Option<String>,
    pub bcc: Option<String>,
    pub reply_to: Option<String>,
    pub subject: String,
    pub body: Option<String>,
    pub html: Option<String>,
    /// Name, type and content.
    pub attachments: Vec<(String, String, Vec<u8>)>,
}

impl Mail {
    fn read(options: &Table) -> Result<Self> {
        let mut room = Room::new("a message", BYTES);
        let to = addresses(options, "to")?.ok_or_else(|| Error::runtime("smtp.send: `to` is missing"))?;
        let mut mail = Self {
            to,
            from: addresses(options, "from")?,
            cc: addresses(options, "cc")?,
            bcc: addresses(options, "bcc")?,
            reply_to: addresses(options, "reply_to")?,
            subject: head(options, "subject")?.unwrap_or_default(),
            body: room.text(&options.get("body")?)?,
            html: room.text(&options.get("html")?)?,
            attachments: Vec::new(),
        };
        for each in options.get::<Option<Table>>("attachments")?.iter().flat_map(Table::sequence_values::<Table>) {
            let each = each?;
            let name = room.text(&each.get("name")?)?.unwrap_or_default();
            let kind = room.text(&each.get("type")?)?.unwrap_or_else(|| "application/octet-stream".to_owned());
            let body: LuaString = each.get("body")?;
            room.take(body.as_bytes().len())?;
            mail.attachments.push((name, kind, body.as_bytes().to_vec()));
        }
        Ok(mail)
    }

    /// The message, from `sender` unless it says from whom. `id` is the part of its own that its Message-ID has.
    fn message(self, sender: &str, id: Uuid) -> std::result::Result<Message, String> {
        let from: Mailbox = mailbox(self.from.as_deref().unwrap_or(sender))?;
        let id = format!("<{id}@{}>", from.email.domain());
        // A line end in it would begin a header of the script's input.
        let subject: String = self.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut builder = Message::builder().from(from).message_id(Some(id)).subject(subject);
        let mut recipients = 0;
        for (field, list) in [("to", Some(self.to)), ("cc", self.cc), ("bcc", self.bcc)] {
            let Some(list) = list.filter(|list| !list.trim().is_empty()) else { continue };
            let wrong = |_| format!("`{field}` is `{list}`, which is not a list of mail addresses");
            for each in list.parse::<Mailboxes>().map_err(wrong)? {
                recipients += 1;
                builder = match field {
                    "to" => builder.to(each),
                    "cc" => builder.cc(each),
                    _ => builder.bcc(each),
                };
            }
        }
        if recipients == 0 || recipients > RECIPIENTS {
            return Err(format!("a message has 1 to {RECIPIENTS} recipients"));
        }
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(mailbox(reply_to)?);
        }
        let mut parts = match (self.body, self.html) {
            (body, None) if self.attachments.is_empty() => {
                return builder.singlepart(SinglePart::plain(body.unwrap_or_default())).map_err(|e| e.to_string());
            }
            (body, None) => MultiPart::mixed().singlepart(SinglePart::plain(body.unwrap_or_default())),
            (None, Some(html)) => MultiPart::mixed().singlepart(SinglePart::html(html)),
            (Some(body), Some(html)) => MultiPart::mixed().multipart(MultiPart::alternative_plain_html(body, html)),
        };
        for (name, kind, content) in self.attachments {
            let kind = ContentType::parse(&kind).map_err(|_| format!("`{kind}` is no content type"))?;
            parts = parts.singlepart(Attachment::new(name).body(content, kind));
        }
        builder.multipart(parts).map_err(|e| e.to_string())
    }
}

/// A text of a table: one of the message's heads.
fn head(table: &Table, name: &str) -> Result<Option<String>> {
    Room::new("a head of a message", HEAD_BYTES).text(&table.get(name)?)
}

/// Addresses: a text or a list of texts.
fn addresses(options: &Table, name: &str) -> Result<Option<String>> {
    let Lv::Table(list) = options.get(name)? else { return head(options, name) };
    let mut room = Room::new("a head of a message", HEAD_BYTES);
    let texts = list.sequence_values::<Lv>().map(|each| room.text(&each?)).filter_map(Result::transpose);
    texts.collect::<Result<Vec<_>>>().map(|texts| Some(texts.join(", ")))
}

fn mailbox(text: &str) -> std::result::Result<Mailbox, String> {
    text.parse().map_err(|_| format!("`{text}` is not a mail address"))
}

/// Sends a message through `server`, or the provider's relay.
pub(in crate::helper) async fn deliver(shard: &Shard, mail: Mail, server: Option<&str>) -> Result<()> {
    let egress = &shard.egress;
    let url = match (server, &egress.relay) {
        (Some(server), _) => peer::url("smtp", server, &smtp::SCHEMES)?,
        (None, Some(relay)) => relay.clone(),
        (None, None) => return Err(Error::runtime("smtp: give a `server`, for the provider has no mail relay set")),
    };
    let (meter, who) = acting()?;
    // A repeated run sends the same mails in the same order: by this their receivers can tell.
    let id = Uuid::new_v5(&who.run_id.0, format!("mail {}", meter.next_mail_no()).as_bytes());
    let message = mail.message(&egress.mail_from, id).map_err(|e| Error::runtime(format!("smtp: {e}")))?;
    let errand = Errand {
        helper: "smtp",
        method: "SEND",
        port: smtp::port(&url),
        url: url.clone(),
        // The operator's word, not the script's.
        trusted: server.is_none(),
        bytes: message.formatted().len(),
    };
    peer::run(shard, errand, (), async |line| smtp::send(&line, &url, &message).await).await
}
