//! The one filter engine: conditions, order and pages over the properties of beans (`fdl.md` part 5).

mod compare;
pub(crate) mod doubt;
pub(crate) mod related;
mod row;

use crate::{
    Bean,
    meter::Meter,
    object::{BeanRef, Val},
    room::Room,
    schema::{self, Type},
};
pub(crate) use compare::scalar_text;
use compare::{compare, texts};
use mlua::{Error, Result};
use row::{Fields, Object};
use serde_json::{Value, json};
use std::{borrow::Cow, cmp::Ordering};

/// Longest name of a field, bytes.
const FIELD_BYTES: usize = 256;
/// Most conditions of a filter: each is compared with the others to find those on the same relation.
const CONDITIONS: usize = 500;
/// Most that the values of a filter hold together, bytes.
const VALUES_BYTES: usize = 1 << 20;
/// Most fields that a query orders by, groups by or answers with.
pub(crate) const FIELDS: usize = 100;

/// A condition on a field.
#[derive(Clone, Debug)]
struct Condition {
    path: Vec<Segment>,
    test: Test,
    values: Vec<String>,
}

/// One name of a dotted field, in lower case. Names with different indexes mean different rows of the same relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    name: String,
    row: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    Between,
    Starts,
    Ends,
    Contains,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The opposite of one of the above.
    Not(Opposite),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opposite {
    Equal,
    Between,
    Starts,
    Ends,
    Contains,
}

/// All conditions of a `SearchFilter`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    conditions: Vec<Condition>,
    /// Whether it means what is deleted, too.
    asks_of_deleted: bool,
}

impl Filter {
    /// Reads a `SearchFilter` bean, nil being the filter that everything passes.
    ///
    /// # Errors
    /// `INVALID_FILTER_FIELD` or `INVALID_INPUT` for a condition that makes no sense.
    pub fn read(filter: Option<&BeanRef>) -> Result<Self> {
        let Some(Val::List(conditions)) = filter.map(|filter| filter.get("filterconditions")) else {
            return Ok(Self::default());
        };
        if conditions.len() > CONDITIONS {
            return Err(Error::runtime(format!("INVALID_INPUT: a filter has at most {CONDITIONS} conditions")));
        }
        let mut room = Room::new("the values of a filter", VALUES_BYTES);
        let conditions = conditions.items().into_iter().filter_map(|item| match item {
            Val::Bean(bean) => Some(Condition::read(&bean, &mut room)),
            _ => None,
        });
        conditions.collect::<Result<_>>().map(Self::of)
    }

    fn of(conditions: Vec<Condition>) -> Self {
        let tells = |path: &[Segment]| matches!(path, [field] if TELL_DELETED.contains(&field.name.as_str()));
        let asks_of_deleted = conditions.iter().any(|condition| tells(&condition.path));
        Self { conditions, asks_of_deleted }
    }

    /// The beans that pass.
    ///
    /// # Errors
    /// When the run is stopped meanwhile.
    pub fn keep(&self, beans: &mut Vec<Bean>) -> Result<()> {
        let each = 1 + self.conditions.iter().map(|condition| 1 + condition.values.len()).sum::<usize>();
        let mut pace = Pace::default();
        // What is left of the beans of a stopped run nobody gets.
        beans.retain(|bean| pace.goes_on(each) && self.passes(bean));
        Meter::check_current()
    }

    /// Equality conditions as hints for whoever fetches the beans.
    pub fn equal(&self) -> Vec<(String, Vec<String>)> {
        let equal = self.conditions.iter().filter(|condition| condition.test == Test::Equal);
        equal
            .map(|condition| {
                let names: Vec<_> = condition.path.iter().map(|segment| segment.name.as_str()).collect();
                (names.join("."), condition.values.clone())
            })
            .collect()
    }

    /// Its fields.
    pub fn paths(&self) -> impl Iterator<Item = &[Segment]> {
        self.conditions.iter().map(|condition| condition.path.as_slice())
    }

    /// Whether a bean passes. What is deleted does only where a condition is about its state or about which one it is.
    fn passes(&self, bean: &Bean) -> bool {
        let deleted = || bean.properties.get("resourceState").is_some_and(|state| *state == "DELETED");
        if !self.asks_of_deleted && deleted() {
            return false;
        }
        let open: Vec<_> = self.conditions.iter().map(|condition| (condition, condition.path.as_slice())).collect();
        // The top is one row with all conditions.
        row_passes(&open, Object::of(bean))
    }
}

/// Fields by which a filter means what is deleted, too.
const TELL_DELETED: [&str; 3] = ["resourcestate", "status", "resourceuuid"];

