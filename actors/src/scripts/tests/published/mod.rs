//! Scripts in the manner of those that providers wrote for the original, each loaded as it is over a running system, and held
//! against what its author meant.

mod accounts;
mod at_once;
mod chores;
mod money;
mod newcomers;
mod notices;
mod policies;
mod rules;
mod services;
mod shapes;
mod stage;
mod vaults;

use stage::Stage;
