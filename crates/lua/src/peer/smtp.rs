//! Sending mail over SMTP, by hand: the usual client connects and upgrades to TLS by itself, past the policy. The messages
//! themselves are lettre's.

use super::{Line, credentials};
use crate::egress::Stream;
use base64::{Engine, engine::general_purpose::STANDARD};
use lettre::{Message, address::Envelope};
use reqwest::Url;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// What a server's URL may begin with, and the port that goes with it.
pub(crate) const SCHEMES: [&str; 2] = ["smtp", "smtps"];
/// How we call ourselves: servers that would look a name up take an address literal.
const HELLO: &str = "[127.0.0.1]";
/// Longest line of an answer; the standard has 512.
const LINE_BYTES: u64 = 4096;
/// Most lines of an answer.
const LINES: usize = 100;

/// The port of a server whose URL names none.
pub(crate) fn port(server: &Url) -> u16 {
    if server.scheme() == "smtps" { 465 } else { 25 }
}

/// Hands a message to a server: inside TLS from the start (`smtps`), or as soon as the server offers it.
///
/// # Errors
/// In words, the server's own where it gave some.
pub(crate) async fn send(line: &Line, server: &Url, message: &Message) -> Result<(), String> {
    let mut stream = line.connect().await?;
    let mut private = stream.is_loopback();
    if server.scheme() == "smtps" {
        stream = line.secure(stream).await?;
        private = true;
    }
    let mut session = Session(BufReader::new(stream));
    session.answer(2).await.map_err(|e| format!("greeting: {e}"))?;
    let mut offers = session.hello().await?;
    if server.scheme() == "smtp" && offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
        session.ask("STARTTLS", 2).await?;
        if !session.0.buffer().is_empty() {
            return Err("the server said more than it may before TLS".to_owned());
        }
        session = Session(BufReader::new(line.secure(session.0.into_inner()).await?));
        private = true;
        offers = session.hello().await?;
    }
    if let Some((user, password)) = credentials(server) {
        if !private {
            return Err("the server offers no TLS, without which no password is sent".to_owned());
        }
        session.sign_in(&offers, &user, &password).await?;
    }
    session.deliver(message.envelope(), &message.formatted()).await?;
    // It has the message; how it takes leave matters no more.
    let _ = session.ask("QUIT", 2).await;
    Ok(())
}

struct Session(BufReader<Stream>);

impl Session {
    /// Introduces us and answers what the server offers.
    async fn hello(&mut self) -> Result<Vec<String>, String> {
        let mut lines = self.ask(&format!("EHLO {HELLO}"), 2).await?;
        Ok(lines.split_off(1.min(lines.len())))
    }

    async fn sign_in(&mut self, offers: &[String], user: &str, password: &str) -> Result<(), String> {
        let offered = |name: &str| {
            offers.iter().any(|offer| {
                let mut words = offer.split([' ', '=']);
                words.next().is_some_and(|word| word.eq_ignore_ascii_case("AUTH"))
                    && words.any(|word| word.eq_ignore_ascii_case(name))
            })
        };
        let signed_in = if offered("PLAIN") {
            let token = STANDARD.encode(format!("\0{user}\0{password}"));
            self.ask(&format!("AUTH PLAIN {token}"), 2).await
        } else if offered("LOGIN") {
            self.ask("AUTH LOGIN", 3).await?;
            self.ask(&STANDARD.encode(user), 3).await?;
            self.ask(&STANDARD.encode(password), 2).await
        } else {
            return Err("the server offers neither PLAIN nor LOGIN authentication".to_owned());
        };
        signed_in.map(drop).map_err(|e| format!("signing in: {e}"))
    }

    async fn deliver(&mut self, envelope: &Envelope, message: &[u8]) -> Result<(), String> {
        let from = envelope.from().map(ToString::to_string).unwrap_or_default();
        self.ask(&format!("MAIL FROM:<{from}>"), 2).await.map_err(|e| format!("sender {from}: {e}"))?;
        for to in envelope.to() {
            self.ask(&format!("RCPT TO:<{to}>"), 2).await.map_err(|e| format!("recipient {to}: {e}"))?;
        }
        self.ask("DATA", 3).await?;
        self.write(&stuffed(message)).await?;
        self.answer(2).await.map(drop)
    }

    /// Sends a line and takes the answer, whose code must begin with `digit`.
    async fn ask(&mut self, line: &str, digit: u8) -> Result<Vec<String>, String> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.answer(digit).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.write_all(bytes).await.map_err(|e| e.to_string())?;
        self.0.flush().await.map_err(|e| e.to_string())
    }

    /// The lines of an answer without their code.
    async fn answer(&mut self, digit: u8) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        while lines.len() < LINES {
            let mut line = Vec::new();
            (&mut self.0).take(LINE_BYTES).read_until(b'\n', &mut line).await.map_err(|e| e.to_string())?;
            let line = String::from_utf8_lossy(&line);
            let Some((code, text)) = line.trim_end().split_at_checked(3) else {
                return Err("the server hung up or does not speak SMTP".to_owned());
            };
            let text = text.strip_prefix(['-', ' ']).unwrap_or(text);
            lines.push(text.to_owned());
            if !line[3..].starts_with('-') {
                let wanted = code.bytes().next() == Some(b'0' + digit);
                return if wanted { Ok(lines) } else { Err(format!("the server says {code} {}", lines.join(" "))) };
            }
        }
        Err("the server's answer has no end".to_owned())
    }
}

/// The message as it is sent: a dot at the beginning of a line doubled, and one on a line of its own at the end.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_message_ends_it() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\nc"), b"a\r\n..\r\n...b\r\nc\r\n.\r\n");
        assert_eq!(stuffed(b""), b"\r\n.\r\n");
    }
}
