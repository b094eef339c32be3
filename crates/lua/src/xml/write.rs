//! Nodes to XML text.

use super::{BYTES, Data, Kind};
use quick_xml::escape::{escape, partial_escape};

/// What is still to be written.
enum Todo {
    Node(usize),
    End(usize),
}

/// Writes a node and all below it.
///
/// # Errors
/// When it becomes too large.
pub(super) fn node(nodes: &[Data], id: usize) -> Result<String, String> {
    let mut text = String::new();
    let mut open = vec![Todo::Node(id)];
    while let Some(next) = open.pop() {
        match next {
            Todo::End(id) => {
                if let Kind::Element(name, _) = &nodes[id].kind {
                    text.push_str("</");
                    text.push_str(name);
                    text.push('>');
                }
            }
            Todo::Node(id) => one(nodes, id, &mut text, &mut open),
        }
        if text.len() > BYTES {
            return Err(format!("the XML takes more than {BYTES} bytes"));
        }
    }
    Ok(text)
}

fn one(nodes: &[Data], id: usize, text: &mut String, open: &mut Vec<Todo>) {
    let below = |open: &mut Vec<Todo>| open.extend(nodes[id].children.iter().rev().map(|id| Todo::Node(*id)));
    match &nodes[id].kind {
        Kind::Document => below(open),
        Kind::Element(name, attributes) => {
            text.push('<');
            text.push_str(name);
            for (name, value) in attributes {
                // A line end or tab would be read as a blank.
                let value = escape(value.as_str()).replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;");
                text.push_str(&format!(" {name}=\"{value}\""));
            }
            if nodes[id].children.is_empty() {
                text.push_str("/>");
            } else {
                text.push('>');
                open.push(Todo::End(id));
                below(open);
            }
        }
        Kind::Text(content) => text.push_str(&partial_escape(content.as_str()).replace('\r', "&#13;")),
        // The end of a section inside one is split between two.
        Kind::CData(content) => {
            text.push_str(&format!("<![CDATA[{}]]>", content.replace("]]>", "]]]]><![CDATA[>")));
        }
        Kind::Comment(content) => comment(content, text),
        Kind::Instruction(content) => text.push_str(&format!("<?{content}?>")),
    }
}

/// Two hyphens in a row would end it, and so would one more at its end.
fn comment(content: &str, text: &mut String) {
    text.push_str("<!--");
    for c in content.chars() {
        if c == '-' && text.ends_with('-') {
            text.push(' ');
        }
        text.push(c);
    }
    text.push_str(if content.ends_with('-') { " -->" } else { "-->" });
}
