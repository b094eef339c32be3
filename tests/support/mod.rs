//! The program under test, clients of it, and a small world of customers.

mod client;
pub mod program;
pub mod world;

pub use client::{Client, Reply};
pub use program::{Program, eventually};
pub use world::World;
