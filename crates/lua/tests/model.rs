//! The original's model, row by row: every constant of every enum, and every property of every bean, as `schema/*.txt` list
//! them (`fdl.md` 4.2 to 4.5).

use crate::support::Fixture;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write};

const BEANS: &str = include_str!("../schema/beans.txt");
const ENUMS: &str = include_str!("../schema/enums.txt");

fn rows(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('|'));
    rows.map(|(head, rest)| (head.trim(), rest.trim()))
}

fn enums() -> BTreeMap<&'static str, Vec<&'static str>> {
    rows(ENUMS).map(|(name, values)| (name, values.split_whitespace().collect())).collect()
}

/// Every name of a bean with all its properties, those of its base included.
fn beans() -> BTreeMap<&'static str, Vec<(&'static str, &'static str)>> {
    let mut beans: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (head, own) in rows(BEANS) {
        let (names, base) = head.split_once(':').map_or((head, None), |(names, base)| (names, Some(base.trim())));
        let mut properties = base.map(|base| beans[base].clone()).unwrap_or_default();
        properties.extend(own.split(", ").filter_map(|property| property.trim().split_once(':')));
        for name in names.split('=') {
            beans.insert(name.trim(), properties.clone());
        }
    }
    beans
}

/// What a script may set a property of a type to, what of it proves that it was, and what it may not be set to.
struct Sample {
    values: Vec<String>,
    /// With `v` for what the getter gives.
    proof: String,
    wrong: String,
    unset: &'static str,
}

fn sample(kind: &str) -> Sample {
    let of = |values: &[&str], proof: &str, wrong: &str, unset| Sample {
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        proof: proof.to_owned(),
        wrong: wrong.to_owned(),
        unset,
    };
    if let Some(element) = kind.strip_suffix("[]") {
        let inner = sample(element);
        let values = inner.values.iter().flat_map(|value| [format!("{{ {value} }}"), format!("listed({value})")]);
        return Sample {
            values: values.collect(),
            proof: format!("v:size() == 1 and (function(v) return {} end)(v:get(0))", inner.proof),
            wrong: format!("{{ {} }}", inner.wrong),
            unset: "v:size() == 0",
        };
    }
    if let Some((_, element)) = kind.strip_prefix("map<").and_then(|kind| kind.strip_suffix('>')?.split_once(',')) {
        let inner = sample(element);
        let values = inner.values.iter().flat_map(|value| [format!("{{ a = {value} }}"), format!("mapped({value})")]);
        return Sample {
            values: values.collect(),
            proof: format!("v:size() == 1 and (function(v) return {} end)(v:get('a'))", inner.proof),
            wrong: "7".to_owned(),
            unset: "v:size() == 0",
        };
    }
    match kind {
        "string" => of(&["'7'", "7"], "v == '7'", "{}", "v == nil"),
        "int" | "double" => of(&["7", "'7'", "7.0"], "v == 7", "'seven'", "v == nil"),
        "bool" => of(&["true", "'TRUE'"], "v == true", "{}", "v == nil"),
        "date" => of(
            &["1422921600000", "'2015-02-03'", "'2015-02-03T00:00:00+0000'"],
            "new('FDLDateHelper'):getTimestamp(v) == 1422921600000",
            "'some day'",
            "v == nil",
        ),
        name => match enums().get(name) {
            Some(values) => {
                let first = values[0];
                let word = first.to_lowercase();
                let constant = format!("new('{name}', '{first}')");
                Sample {
                    proof: format!("v == {constant} and v:name() == '{first}'"),
                    values: vec![constant, format!("'{first}'"), format!("'{word}'")],
                    wrong: "7".to_owned(),
                    unset: "v == nil",
                }
            }
            None if beans().contains_key(name) => {
                of(&[&format!("new('{name}')")], "v ~= nil and v:toJSONString() == '{}'", "'x'", "v == nil")
            }
            // A type that the reference names and does not describe takes everything.
            None => of(&["'x'"], "v == 'x'", "", "v == nil"),
        },
    }
}

