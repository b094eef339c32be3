//! The runtime as its callers see it, with a platform in memory.

mod dialect;
mod support;
