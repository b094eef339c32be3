//! What a node of an XML document answers to: what the DOM calls these things.

use super::{ListRef, Object, Val};
use crate::{
    error::shown,
    meter::Meter,
    schema::Type,
    xml::{Attribute, Kind, Node, checked_name, checked_text},
};
use mlua::{Error, Lua, Result, Value as Lv};

/// The one method of three arguments: namespace, name and value.
const SET_ATTRIBUTE_NS: &str = "setAttributeNS";

type Method<T> = fn(&Lua, &T, &Lv, &Lv) -> Result<Val>;

const METHODS: [(&str, Method<Node>); 50] = [
    ("getNodeName", |_, node, _, _| Ok(Val::text(&node.name()))),
    ("getTagName", |_, node, _, _| Ok(Val::text(&node.name()))),
    ("getLocalName", |_, node, _, _| Ok(Val::text(parted(&node.name()).1))),
    ("getPrefix", |_, node, _, _| Ok(parted(&node.name()).0.map_or(Val::Nil, Val::text))),
    ("getNamespaceURI", |_, node, _, _| Ok(optional(node.namespace()))),
    ("getNodeType", |_, node, _, _| Ok(Val::Num(f64::from(node.kind_number())))),
    ("getNodeValue", |_, node, _, _| Ok(optional(node.value()))),
    ("getData", |_, node, _, _| Ok(optional(node.value()))),
    ("getTextContent", |_, node, _, _| Ok(Val::text(&node.text()))),
    ("setNodeValue", |lua, node, value, _| node.set_text(lua, &text(value)?).map(|()| Val::Nil)),
    ("setData", |lua, node, value, _| node.set_text(lua, &text(value)?).map(|()| Val::Nil)),
    ("setTextContent", |lua, node, value, _| node.set_text(lua, &text(value)?).map(|()| Val::Nil)),
    // As in the DOM, an attribute that is not there is the empty text.
    ("getAttribute", |_, node, name, _| Ok(Val::text(&node.attribute(&text(name)?).unwrap_or_default()))),
    ("hasAttribute", |_, node, name, _| Ok(Val::Bool(node.attribute(&text(name)?).is_some()))),
    ("setAttribute", |lua, node, name, value| {
        node.set_attribute(lua, &text(name)?, Some(&text(value)?)).map(|()| Val::Nil)
    }),
    ("removeAttribute", |lua, node, name, _| node.set_attribute(lua, &text(name)?, None).map(|()| Val::Nil)),
    ("hasAttributes", |_, node, _, _| Ok(Val::Bool(node.attributes().is_some_and(|names| !names.is_empty())))),
    ("getAttributeNode", |_, node, name, _| {
        let name = text(name)?;
        Ok(if node.attribute(&name).is_some() { attribute(node, &name) } else { Val::Nil })
    }),
    ("getAttributes", |lua, node, _, _| {
        let Some(names) = node.attributes() else { return Ok(Val::Nil) };
        let held = names.iter().map(|name| attribute(node, name).held()).sum();
        let all = ListRef::made(lua, Type::Any, names.iter().map(|name| Ok(attribute(node, name))))?;
        all.charge(lua, held)?;
        Ok(Val::List(all))
    }),
    ("hasChildNodes", |_, node, _, _| Ok(Val::Bool(!node.children().is_empty()))),
    ("getChildNodes", |lua, node, _, _| many(lua, node.children())),
    ("getFirstChild", |_, node, _, _| Ok(one(node.children().into_iter().next()))),
    ("getLastChild", |_, node, _, _| Ok(one(node.children().pop()))),
    ("getNextSibling", |_, node, _, _| Ok(one(node.sibling(true)))),
    ("getPreviousSibling", |_, node, _, _| Ok(one(node.sibling(false)))),
    ("getFirstElementChild", |_, node, _, _| Ok(one(node.elements().next()))),
    ("getLastElementChild", |_, node, _, _| Ok(one(node.elements().last()))),
    ("getNextElementSibling", |_, node, _, _| Ok(one(node.element_beside(true)))),
    ("getPreviousElementSibling", |_, node, _, _| Ok(one(node.element_beside(false)))),
    ("getParentNode", |_, node, _, _| Ok(one(node.parent()))),
    ("getOwnerDocument", |_, node, _, _| Ok(Val::Node(node.owner()))),
    ("getDocumentElement", |_, node, _, _| Ok(one(node.owner().elements().next()))),
    ("getElementsByTagName", |lua, node, name, _| many(lua, node.descendants(&text(name)?))),
    ("getElementsByTagNameNS", |lua, node, namespace, name| {
        let wanted = text(namespace)?;
        let mut found = node.descendants(&text(name)?);
        if wanted != "*" {
            let mut met = Ok(());
            found.retain(|node| {
                met = met.clone().and_then(|()| Meter::check_current());
                met.is_ok() && node.namespace().unwrap_or_default() == wanted
            });
            met?;
        }
        many(lua, found)
    }),
    ("createElement", |lua, node, name, _| {
        let name = checked_name(&text(name)?)?.to_owned();
        node.create(lua, Kind::Element(name, Vec::new())).map(Val::Node)
    }),
    ("createElementNS", |lua, node, namespace, name| {
        let (namespace, name) = (text(namespace)?, checked_name(&text(name)?)?.to_owned());
        let declared = parted(&name).0.map_or_else(|| "xmlns".to_owned(), |prefix| format!("xmlns:{prefix}"));
        let made = node.create(lua, Kind::Element(name, Vec::new()))?;
        if !namespace.is_empty() {
            made.set_attribute(lua, &declared, Some(&namespace))?;
        }
        Ok(Val::Node(made))
    }),
    ("createTextNode", |lua, node, content, _| create(lua, node, content, Kind::Text)),
    ("createCDATASection", |lua, node, content, _| create(lua, node, content, Kind::CData)),
    ("createComment", |lua, node, content, _| create(lua, node, content, Kind::Comment)),
    ("cloneNode", |lua, node, deep, _| {
        let deep = is_true(deep);
        let copy = if node.is_document() { node.copy_of_document(lua, deep) } else { node.copy_of(lua, node, deep) };
        copy.map(Val::Node)
    }),
    ("importNode", |lua, node, from, deep| node.copy_of(lua, &part(from)?, is_true(deep)).map(Val::Node)),
    ("adoptNode", |lua, node, from, _| {
        let from = part(from)?;
        let adopted = if from.is_of(node) { from.clone() } else { node.copy_of(lua, &from, true)? };
        from.detach();
        Ok(Val::Node(adopted))
    }),
    ("appendChild", |_, node, child, _| {
        let child = given(child)?;
        node.place(&child, None)?;
        Ok(Val::Node(child))
    }),
    ("insertBefore", |_, node, child, before| {
        let child = given(child)?;
        let before = if before.is_nil() { None } else { Some(given(before)?) };
        node.place(&child, before.as_ref())?;
        Ok(Val::Node(child))
    }),
    ("replaceChild", |_, node, child, old| {
        let old = given(old)?;
        node.replace(&given(child)?, &old)?;
        Ok(Val::Node(old))
    }),
    ("removeChild", |_, node, child, _| {
        let child = given(child)?;
        node.remove(&child)?;
        Ok(Val::Node(child))
    }),
    ("normalize", |lua, node, _, _| node.normalize(lua).map(|()| Val::Nil)),
    ("isSameNode", |_, node, other, _| Ok(Val::Bool(given(other)?.same(node)))),
    // These two every object has.
    ("equals", |_, node, other, _| Ok(Val::Bool(given(other).is_ok_and(|other| other.same(node))))),
    ("toString", |_, node, _, _| node.to_xml().map(|xml| Val::text(&xml)).map_err(Error::runtime)),
];

