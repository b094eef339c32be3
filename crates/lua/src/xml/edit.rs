//! What changes a document. Nodes that were made or taken out and stand nowhere are kept with it.

use super::{ATTRIBUTES, DEPTH, Data, Kind, LEAST, NODES, Node, ROOT, attribute_weight, checked_name, checked_text};
use mlua::{Error, Lua, Result};

fn invalid(reason: String) -> Error {
    Error::runtime(format!("INVALID_INPUT: {reason}"))
}

impl Node {
    pub(super) fn edit<T>(&self, change: impl FnOnce(&mut Kind) -> T) -> T {
        self.tree.changed.set(true);
        change(&mut self.tree.nodes.borrow_mut()[self.id].kind)
    }

    /// Puts one text in place of all that is in it.
    ///
    /// # Errors
    /// Characters that XML cannot hold, or too large a document.
    pub fn set_text(&self, lua: &Lua, text: &str) -> Result<()> {
        let content = checked_text(text)?.to_owned();
        self.charge(lua, LEAST + content.len())?;
        if self.is_element() {
            self.clear();
            return if content.is_empty() { Ok(()) } else { self.append(lua, Kind::Text(content)).map(|_| ()) };
        }
        self.edit(|kind| match kind {
            Kind::Text(text) | Kind::CData(text) | Kind::Comment(text) => {
                *text = content;
                Ok(())
            }
            _ => Err(invalid("the text of an element expected".to_owned())),
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
                return Err(invalid("only an element has attributes".to_owned()));
            };
            match (attributes.iter().position(|(known, _)| known == name), value) {
                (Some(place), Some(value)) => attributes[place].1 = value.to_owned(),
                (Some(place), None) => drop(attributes.remove(place)),
                (None, Some(_)) if attributes.len() >= ATTRIBUTES => {
                    return Err(invalid(format!("an element has at most {ATTRIBUTES} attributes")));
                }
                (None, Some(value)) => attributes.push((name.to_owned(), value.to_owned())),
                (None, None) => {}
            }
            Ok(())
        })
    }

    /// Makes a node that stands nowhere yet.
    ///
    /// # Errors
    /// When the document has too many.
    pub fn create(&self, lua: &Lua, kind: Kind) -> Result<Self> {
        self.charge(lua, kind.weight())?;
        self.made(kind).map_err(invalid)
    }

    /// Makes a node and puts it last in this one.
    ///
    /// # Errors
    /// `INVALID_INPUT` where there can be none, and when the document grows too large or deep.
    pub fn append(&self, lua: &Lua, kind: Kind) -> Result<Self> {
        self.charge(lua, kind.weight())?;
        self.insert(kind).map_err(invalid)
    }

    /// The same for one that is on the account already.
    pub(super) fn insert(&self, kind: Kind) -> std::result::Result<Self, String> {
        let newcomer = Newcomer { own: None, levels: 1, leaves: None };
        newcomer.may_stand_in(&self.tree.nodes.borrow(), self.id, &kind)?;
        let child = self.made(kind)?;
        self.put(&child, None);
        Ok(child)
    }

    fn made(&self, kind: Kind) -> std::result::Result<Self, String> {
        let mut nodes = self.tree.nodes.borrow_mut();
        if nodes.len() >= NODES {
            return Err(format!("a document holds at most {NODES} nodes"));
        }
        nodes.push(Data { kind, parent: None, children: Vec::new() });
        Ok(self.at(nodes.len() - 1))
    }

    fn put(&self, child: &Self, place: Option<usize>) {
        let mut nodes = self.tree.nodes.borrow_mut();
        nodes[child.id].parent = Some(self.id);
        let siblings = &mut nodes[self.id].children;
        siblings.insert(place.unwrap_or(siblings.len()), child.id);
        self.tree.changed.set(true);
    }

    fn place_of(&self, child: &Self) -> Result<usize> {
        let nodes = self.tree.nodes.borrow();
        let place = nodes[self.id].children.iter().position(|id| child.is_of(self) && *id == child.id);
        place.ok_or_else(|| invalid("the node given is not a child of the node asked".to_owned()))
    }

    /// Whether both are of the same document.
    pub fn is_of(&self, other: &Self) -> bool {
        std::rc::Rc::ptr_eq(&self.tree, &other.tree)
    }

    /// Puts a node of this document, wherever it stands, into this one: before another, or last.
    ///
    /// # Errors
    /// `INVALID_INPUT` where it cannot stand, and when the other is not in this one.
    pub fn place(&self, child: &Self, before: Option<&Self>) -> Result<()> {
        before.map(|before| self.place_of(before)).transpose()?;
        self.welcome(child, None)?;
        if before.is_some_and(|before| before.same(child)) {
            return Ok(());
        }
        child.detach();
        let place = before.map(|before| self.place_of(before)).transpose()?;
        self.put(child, place);
        Ok(())
    }

    /// Puts a node of this document, wherever it stands, in place of one that is in this one.
    ///
    /// # Errors
    /// `INVALID_INPUT` where it cannot stand, and when the other is not in this one.
    pub fn replace(&self, child: &Self, old: &Self) -> Result<()> {
        self.place_of(old)?;
        self.welcome(child, Some(old.id))?;
        if old.same(child) {
            return Ok(());
        }
        child.detach();
        let place = self.place_of(old)?;
        old.detach();
        self.put(child, Some(place));
        Ok(())
    }

    /// Whether a node may stand in this one, where another leaves its place to it.
    fn welcome(&self, child: &Self, leaves: Option<usize>) -> Result<()> {
        if !child.is_of(self) {
            return Err(invalid(
                "the node is of another document; `importNode` makes a copy of it for this one".into(),
            ));
        }
        let nodes = self.tree.nodes.borrow();
        let newcomer = Newcomer { own: Some(child.id), levels: levels(&nodes, child.id), leaves };
        newcomer.may_stand_in(&nodes, self.id, &nodes[child.id].kind).map_err(invalid)
    }

    /// Takes a node out of this one.
    ///
    /// # Errors
    /// `INVALID_INPUT` when it is not in it.
    pub fn remove(&self, child: &Self) -> Result<()> {
        self.place_of(child)?;
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

    /// Takes the node out of what it stands in.
    pub fn detach(&self) {
        let mut nodes = self.tree.nodes.borrow_mut();
        if let Some(parent) = nodes[self.id].parent.take() {
            nodes[parent].children.retain(|id| *id != self.id);
            self.tree.changed.set(true);
        }
    }

    /// A copy in this document of a node of any document, with all that is in it if `deep`; it stands nowhere yet.
    ///
    /// # Errors
    /// When the document gets too many nodes.
    pub fn copy_of(&self, lua: &Lua, from: &Self, deep: bool) -> Result<Self> {
        let kinds: Vec<(Kind, usize)> = {
            let nodes = from.tree.nodes.borrow();
            let below = below(&nodes, from.id, deep);
            let weight = below.iter().map(|(id, _)| nodes[*id].kind.weight()).sum();
            self.charge(lua, weight)?;
            below.into_iter().map(|(id, parent)| (nodes[id].kind.clone(), parent)).collect()
        };
        let mut nodes = self.tree.nodes.borrow_mut();
        let first = nodes.len();
        if first + kinds.len() > NODES {
            return Err(invalid(format!("a document holds at most {NODES} nodes")));
        }
        for (place, (kind, parent)) in kinds.into_iter().enumerate() {
            let parent = (place > 0).then_some(first + parent);
            nodes.push(Data { kind, parent, children: Vec::new() });
            if let Some(parent) = parent {
                nodes[parent].children.push(first + place);
            }
        }
        Ok(self.at(first))
    }

    /// A copy of the whole document, without what is in it unless `deep`.
    ///
    /// # Errors
    /// Those of the account.
    pub fn copy_of_document(&self, lua: &Lua, deep: bool) -> Result<Self> {
        let copy = Self::empty();
        for child in self.owner().children().iter().filter(|_| deep) {
            let child = copy.copy_of(lua, child, true)?;
            copy.put(&child, None);
        }
        Ok(copy)
    }

    /// Makes one of texts that follow each other in it, at any depth, and takes out those that are empty.
    ///
    /// # Errors
    /// Those of the account.
    pub fn normalize(&self, lua: &Lua) -> Result<()> {
        let all = below(&self.tree.nodes.borrow(), self.id, true);
        for (id, _) in all {
            let mut kept: Vec<usize> = Vec::new();
            let children = self.tree.nodes.borrow()[id].children.clone();
            for child in children {
                let text = match &self.tree.nodes.borrow()[child].kind {
                    Kind::Text(text) => Some(text.clone()),
                    _ => None,
                };
                let Some(text) = text else {
                    kept.push(child);
                    continue;
                };
                self.charge(lua, text.len())?;
                let mut nodes = self.tree.nodes.borrow_mut();
                match kept.last().map(|last| &mut nodes[*last].kind) {
                    Some(Kind::Text(before)) => before.push_str(&text),
                    _ if !text.is_empty() => {
                        kept.push(child);
                        continue;
                    }
                    _ => {}
                }
                nodes[child].parent = None;
            }
            self.tree.nodes.borrow_mut()[id].children = kept;
        }
        self.tree.changed.set(true);
        Ok(())
    }
}

