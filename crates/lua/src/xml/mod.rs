//! XML documents that scripts hold and change: a tree of nodes in one arena, shared by all who hold one of its nodes.
//!
//! Nothing of a document type is known: no entities but XML's own five are there to expand, so no text grows on reading.

mod read;
mod write;

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

    fn edit<T>(&self, change: impl FnOnce(&mut Kind) -> T) -> T {
        self.tree.changed.set(true);
        change(&mut self.tree.nodes.borrow_mut()[self.id].kind)
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

    /// Puts one text in place of all that is in it.
    ///
    /// # Errors
    /// Characters that XML cannot hold, or too large a document.
    pub fn set_text(&self, lua: &Lua, text: &str) -> Result<()> {
        let content = checked_text(text)?.to_owned();
        self.charge(lua, LEAST + content.len())?;
        if self.with(|kind| matches!(kind, Kind::Element(..))) {
            self.clear();
            return if content.is_empty() { Ok(()) } else { self.append(lua, Kind::Text(content)).map(|_| ()) };
        }
        self.edit(|kind| match kind {
            Kind::Text(text) | Kind::CData(text) | Kind::Comment(text) => {
                *text = content;
                Ok(())
            }
            _ => Err(Error::runtime("INVALID_INPUT: the text of an element expected")),
        })
    }

    pub fn attribute(&self, name: &str) -> Option<String> {
        self.with(|kind| match kind {
            Kind::Element(_, attributes) => {
                attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }
            _ => None,
        })
    }

    /// Sets an attribute, or takes it away.
    ///
    /// # Errors
    /// When the node is no element, or XML cannot hold the name or value.
    pub fn set_attribute(&self, lua: &Lua, name: &str, value: Option<&str>) -> Result<()> {
        checked_name(name)?;
        let value = value.map(checked_text).transpose()?;
        self.charge(lua, value.map_or(0, |value| attribute_weight(name, value)))?;
        self.edit(|kind| {
            let Kind::Element(_, attributes) = kind else {
                return Err(Error::runtime("INVALID_INPUT: only an element has attributes"));
            };
            match (attributes.iter().position(|(known, _)| known == name), value) {
                (Some(place), Some(value)) => attributes[place].1 = value.to_owned(),
                (Some(place), None) => drop(attributes.remove(place)),
                (None, Some(_)) if attributes.len() >= ATTRIBUTES => {
                    return Err(Error::runtime(format!(
                        "INVALID_INPUT: an element has at most {ATTRIBUTES} attributes"
                    )));
                }
                (None, Some(value)) => attributes.push((name.to_owned(), value.to_owned())),
                (None, None) => {}
            }
            Ok(())
        })
    }

    /// Makes a node and puts it last in this one.
    ///
    /// # Errors
    /// `INVALID_INPUT` where there can be none, and when the document grows too large or deep.
    pub fn append(&self, lua: &Lua, kind: Kind) -> Result<Self> {
        let weight = kind.weight();
        self.charge(lua, weight)?;
        self.insert(kind).map_err(|reason| Error::runtime(format!("INVALID_INPUT: {reason}")))
    }

    fn insert(&self, kind: Kind) -> std::result::Result<Self, String> {
        let mut nodes = self.tree.nodes.borrow_mut();
        let element = matches!(kind, Kind::Element(..));
        match &nodes[self.id].kind {
            Kind::Element(..) => {}
            Kind::Document if element => {
                if nodes[ROOT].children.iter().any(|id| matches!(nodes[*id].kind, Kind::Element(..))) {
                    return Err("a document has one root element; give the element that is to hold the new one".into());
                }
            }
            Kind::Document if matches!(kind, Kind::Comment(_) | Kind::Instruction(_)) => {}
            _ => return Err("only an element holds other nodes".into()),
        }
        if nodes.len() >= NODES {
            return Err(format!("a document holds at most {NODES} nodes"));
        }
        let (mut depth, mut above) = (0, Some(self.id));
        while let Some(id) = above {
            (depth, above) = (depth + 1, nodes[id].parent);
        }
        if depth > DEPTH {
            return Err(format!("a document is at most {DEPTH} levels deep"));
        }
        let id = nodes.len();
        nodes.push(Data { kind, parent: Some(self.id), children: Vec::new() });
        nodes[self.id].children.push(id);
        self.tree.changed.set(true);
        drop(nodes);
        Ok(self.at(id))
    }

    /// Takes a node out of this one.
    ///
    /// # Errors
    /// `INVALID_INPUT` when it is not in it.
    pub fn remove(&self, child: &Self) -> Result<()> {
        if child.parent().is_none_or(|parent| !parent.same(self)) {
            return Err(Error::runtime("INVALID_INPUT: the node to remove is not a child of the node given"));
        }
        child.detach();
        Ok(())
    }

    fn clear(&self) {
        let mut nodes = self.tree.nodes.borrow_mut();
        for child in std::mem::take(&mut nodes[self.id].children) {
            nodes[child].parent = None;
        }
        self.tree.changed.set(true);
    }

    fn detach(&self) {
        let mut nodes = self.tree.nodes.borrow_mut();
        if let Some(parent) = nodes[self.id].parent.take() {
            nodes[parent].children.retain(|id| *id != self.id);
            self.tree.changed.set(true);
        }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn content_closes_what_it_opens_and_nothing_else() {
        for (text, content) in [
            ("", ""),
            ("just text &amp; more", "just text &amp; more"),
            ("<a x=\"1\"/><b>2</b>", "<a x=\"1\"/><b>2</b>"),
            ("<?xml version=\"1.0\"?>\n<a/>", "\n<a/>"),
        ] {
            assert_eq!(xml_content(text), Ok(content), "{text}");
        }
        let deep = format!("{}{}", "<a>".repeat(DEPTH), "</a>".repeat(DEPTH));
        for text in
            ["<a>", "</m><m>", "</m><evil/><m>", "a & b", "&nbsp;", "<!DOCTYPE a>", "<?xml ", "<![CDATA[", &deep]
        {
            assert!(xml_content(text).is_err(), "{text}");
        }
    }

    /// A document whose root has an attribute and holds one node.
    fn written(attribute: &str, kind: Kind) -> Node {
        let document = Node::parse("<r a=''>x</r>").unwrap();
        let root = document.elements().next().unwrap();
        root.edit(|root| *root = Kind::Element("r".to_owned(), vec![("a".to_owned(), attribute.to_owned())]));
        root.children()[0].edit(|child| *child = kind);
        let text = document.to_xml().unwrap();
        let read = Node::parse(&text).unwrap_or_else(|reason| panic!("{reason}: {text}"));
        let root = read.elements().next().unwrap();
        assert_eq!(root.attribute("a").as_deref(), Some(attribute), "{text}");
        root
    }

    #[test]
    fn a_comment_ends_where_it_is_closed() {
        for content in ["--->x", "---><e/><!--", "-", "--", "a-"] {
            let root = written("", Kind::Comment(content.to_owned()));
            assert_eq!(root.children().len(), 1, "{content}");
            assert!(root.children()[0].with(|kind| matches!(kind, Kind::Comment(_))), "{content}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_reads_back(content in "(--|-|]]>|]|<|>|&|\"|'|\r|\n|\t|é|\\?>|a| |&lt;|<!--){1,8}") {
            prop_assert_eq!(written(&content, Kind::Text(content.clone())).text(), content.as_str());
            // What ends a line cannot be escaped there.
            let lines = content.replace('\r', "");
            prop_assert_eq!(written(&content, Kind::CData(lines.clone())).text(), lines.as_str());
            let root = written(&content, Kind::Comment(lines.clone()));
            prop_assert_eq!(root.children().len(), 1);
            let blank = |text: &str| text.replace(' ', "");
            prop_assert_eq!(blank(&root.children()[0].value().unwrap()), blank(&lines));
        }
    }
}
