//! What a node of an XML document answers to: what the DOM calls these things.

use super::{ListRef, Val};
use crate::{schema::Type, xml::Node};
use mlua::{Error, Lua, Result, Value as Lv};

pub(super) const METHODS: [&str; 25] = [
    "getNodeName",
    "getNodeType",
    "getTagName",
    "getLocalName",
    "getNodeValue",
    "setNodeValue",
    "getTextContent",
    "setTextContent",
    "getAttribute",
    "setAttribute",
    "hasAttribute",
    "removeAttribute",
    "hasChildNodes",
    "getChildNodes",
    "getFirstChild",
    "getLastChild",
    "getNextSibling",
    "getPreviousSibling",
    "getParentNode",
    "getOwnerDocument",
    "getDocumentElement",
    "getElementsByTagName",
    "removeChild",
    "toString",
    "equals",
];

/// Calls a method; none: there is no such.
///
/// # Errors
/// What the method itself raises.
pub(super) fn call(lua: &Lua, node: &Node, name: &str, a: &Lv, b: &Lv) -> Result<Option<Val>> {
    let text = |value: &Lv| -> Result<String> {
        match Val::from_lua(value, &Type::Text)? {
            Val::Text(text) => Ok(text.to_string()),
            _ => Ok(String::new()),
        }
    };
    let one = |node: Option<Node>| node.map_or(Val::Nil, Val::Node);
    let many = |nodes: Vec<Node>| -> Result<Val> {
        ListRef::made(lua, Type::Any, nodes.into_iter().map(|node| Ok(Val::Node(node)))).map(Val::List)
    };
    Ok(Some(match name {
        "getNodeName" | "getTagName" => Val::text(&node.name()),
        "getNodeType" => Val::Num(f64::from(node.kind_number())),
        "getLocalName" => {
            let name = node.name();
            Val::text(name.split_once(':').map_or(name.as_str(), |(_, local)| local))
        }
        "getNodeValue" => node.value().map_or(Val::Nil, |text| Val::text(&text)),
        "getTextContent" => Val::text(&node.text()),
        "setNodeValue" | "setTextContent" => {
            node.set_text(lua, &text(a)?)?;
            Val::Nil
        }
        // As in the DOM, an attribute that is not there is the empty text.
        "getAttribute" => Val::text(&node.attribute(&text(a)?).unwrap_or_default()),
        "hasAttribute" => Val::Bool(node.attribute(&text(a)?).is_some()),
        "setAttribute" => {
            node.set_attribute(lua, &text(a)?, Some(&text(b)?))?;
            Val::Nil
        }
        "removeAttribute" => {
            node.set_attribute(lua, &text(a)?, None)?;
            Val::Nil
        }
        "hasChildNodes" => Val::Bool(!node.children().is_empty()),
        "getChildNodes" => many(node.children())?,
        "getFirstChild" => one(node.children().into_iter().next()),
        "getLastChild" => one(node.children().pop()),
        "getNextSibling" => one(node.sibling(true)),
        "getPreviousSibling" => one(node.sibling(false)),
        "getParentNode" => one(node.parent()),
        "getOwnerDocument" => Val::Node(node.owner()),
        "getDocumentElement" => one(node.owner().elements().next()),
        "getElementsByTagName" => many(node.descendants(&text(a)?))?,
        "removeChild" => {
            let child = super::with(a, |object| match object {
                super::Object::Node(node) => Some(node.clone()),
                _ => None,
            });
            let child = child.flatten().ok_or_else(|| Error::runtime("INVALID_INPUT: a node expected"))?;
            node.remove(&child)?;
            Val::Node(child)
        }
        _ => return Ok(None),
    }))
}
