//! XML documents that scripts hold and change: a tree of nodes in one arena, shared by all who hold one of its nodes.
//!
//! Nothing of a document type is known: no entities but XML's own five are there to expand, so no text grows on reading.

mod attribute;
mod edit;
mod read;
mod write;

pub(crate) use attribute::Attribute;

use crate::{error, object::Charge};
use mlua::{Error, Lua, Result};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// Largest document read or written, bytes.
pub(crate) const BYTES: usize = 1 << 20;
/// Deepest nesting.
pub(crate) const DEPTH: usize = 100;
/// Most nodes that ever come to be in one document.
const NODES: usize = 50_000;
/// Most attributes of an element.
const ATTRIBUTES: usize = 1_000;
/// Longest name of an element or attribute, bytes.
const NAME_BYTES: usize = 256;
/// Longest path of names, bytes.
const PATH_BYTES: usize = 4 << 10;
/// What the allocator gives at least, bytes.
const LEAST: usize = 16;
/// The document itself among its nodes.
const ROOT: usize = 0;

/// The text of the first element on a path of names that begins with the root's; none where there is none, or no document.
pub fn text_at(document: &str, path: &str) -> Option<String> {
    Node::parse(document).ok()?.find(path, 1).first().map(Node::text)
}

/// The content of an element, without a declaration that may stand before it: text and whole elements, which close what they
/// open and nothing else.
///
/// # Errors
/// What is wrong with it.
pub fn xml_content(text: &str) -> std::result::Result<&str, String> {
    let content = match text.trim_start().strip_prefix("<?xml") {
        Some(rest) if rest.starts_with(char::is_whitespace) => {
            rest.split_once("?>").ok_or("the XML declaration is not closed")?.1
        }
        _ => text,
    };
    // As deep as it is going to lie.
    let mut around = Node::parse(&format!("<m><m><m><m>{content}</m></m></m></m>"))?;
    for _ in 0..4 {
        let mut within = around.elements();
        around = match (within.next(), within.next()) {
            (Some(only), None) => only,
            // What it closes it must have opened again.
            _ => return Err("it closes an element that it does not open".to_owned()),
        };
    }
    Ok(content)
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Document,
    /// Name and attributes, in their order.
    Element(String, Vec<(String, String)>),
    Text(String),
    CData(String),
    Comment(String),
    /// A processing instruction, or the declaration, without its brackets.
    Instruction(String),
}

struct Data {
    kind: Kind,
    parent: Option<usize>,
    children: Vec<usize>,
}

/// A document.
struct Tree {
    nodes: RefCell<Vec<Data>>,
    charge: RefCell<Charge>,
    changed: Cell<bool>,
}

/// A place in a document, which it keeps alive.
#[derive(Clone)]
pub(crate) struct Node {
    tree: Rc<Tree>,
    id: usize,
}

impl Node {
    /// A document with one element.
    ///
    /// # Errors
    /// When `name` is no name.
    pub fn document(lua: &Lua, name: &str) -> Result<Self> {
        let document = Self::empty();
        document.append(lua, Kind::Element(checked_name(name)?.to_owned(), Vec::new()))?;
        Ok(document)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, and after how many bytes.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        read::document(text)
    }

    fn empty() -> Self {
        let root = Data { kind: Kind::Document, parent: None, children: Vec::new() };
        let tree = Tree { nodes: RefCell::new(vec![root]), charge: RefCell::default(), changed: Cell::new(false) };
        Self { tree: Rc::new(tree), id: ROOT }
    }

    fn at(&self, id: usize) -> Self {
        Self { tree: self.tree.clone(), id }
    }

    fn charge(&self, lua: &Lua, bytes: usize) -> Result<()> {
        self.tree.charge.borrow_mut().grow(lua, bytes)
    }

    /// Puts a document that was read on the account of the script that gets it.
    ///
    /// # Errors
    /// When the account is full.
    pub fn charge_all(&self, lua: &Lua) -> Result<()> {
        let weight = self.tree.nodes.borrow().iter().map(|node| node.kind.weight()).sum();
        self.charge(lua, weight)
    }

    /// Whether anything in its document was changed since it was read.
    pub fn changed(&self) -> bool {
        self.tree.changed.get()
    }

