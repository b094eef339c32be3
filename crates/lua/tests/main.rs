//! The runtime as its callers see it, with a platform in memory.

mod api;
mod data;
mod databases;
mod described;
mod dialect;
mod escapes;
mod filters;
mod flagships;
mod hostile;
mod http;
mod library;
mod model;
mod modern;
mod objects;
mod peers;
mod real;
mod registration;
mod rehearsals;
mod runs;
mod scripts;
mod support;
mod syslog;
mod turns;
mod widgets;
mod xml;
mod xmpp;
