//! The engine against a plain reading of what filters mean (`fdl.md` part 5), over records and conditions drawn at random.

use super::*;
use crate::{dialect::number_text, query::Query};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

const STATES: [&str; 3] = ["RUNNING", "STOPPED", "ERROR"];
const KEY_KINDS: [&str; 2] = ["USER_KEY", "SYSTEM_KEY"];
/// 2015-02-03T00:00:00Z.
const DAY: i64 = 1_422_921_600_000;

#[derive(Clone, Debug)]
struct Key {
    name: String,
    value: Option<String>,
    kind: &'static str,
}

#[derive(Clone, Debug)]
struct Machine {
    name: Option<String>,
    cpu: Option<i32>,
    state: Option<&'static str>,
    /// Minutes after [`DAY`].
    made: Option<i64>,
    emulated: Option<bool>,
    keys: Vec<Key>,
}

impl Machine {
    fn bean(&self) -> Bean {
        let key = |key: &Key| json!({"name": key.name, "value": key.value, "type": key.kind});
        Bean::new("Server")
            .with("resourceName", self.name.clone())
            .with("cpu", self.cpu)
            .with("status", self.state)
            .with("resourceCreateDate", self.made.map(|minutes| DAY + minutes * 60_000))
            .with("disableEmulatedDevices", self.emulated)
            .with("resourceKey", self.keys.iter().map(key).collect::<Value>())
    }
}

#[derive(Clone, Debug)]
struct Asked {
    field: &'static str,
    row: Option<u8>,
    word: &'static str,
    values: Vec<String>,
}

const WORDS: [&str; 14] = [
    "IS_EQUAL_TO",
    "IS_NOT_EQUAL_TO",
    "BETWEEN",
    "NOT_BETWEEN",
    "STARTS_WITH",
    "NOT_STARTS_WITH",
    "ENDS_WITH",
    "NOT_ENDS_WITH",
    "CONTAINS",
    "NOT_CONTAINS",
    "IS_LESS_THAN",
    "IS_LESS_THAN_OR_EQUAL_TO",
    "IS_GREATER_THAN",
    "IS_GREATER_THAN_OR_EQUAL_TO",
];

/// Few and short, so that they meet.
fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[aAb]{1,2}", "[0-2]{1,2}", Just("a.b".to_owned())]
}

fn machine() -> impl Strategy<Value = Machine> {
    let key = (word(), proptest::option::of(word()), proptest::sample::select(&KEY_KINDS[..]))
        .prop_map(|(name, value, kind)| Key { name, value, kind });
    (
        proptest::option::of(word()),
        proptest::option::of(-2..20_i32),
        proptest::option::of(proptest::sample::select(&STATES[..])),
        proptest::option::of(-1500..1500_i64),
        proptest::option::of(any::<bool>()),
        proptest::collection::vec(key, 0..4),
    )
        .prop_map(|(name, cpu, state, made, emulated, keys)| Machine { name, cpu, state, made, emulated, keys })
}

fn asked() -> impl Strategy<Value = Asked> {
    let day = (-1..2_i64).prop_map(|days| format!("2015-02-{:02}", 3 + days));
    let second = (-1500..1500_i64).prop_map(|minutes| ((DAY + minutes * 60_000) / 1000).to_string());
    let state = proptest::sample::select(vec!["RUNNING", "running", "Stopped", "NONSENSE"]).prop_map(str::to_owned);
    let of = |field: &'static str, value: BoxedStrategy<String>, words: &'static [&'static str]| {
        (proptest::sample::select(words), proptest::collection::vec(value, 1..4), proptest::option::of(1..3_u8))
            .prop_map(move |(word, mut values, row)| {
                if word.ends_with("BETWEEN") {
                    values = vec![values[0].clone(), values[values.len() - 1].clone()];
                }
                Asked { field, row: row.filter(|_| field.contains('.')), word, values }
            })
    };
    let number = (-2..20_i32).prop_map(|n| n.to_string());
    let flag = proptest::sample::select(vec!["true", "FALSE", "1", "0", "x"]).prop_map(str::to_owned);
    prop_oneof![
        of("resourceName", word().boxed(), &WORDS),
        of("CPU", number.boxed(), &WORDS),
        of("status", state.boxed(), &WORDS[..2]),
        of(
            "resourcecreatedate",
            prop_oneof![day, second].boxed(),
            &[
                "IS_EQUAL_TO",
                "IS_NOT_EQUAL_TO",
                "BETWEEN",
                "NOT_BETWEEN",
                "IS_LESS_THAN",
                "IS_GREATER_THAN",
                "EARLIER_THAN",
                "LATER_THAN"
            ]
        ),
        of("disableEmulatedDevices", flag.boxed(), &WORDS[..2]),
        of("resourcekey.name", word().boxed(), &WORDS[..12]),
        of("resourcekey.value", word().boxed(), &WORDS[..12]),
        of("resourceKey.type", proptest::sample::select(&KEY_KINDS[..]).prop_map(str::to_owned).boxed(), &WORDS[..2]),
    ]
}

