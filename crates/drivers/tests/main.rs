//! The contract of all drivers: one suite, run against the simulated twin, libvirt's test driver, the embedded QEMU
//! driver and a libvirt daemon. What a machine cannot run is skipped and said.

mod contract;
mod daemon;
mod embed;
mod guest;
mod libvirtd;
mod support;
mod twins;
