//! From a guest's specification to libvirt's domain XML.

use super::{process::NAME_PREFIX, xml::Xml};
use crate::compute::{DiskSource, GuestSpec, Link};
use std::path::Path;
use sutler_model::ServerId;

/// What kind of machine is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Virtualization {
    Kvm,
    Emulation,
    /// libvirt's own in-memory driver.
    Test,
}

pub(super) fn name(id: ServerId) -> String {
    format!("{NAME_PREFIX}{id}")
}

/// The domain of `spec`. `console_log` gets all that the guest says on its serial port.
pub(super) fn xml(spec: &GuestSpec, virtualization: Virtualization, console_log: Option<&Path>) -> String {
    let kind = match virtualization {
        Virtualization::Kvm => "kvm",
        Virtualization::Emulation => "qemu",
        Virtualization::Test => "test",
    };
    let mut x = Xml::default();
    x.within("domain", &[("type", kind)], |x| {
        x.text("name", &[], &name(spec.id));
        x.text("uuid", &[], &spec.id.to_string());
        x.text("memory", &[("unit", "MiB")], &spec.memory_mib.to_string());
        x.text("vcpu", &[], &spec.cpu.to_string());
        x.within("os", &[], |x| {
            // The test driver knows no q35.
            let machine: &[_] = if kind == "test" { &[] } else { &[("arch", "x86_64"), ("machine", "q35")] };
            x.text("type", machine, "hvm");
            if let Some(boot) = &spec.kernel {
                x.text("kernel", &[], &boot.kernel.to_string_lossy());
                x.text("initrd", &[], &boot.initrd.to_string_lossy());
                x.text("cmdline", &[], &boot.command_line);
            }
        });
        x.within("features", &[], |x| {
            x.empty("acpi", &[]);
            x.empty("apic", &[]);
        });
        match virtualization {
            Virtualization::Kvm => x.empty("cpu", &[("mode", "host-passthrough"), ("migratable", "on")]),
            Virtualization::Emulation => x.empty("cpu", &[("mode", "maximum")]),
            Virtualization::Test => {}
        }
        x.empty("clock", &[("offset", "utc")]);
        x.text("on_poweroff", &[], "destroy");
        x.text("on_reboot", &[], "restart");
        // A crashed guest is seen as crashed and its owner decides; restarting it would hide that.
        x.text("on_crash", &[], "destroy");
        x.within("devices", &[], |x| devices(x, spec, virtualization, console_log));
    });
    x.finish()
}

fn devices(x: &mut Xml, spec: &GuestSpec, virtualization: Virtualization, console_log: Option<&Path>) {
    let direct = spec.kernel.is_some();
    for (i, source) in spec.disks.iter().enumerate() {
        let (path, format) = match source {
            DiskSource::Qcow2(path) => (path.to_string_lossy(), "qcow2"),
            DiskSource::Raw(path) => (path.to_string_lossy(), "raw"),
            DiskSource::Simulated(name) => (format!("/simulated/{name}").into(), "raw"),
        };
        disk(x, &path, format, i, false, (i == 0 && !direct).then_some("1"));
    }
    if let Some(seed) = &spec.seed {
        // A virtio disk, as Debian's cloud kernel has no driver for a CD-ROM drive.
        disk(x, &seed.to_string_lossy(), "raw", spec.disks.len(), true, None);
    }
    for attachment in &spec.nics {
        let (kind, bridge) = match &attachment.link {
            Link::User => ("user", None),
            Link::Bridge(bridge) => ("bridge", Some(bridge)),
        };
        x.within("interface", &[("type", kind)], |x| {
            if let Some(bridge) = bridge {
                x.empty("source", &[("bridge", bridge)]);
            }
            x.empty("mac", &[("address", &attachment.nic.mac)]);
            x.empty("model", &[("type", "virtio")]);
        });
    }
    if virtualization == Virtualization::Test {
        return;
    }
    x.within("serial", &[("type", "pty")], |x| {
        if let Some(log) = console_log {
            // QEMU writes it, so the text is there however long nobody listened.
            x.empty("log", &[("file", &log.to_string_lossy()), ("append", "on")]);
        }
        x.empty("target", &[("port", "0")]);
    });
    x.within("rng", &[("model", "virtio")], |x| x.text("backend", &[("model", "random")], "/dev/urandom"));
    x.empty("panic", &[("model", "isa")]);
    x.empty("controller", &[("type", "usb"), ("model", "none")]);
}

fn disk(x: &mut Xml, path: &str, format: &str, index: usize, readonly: bool, boot: Option<&str>) {
    x.within("disk", &[("type", "file"), ("device", "disk")], |x| {
        let discard = if readonly { "ignore" } else { "unmap" };
        x.empty("driver", &[("name", "qemu"), ("type", format), ("discard", discard)]);
        x.empty("source", &[("file", path)]);
        x.empty("target", &[("dev", &device(index)), ("bus", "virtio")]);
        if let Some(order) = boot {
            x.empty("boot", &[("order", order)]);
        }
        if readonly {
            x.empty("readonly", &[]);
        }
    });
}

/// `vda`, `vdb`, … `vdz`, `vdaa`, …
fn device(index: usize) -> String {
    let mut letters = vec![];
    let mut n = index + 1;
    while n > 0 {
        n -= 1;
        letters.push(b'a' + (n % 26) as u8);
        n /= 26;
    }
    let letters: String = letters.iter().rev().map(|&b| char::from(b)).collect();
    format!("vd{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_named_as_the_kernel_names_them() {
        assert_eq!([0, 25, 26, 27, 701, 702].map(device), ["vda", "vdz", "vdaa", "vdab", "vdzz", "vdaaa"]);
    }
}