    /// The document it belongs to.
    pub fn owner(&self) -> Self {
        self.at(ROOT)
    }

    pub fn is_document(&self) -> bool {
        self.id == ROOT
    }

    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.tree, &other.tree) && self.id == other.id
    }

    pub fn with<T>(&self, look: impl FnOnce(&Kind) -> T) -> T {
        look(&self.tree.nodes.borrow()[self.id].kind)
    }

    pub fn is_element(&self) -> bool {
        self.with(|kind| matches!(kind, Kind::Element(..)))
    }

    /// An element's name, with its prefix; other nodes' as in the DOM.
    pub fn name(&self) -> String {
        self.with(|kind| match kind {
            Kind::Element(name, _) => name.clone(),
            Kind::Document => "#document".to_owned(),
            Kind::Text(_) => "#text".to_owned(),
            Kind::CData(_) => "#cdata-section".to_owned(),
            Kind::Comment(_) => "#comment".to_owned(),
            Kind::Instruction(text) => text.split_whitespace().next().unwrap_or_default().to_owned(),
        })
    }

    /// The DOM's number of its kind.
    pub fn kind_number(&self) -> u8 {
        self.with(|kind| match kind {
            Kind::Element(..) => 1,
            Kind::Text(_) => 3,
            Kind::CData(_) => 4,
            Kind::Instruction(_) => 7,
            Kind::Comment(_) => 8,
            Kind::Document => 9,
        })
    }

    /// The text of a node that is one; none for elements and documents.
    pub fn value(&self) -> Option<String> {
        self.with(|kind| match kind {
            Kind::Text(text) | Kind::CData(text) | Kind::Comment(text) | Kind::Instruction(text) => Some(text.clone()),
            Kind::Document | Kind::Element(..) => None,
        })
    }

    pub fn children(&self) -> Vec<Self> {
        self.tree.nodes.borrow()[self.id].children.iter().map(|id| self.at(*id)).collect()
    }

    pub fn elements(&self) -> impl Iterator<Item = Self> + use<> {
        self.children().into_iter().filter(Self::is_element)
    }

    pub fn parent(&self) -> Option<Self> {
        self.tree.nodes.borrow()[self.id].parent.map(|id| self.at(id))
    }

    /// The node before or after it.
    pub fn sibling(&self, after: bool) -> Option<Self> {
        let nodes = self.tree.nodes.borrow();
        let siblings = &nodes[nodes[self.id].parent?].children;
        let place = siblings.iter().position(|id| *id == self.id)?;
        let place = if after { place + 1 } else { place.checked_sub(1)? };
        siblings.get(place).map(|id| self.at(*id))
    }

    /// The next element before or after it.
    pub fn element_beside(&self, after: bool) -> Option<Self> {
        let nodes = self.tree.nodes.borrow();
        let siblings = &nodes[nodes[self.id].parent?].children;
        let (before, behind) = siblings.split_at(siblings.iter().position(|id| *id == self.id)?);
        let is_element = |id: &&usize| matches!(nodes[**id].kind, Kind::Element(..));
        let beside = if after { behind[1..].iter().find(is_element) } else { before.iter().rfind(is_element) };
        beside.map(|id| self.at(*id))
    }

    /// All text below it.
    pub fn text(&self) -> String {
        let nodes = self.tree.nodes.borrow();
        let mut text = String::new();
        let mut open = vec![self.id];
        while let Some(id) = open.pop() {
            match &nodes[id].kind {
                Kind::Text(part) | Kind::CData(part) => text.push_str(part),
                Kind::Comment(part) | Kind::Instruction(part) if id == self.id => text.push_str(part),
                _ => open.extend(nodes[id].children.iter().rev()),
            }
        }
        text
    }

    pub fn attribute(&self, name: &str) -> Option<String> {
        self.with(|kind| match kind {
            Kind::Element(_, attributes) => {
                attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }
            _ => None,
        })
    }

    /// The names of its attributes; none: it is no element.
    pub fn attributes(&self) -> Option<Vec<String>> {
        self.with(|kind| match kind {
            Kind::Element(_, attributes) => Some(attributes.iter().map(|(name, _)| name.clone()).collect()),
            _ => None,
        })
    }

    /// The namespace that its name is in where it stands.
    pub fn namespace(&self) -> Option<String> {
        let name = self.name();
        self.namespace_of(name.split_once(':').map(|(prefix, _)| prefix))
    }

    /// The namespace that a prefix, or none, stands for there.
    pub fn namespace_of(&self, prefix: Option<&str>) -> Option<String> {
        let declared = prefix.map_or_else(|| "xmlns".to_owned(), |prefix| format!("xmlns:{prefix}"));
        let around = std::iter::successors(Some(self.clone()), Self::parent);
        around.filter_map(|node| node.attribute(&declared)).next().filter(|namespace| !namespace.is_empty())
    }

    /// All nodes on a path of element names. From a document it begins with the root element's name.
    pub fn find(&self, path: &str, most: usize) -> Vec<Self> {
        if path.len() > PATH_BYTES {
            // No document is as deep, so nothing is there.
            return Vec::new();
        }
        let mut found = vec![self.clone()];
        let steps: Vec<&str> = path.split('/').map(str::trim).filter(|step| !step.is_empty()).collect();
        for (number, step) in steps.iter().enumerate() {
            let most = if number + 1 == steps.len() { most } else { usize::MAX };
            found = found.iter().flat_map(Self::elements).filter(|node| node.is_named(step)).take(most).collect();
        }
        if steps.is_empty() { Vec::new() } else { found }
    }

    /// All elements of a name below it, at any depth, in the order of the document.
    pub fn descendants(&self, name: &str) -> Vec<Self> {
        let (mut found, mut open) = (Vec::new(), vec![self.clone()]);
        while let Some(node) = open.pop() {
            if node.id != self.id && node.is_named(name) {
                found.push(node.clone());
            }
            let mut below: Vec<Self> = node.elements().collect();
            below.reverse();
            open.append(&mut below);
        }
        found
    }

    /// By its name with or without its prefix, or by `*`.
    fn is_named(&self, step: &str) -> bool {
        self.with(|kind| match kind {
            Kind::Element(name, _) => {
                step == "*" || name == step || name.split_once(':').is_some_and(|(_, local)| local == step)
            }
            _ => false,
        })
    }

    /// The node as XML.
    ///
    /// # Errors
    /// When it is too large.
    pub fn to_xml(&self) -> std::result::Result<String, String> {
        let nodes = self.tree.nodes.borrow();
        write::node(&nodes, self.id)
    }
}