const OF_ATTRIBUTES: [(&str, Method<Attribute>); 15] = [
    ("getName", |_, own, _, _| Ok(Val::Text(own.name.clone()))),
    ("getNodeName", |_, own, _, _| Ok(Val::Text(own.name.clone()))),
    ("getLocalName", |_, own, _, _| Ok(Val::text(parted(&own.name).1))),
    ("getPrefix", |_, own, _, _| Ok(parted(&own.name).0.map_or(Val::Nil, Val::text))),
    ("getNodeType", |_, _, _, _| Ok(Val::Num(2.0))),
    ("getValue", |_, own, _, _| Ok(Val::text(&own.value()))),
    ("getNodeValue", |_, own, _, _| Ok(Val::text(&own.value()))),
    ("getTextContent", |_, own, _, _| Ok(Val::text(&own.value()))),
    ("setValue", |lua, own, value, _| set(lua, own, value)),
    ("setNodeValue", |lua, own, value, _| set(lua, own, value)),
    ("setTextContent", |lua, own, value, _| set(lua, own, value)),
    ("getOwnerElement", |_, own, _, _| Ok(Val::Node(own.element.clone()))),
    ("getOwnerDocument", |_, own, _, _| Ok(Val::Node(own.element.owner()))),
    ("equals", |_, own, other, _| {
        let other = super::with(other, |other| matches!(other, Object::Attribute(other) if other.same(own)));
        Ok(Val::Bool(other.unwrap_or(false)))
    }),
    ("toString", |_, own, _, _| Ok(Val::text(&own.value()))),
];