/// A filter that no script's run holds, such as the one in a value's validator.
#[derive(Clone, Debug)]
pub struct Sieve(Filter);

impl Sieve {
    /// Reads conditions: each a field, a condition in the language's words, and its values. All must hold.
    ///
    /// # Errors
    /// A condition that makes no sense, in the words of an operation's error.
    pub fn new<'c>(
        conditions: impl IntoIterator<Item = (&'c str, &'c str, &'c [String])>,
    ) -> std::result::Result<Self, String> {
        let mut room = Room::new("the values of a filter", VALUES_BYTES);
        let read = |(field, condition, values): (&str, &str, &[String])| {
            let bean = json!({"field": field, "condition": condition, "value": values});
            let bean = bean.as_object().cloned().unwrap_or_default();
            let bean = Bean { kind: "FilterCondition".into(), properties: bean.into() };
            Condition::read(&BeanRef::from_bean(bean), &mut room)
        };
        let conditions = conditions.into_iter().map(read).collect::<Result<_>>();
        conditions.map(|conditions| Self(Filter::of(conditions))).map_err(|error| error.to_string())
    }

    /// As [`Filter::equal`].
    pub fn equal(&self) -> Vec<(String, Vec<String>)> {
        self.0.equal()
    }

    /// Whether a bean passes.
    pub fn passes(&self, bean: &Bean) -> bool {
        self.0.passes(bean)
    }
}

impl Condition {
    fn read(bean: &BeanRef, room: &mut Room) -> Result<Self> {
        let Val::Text(field) = bean.get("field") else {
            return Err(Error::runtime("INVALID_FILTER_FIELD: a FilterCondition has no field"));
        };
        let values: Vec<String> = match bean.get("value") {
            Val::List(list) => {
                let counted = |value: &Val| room.take(value.weight()).map(|()| text_of(value));
                list.items().iter().map(counted).collect::<Result<_>>()?
            }
            _ => Vec::new(),
        };
        let name = match bean.get("condition") {
            Val::Enum(constant) => constant.name.to_string(),
            _ => "IS_EQUAL_TO".to_owned(),
        };
        let test = match name.as_str() {
            "IS_EQUAL_TO" => Test::Equal,
            "IS_NOT_EQUAL_TO" => Test::Not(Opposite::Equal),
            "BETWEEN" => Test::Between,
            "NOT_BETWEEN" => Test::Not(Opposite::Between),
            "STARTS_WITH" => Test::Starts,
            "NOT_STARTS_WITH" => Test::Not(Opposite::Starts),
            "ENDS_WITH" => Test::Ends,
            "NOT_ENDS_WITH" => Test::Not(Opposite::Ends),
            "CONTAINS" => Test::Contains,
            "NOT_CONTAINS" => Test::Not(Opposite::Contains),
            "IS_LESS_THAN" | "EARLIER_THAN" => Test::Less,
            "IS_LESS_THAN_OR_EQUAL_TO" => Test::LessOrEqual,
            "IS_GREATER_THAN" | "LATER_THAN" => Test::Greater,
            "IS_GREATER_THAN_OR_EQUAL_TO" => Test::GreaterOrEqual,
            other => return Err(Error::runtime(format!("INVALID_INPUT: there is no condition {other}"))),
        };
        if matches!(test, Test::Between | Test::Not(Opposite::Between)) && values.len() != 2 {
            return Err(Error::runtime(format!("INVALID_INPUT: {name} on `{field}` needs two values")));
        }
        Ok(Self { path: path(&field)?, test, values })
    }

    fn negative(&self) -> bool {
        matches!(self.test, Test::Not(_))
    }

    /// Tests one value; a missing one passes only what denies something.
    fn holds(&self, value: Option<&Value>, kind: &Type) -> bool {
        let Some(value) = value.filter(|value| !value.is_null()) else { return self.negative() };
        let order = |index: usize| self.values.get(index).and_then(|wanted| compare(value, kind, wanted));
        let any = |test: &dyn Fn(&str, &str) -> bool| {
            let texts = texts(value, kind);
            self.values.iter().any(|wanted| texts.iter().any(|text| test(text, wanted)))
        };
        let equal = || (0..self.values.len()).any(|index| order(index) == Some(Ordering::Equal));
        let between = || {
            order(0).is_some_and(|order| order != Ordering::Less)
                && order(1).is_some_and(|order| order != Ordering::Greater)
        };
        match self.test {
            Test::Equal => equal(),
            Test::Between => between(),
            Test::Starts => any(&|text, wanted| text.starts_with(wanted)),
            Test::Ends => any(&|text, wanted| text.ends_with(wanted)),
            Test::Contains => any(&|text, wanted| text.contains(wanted)),
            Test::Less => order(0) == Some(Ordering::Less),
            Test::LessOrEqual => order(0).is_some_and(|order| order != Ordering::Greater),
            Test::Greater => order(0) == Some(Ordering::Greater),
            Test::GreaterOrEqual => order(0).is_some_and(|order| order != Ordering::Less),
            Test::Not(Opposite::Equal) => !equal(),
            Test::Not(Opposite::Between) => !between(),
            Test::Not(Opposite::Starts) => !any(&|text, wanted| text.starts_with(wanted)),
            Test::Not(Opposite::Ends) => !any(&|text, wanted| text.ends_with(wanted)),
            Test::Not(Opposite::Contains) => !any(&|text, wanted| text.contains(wanted)),
        }
    }
}

