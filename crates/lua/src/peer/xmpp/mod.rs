//! One message over XMPP (RFC 6120, 6121), by hand: the usual clients connect and do TLS by themselves, past the policy.

mod sasl;
mod wire;

use super::{Line, credentials};
use crate::xml::Node;
use quick_xml::escape::escape;
use reqwest::Url;
use wire::Wire;

/// What a server's URL may begin with: TLS once it is agreed on, or from the start.
pub(crate) const SCHEMES: [&str; 2] = ["xmpp", "xmpps"];

/// What is sent.
pub(crate) struct Message {
    /// The domain of the account; none: the server's name.
    pub domain: Option<String>,
    pub to: String,
    pub body: String,
    pub subject: Option<String>,
    pub id: String,
}

/// The port of a server whose URL names none.
pub(crate) fn port(server: &Url) -> u16 {
    if server.scheme() == "xmpps" { 5223 } else { 5222 }
}

/// Signs in, sends a message and waits until the server has dealt with it.
///
/// # Errors
/// In words, the server's own where it gave some.
pub(crate) async fn send(line: &Line, server: &Url, message: &Message) -> Result<(), String> {
    let (user, password) = credentials(server).ok_or("the URL has no user and password to sign in with")?;
    let domain = message.domain.as_deref().or(server.host_str()).unwrap_or_default();
    let mut stream = line.connect().await?;
    let mut private = stream.is_loopback();
    let mut tls = false;
    if server.scheme() == "xmpps" {
        stream = line.secure(stream).await?;
        (private, tls) = (true, true);
    }
    let mut wire = Wire::new(stream);
    let mut features = open(&mut wire, domain).await?;
    if !tls && !features.find("stream:features/starttls", 1).is_empty() {
        wire.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        let answer = wire.element().await?;
        if !named(&answer, "proceed") {
            return Err("the server offers TLS and then refuses it".to_owned());
        }
        wire = Wire::new(line.secure(wire.into_stream()?).await?);
        private = true;
        features = open(&mut wire, domain).await?;
    }
    if !private {
        return Err("the server offers no TLS, without which nobody signs in".to_owned());
    }
    sasl::sign_in(&mut wire, &features, &user, &password).await.map_err(|e| format!("signing in: {e}"))?;
    open(&mut wire, domain).await?;
    wire.write("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>").await?;
    answer(&mut wire, "bind").await?;
    let subject = match &message.subject {
        Some(subject) => format!("<subject>{}</subject>", escape(subject.as_str())),
        None => String::new(),
    };
    let (to, id, body) = (escape(message.to.as_str()), escape(message.id.as_str()), escape(message.body.as_str()));
    wire.write(&format!("<message to='{to}' id='{id}' type='chat'>{subject}<body>{body}</body></message>")).await?;
    // Stanzas are dealt with in order: once it answers this, it has the message, or has sent it back.
    let domain = escape(domain);
    wire.write(&format!("<iq type='get' id='ping' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>")).await?;
    answer(&mut wire, "ping").await?;
    let _ = wire.write("</stream:stream>").await;
    Ok(())
}

/// Opens a stream and answers what the server offers on it.
async fn open(wire: &mut Wire, domain: &str) -> Result<Node, String> {
    let to = escape(domain);
    wire.write(&format!(
        "<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    ))
    .await?;
    let features = wire.element().await?;
    if named(&features, "features") { Ok(features) } else { Err(refusal(&features)) }
}

/// Waits for the answer to a request; what comes back of ours is an error.
async fn answer(wire: &mut Wire, id: &str) -> Result<(), String> {
    loop {
        let found = wire.element().await?;
        let Some(root) = found.elements().next() else { continue };
        let kind = root.attribute("type").unwrap_or_default();
        if named(&found, "iq") && root.attribute("id").as_deref() == Some(id) {
            // A server that does not know how to answer has still read what came before.
            return if kind == "result" || id == "ping" { Ok(()) } else { Err(refusal(&found)) };
        }
        if (named(&found, "message") && kind == "error") || named(&found, "error") {
            return Err(refusal(&found));
        }
    }
}

/// Whether the document's root has this name, with or without a prefix.
fn named(document: &Node, name: &str) -> bool {
    !document.find(name, 1).is_empty()
}

/// What an error says: its condition and text.
fn refusal(document: &Node) -> String {
    let mut words = Vec::new();
    for part in document.elements().flat_map(|root| {
        let inner: Vec<Node> =
            root.elements().filter(|node| node.name() == "error").flat_map(|e| e.elements()).collect();
        if inner.is_empty() { root.elements().collect() } else { inner }
    }) {
        let name = part.name();
        words.push(if name == "text" { part.text() } else { name });
    }
    words.truncate(4);
    format!("the server says {}", if words.is_empty() { "no".to_owned() } else { words.join(" ") })
}