fn filter_of(asked: &[Asked]) -> Filter {
    let conditions = asked.iter().map(|one| {
        let row = one.row.map(|row| format!("[{row}]")).unwrap_or_default();
        json!({"field": format!("{}{row}", one.field), "condition": one.word, "value": one.values})
    });
    let json = json!({"filterConditions": conditions.collect::<Vec<_>>()});
    let Value::Object(fields) = json else { unreachable!("an object") };
    Filter::read(Some(&BeanRef::from_bean(Bean { kind: "SearchFilter".into(), properties: fields.into() })))
        .expect("a filter that makes sense")
}

/// Where a value stands to a text of the filter, by what kind of thing the field holds.
fn order(field: &str, have: &str, wanted: &str) -> Option<Ordering> {
    let numbers = |a: &str, b: &str| a.parse::<f64>().ok()?.partial_cmp(&b.parse().ok()?);
    match field {
        "CPU" => numbers(have, wanted),
        "status" | "resourceKey.type" => have.eq_ignore_ascii_case(wanted).then_some(Ordering::Equal),
        "disableEmulatedDevices" => {
            let flag = |text: &str| match text.to_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            };
            Some(flag(have)?.cmp(&flag(wanted)?))
        }
        "resourcecreatedate" => {
            let ms: i64 = have.parse().ok()?;
            let (from, to) = match wanted.split_once("2015-02-") {
                Some((_, day)) => {
                    let from = DAY + (day.parse::<i64>().ok()? - 3) * 86_400_000;
                    (from, from + 86_400_000)
                }
                None => {
                    let from = wanted.parse::<i64>().ok()? * 1000;
                    (from, from + 1000)
                }
            };
            Some(if ms < from {
                Ordering::Less
            } else if ms >= to {
                Ordering::Greater
            } else {
                Ordering::Equal
            })
        }
        _ if have == wanted => Some(Ordering::Equal),
        _ => numbers(have, wanted).filter(|order| order.is_ne()).or_else(|| Some(have.cmp(wanted))),
    }
}

fn holds(asked: &Asked, have: Option<&str>) -> bool {
    let (plain, denied) = match asked.word.strip_prefix("NOT_") {
        Some(plain) => (plain, true),
        None if asked.word == "IS_NOT_EQUAL_TO" => ("IS_EQUAL_TO", true),
        None => (asked.word, false),
    };
    let Some(have) = have else { return denied };
    let to = |index: usize| order(asked.field, have, &asked.values[index]);
    let any = |test: &dyn Fn(&str) -> bool| asked.values.iter().any(|wanted| test(wanted));
    let held = match plain {
        "IS_EQUAL_TO" => (0..asked.values.len()).any(|index| to(index) == Some(Ordering::Equal)),
        "BETWEEN" => to(0).is_some_and(Ordering::is_ge) && to(1).is_some_and(Ordering::is_le),
        "STARTS_WITH" => any(&|wanted| have.starts_with(wanted)),
        "ENDS_WITH" => any(&|wanted| have.ends_with(wanted)),
        "CONTAINS" => any(&|wanted| have.contains(wanted)),
        "IS_LESS_THAN" | "EARLIER_THAN" => to(0).is_some_and(Ordering::is_lt),
        "IS_LESS_THAN_OR_EQUAL_TO" => to(0).is_some_and(Ordering::is_le),
        "IS_GREATER_THAN" | "LATER_THAN" => to(0).is_some_and(Ordering::is_gt),
        _ => to(0).is_some_and(Ordering::is_ge),
    };
    held != denied
}

fn denies(asked: &Asked) -> bool {
    asked.word.contains("NOT_")
}

