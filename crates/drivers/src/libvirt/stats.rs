//! What libvirt's named counters mean.

use crate::compute::GuestStats;

impl GuestStats {
    /// Adds a counter by libvirt's name for it; names of no use to us are passed over.
    pub(super) fn take(&mut self, name: &str, value: u64) {
        let add = |sum: &mut Option<u64>| *sum = Some(sum.unwrap_or(0).saturating_add(value));
        match name {
            "cpu.time" => self.cpu_ns = Some(value),
            "balloon.rss" => self.memory_rss_kib = Some(value),
            _ => match split(name) {
                Some(("block", "rd.bytes")) => add(&mut self.disk_read_bytes),
                Some(("block", "wr.bytes")) => add(&mut self.disk_write_bytes),
                Some(("net", "rx.bytes")) => add(&mut self.net_rx_bytes),
                Some(("net", "tx.bytes")) => add(&mut self.net_tx_bytes),
                _ => {}
            },
        }
    }
}

/// `block.3.rd.bytes` to `block` and `rd.bytes`.
fn split(name: &str) -> Option<(&str, &str)> {
    let (kind, rest) = name.split_once('.')?;
    let (number, what) = rest.split_once('.')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some((kind, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_several_disks_are_added_and_others_passed_over() {
        let mut stats = GuestStats::default();
        for (name, value) in
            [("cpu.time", 5), ("block.0.rd.bytes", 7), ("block.11.rd.bytes", u64::MAX), ("block.count", 2), ("x", 1)]
        {
            stats.take(name, value);
        }
        assert_eq!(stats, GuestStats { cpu_ns: Some(5), disk_read_bytes: Some(u64::MAX), ..GuestStats::default() });
    }
}
