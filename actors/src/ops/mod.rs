//! What callers can have done: one file per noun, each method checking permission and scope itself.

mod billing;
mod calls;
mod customers;
mod images;
mod keys;
mod operator;
mod reach;
mod rehearsals;
mod requests;
mod revisions;
mod scripts;
pub(crate) mod servers;
mod users;

pub(crate) use reach::missing;
pub use requests::*;
