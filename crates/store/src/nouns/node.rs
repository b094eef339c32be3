//! Hypervisors.

use super::identified;
use crate::{IndexKeys, Record};
use sutler_model::{Node, Noun};

impl Record for Node {
    const NOUN: Noun = Noun::Node;

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.named(&self.name).in_state(&self.state);
        keys.unique("name", &[self.name.to_lowercase().as_bytes()]);
        keys
    }
}
