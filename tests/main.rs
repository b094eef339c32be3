//! Over HTTP with the real program, simulated drivers and a temporary store: one module per noun.

mod access;
mod api_keys;
mod bad_input;
mod cli;
mod conditions;
mod console;
mod copies;
mod crash;
mod customers;
mod events;
mod guide;
mod idempotency;
mod invoices;
mod limits;
mod metrics;
mod pages;
mod pending;
mod process;
mod providers;
mod real;
mod revisions;
mod servers;
mod sessions;
mod support;
mod transport;
mod triggers;