/// Runs lines of Lua that call `fault(text)` for what is not as it should be; nothing is.
async fn faultless(lines: &str) {
    let body = format!(
        "local faults = {{}}
        local function fault(text) faults[#faults + 1] = text end
        local function listed(value) local list = new('List') list:add(value) return list end
        local function mapped(value) local map = new('Map') map:put('a', value) return map end
        {lines}
        return table.concat(faults, '\\n')"
    );
    assert_eq!(Fixture::new().eval(&body).await, json!(""));
}

#[tokio::test]
async fn every_constant_is_itself_however_it_is_come_by() {
    let enums = enums();
    assert!(enums.len() >= 68 && enums.values().map(Vec::len).sum::<usize>() >= 600);
    for (kind, values) in enums {
        let mut lines = String::new();
        for (place, value) in values.iter().enumerate() {
            let other = values[(place + 1) % values.len()];
            write!(
                lines,
                "do local c = new('{kind}', '{value}')
                if c ~= new('{kind}', '{value}') or not c:equals(new('{kind}', '{value}')) then fault('{value} is not itself') end
                for _, word in ipairs {{ '{}', '{}', ' {value} ' }} do
                    if new('{kind}', word) ~= c then fault(word .. ' is not {value}') end
                end
                if c:name() ~= '{value}' or c.name() ~= '{value}' or c:toString() ~= '{value}' or tostring(c) ~= '{value}' then fault('{value} has another text') end
                if 'a ' .. c .. ' b' ~= 'a {value} b' then fault('{value} does not join') end
                if c:ordinal() ~= {place} then fault('{value} has another place') end
                if c == '{value}' then fault('{value} is a text') end
                if '{other}' ~= '{value}' and c == new('{kind}', '{other}') then fault('{value} is {other}') end
                end\n",
                value.to_lowercase(),
                value.to_uppercase(),
            )
            .unwrap();
        }
        faultless(&lines).await;
    }
}

#[tokio::test]
async fn every_property_is_set_and_got_in_every_spelling() {
    let beans = beans();
    assert!(beans.len() >= 104 && beans.values().map(Vec::len).sum::<usize>() >= 1_000);
    for (bean, properties) in beans {
        let mut lines = String::new();
        for (property, kind) in properties {
            let Sample { values, proof, wrong, unset } = sample(kind);
            let name = property[..1].to_uppercase() + &property[1..];
            let (lower, upper) = (name.to_lowercase(), name.to_uppercase());
            write!(
                lines,
                "do local v = new('{bean}'):get{name}()
                if not ({unset}) then fault('{property} is something before it is set') end end\n"
            )
            .unwrap();
            for value in values {
                write!(
                    lines,
                    "do local b, c = new('{bean}'), new('{bean}')
                    b:set{name}({value})
                    c.set{name}({value})
                    local d = new('{bean}')
                    d.set{name}(d, {value})
                    for i, v in ipairs {{ b:get{name}(), b.get{name}(), b:get{lower}(), b.get{upper}(), b.get{name}(b), c:get{name}(), d:get{name}() }} do
                        if not ({proof}) then fault('{property} ' .. i .. ' is ' .. tostring(v)) end
                    end
                    if select('#', b:get{name}(), b.get{name}()) ~= 2 then fault('{property} has no one value') end
                    if not string.find(b:toJSONString(), '\"{property}\":', 1, true) then fault('{property} is not in ' .. b:toJSONString()) end
                    b:set{name}(nil)
                    local v = b:get{name}()
                    if v ~= nil and not ({unset}) then fault('{property} is not taken back') end
                    end\n"
                )
                .unwrap();
            }
            if kind == "bool" {
                write!(
                    lines,
                    "do local b = new('{bean}')
                    if b:is{name}() ~= false then fault('{property} is not false before it is set') end
                    b:set{name}(true)
                    if not (b:is{name}() and b.is{name}() and b:is{lower}()) then fault('{property} is not true') end end\n"
                )
                .unwrap();
            }
            if wrong.contains("{  }") || wrong.is_empty() {
                continue;
            }
            write!(
                lines,
                "do local done, why = pcall(function() new('{bean}'):set{name}({wrong}) end)
                if done or not string.find(why, 'INVALID_INPUT', 1, true) or not string.find(why, '{property}', 1, true) then
                    fault('{property} takes what it cannot be: ' .. tostring(why))
                end end\n"
            )
            .unwrap();
        }
        faultless(&lines).await;
    }
}

#[tokio::test]
async fn what_is_no_bean_enum_or_constant_is_told_by_its_name() {
    for (body, words) in [
        ("return new('Serverr')", "Serverr"),
        ("return new('ServerStatus')", "ServerStatus"),
        ("return new('ServerStatus', 7)", "a text expected"),
        ("return new('')", "there is no such type"),
        ("return new('Server'):fly()", "a Server has no method `fly`"),
        ("return new('ServerStatus', 'RUNNING'):fly()", "a ServerStatus has no method `fly`"),
    ] {
        let told = Fixture::new().eval(body).await;
        assert!(
            matches!(&told, Value::String(text) if text.starts_with("error: ") && text.contains(words)),
            "{body}: {told}"
        );
    }
}
