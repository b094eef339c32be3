//! An attribute as a node of its own, as the DOM has it: what its element says of it at the moment.

use super::Node;
use std::rc::Rc;

/// An attribute of an element, by its name.
#[derive(Clone)]
pub(crate) struct Attribute {
    pub element: Node,
    pub name: Rc<str>,
}

impl Attribute {
    /// Its value; empty once it was taken away.
    pub fn value(&self) -> String {
        self.element.attribute(&self.name).unwrap_or_default()
    }

    pub fn same(&self, other: &Self) -> bool {
        self.element.same(&other.element) && self.name == other.name
    }
}
