//! Publishing over AMQP 0-9-1 with confirmation, by hand: of the protocol only this much is needed, and the usual client
//! connects and does TLS by itself, past the policy.

use super::Line;
use crate::egress::Stream;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What opens a connection.
const GREETING: &[u8] = b"AMQP\0\0\x09\x01";
/// Largest frame we take.
const FRAME_MAX: u32 = 128 << 10;
/// A frame's head and end.
const FRAME_EXTRA: usize = 8;
/// Marks a frame's end.
const END: u8 = 0xce;

mod frame {
    pub const METHOD: u8 = 1;
    pub const HEADER: u8 = 2;
    pub const BODY: u8 = 3;
}

/// Methods by class and number.
mod method {
    pub type Id = (u16, u16);
    pub const START: Id = (10, 10);
    pub const START_OK: Id = (10, 11);
    pub const TUNE: Id = (10, 30);
    pub const TUNE_OK: Id = (10, 31);
    pub const OPEN: Id = (10, 40);
    pub const OPEN_OK: Id = (10, 41);
    pub const CLOSE: Id = (10, 50);
    pub const CLOSE_OK: Id = (10, 51);
    pub const CHANNEL_OPEN: Id = (20, 10);
    pub const CHANNEL_OPEN_OK: Id = (20, 11);
    pub const CHANNEL_CLOSE: Id = (20, 40);
    pub const QUEUE_DECLARE: Id = (50, 10);
    pub const QUEUE_DECLARE_OK: Id = (50, 11);
    pub const CONFIRM_SELECT: Id = (85, 10);
    pub const CONFIRM_SELECT_OK: Id = (85, 11);
    pub const PUBLISH: Id = (60, 40);
    pub const RETURN: Id = (60, 50);
    pub const ACK: Id = (60, 80);
    pub const NACK: Id = (60, 120);
}

/// Where and as whom.
pub(crate) struct Broker {
    pub secure: bool,
    pub user: String,
    pub password: String,
    pub vhost: String,
}

/// What is published. Texts are at most 255 bytes long.
pub(crate) struct Message {
    pub exchange: String,
    pub routing_key: String,
    /// A durable queue to make unless it is there.
    pub queue: Option<String>,
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub message_id: Option<String>,
    pub headers: Vec<(String, String)>,
    /// Whether the broker keeps it over a restart.
    pub persistent: bool,
    /// Whether it must reach a queue.
    pub mandatory: bool,
}

/// Publishes a message and waits until the broker has it.
///
/// # Errors
/// In words, the broker's own where it gave some.
pub(crate) async fn publish(line: &Line, broker: &Broker, message: &Message) -> Result<(), String> {
    let mut stream = line.connect().await?;
    if broker.secure {
        stream = line.secure(stream).await?;
    }
    let mut channel = Channel { stream, frame_max: FRAME_MAX };
    channel.open(broker).await?;
    channel.publish(message).await?;
    // It has the message; how it takes leave matters no more.
    let _ = channel.send(0, method::CLOSE, |args| args.u16(200).short("").u16(0).u16(0)).await;
    let _ = channel.expect(method::CLOSE_OK).await;
    Ok(())
}

struct Channel {
    stream: Stream,
    frame_max: u32,
}

impl Channel {
    async fn open(&mut self, broker: &Broker) -> Result<(), String> {
        self.stream.write_all(GREETING).await.map_err(words)?;
        let start = self.expect(method::START).await.map_err(|e| format!("greeting the broker: {e}"))?;
        let mut start = Reader(&start);
        start.bytes(2).and_then(|_| start.long()).ok_or_else(malformed)?;
        let mechanisms = start.long().ok_or_else(malformed)?;
        if !mechanisms.split(|b| *b == b' ').any(|name| name == b"PLAIN") {
            return Err("the broker does not offer PLAIN authentication".to_owned());
        }
        let plain = format!("\0{}\0{}", broker.user, broker.password);
        // Without this the broker would hang up on a wrong password and not say why.
        let mut capabilities = Writer::default();
        capabilities.short("authentication_failure_close").bytes(b"t\x01");
        let mut properties = Writer::default();
        properties.short("product").bytes(b"S").long(b"Sutler").short("capabilities").bytes(b"F").long(&capabilities.0);
        self.send(0, method::START_OK, |args| {
            args.long(&properties.0).short("PLAIN").long(plain.as_bytes()).short("en_US")
        })
        .await?;
        let tune = self.expect(method::TUNE).await.map_err(|e| format!("signing in to the broker: {e}"))?;
        let mut tune = Reader(&tune);
        let (channels, frame_max) = tune.u16().zip(tune.u32()).ok_or_else(malformed)?;
        // 0 means no limit; 4096 is the least the protocol knows.
        self.frame_max = if frame_max == 0 { FRAME_MAX } else { frame_max.clamp(4096, FRAME_MAX) };
        let frame_max = self.frame_max;
        // No heartbeats: the conversation is shorter than one.
        self.send(0, method::TUNE_OK, |args| args.u16(channels).u32(frame_max).u16(0)).await?;
        self.send(0, method::OPEN, |args| args.short(&broker.vhost).short("").bytes(&[0])).await?;
        self.expect(method::OPEN_OK).await.map_err(|e| format!("opening the virtual host: {e}"))?;
        self.send(1, method::CHANNEL_OPEN, |args| args.short("")).await?;
        self.expect(method::CHANNEL_OPEN_OK).await?;
        self.send(1, method::CONFIRM_SELECT, |args| args.bytes(&[0])).await?;
        self.expect(method::CONFIRM_SELECT_OK).await?;
        Ok(())
    }

