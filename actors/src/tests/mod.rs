//! What the actors do together, over a simulated world.

mod admission;
mod later;
mod metering;
mod reconciling;