/// Whether a record passes, read from the words of the reference.
fn passes(machine: &Machine, asked: &[Asked]) -> bool {
    let own = asked.iter().filter(|one| !one.field.contains('.')).all(|one| {
        let value = match one.field {
            "resourceName" => machine.name.clone(),
            "CPU" => machine.cpu.map(|n| n.to_string()),
            "status" => machine.state.map(str::to_owned),
            "resourcecreatedate" => machine.made.map(|minutes| (DAY + minutes * 60_000).to_string()),
            _ => machine.emulated.map(|flag| flag.to_string()),
        };
        holds(one, value.as_deref())
    });
    let mut rows: BTreeMap<Option<u8>, Vec<&Asked>> = BTreeMap::new();
    for one in asked.iter().filter(|one| one.field.contains('.')) {
        rows.entry(one.row).or_default().push(one);
    }
    own && rows.values().all(|group| {
        let fits = |key: &Key| {
            group.iter().all(|one| {
                let value = match one.field {
                    "resourcekey.name" => Some(key.name.as_str()),
                    "resourcekey.value" => key.value.as_deref(),
                    _ => Some(key.kind),
                };
                holds(one, value)
            })
        };
        if group.iter().all(|one| denies(one)) { machine.keys.iter().all(fits) } else { machine.keys.iter().any(fits) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_passes_what_its_words_say(
        machines in proptest::collection::vec(machine(), 1..6),
        asked in proptest::collection::vec(asked(), 0..4),
    ) {
        let filter = filter_of(&asked);
        for machine in &machines {
            prop_assert_eq!(filter.passes(&machine.bean()), passes(machine, &asked), "{:?}\n{:?}", machine, asked);
        }
    }

    #[test]
    fn what_is_hinted_to_the_store_leaves_out_nothing_that_passes(
        machine in machine(),
        asked in proptest::collection::vec(asked(), 1..4),
    ) {
        let filter = filter_of(&asked);
        if filter.passes(&machine.bean()) {
            // A store that looks by a key's name and a status alone, as ours does.
            for (field, wanted) in filter.equal() {
                match field.as_str() {
                    "resourcekey.name" => prop_assert!(machine.keys.iter().any(|key| wanted.contains(&key.name))),
                    "status" => prop_assert!(machine.state.is_some_and(|s| wanted.iter().any(|w| w.eq_ignore_ascii_case(s)))),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn groups_add_up_to_what_their_rows_are(machines in proptest::collection::vec(machine(), 0..12)) {
        let field = |function: &str, name: &str| json!({"aggregationFunction": function, "fieldName": name});
        let functions = ["COUNT", "SUM", "MIN", "MAX", "AVERAGE"];
        let json = json!({
            "resourceType": "SERVER", "outputFields": ["status"], "groupByFields": ["status"],
            "aggregationFields": functions.map(|function| field(function, "cpu")),
        });
        let Value::Object(fields) = json else { unreachable!("an object") };
        let query = Query::read(&BeanRef::from_bean(Bean { kind: "Query".into(), properties: fields.into() })).expect("a query that makes sense");
        let beans: Vec<Bean> = machines.iter().map(Machine::bean).collect();
        let mut expected: BTreeMap<Option<&str>, Vec<i32>> = BTreeMap::new();
        for machine in &machines {
            expected.entry(machine.state).or_default().extend(machine.cpu);
        }
        let rows = query.rows(&beans).expect("no run is stopped");
        prop_assert_eq!(rows.len(), expected.len());
        for (row, (state, values)) in rows.iter().map(|row| &row["columnMap"]).zip(&expected) {
            prop_assert_eq!(row["status"].as_str(), *state);
            prop_assert_eq!(&row["COUNT(cpu)"], &json!(values.len().to_string()));
            let sum: i32 = values.iter().sum();
            prop_assert_eq!(&row["SUM(cpu)"], &json!(sum.to_string()));
            for (column, value) in [("MIN(cpu)", values.iter().min()), ("MAX(cpu)", values.iter().max())] {
                prop_assert_eq!(row[column].as_str().map(str::to_owned), value.map(ToString::to_string));
            }
            let average = (!values.is_empty()).then(|| number_text(f64::from(sum) / values.len() as f64));
            prop_assert_eq!(row["AVERAGE(cpu)"].as_str().map(str::to_owned), average);
        }
    }
}

#[test]
fn a_filter_of_a_definition_passes_what_meets_all_of_its_conditions() {
    let [db, web] = ["db-1", "web"].map(|name| Bean::new("Server").with("resourceName", name).with("ram", 512));
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let (begin, size) = (values(&["db"]), values(&["512"]));
    let sieve = Sieve::new([("resourcename", "STARTS_WITH", &begin[..]), ("RAM", "IS_EQUAL_TO", &size[..])]).unwrap();
    assert_eq!([sieve.passes(&db), sieve.passes(&web)], [true, false]);
    assert_eq!(sieve.equal(), [("ram".to_owned(), size.clone())]);
    let wrong = Sieve::new([("ram", "BETWEEN", &size[..])]).unwrap_err();
    assert!(wrong.contains("needs two values"), "{wrong}");
}

#[test]
fn part_of_a_date_is_found_in_every_way_to_write_it() {
    let machine = Bean::new("Server").with("resourceCreateDate", DAY + 30 * 60_000).with("lastModifiedTime", 1_422_923);
    let passes = |field: &str, condition: &str, value: &str| {
        Sieve::new([(field, condition, &[value.to_owned()][..])]).unwrap().passes(&machine)
    };
    for (condition, value) in [
        ("STARTS_WITH", "2015-02"),
        ("STARTS_WITH", "2015-02-03 00:3"),
        ("STARTS_WITH", "2015-02-03T00:3"),
        ("STARTS_WITH", "2015-02-0300:3"),
        ("CONTAINS", "-02-"),
        ("ENDS_WITH", ":00+0000"),
    ] {
        assert!(passes("resourcecreatedate", condition, value), "{condition} {value}");
        assert!(!passes("resourcecreatedate", &format!("NOT_{condition}"), value), "NOT_{condition} {value}");
    }
    assert!(!passes("resourcecreatedate", "STARTS_WITH", "2015-03"));
    assert!(passes("lastModifiedTime", "STARTS_WITH", "1422"));
}