/// Calls a method of a node; none: there is no such.
///
/// # Errors
/// What the method itself raises.
pub(super) fn call(lua: &Lua, node: &Node, name: &str, [a, b, c]: [&Lv; 3]) -> Result<Option<Val>> {
    if name == SET_ATTRIBUTE_NS {
        return set_attribute_ns(lua, node, &text(a)?, &text(b)?, &text(c)?).map(|()| Some(Val::Nil));
    }
    of(&METHODS, name).map(|method| method(lua, node, a, b)).transpose()
}

/// The same of an attribute.
///
/// # Errors
/// What the method itself raises.
pub(super) fn call_attribute(lua: &Lua, own: &Attribute, name: &str, a: &Lv, b: &Lv) -> Result<Option<Val>> {
    of(&OF_ATTRIBUTES, name).map(|method| method(lua, own, a, b)).transpose()
}

pub(super) fn exists(name: &str) -> bool {
    name == SET_ATTRIBUTE_NS || of(&METHODS, name).is_some()
}

pub(super) fn exists_on_attribute(name: &str) -> bool {
    of(&OF_ATTRIBUTES, name).is_some()
}

fn of<T>(methods: &[(&str, Method<T>)], name: &str) -> Option<Method<T>> {
    methods.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
}

fn text(value: &Lv) -> Result<String> {
    match Val::from_lua(value, &Type::Text)? {
        Val::Text(text) => Ok(text.to_string()),
        _ => Ok(String::new()),
    }
}

fn is_true(value: &Lv) -> bool {
    matches!(value, Lv::Boolean(true))
}

/// The node that a script has given.
fn given(value: &Lv) -> Result<Node> {
    super::with(value, |object| if let Object::Node(node) = object { Some(node.clone()) } else { None })
        .flatten()
        .ok_or_else(|| Error::runtime("INVALID_INPUT: a node expected"))
}

/// The same for one that can stand in another.
fn part(value: &Lv) -> Result<Node> {
    let node = given(value)?;
    if node.is_document() { Err(Error::runtime("INVALID_INPUT: a document stands in no node")) } else { Ok(node) }
}

fn one(node: Option<Node>) -> Val {
    node.map_or(Val::Nil, Val::Node)
}

fn many(lua: &Lua, nodes: Vec<Node>) -> Result<Val> {
    ListRef::made(lua, Type::Any, nodes.into_iter().map(|node| Ok(Val::Node(node)))).map(Val::List)
}

fn optional(text: Option<String>) -> Val {
    text.map_or(Val::Nil, |text| Val::text(&text))
}

/// Prefix and local name.
fn parted(name: &str) -> (Option<&str>, &str) {
    name.split_once(':').map_or((None, name), |(prefix, local)| (Some(prefix), local))
}

/// Sets an attribute in a namespace, for which its prefix comes to stand there unless it does already.
fn set_attribute_ns(lua: &Lua, node: &Node, namespace: &str, name: &str, value: &str) -> Result<()> {
    let (prefix, _) = parted(checked_name(name)?);
    // What declares a prefix needs none, and `xml` needs no declaration.
    if !namespace.is_empty() && name != "xmlns" && !matches!(prefix, Some("xml" | "xmlns")) {
        let prefix = prefix.ok_or_else(|| Error::runtime("INVALID_INPUT: an attribute in a namespace has a prefix"))?;
        match node.namespace_of(Some(prefix)) {
            None => node.set_attribute(lua, &format!("xmlns:{prefix}"), Some(namespace))?,
            Some(known) if known == namespace => {}
            Some(_) => {
                let prefix = shown(prefix);
                return Err(Error::runtime(format!("INVALID_INPUT: `{prefix}` stands for another namespace there")));
            }
        }
    }
    node.set_attribute(lua, name, Some(value))
}

fn attribute(element: &Node, name: &str) -> Val {
    Val::Attribute(Attribute { element: element.clone(), name: name.into() })
}

fn create(lua: &Lua, node: &Node, content: &Lv, kind: fn(String) -> Kind) -> Result<Val> {
    let content = checked_text(&text(content)?)?.to_owned();
    node.create(lua, kind(content)).map(Val::Node)
}

fn set(lua: &Lua, own: &Attribute, value: &Lv) -> Result<Val> {
    own.element.set_attribute(lua, &own.name, Some(&text(value)?)).map(|()| Val::Nil)
}
