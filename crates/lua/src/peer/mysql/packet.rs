//! Packets, and the numbers and texts in them.

use crate::egress::Stream;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Largest packet sent; a larger one would go in several.
pub(super) const SIZE_MAX: usize = 0x00ff_fffe;

pub(super) struct Channel {
    pub stream: Stream,
    /// Counts the packets of a conversation.
    number: u8,
}

impl Channel {
    pub fn new(stream: Stream) -> Self {
        Self { stream, number: 0 }
    }

    /// Begins a conversation.
    pub async fn ask(&mut self, payload: &[u8]) -> Result<(), String> {
        self.number = 0;
        self.send(payload).await
    }

    pub async fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        if payload.len() > SIZE_MAX {
            return Err(format!("a statement takes at most {SIZE_MAX} bytes"));
        }
        let mut packet = (payload.len() as u32).to_le_bytes();
        packet[3] = self.number;
        self.number = self.number.wrapping_add(1);
        self.stream.write_all(&packet).await.map_err(words)?;
        self.stream.write_all(payload).await.map_err(words)?;
        self.stream.flush().await.map_err(words)
    }

    /// The next packet; of one in several parts all of it. How much there is, the stream limits.
    pub async fn receive(&mut self) -> Result<Vec<u8>, String> {
        let mut payload = Vec::new();
        loop {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).await.map_err(words)?;
            self.number = head[3].wrapping_add(1);
            let size = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
            // As it comes, so that a claim of size alone takes no memory.
            let mut part = (&mut self.stream).take(size as u64);
            if part.read_to_end(&mut payload).await.map_err(words)? < size {
                return Err("the server hung up".to_owned());
            }
            if size <= SIZE_MAX {
                break;
            }
        }
        match payload.first() {
            None => Err(malformed()),
            Some(0xff) => Err(refusal(&payload)),
            Some(_) => Ok(payload),
        }
    }
}

/// Whether a packet ends a list.
pub(super) fn is_end(packet: &[u8]) -> bool {
    packet[0] == 0xfe && packet.len() < 9
}

/// What an error packet says.
fn refusal(packet: &[u8]) -> String {
    let mut reader = Reader(&packet[1..]);
    let code = reader.u16().unwrap_or_default();
    let text = String::from_utf8_lossy(reader.0).into_owned();
    // `#` and five characters are the state by the standard.
    let text = text.strip_prefix('#').and_then(|rest| rest.get(5..)).map_or(text.as_str(), |rest| rest).to_owned();
    format!("the server says {code} {text}")
}

pub(super) fn malformed() -> String {
    "the server does not speak this protocol".to_owned()
}

fn words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server hung up".to_owned(),
        _ => error.to_string(),
    }
}

/// Takes a packet apart; none where it ends too soon.
pub(super) struct Reader<'p>(pub &'p [u8]);

impl<'p> Reader<'p> {
    pub fn bytes(&mut self, count: usize) -> Option<&'p [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes up to a zero, which goes too.
    pub fn until_zero(&mut self) -> Option<&'p [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let found = self.bytes(end)?;
        self.u8()?;
        Some(found)
    }

    /// A number of one, three, four or nine bytes.
    pub fn length(&mut self) -> Option<u64> {
        match self.u8()? {
            0xfc => self.u16().map(u64::from),
            0xfd => self.array::<3>().map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
            0xfe => self.array().map(u64::from_le_bytes),
            0xfb | 0xff => None,
            small => Some(u64::from(small)),
        }
    }

    /// Bytes with their count before them.
    pub fn counted(&mut self) -> Option<&'p [u8]> {
        let count = self.length()?;
        self.bytes(usize::try_from(count).ok()?)
    }
}

/// Puts a packet together.
#[derive(Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A text up to a zero, which can be no part of it.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.split('\0').next().unwrap_or_default().as_bytes()).u8(0)
    }

    /// Bytes with their count before them.
    pub fn counted(&mut self, bytes: &[u8]) -> &mut Self {
        let count = bytes.len() as u64;
        match bytes.len() {
            0..=250 => self.u8(count as u8),
            251..=0xffff => self.u8(0xfc).bytes(&(count as u16).to_le_bytes()),
            _ => self.u8(0xfe).bytes(&count.to_le_bytes()),
        };
        self.bytes(bytes)
    }
}
