//! What the actors do together, over a simulated world.

mod admission;
mod metering;
mod reconciling;
