//! One line to a log server: RFC 5424, over UDP (RFC 5426), TCP (RFC 6587, counted) or TLS (RFC 5425).

use super::Line;
use crate::date;
use reqwest::Url;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

/// What a server's URL may begin with.
pub(crate) const SCHEMES: [&str; 4] = ["syslog", "syslog+udp", "syslog+tcp", "syslogs"];
/// Longest message, bytes; servers take less of a datagram than this.
pub(crate) const BYTES: usize = 8 << 10;
/// How long a server may take to hang up once it has everything.
const GOODBYE: Duration = Duration::from_secs(2);

/// What is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Facility × 8 + severity.
    pub priority: u8,
    pub at_ms: i64,
    pub host: String,
    pub app: String,
    pub process: String,
    pub id: String,
    /// By the id of each element, its parameters.
    pub data: Vec<(String, Vec<(String, String)>)>,
    pub text: String,
}

impl Record {
    /// The line as it goes over the wire.
    pub fn line(&self) -> String {
        let word = |text: &str, most: usize| {
            // The standard wants printable ASCII without blanks there.
            let fine: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
            if fine.is_empty() { "-".to_owned() } else { fine }
        };
        let mut data = String::new();
        for (id, params) in &self.data {
            data.push_str(&format!("[{}", name(id)));
            for (key, value) in params {
                let mut escaped = String::with_capacity(value.len());
                for c in value.chars() {
                    if matches!(c, '"' | '\\' | ']') {
                        escaped.push('\\');
                    }
                    escaped.push(if c.is_control() { ' ' } else { c });
                }
                data.push_str(&format!(" {}=\"{escaped}\"", name(key)));
            }
            data.push(']');
        }
        let data = if data.is_empty() { "-" } else { &data };
        let at = date::format(self.at_ms, "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'");
        let (host, app) = (word(&self.host, 255), word(&self.app, 48));
        let (process, id) = (word(&self.process, 128), word(&self.id, 32));
        // The mark says that the text is UTF-8.
        let mark = if self.text.is_ascii() { "" } else { "\u{feff}" };
        format!("<{}>1 {at} {host} {app} {process} {id} {data} {mark}{}", self.priority, self.text)
    }
}

/// A name of structured data.
fn name(text: &str) -> String {
    let fine = |c: &char| c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"');
    let name: String = text.chars().filter(fine).take(32).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// The port of a server whose URL names none.
pub(crate) fn port(server: &Url) -> u16 {
    if server.scheme() == "syslogs" { 6514 } else { 514 }
}

/// Sends a line. Over UDP nobody can tell whether it arrived.
///
/// # Errors
/// Those of the policy and of the network, in words.
pub(crate) async fn send(line: &Line, server: &Url, record: &Record) -> Result<(), String> {
    let text = record.line();
    if matches!(server.scheme(), "syslog" | "syslog+udp") {
        return datagram(line, text.as_bytes()).await;
    }
    let mut stream = line.connect().await?;
    if server.scheme() == "syslogs" {
        stream = line.secure(stream).await?;
    }
    let counted = format!("{} {text}", text.len());
    stream.write_all(counted.as_bytes()).await.map_err(|e| e.to_string())?;
    stream.flush().await.map_err(|e| e.to_string())?;
    stream.shutdown().await.map_err(|e| e.to_string())?;
    // It hangs up when it has read to our end. One that does not has the line all the same.
    let _ = tokio::time::timeout(GOODBYE, stream.read_to_end(&mut Vec::new())).await;
    Ok(())
}

async fn datagram(line: &Line, bytes: &[u8]) -> Result<(), String> {
    let addresses = line.gate.addresses().await.map_err(|e| e.to_string())?;
    let mut failure = String::new();
    for address in addresses {
        let own: SocketAddr =
            if address.is_ipv4() { ([0; 4], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
        let sent = async { UdpSocket::bind(own).await?.send_to(bytes, address).await };
        match sent.await {
            Ok(_) => return Ok(()),
            Err(error) => failure = format!("sending to {address}: {error}"),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_the_standard_has_it_whatever_is_put_in() {
        let record = Record {
            priority: 165,
            at_ms: 1_700_000_000_123,
            host: "web 1\n".to_owned(),
            app: String::new(),
            process: "7".to_owned(),
            id: "JOB".to_owned(),
            data: vec![("job@32473".to_owned(), vec![("a b=".to_owned(), "say \"]\\\n".to_owned())])],
            text: "Grüße".to_owned(),
        };
        let expected = "<165>1 2023-11-14T22:13:20.123Z web1 - 7 JOB [job@32473 ab=\"say \\\"\\]\\\\ \"] \u{feff}Grüße";
        assert_eq!(record.line(), expected);
        assert_eq!(Record { priority: 14, ..Record::default() }.line(), "<14>1 1970-01-01T00:00:00.000Z - - - - - ");
    }
}
