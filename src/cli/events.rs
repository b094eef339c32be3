//! The event stream, as it happens.

use super::{
    client::Query,
    error::Error,
    output::{Format, cell, lines, note},
    session::Session,
};
use futures_util::StreamExt;
use reqwest::{Method, RequestBuilder, header};
use serde_json::Value;
use std::time::Duration;

/// Pause before connecting again.
const AGAIN: Duration = Duration::from_secs(1);
/// Longer than any pause between two heartbeats of the server.
const SILENCE: Duration = Duration::from_secs(60);
/// Connections lost in a row, without an event between, after which it is given up.
const LOSSES: u32 = 30;

/// Commands of `events`.
#[derive(clap::Subcommand, Debug)]
pub enum Events {
    /// Print events as they happen, until Ctrl-C
    Tail {
        /// Begin at this position of the feed; default: with what happens next
        #[arg(long, value_name = "N")]
        from: Option<u64>,
        /// End after this many events
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
}

/// Runs a command of `events`.
///
/// # Errors
/// As [`each`].
pub async fn run(session: &Session, Events::Tail { from, count }: Events) -> Result<(), Error> {
    let query = from.map(|n| ("from".to_owned(), n.to_string())).into_iter().collect();
    let mut left = count;
    each(session, query, async |event| {
        lines(&render(session.format, &event))?;
        left = left.map(|left| left - 1);
        Ok(left == Some(0))
    })
    .await
}

/// Hands each event to `take` until it answers that it has enough. A lost connection is taken up again after the last event
/// seen.
///
/// # Errors
/// Those of the request and of `take`; a position whose events are gone is a problem with the status 410.
pub async fn each(
    session: &Session,
    query: Query,
    mut take: impl AsyncFnMut(Value) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut last: Option<String> = None;
    let mut losses = 0;
    loop {
        let asked: Query = query.iter().filter(|(name, _)| name != "from" || last.is_none()).cloned().collect();
        let mut request = session.client.request(Method::GET, "events", &asked);
        request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(id) = &last {
            request = request.header("last-event-id", id);
        }
        match follow(session, request, &mut last, &mut take, &mut losses).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // The first connection must work; later ones may have to wait for a restart.
            Err(error) if error.passes() && losses > 0 => {}
            Err(error) => return Err(error),
        }
        losses += 1;
        if losses == LOSSES {
            return Err(Error::Unreachable("the event stream keeps ending".to_owned()));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Hands on events until the stream ends (false) or enough were taken (true).
async fn follow(
    session: &Session,
    request: RequestBuilder,
    last: &mut Option<String>,
    take: &mut impl AsyncFnMut(Value) -> Result<bool, Error>,
    losses: &mut u32,
) -> Result<bool, Error> {
    // A stream has no end to wait for, only silence.
    let response = session.client.open(request.timeout(Duration::from_secs(u64::from(u32::MAX)))).await?;
    let mut parser = Parser::default();
    let mut body = response.bytes_stream();
    while let Ok(Some(chunk)) = tokio::time::timeout(SILENCE, body.next()).await {
        let Ok(chunk) = chunk else { break };
        for event in parser.feed(&chunk) {
            *last = event.id.or(last.take());
            *losses = 0;
            // A heartbeat moves the place on and tells nothing.
            let Ok(value) = serde_json::from_str(&event.data) else { continue };
            if take(value).await? {
                return Ok(true);
            }
        }
    }
    note("the connection was lost; connecting again");
    Ok(false)
}

fn render(format: Format, event: &Value) -> String {
    match format {
        Format::Json => event.to_string(),
        Format::Yaml => format!("---\n{}", serde_yaml_ng::to_string(event).unwrap_or_default()),
        Format::Table => summary(event),
    }
}

/// One line a change: position, time, what happened to what, and the fields that changed; of something new what it is
/// called.
fn summary(event: &Value) -> String {
    const TELLING: [&str; 4] = ["name", "email", "item_name", "meter"];
    let head = format!("{:>8}  {}", cell(&event["seq"]), cell(&event["at"]));
    let changes = event["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines = changes.iter().map(|change| {
        let updated = change["op"] == "updated";
        let fields = change["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fields = fields.iter().filter_map(|field| {
            let name = field["name"].as_str()?;
            match updated {
                true if name == "version" => None,
                true => Some(format!(" {name}: {} → {}", short(&field["old"]), short(&field["new"]))),
                false if TELLING.contains(&name) => Some(format!(" {}", short(&field["new"]))),
                false => None,
            }
        });
        let fields: Vec<String> = fields.collect();
        let what = format!("{}.{} {}", cell(&change["noun"]), cell(&change["op"]), cell(&change["id"]));
        format!("{head}  {what}{}", fields.join(","))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn short(value: &Value) -> String {
    const WIDTH: usize = 60;
    let text = cell(value);
    if text.chars().count() <= WIDTH { text } else { text.chars().take(WIDTH).chain(['…']).collect() }
}

/// An event of the stream; without data when it only moves the place on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    data: String,
}

/// Cuts a byte stream into events (WHATWG server-sent events, as far as we send them).
#[derive(Default)]
struct Parser {
    buffer: Vec<u8>,
    event: Event,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() || event.id.is_some() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.event.id = Some(value.to_owned()),
                "data" if self.event.data.is_empty() => value.clone_into(&mut self.event.data),
                "data" => {
                    self.event.data.push('\n');
                    self.event.data.push_str(value);
                }
                _ => {}
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_come_whole_however_the_stream_is_cut() {
        let stream =
            ": hello\n\nid: 6\n\nid: 7\nevent: change\ndata: {\"a\":\ndata: 1}\n\ndata:é\r\n\r\nid: 9\ndata: unfin";
        let wanted = vec![
            Event { id: Some("6".to_owned()), data: String::new() },
            Event { id: Some("7".to_owned()), data: "{\"a\":\n1}".to_owned() },
            Event { id: None, data: "é".to_owned() },
        ];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> = stream.as_bytes().chunks(size).flat_map(|c| parser.feed(c)).collect();
            assert_eq!(events, wanted, "cut into pieces of {size}");
        }
    }

    #[test]
    fn a_change_is_one_line_with_what_changed() {
        let event = json!({"seq": 12, "at": "2026-11-22T22:24:05.007Z", "changes": [{"noun": "server", "op": "updated",
            "id": "s-1", "fields": [{"name": "state", "old": "starting", "new": "running"},
            {"name": "version", "old": 1, "new": 2}]}]});
        assert_eq!(summary(&event), "      12  2026-11-22T22:24:05Z  server.updated s-1 state: starting → running");
        let event = json!({"seq": 1, "at": "t", "changes": [{"noun": "plan", "op": "created", "id": "p-1",
            "fields": [{"name": "name", "old": null, "new": "Standard"}, {"name": "cpu_hour", "new": "1"}]}]});
        assert_eq!(summary(&event), "       1  t  plan.created p-1 Standard");
    }
}
