//! The `FDLXMLHelper`.

use super::{Module, text_of};
use crate::{
    object::{ListRef, Object, Val, with},
    schema::Type,
    xml::{Kind, Node, checked_name, checked_text},
};
use mlua::{Error, Lua, Result, Table, Value as Lv};

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("findNode", |_, (from, path): (Lv, Lv)| {
        let path = text_of(&path).ok_or_else(|| wrong("findNode", "a path such as `A/B/C`", &path))?;
        Ok(node("findNode", &from)?.find(&path, 1).into_iter().next().map(Object::Node))
    })?;
    module.function("findNodes", |lua, (from, path): (Lv, Lv)| {
        let path = text_of(&path).ok_or_else(|| wrong("findNodes", "a path such as `A/B/C`", &path))?;
        let found = node("findNodes", &from)?.find(&path, usize::MAX);
        ListRef::made(lua, Type::Any, found.into_iter().map(|node| Ok(Val::Node(node)))).map(Object::List)
    })?;
    module.function("addNode", |lua, (document, parent, name): (Lv, Lv, Lv)| {
        add("addNode", lua, &document, &parent, &name).map(Object::Node)
    })?;
    module.function("addTextNode", |lua, (document, parent, name, text): (Lv, Lv, Lv, Lv)| {
        let text = text_of(&text).unwrap_or_default();
        checked_text(&text)?;
        let added = add("addTextNode", lua, &document, &parent, &name)?;
        added.set_text(lua, &text)?;
        Ok(Object::Node(added))
    })?;
    module.function("addCDataNode", |lua, (document, parent, name, text): (Lv, Lv, Lv, Lv)| {
        let text = text_of(&text).unwrap_or_default();
        checked_text(&text)?;
        let added = add("addCDataNode", lua, &document, &parent, &name)?;
        added.append(lua, Kind::CData(text))?;
        Ok(Object::Node(added))
    })?;
    module.function("removeNode", |_, (parent, child): (Lv, Lv)| {
        node("removeNode", &parent)?.remove(&node("removeNode", &child)?)
    })?;
    module.function("parse", |lua, text: mlua::LuaString| {
        let text = text.to_str()?;
        let document = Node::parse(&text).map_err(|reason| Error::runtime(format!("FDLXMLHelper.parse: {reason}")))?;
        document.charge_all(lua)?;
        Ok(Object::Node(document))
    })?;
    module.function("newDocument", |lua, name: String| Node::document(lua, &name).map(Object::Node))?;
    module.function("toString", |_, from: Lv| {
        node("toString", &from)?.to_xml().map_err(|reason| Error::runtime(format!("FDLXMLHelper.toString: {reason}")))
    })?;
    Ok(module.table)
}

/// A new element, last in `parent`; where that is nil, in the document.
fn add(method: &str, lua: &Lua, document: &Lv, parent: &Lv, name: &Lv) -> Result<Node> {
    let parent = node(method, if parent.is_nil() { document } else { parent })?;
    let name = text_of(name).ok_or_else(|| wrong(method, "the new node's name", name))?;
    parent.append(lua, Kind::Element(checked_name(&name)?.to_owned(), Vec::new()))
}

fn node(method: &str, value: &Lv) -> Result<Node> {
    with(value, |object| if let Object::Node(node) = object { Some(node.clone()) } else { None })
        .flatten()
        .ok_or_else(|| wrong(method, "a document or node", value))
}

fn wrong(method: &str, expected: &str, got: &Lv) -> Error {
    Error::runtime(format!("FDLXMLHelper.{method}: {expected} expected, got {}", got.type_name()))
}
