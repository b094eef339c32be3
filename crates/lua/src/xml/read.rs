//! XML text to nodes.

use super::{ATTRIBUTES, BYTES, Kind, Node};
use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
    reader::Reader,
};

/// Reads a document.
///
/// # Errors
/// What is wrong with it, and after how many bytes.
pub(super) fn document(text: &str) -> Result<Node, String> {
    if text.len() > BYTES {
        return Err(format!("an XML document has at most {BYTES} bytes"));
    }
    let document = Node::empty();
    let mut reader = Reader::from_str(text);
    let mut open = vec![document.clone()];
    // Texts and references in a row are one text.
    let mut pending = String::new();
    loop {
        let event = reader.read_event().map_err(|e| format!("{e} (after {} bytes)", reader.error_position()));
        let at = reader.buffer_position();
        let wrong = |reason: String| format!("{reason} (after {at} bytes)");
        let event = event?;
        match &event {
            Event::Text(text) => {
                pending.push_str(&text.xml10_content());
                continue;
            }
            Event::GeneralRef(reference) => {
                let name: &str = reference;
                match reference.resolve_char_ref().map_err(|e| wrong(e.to_string()))? {
                    Some(c) => pending.push(c),
                    None => match quick_xml::escape::resolve_predefined_entity(name) {
                        Some(text) => pending.push_str(text),
                        None => return Err(wrong(format!("there is no entity `{name}`"))),
                    },
                }
                continue;
            }
            _ => {}
        }
        let top = open.last().expect("the document stays open").clone();
        if !pending.is_empty() {
            let text = std::mem::take(&mut pending);
            if !top.is_document() {
                top.insert(Kind::Text(text)).map_err(wrong)?;
            } else if !text.trim().is_empty() {
                return Err(wrong("there is text outside the root element".to_owned()));
            }
        }
        match event {
            Event::Start(tag) => open.push(top.insert(element(&tag).map_err(wrong)?).map_err(wrong)?),
            Event::Empty(tag) => drop(top.insert(element(&tag).map_err(wrong)?).map_err(wrong)?),
            // That it ends what is open was checked by the reader.
            Event::End(_) => drop(open.pop()),
            Event::CData(text) => drop(top.insert(Kind::CData(text.xml10_content().into_owned())).map_err(wrong)?),
            Event::Comment(text) => drop(top.insert(Kind::Comment(text.xml10_content().into_owned())).map_err(wrong)?),
            Event::Decl(text) => drop(top.insert(Kind::Instruction(text.to_string())).map_err(wrong)?),
            Event::PI(text) => drop(top.insert(Kind::Instruction(text.to_string())).map_err(wrong)?),
            Event::DocType(_) => return Err(wrong("a document type (DOCTYPE) is not taken".to_owned())),
            Event::Eof => break,
            Event::Text(_) | Event::GeneralRef(_) => {}
        }
    }
    if open.len() > 1 {
        return Err(format!("`{}` is not closed", open[open.len() - 1].name()));
    }
    if document.elements().next().is_none() {
        return Err("there is no root element".to_owned());
    }
    for node in document.tree.nodes.borrow_mut().iter_mut() {
        node.children.shrink_to_fit();
        if let Kind::Element(_, attributes) = &mut node.kind {
            attributes.shrink_to_fit();
        }
    }
    document.tree.changed.set(false);
    Ok(document)
}

/// Name and attributes of a tag.
fn element(tag: &BytesStart<'_>) -> Result<Kind, String> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    // The reader compares each with all before it, unasked for how many there are.
    for attribute in tag.attributes().with_checks(false) {
        if attributes.len() == ATTRIBUTES {
            return Err(format!("an element has at most {ATTRIBUTES} attributes"));
        }
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?;
        let name = attribute.key.0;
        if attributes.iter().any(|(known, _)| known == name) {
            return Err(format!("the attribute `{name}` is there twice"));
        }
        attributes.push((name.to_owned(), value.into_owned()));
    }
    Ok(Kind::Element(tag.name().0.to_owned(), attributes))
}
