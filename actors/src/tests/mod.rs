//! What the actors do together, over a simulated world.

mod admission;
mod images;
mod later;
mod metering;
mod reconciling;
