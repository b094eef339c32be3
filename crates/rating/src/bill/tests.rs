use super::*;
use proptest::prelude::*;
use sutler_model::{BillingEntityId, Cause, CustomerId, Evidence, IntervalKey, PlanId, Timestamp};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn november() -> Period {
    Period { from: at("2026-11-01T00:00:00Z"), to: at("2026-12-01T00:00:00Z") }
}

fn plan(currency: &str, cpu: &str, memory: &str, disk: &str) -> Plan {
    Plan {
        id: PlanId::new(1, [1; 10]),
        version: 1,
        name: "standard".to_owned(),
        billing_entity_id: BillingEntityId::new(1, [2; 10]),
        currency: currency.parse().unwrap(),
        cpu_hour: cpu.parse().unwrap(),
        memory_gib_hour: memory.parse().unwrap(),
        disk_gib_hour: disk.parse().unwrap(),
        unit_price: Nanos(sutler_model::money::ONE),
        charges: Vec::new(),
        created_at: Timestamp(0),
    }
}

fn used(resource: u8, meter: Meter, quantity: u64, start: Timestamp, end: Option<Timestamp>) -> Interval {
    let cause = Cause::system("test");
    Interval {
        key: IntervalKey {
            customer_id: CustomerId::new(1, [3; 10]),
            start,
            resource_id: Uuid::from_bytes([resource; 16]),
            meter,
        },
        version: 1,
        billing_entity_id: BillingEntityId::new(1, [2; 10]),
        resource_name: format!("r{resource}"),
        provider_type: None,
        quantity,
        end,
        evidence: end.map(|_| Evidence::Seen),
        began_by: cause.clone(),
        ended_by: end.map(|_| cause),
    }
}

/// Usage, rates and lines to check by hand.
#[test]
fn lines_are_what_a_reader_works_out_by_hand() {
    struct Case {
        currency: &'static str,
        meter: Meter,
        quantity: u64,
        used: (&'static str, Option<&'static str>),
        price: &'static str,
        amount: Option<&'static str>,
        why: &'static str,
    }
    let case = |currency, meter, quantity, used, price, amount, why| Case {
        currency,
        meter,
        quantity,
        used,
        price,
        amount,
        why,
    };
    let (cpu, memory, disk) = (Meter::Cpu, Meter::Memory, Meter::Disk);
    #[rustfmt::skip]
    let cases = [
        case("EUR", cpu, 2, ("2026-11-10T00:00:00Z", Some("2026-11-10T03:12:05Z")), "0.01", Some("0.06"),
            "11525 s x 2 x 0.01 / 3600 = 0.06402..."),
        case("EUR", memory, 2048, ("2026-11-10T00:00:00Z", Some("2026-11-11T00:00:00Z")), "0.005", Some("0.24"),
            "24 h x 2 GiB x 0.005"),
        case("EUR", memory, 512, ("2026-11-10T00:00:00Z", Some("2026-11-10T10:00:00Z")), "0.005", Some("0.02"),
            "10 h x 0.5 GiB x 0.005 = 0.025: half goes to the even cent below"),
        case("EUR", memory, 512, ("2026-11-10T00:00:00Z", Some("2026-11-10T14:00:00Z")), "0.005", Some("0.04"),
            "14 h x 0.5 GiB x 0.005 = 0.035: half goes to the even cent above"),
        case("EUR", disk, 20, ("2026-10-20T00:00:00Z", None), "0.0001", Some("1.44"),
            "720 h x 20 GiB x 0.0001: open, so clipped to all of November"),
        case("EUR", disk, 20, ("2026-10-31T12:00:00Z", Some("2026-11-01T01:00:00Z")), "0.01", Some("0.2"),
            "only the hour in November counts"),
        case("EUR", cpu, 1, ("2026-11-30T23:59:59Z", Some("2026-12-05T00:00:00Z")), "36", Some("0.01"),
            "one second of 36 an hour"),
        case("EUR", cpu, 1, ("2026-11-30T23:59:59.999Z", None), "36000000", Some("10"),
            "one millisecond of 36 million an hour"),
        case("JPY", cpu, 1, ("2026-11-10T00:00:00Z", Some("2026-11-10T00:30:00Z")), "3", Some("2"),
            "1.5 yen, which has no smaller coin, goes to the even 2"),
        case("KWD", cpu, 1, ("2026-11-10T00:00:00Z", Some("2026-11-10T00:30:00Z")), "0.003", Some("0.002"),
            "0.0015 dinar of a thousand fils goes to the even 0.002"),
        case("EUR", cpu, 1, ("2026-10-01T00:00:00Z", Some("2026-11-01T00:00:00Z")), "1", None,
            "ended when the period began: no line"),
        case("EUR", cpu, 1, ("2026-12-01T00:00:00Z", None), "1", None,
            "begins when the period ends: no line"),
        case("EUR", cpu, 1, ("2026-11-10T00:00:00Z", Some("2026-11-10T00:00:00Z")), "1", None,
            "no length: no line"),
        case("EUR", cpu, 1, ("2026-11-10T00:00:00Z", Some("2026-11-10T00:00:01Z")), "0", Some("0"),
            "free use still has its line"),
    ];
    for c in cases {
        let plan = plan(c.currency, c.price, c.price, c.price);
        let interval = used(1, c.meter, c.quantity, at(c.used.0), c.used.1.map(at));
        let (lines, total) = rate(november(), &plan, [&interval]).unwrap();
        let amounts: Vec<String> = lines.iter().map(|l| l.amount.to_string()).collect();
        assert_eq!(amounts, c.amount.into_iter().map(String::from).collect::<Vec<_>>(), "{}", c.why);
        assert_eq!(total.to_string(), c.amount.unwrap_or("0"), "{}", c.why);
    }
}

