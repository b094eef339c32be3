//! Lines in words: `3 h 12 min 5 s × 2 vCPU × 0.01 EUR/h = 0.06 EUR`.

use sutler_model::{Currency, InvoiceLine, Meter, Money};

/// The arithmetic of a line in words. Everything left of the equals sign is exact; the amount is rounded once.
///
/// Where the quantity changed within the period there is no single one to show, so the use is said as if it had been
/// of one unit: `6 h × 1 vCPU` for two hours of one and two hours of two.
pub fn line(line: &InvoiceLine, currency: Currency) -> String {
    let used = i128::from(line.used_ms);
    let (ms, units) = if used > 0 && line.unit_ms % used == 0 {
        (used, line.unit_ms / used)
    } else if line.unit_ms % i128::from(line.meter.units_per_priced()) == 0 {
        let priced = i128::from(line.meter.units_per_priced());
        (line.unit_ms / priced, priced)
    } else {
        (line.unit_ms, 1)
    };
    format!(
        "{} × {} × {} {currency}/h = {}",
        duration(ms),
        quantity(line.meter, units),
        line.unit_price.to_text(2),
        Money { amount: line.amount, currency },
    )
}

/// Counted units in the unit that is priced, exactly: `2 vCPU`, `0.5 GiB`.
pub fn quantity(meter: Meter, units: i128) -> String {
    let priced = i128::from(meter.units_per_priced());
    let mut text = (units / priced).to_string();
    let mut rest = units % priced;
    if rest != 0 {
        text.push('.');
        // Ends: the only divisor besides 1 is a power of two.
        while rest != 0 {
            rest *= 10;
            text.push_str(&(rest / priced).to_string());
            rest %= priced;
        }
    }
    let unit = match meter {
        Meter::Cpu => "vCPU",
        Meter::Memory | Meter::Disk => "GiB",
        Meter::PluggableResource => "resource",
    };
    format!("{text} {unit}")
}

/// A length of time in hours, minutes, seconds and milliseconds, leaving out what is zero: `3 h 12 min 5 s`.
pub fn duration(ms: i128) -> String {
    let parts = [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "min"), (ms / 1000 % 60, "s"), (ms % 1000, "ms")];
    let said: Vec<String> = parts.iter().filter(|(n, _)| *n != 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if said.is_empty() { "0 s".to_owned() } else { said.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::Nanos;
    use uuid::Uuid;

    fn words(meter: Meter, used_ms: i64, unit_ms: i128, price: &str, amount: &str) -> String {
        let priced = InvoiceLine {
            resource_id: Uuid::nil(),
            resource_name: "web-1".to_owned(),
            meter,
            intervals: 1,
            used_ms,
            unit_ms,
            unit_price: price.parse().unwrap(),
            amount: amount.parse::<Nanos>().unwrap(),
        };
        line(&priced, "EUR".parse().unwrap())
    }

    #[test]
    fn a_line_says_time_quantity_price_and_amount() {
        let used = 11_525_000;
        assert_eq!(
            words(Meter::Cpu, used, i128::from(used) * 2, "0.01", "0.06"),
            "3 h 12 min 5 s × 2 vCPU × 0.01 EUR/h = 0.06 EUR"
        );
        assert_eq!(
            words(Meter::Memory, 3_600_500, 3_600_500 * 512, "0.0055", "0"),
            "1 h 500 ms × 0.5 GiB × 0.0055 EUR/h = 0.00 EUR"
        );
    }

    #[test]
    fn a_quantity_that_changed_is_said_as_use_of_one_unit() {
        // 3 h of 1 and 1 h of 2 are 5 h of one; 4 h divide neither.
        assert_eq!(words(Meter::Cpu, 14_400_000, 18_000_000, "0.01", "0.05"), "5 h × 1 vCPU × 0.01 EUR/h = 0.05 EUR");
        assert_eq!(words(Meter::Memory, 2, 3, "1", "0"), "3 ms × 0.0009765625 GiB × 1.00 EUR/h = 0.00 EUR");
    }

    #[test]
    fn durations_leave_out_what_is_zero() {
        for (ms, text) in
            [(0, "0 s"), (1, "1 ms"), (60_000, "1 min"), (3_600_001, "1 h 1 ms"), (720 * 3_600_000, "720 h")]
        {
            assert_eq!(duration(ms), text);
        }
    }
}