/// How much was done since the deadline was last looked at.
#[derive(Default)]
struct Pace(usize);

impl Pace {
    /// Whether the run goes on after as many steps more.
    fn goes_on(&mut self, steps: usize) -> bool {
        self.0 += steps;
        if self.0 < 1024 {
            return Meter::current().is_none_or(|meter| meter.stopped().is_none());
        }
        self.0 = 0;
        Meter::check_current().is_ok()
    }
}

fn path(field: &str) -> Result<Vec<Segment>> {
    if field.len() > FIELD_BYTES {
        return Err(Error::runtime(format!("INVALID_FILTER_FIELD: a field's name has at most {FIELD_BYTES} bytes")));
    }
    let segments: Option<Vec<_>> = field
        .split('.')
        .map(|part| {
            let part = part.trim().to_lowercase();
            let (name, row) = match part.split_once('[') {
                Some((name, row)) => (name.to_owned(), Some(row.strip_suffix(']')?.trim().to_owned())),
                None => (part, None),
            };
            (!name.is_empty()).then_some(Segment { name, row })
        })
        .collect();
    let mut segments =
        segments.ok_or_else(|| Error::runtime(format!("INVALID_FILTER_FIELD: `{field}` is not a field")))?;
    // The index stands at the end and counts for the whole relation: `resourcekey.name[2]`.
    let row = segments.iter().find_map(|segment| segment.row.clone());
    for segment in &mut segments {
        segment.row.clone_from(&row);
    }
    Ok(segments)
}

/// A condition and what is left of its path.
type Open<'c> = (&'c Condition, &'c [Segment]);

/// Whether one row passes all conditions. Those that go through the same relation must hold in one row of it.
fn row_passes(open: &[Open<'_>], object: Object<'_>) -> bool {
    let mut rest = open.to_vec();
    while let Some((_, path)) = rest.first() {
        let Some(first) = path.first().cloned() else { return false };
        let (group, others): (Vec<Open>, Vec<Open>) = rest.iter().partition(|(_, path)| path.first() == Some(&first));
        rest = others;
        let mut group: Vec<Open> = group.into_iter().map(|(condition, path)| (condition, &path[1..])).collect();
        let mut related = true;
        group.retain(|(condition, path)| match object.of_relation(&first, path) {
            Some((value, kind)) => {
                related = related && condition.holds(value.as_deref(), &kind);
                false
            }
            None => true,
        });
        if !related {
            return false;
        }
        if group.is_empty() {
            continue;
        }
        let (value, kind) = object.property(&first.name);
        if !group_passes(&group, value.as_deref(), &related::kind(&first.name, kind)) {
            return false;
        }
    }
    true
}

fn group_passes(group: &[Open<'_>], value: Option<&Value>, kind: &Type) -> bool {
    match (value, kind) {
        (Some(Value::Array(rows)), kind) => {
            let element = match kind {
                Type::List(element) => (**element).clone(),
                _ => Type::Any,
            };
            // Denials alone must hold for every row; with anything asserted, one row must fit all of it.
            if group.iter().all(|(condition, _)| condition.negative()) {
                rows.iter().all(|row| group_passes(group, Some(row), &element))
            } else {
                rows.iter().any(|row| group_passes(group, Some(row), &element))
            }
        }
        (Some(Value::Object(fields)), kind) => {
            let bean = match kind {
                Type::Bean(name) => schema::bean(name),
                _ => None,
            };
            row_passes(group, Object { fields: Fields::Map(fields), kind: bean })
        }
        (value, kind) => group.iter().all(|(condition, path)| match path {
            [] => condition.holds(value, kind),
            // The relation is missing, and so is everything behind it.
            _ => condition.negative(),
        }),
    }
}

fn text_of(value: &Val) -> String {
    value.to_json(false).map(|json| scalar_text(&json)).unwrap_or_default()
}

/// Every value a field has in a bean, in order.
pub(crate) fn values<'a>(bean: &'a Bean, field: &str) -> Vec<Cow<'a, Value>> {
    fn walk<'a>(value: Cow<'a, Value>, path: &[Segment], found: &mut Vec<Cow<'a, Value>>) {
        match value {
            Cow::Borrowed(value) => match (value, path) {
                (Value::Array(rows), _) => rows.iter().for_each(|row| walk(Cow::Borrowed(row), path, found)),
                (Value::Object(fields), [first, rest @ ..]) => {
                    let within = Object { fields: Fields::Map(fields), kind: None };
                    if let Some(value) = within.property(&first.name).0 {
                        walk(value, rest, found);
                    }
                }
                (Value::Null, _) | (_, [_, ..]) => {}
                (scalar, []) => found.push(Cow::Borrowed(scalar)),
            },
            // Made for this: what is found within it is taken out.
            Cow::Owned(value) => {
                let mut within = Vec::new();
                walk(Cow::Borrowed(&value), path, &mut within);
                found.extend(within.into_iter().map(|value| Cow::Owned(value.into_owned())));
            }
        }
    }
    let mut found = Vec::new();
    if let Ok(path) = path(field)
        && let Some((first, rest)) = path.split_first()
    {
        let object = Object::of(bean);
        match object.of_relation(first, rest) {
            Some((value, _)) => value.into_iter().for_each(|value| walk(value, &[], &mut found)),
            None => object.property(&first.name).0.into_iter().for_each(|value| walk(value, rest, &mut found)),
        }
    }
    found
}