#[test]
fn a_line_is_rounded_once_however_many_intervals_it_has() {
    // 30 times 20 s at 0.01 an hour is 10 min: 0.0016…; each interval by itself would round to nothing as well, but
    // at 0.10 an hour the line is 0.0166… = 0.02 while thirty rounded intervals would add up to 0.00.
    let pieces: Vec<Interval> = (0..30)
        .map(|i| {
            let start = at("2026-11-03T00:00:00Z").plus_ms(i * 60_000);
            used(1, Meter::Cpu, 1, start, Some(start.plus_ms(20_000)))
        })
        .collect();
    let (lines, total) = rate(november(), &plan("EUR", "0.10", "0", "0"), &pieces).unwrap();
    assert_eq!((lines.len(), lines[0].intervals, lines[0].used_ms), (1, 30, 600_000));
    assert_eq!(total.to_string(), "0.02");
}

#[test]
fn lines_are_ordered_by_resource_then_meter_and_carry_the_latest_name() {
    let t = at("2026-11-03T00:00:00Z");
    let mut renamed = used(1, Meter::Cpu, 1, t.plus_ms(1000), Some(t.plus_ms(2000)));
    renamed.resource_name = "new name".to_owned();
    let intervals = [
        used(2, Meter::Disk, 1, t, None),
        renamed,
        used(1, Meter::Cpu, 1, t, Some(t.plus_ms(1000))),
        used(1, Meter::Memory, 1, t, None),
    ];
    let (lines, _) = rate(november(), &plan("EUR", "1", "1", "1"), &intervals).unwrap();
    let seen: Vec<(&str, Meter)> = lines.iter().map(|l| (l.resource_name.as_str(), l.meter)).collect();
    assert_eq!(seen, [("new name", Meter::Cpu), ("r1", Meter::Memory), ("r2", Meter::Disk)]);
}