    async fn publish(&mut self, message: &Message) -> Result<(), String> {
        if let Some(queue) = &message.queue {
            const DURABLE: u8 = 2;
            self.send(1, method::QUEUE_DECLARE, |args| args.u16(0).short(queue).bytes(&[DURABLE]).long(b"")).await?;
            self.expect(method::QUEUE_DECLARE_OK).await.map_err(|e| format!("declaring `{queue}`: {e}"))?;
        }
        let mandatory = u8::from(message.mandatory);
        self.send(1, method::PUBLISH, |args| {
            args.u16(0).short(&message.exchange).short(&message.routing_key).bytes(&[mandatory])
        })
        .await?;
        let mut header = Writer::default();
        header.u16(method::PUBLISH.0).u16(0).u64(message.body.len() as u64).bytes(&message.properties());
        self.frame(frame::HEADER, 1, &header.0).await?;
        for piece in message.body.chunks(self.frame_max as usize - FRAME_EXTRA) {
            self.frame(frame::BODY, 1, piece).await?;
        }
        self.stream.flush().await.map_err(words)?;
        loop {
            let (id, args) = self.receive().await?;
            match id {
                method::ACK => return Ok(()),
                method::NACK => return Err("the broker could not take the message".to_owned()),
                method::RETURN => {
                    let mut args = Reader(&args);
                    let (code, text) = args.u16().zip(args.short()).ok_or_else(malformed)?;
                    return Err(format!("the message reached no queue: {code} {text}"));
                }
                _ => {}
            }
        }
    }

    /// Sends a method.
    async fn send(
        &mut self,
        channel: u16,
        (class, number): method::Id,
        args: impl FnOnce(&mut Writer) -> &mut Writer,
    ) -> Result<(), String> {
        let mut writer = Writer::default();
        args(writer.u16(class).u16(number));
        self.frame(frame::METHOD, channel, &writer.0).await?;
        self.stream.flush().await.map_err(words)
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> Result<(), String> {
        let mut frame = Writer::default();
        frame.bytes(&[kind]).u16(channel).long(payload).bytes(&[END]);
        self.stream.write_all(&frame.0).await.map_err(words)
    }

    /// Waits for a method and answers its arguments.
    async fn expect(&mut self, wanted: method::Id) -> Result<Vec<u8>, String> {
        loop {
            let (id, args) = self.receive().await?;
            if id == wanted {
                return Ok(args);
            }
        }
    }

    /// The next method.
    async fn receive(&mut self) -> Result<(method::Id, Vec<u8>), String> {
        loop {
            let mut head = [0; 7];
            self.stream.read_exact(&mut head).await.map_err(words)?;
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
            if size > FRAME_MAX || !(1..=8).contains(&head[0]) {
                return Err(malformed());
            }
            let mut payload = vec![0; size as usize + 1];
            self.stream.read_exact(&mut payload).await.map_err(words)?;
            if payload.pop() != Some(END) {
                return Err(malformed());
            }
            // Heartbeats, and the content of a message that came back.
            if head[0] != frame::METHOD {
                continue;
            }
            let mut reader = Reader(&payload);
            let id = reader.u16().zip(reader.u16()).ok_or_else(malformed)?;
            if matches!(id, method::CLOSE | method::CHANNEL_CLOSE) {
                let (code, text) = reader.u16().zip(reader.short()).ok_or_else(malformed)?;
                return Err(format!("the broker says {code} {text}"));
            }
            return Ok((id, reader.0.to_vec()));
        }
    }
}

impl Message {
    /// Which properties there are, and these in their order.
    fn properties(&self) -> Vec<u8> {
        let mut headers = Writer::default();
        for (name, value) in &self.headers {
            headers.short(name).bytes(b"S").long(value.as_bytes());
        }
        let mut flags = 1 << 12;
        let mut values = Writer::default();
        if let Some(kind) = &self.content_type {
            flags |= 1 << 15;
            values.short(kind);
        }
        if !self.headers.is_empty() {
            flags |= 1 << 13;
            values.long(&headers.0);
        }
        values.bytes(&[if self.persistent { 2 } else { 1 }]);
        if let Some(id) = &self.message_id {
            flags |= 1 << 7;
            values.short(id);
        }
        let mut all = Writer::default();
        all.u16(flags).bytes(&values.0);
        all.0
    }
}

/// Puts arguments together.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A text of at most 255 bytes; more is cut, so that no text can pass for a part of the protocol.
    fn short(&mut self, text: &str) -> &mut Self {
        let text = &text[..text.floor_char_boundary(255)];
        self.bytes(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]).bytes(text.as_bytes())
    }

    /// Bytes, or a table, with their length.
    fn long(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).bytes(bytes)
    }
}

/// Takes arguments apart.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn short(&mut self) -> Option<String> {
        let length = self.bytes(1)?[0];
        self.bytes(length.into()).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.bytes(length as usize)
    }
}

fn malformed() -> String {
    "the peer does not speak AMQP 0-9-1".to_owned()
}

fn words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the broker hung up".to_owned(),
        _ => error.to_string(),
    }
}
