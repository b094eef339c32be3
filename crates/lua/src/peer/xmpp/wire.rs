//! A stream of XML elements.

use super::{named, refusal};
use crate::{egress::Stream, xml::Node};
use quick_xml::{events::Event, reader::Reader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Largest element taken.
const ELEMENT_BYTES: usize = 64 << 10;

pub(super) struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
}

/// What stands at the beginning of what was read.
enum Piece {
    /// The head of the stream, or nothing of interest, up to there.
    Passed(usize),
    /// An element from there to there.
    Element(usize, usize),
    /// The end of the stream.
    End,
}

impl Wire {
    pub fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The connection, to go on inside TLS.
    ///
    /// # Errors
    /// When the other side said more than it may before that.
    pub fn into_stream(self) -> Result<Stream, String> {
        if self.buffer.iter().all(u8::is_ascii_whitespace) {
            return Ok(self.stream);
        }
        Err("the server said more than it may before TLS".to_owned())
    }

    pub async fn write(&mut self, text: &str) -> Result<(), String> {
        self.stream.write_all(text.as_bytes()).await.map_err(|e| e.to_string())?;
        self.stream.flush().await.map_err(|e| e.to_string())
    }

    /// The next element, as a document of its own.
    ///
    /// # Errors
    /// What the server says when it ends the stream.
    pub async fn element(&mut self) -> Result<Node, String> {
        loop {
            let end = std::str::from_utf8(&self.buffer).map_or_else(|e| e.valid_up_to(), str::len);
            let text = std::str::from_utf8(&self.buffer[..end]).unwrap_or_default();
            match piece(text)? {
                Some(Piece::Element(from, to)) => {
                    let element = Node::parse(&text[from..to]);
                    self.buffer.drain(..to);
                    let element = element.map_err(|e| format!("the server sent no XML: {e}"))?;
                    return if named(&element, "stream:error") { Err(refusal(&element)) } else { Ok(element) };
                }
                Some(Piece::Passed(to)) => drop(self.buffer.drain(..to)),
                Some(Piece::End) => return Err("the server ended the conversation".to_owned()),
                None if self.buffer.len() > ELEMENT_BYTES => {
                    return Err(format!("the server sent more than {ELEMENT_BYTES} bytes in one piece"));
                }
                None => {
                    let mut part = [0; 4096];
                    match self.stream.read(&mut part).await.map_err(|e| e.to_string())? {
                        0 => return Err("the server hung up".to_owned()),
                        read => self.buffer.extend_from_slice(&part[..read]),
                    }
                }
            }
        }
    }
}

/// The first piece that is whole; none while it is not.
fn piece(text: &str) -> Result<Option<Piece>, String> {
    let mut reader = Reader::from_str(text);
    // The end of the stream has its beginning in an earlier piece.
    reader.config_mut().allow_unmatched_ends = true;
    let (mut depth, mut from) = (0_usize, 0);
    loop {
        let before = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        // What is cut off cannot be told from what is wrong; how much of it is taken is bounded.
        let Ok(event) = reader.read_event() else { return Ok(None) };
        let after = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        match event {
            Event::Start(tag) if depth == 0 && tag.name().0 == "stream:stream" => {
                return Ok(Some(Piece::Passed(after)));
            }
            Event::Start(_) => {
                if depth == 0 {
                    from = before;
                }
                depth += 1;
            }
            Event::Empty(_) if depth == 0 => return Ok(Some(Piece::Element(before, after))),
            Event::End(_) if depth == 0 => return Ok(Some(Piece::End)),
            Event::End(_) => {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(Piece::Element(from, after)));
                }
            }
            Event::DocType(_) => return Err("the server does not speak this protocol".to_owned()),
            Event::Eof => return Ok(None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> String {
        match piece(text).unwrap() {
            Some(Piece::Passed(to)) => format!("passed {}", &text[..to]),
            Some(Piece::Element(from, to)) => format!("element {}", &text[from..to]),
            Some(Piece::End) => "end".to_owned(),
            None => "more".to_owned(),
        }
    }

    #[test]
    fn elements_are_taken_once_they_are_whole() {
        assert_eq!(
            pieces("<?xml version='1.0'?><stream:stream id='1'><a/>"),
            "passed <?xml version='1.0'?><stream:stream id='1'>"
        );
        assert_eq!(pieces(" <a><b/><a>x</a></a><c/>"), "element <a><b/><a>x</a></a>");
        assert_eq!(pieces("\n<a/><b>"), "element <a/>");
        for part in ["", " ", "<", "<a", "<a>", "<a><b></b>", "<a>x</a", "<stream:stream id='", "<!-- "] {
            assert_eq!(pieces(part), "more", "{part}");
        }
        assert_eq!(pieces("</stream:stream>"), "end");
        assert!(piece("<!DOCTYPE a><a/>").is_err());
    }
}