#[test]
fn what_does_not_fit_is_an_error_and_never_wraps() {
    let t = at("2026-11-03T00:00:00Z");
    let huge = plan("EUR", "99999999999999999999", "0", "0");
    let result = rate(november(), &huge, [&used(1, Meter::Cpu, u64::MAX, t, None)]);
    assert_eq!(result, Err(Error::TooLarge { resource_id: Uuid::from_bytes([1; 16]), meter: Meter::Cpu }));
    let backward = Period { from: t, to: t.plus_ms(-1) };
    assert_eq!(rate(backward, &huge, []), Err(Error::Period { from: t, to: t.plus_ms(-1) }));
}

#[derive(Clone, Debug)]
struct Usage {
    resource: u8,
    meter: Meter,
    quantity: u64,
    start_ms: i64,
    length_ms: Option<i64>,
}

fn usage() -> impl Strategy<Value = Usage> {
    let meter = prop::sample::select(Meter::ALL.to_vec());
    (0..3_u8, meter, 1..5000_u64, -200..1200_i64, prop::option::weighted(0.9, 0..800_i64)).prop_map(
        |(resource, meter, quantity, start_ms, length_ms)| Usage { resource, meter, quantity, start_ms, length_ms },
    )
}

proptest! {
    /// Counts each millisecond by itself, then rounds in units of a 9-place billionth.
    #[test]
    fn a_bill_equals_one_counted_millisecond_by_millisecond(
        all in prop::collection::vec(usage(), 0..20),
        prices in prop::array::uniform3(0..2_000_000_000_000_i128),
    ) {
        let mut plan = plan("EUR", "0", "0", "0");
        (plan.cpu_hour, plan.memory_gib_hour, plan.disk_gib_hour) = (Nanos(prices[0]), Nanos(prices[1]), Nanos(prices[2]));
        let intervals: Vec<Interval> = all
            .iter()
            .map(|u| used(u.resource, u.meter, u.quantity, Timestamp(u.start_ms), u.length_ms.map(|l| Timestamp(u.start_ms + l))))
            .collect();
        let (lines, total) = rate(Period { from: Timestamp(0), to: Timestamp(1000) }, &plan, &intervals).unwrap();

        let mut expected = BTreeMap::new();
        for u in &all {
            let ticks = (0..1000).filter(|ms| *ms >= u.start_ms && u.length_ms.is_none_or(|l| *ms < u.start_ms + l)).count();
            if ticks > 0 && u.meter.is_priced() {
                *expected.entry((Uuid::from_bytes([u.resource; 16]), u.meter)).or_insert(0_i128) += ticks as i128 * i128::from(u.quantity);
            }
        }
        prop_assert_eq!(lines.len(), expected.len());
        let mut sum = 0_i128;
        for (line, ((resource, meter), unit_ms)) in lines.iter().zip(expected) {
            prop_assert_eq!((line.resource_id, line.meter, line.unit_ms), (resource, meter, unit_ms));
            // In whole cents, by comparing fractions instead of dividing: |cents - exact| <= 1/2, ties even.
            let cents = line.amount.0 / 10_000_000;
            prop_assert_eq!(cents * 10_000_000, line.amount.0);
            let below = 3_600_000 * i128::from(meter.units_per_priced()) * 10_000_000;
            let twice_off = (2 * (cents * below - unit_ms * plan.hourly(meter).0)).abs();
            prop_assert!(twice_off < below || (twice_off == below && cents % 2 == 0), "{:?}", line);
            sum += line.amount.0;
        }
        prop_assert_eq!(total.0, sum);
    }

    #[test]
    fn the_order_of_intervals_changes_nothing(all in prop::collection::vec(usage(), 0..20)) {
        let plan = plan("EUR", "0.37", "0.11", "0.013");
        let period = Period { from: Timestamp(0), to: Timestamp(1000) };
        let mut intervals: Vec<Interval> = all
            .iter()
            .map(|u| used(u.resource, u.meter, u.quantity, Timestamp(u.start_ms), u.length_ms.map(|l| Timestamp(u.start_ms + l))))
            .collect();
        let forward = rate(period, &plan, &intervals).unwrap();
        intervals.reverse();
        prop_assert_eq!(forward, rate(period, &plan, &intervals).unwrap());
    }
}