/// A `QueryLimit`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limit {
    pub from: usize,
    pub most: Option<usize>,
    /// Field and whether descending.
    pub order: Vec<(String, bool)>,
}

impl Limit {
    /// Reads a `QueryLimit` bean.
    ///
    /// # Errors
    /// `INVALID_INPUT` for an order by too many fields.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    pub fn read(limit: Option<&BeanRef>) -> Result<Self> {
        let Some(limit) = limit else { return Ok(Self::default()) };
        let number = |name: &str| match limit.get(name) {
            Val::Num(n) if n >= 0.0 => Some(n as usize),
            _ => None,
        };
        let from = number("from").unwrap_or(0);
        let span = number("to").filter(|to| *to > from).map(|to| to - from);
        let most = number("maxrecords").filter(|most| *most > 0);
        let order = match limit.get("orderby") {
            Val::List(list) if list.len() > FIELDS => {
                return Err(Error::runtime(format!("INVALID_INPUT: a list is ordered by at most {FIELDS} fields")));
            }
            Val::List(list) => list
                .items()
                .into_iter()
                .filter_map(|item| {
                    let Val::Bean(field) = item else { return None };
                    let Val::Text(name) = field.get("fieldname") else { return None };
                    let name = match field.get("aggregationfunction") {
                        Val::Enum(function) => format!("{}({name})", function.name),
                        _ => name.to_string(),
                    };
                    let descending = matches!(field.get("sortorder"), Val::Enum(order) if &*order.name == "DESC");
                    Some((name, descending))
                })
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            from,
            most: match (span, most) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            order,
        })
    }

    /// What a page of all holds.
    pub fn page<T>(&self, all: Vec<T>) -> impl ExactSizeIterator<Item = T> {
        all.into_iter().skip(self.from).take(self.most.unwrap_or(usize::MAX))
    }

    /// Puts beans in order; those without the field come first.
    ///
    /// # Errors
    /// When the run is stopped meanwhile.
    pub fn sort(&self, beans: &mut [Bean]) -> Result<()> {
        let mut pace = Pace::default();
        for (field, descending) in self.order.iter().rev() {
            // By a key made once for each bean; the sort is stable, so the last field is sorted by first.
            beans.sort_by_cached_key(|bean| {
                let key =
                    if pace.goes_on(8) { Key::of(values(bean, field).first().map(AsRef::as_ref)) } else { Key::None };
                if *descending { Err(std::cmp::Reverse(key)) } else { Ok(key) }
            });
        }
        Meter::check_current()
    }
}

/// A value that can be put in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    None,
    Number(f64),
    Text(String),
}

impl Key {
    pub fn of(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::None,
            Some(Value::Number(n)) => Self::Number(n.as_f64().unwrap_or_default()),
            Some(Value::Bool(b)) => Self::Number(f64::from(*b)),
            Some(other) => Self::Text(scalar_text(other)),
        }
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl Key {
    const fn rank(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests;