/// A node that is to stand somewhere.
struct Newcomer {
    /// Which one it is, unless it is to be made.
    own: Option<usize>,
    /// How many levels it has.
    levels: usize,
    /// The one whose place it takes.
    leaves: Option<usize>,
}

impl Newcomer {
    fn may_stand_in(&self, nodes: &[Data], within: usize, kind: &Kind) -> std::result::Result<(), String> {
        let leaves = |id: &usize| [self.own, self.leaves].contains(&Some(*id));
        match (&nodes[within].kind, kind) {
            (_, Kind::Document) => return Err("a document stands in no node".into()),
            (Kind::Document, Kind::Element(..)) => {
                let is_element = |id: &&usize| matches!(nodes[**id].kind, Kind::Element(..));
                if nodes[ROOT].children.iter().filter(is_element).any(|id| !leaves(id)) {
                    return Err("a document has one root element; give the element that is to hold the new one".into());
                }
            }
            (Kind::Document, Kind::Comment(_) | Kind::Instruction(_)) | (Kind::Element(..), _) => {}
            _ => return Err("only an element holds other nodes".into()),
        }
        let (mut depth, mut above) = (self.levels - 1, Some(within));
        while let Some(id) = above {
            if self.own == Some(id) {
                return Err("a node cannot stand in itself".into());
            }
            (depth, above) = (depth + 1, nodes[id].parent);
        }
        if depth > DEPTH { Err(format!("a document is at most {DEPTH} levels deep")) } else { Ok(()) }
    }
}

/// A node, and all below it if `deep`, in the order of the document, each with the place of its parent among them.
fn below(nodes: &[Data], id: usize, deep: bool) -> Vec<(usize, usize)> {
    let (mut found, mut open) = (Vec::new(), vec![(id, 0)]);
    while let Some((id, parent)) = open.pop() {
        let place = found.len();
        found.push((id, parent));
        if deep {
            open.extend(nodes[id].children.iter().rev().map(|child| (*child, place)));
        }
    }
    found
}

/// How many levels a node has, itself counted.
fn levels(nodes: &[Data], id: usize) -> usize {
    let mut levels: Vec<usize> = Vec::new();
    for (_, parent) in below(nodes, id, true) {
        levels.push(levels.get(parent).map_or(1, |above| above + 1));
    }
    levels.into_iter().max().unwrap_or(1)
}