impl Kind {
    /// Roughly the memory it takes among other nodes, for twice as many of which there may be room.
    fn weight(&self) -> usize {
        2 * size_of::<Data>()
            + LEAST
            + match self {
                Self::Document => 0,
                Self::Element(name, attributes) => {
                    let attributes = attributes.iter().map(|(name, value)| attribute_weight(name, value));
                    LEAST + name.len() + attributes.sum::<usize>()
                }
                Self::Text(text) | Self::CData(text) | Self::Comment(text) | Self::Instruction(text) => {
                    LEAST + text.len()
                }
            }
    }
}

/// The same for an attribute.
fn attribute_weight(name: &str, value: &str) -> usize {
    2 * (size_of::<(String, String)>() + LEAST) + name.len() + value.len()
}

/// A name that XML takes: nothing in it can end a tag.
pub(crate) fn checked_name(name: &str) -> Result<&str> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let begins = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if begins && name.len() <= NAME_BYTES && name.chars().all(fine) {
        return Ok(name);
    }
    let name = error::shown(name);
    Err(Error::runtime(format!("INVALID_INPUT: `{name}` is no name of an XML element or attribute")))
}

/// A text without what no XML document can hold, escaped or not.
pub(crate) fn checked_text(text: &str) -> Result<&str> {
    let bad = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}'))
            || ('\u{fffe}'..='\u{ffff}').contains(&c)
    };
    match text.chars().find(|c| bad(*c)) {
        None if text.len() > BYTES => {
            Err(Error::runtime(format!("INVALID_INPUT: a text in an XML document has at most {BYTES} bytes")))
        }
        None => Ok(text),
        Some(c) => Err(Error::runtime(format!("INVALID_INPUT: XML cannot hold the character U+{:04X}", u32::from(c)))),
    }
}

#[cfg(test)]
mod tests;
