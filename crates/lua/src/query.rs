//! Aggregation queries: rows of texts by column name.

use crate::{
    Bean,
    dialect::number_text,
    filter::{self, FIELDS, Filter, Key, Limit, scalar_text},
    meter::Meter,
    object::{BeanRef, JSON_BYTES, Val},
    room::Room,
    schema,
};
use mlua::Result;
use serde_json::{Map, Value, json};
use std::{borrow::Cow, collections::BTreeMap};

/// A `Query`.
pub(crate) struct Query {
    pub resource_type: String,
    pub filter: Filter,
    pub limit: Limit,
    group_by: Vec<String>,
    output: Vec<String>,
    columns: Vec<Column>,
    having: Vec<(Column, String, f64)>,
    /// What is aggregated for each field of the order that means it.
    order: Vec<Option<Column>>,
}

/// `SUM(field)`.
#[derive(Clone)]
struct Column {
    function: String,
    field: String,
}

impl Column {
    fn read(value: Val) -> Result<Self> {
        let Val::Bean(bean) = value else {
            return Err(mlua::Error::runtime("NO_AGGREGATION_FIELD_DEFINED: an AggregationField expected"));
        };
        match (bean.get("aggregationfunction"), bean.get("fieldname")) {
            (Val::Enum(function), Val::Text(field)) => {
                Ok(Self { function: function.name.to_string(), field: field.to_string() })
            }
            (Val::Enum(_), _) => {
                Err(mlua::Error::runtime("NO_AGGREGATION_FIELD_DEFINED: an AggregationField has no field"))
            }
            _ => Err(mlua::Error::runtime("NO_AGGREGATION_FUNCTION_DEFINED: an AggregationField has no function")),
        }
    }

    /// Reads what [`Column::name`] writes.
    fn parse(name: &str) -> Option<Self> {
        let (function, field) = name.trim().strip_suffix(')')?.split_once('(')?;
        let function = schema::enumeration("Aggregation")?.value(function.trim())?;
        Some(Self { function: function.to_owned(), field: field.trim().to_owned() })
    }

    fn name(&self) -> String {
        format!("{}({})", self.function, self.field)
    }

    /// Its value in a row.
    ///
    /// # Errors
    /// When the run is stopped meanwhile.
    fn of(&self, beans: &[&Bean]) -> Result<Option<Value>> {
        Meter::check_current()?;
        if self.function == "COUNT" && self.field.trim() == "*" {
            return Ok(Some(json!(beans.len())));
        }
        let values: Vec<Cow<'_, Value>> = beans.iter().flat_map(|bean| filter::values(bean, &self.field)).collect();
        Ok(self.over(&values))
    }

    fn over(&self, values: &[Cow<'_, Value>]) -> Option<Value> {
        let numbers = || values.iter().filter_map(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
        #[allow(clippy::cast_precision_loss)]
        Some(match self.function.as_str() {
            "COUNT" => json!(values.len()),
            // Of nothing it is 0, not the -0 that sums begin with.
            "SUM" => json!(numbers().sum::<f64>() + 0.0),
            "AVERAGE" if numbers().next().is_some() => json!(numbers().sum::<f64>() / numbers().count() as f64),
            "MIN" => values.iter().min_by_key(|value| Key::of(Some(value)))?.as_ref().clone(),
            "MAX" => values.iter().max_by_key(|value| Key::of(Some(value)))?.as_ref().clone(),
            _ => return None,
        })
    }
}

impl Query {
    /// Reads a `Query` bean.
    ///
    /// # Errors
    /// The language's error code for what is missing.
    pub fn read(query: &BeanRef) -> Result<Self> {
        let texts = |name: &str| match query.get(name) {
            Val::List(list) => list
                .items()
                .into_iter()
                .filter_map(|item| if let Val::Text(text) = item { Some(text.to_string()) } else { None })
                .collect(),
            _ => Vec::new(),
        };
        let list = |name: &str| match query.get(name) {
            Val::List(list) => list.items(),
            _ => Vec::new(),
        };
        for name in ["groupByFields", "outputFields", "aggregationFields", "aggregationFilters"] {
            if list(&name.to_lowercase()).len() > FIELDS {
                return Err(mlua::Error::runtime(format!("INVALID_INPUT: {name} has at most {FIELDS} elements")));
            }
        }
        let bean = |name: &str| match query.get(name) {
            Val::Bean(bean) => Some(bean),
            _ => None,
        };
        let Val::Enum(resource_type) = query.get("resourcetype") else {
            return Err(mlua::Error::runtime("NO_RESOURCE_TYPE_DEFINED: the Query has no resource type"));
        };
        let having = list("aggregationfilters").into_iter().filter_map(|item| {
            let Val::Bean(item) = item else { return None };
            let condition = match item.get("condition") {
                Val::Enum(condition) => condition.name.to_string(),
                _ => "IS_EQUAL_TO".to_owned(),
            };
            let value = match item.get("aggregationvalue") {
                Val::Num(n) => n,
                _ => 0.0,
            };
            Some(Column::read(item.get("aggregationfield")).map(|column| (column, condition, value)))
        });
        let having = having.collect::<Result<Vec<_>>>()?;
        let limit = Limit::read(bean("limit").as_ref())?;
        let (group_by, output) = (texts("groupbyfields"), texts("outputfields"));
        let columns: Vec<Column> = list("aggregationfields").into_iter().map(Column::read).collect::<Result<_>>()?;
        // A field that is not the same in all of a group means what is aggregated of it.
        let meant = |name: &str| {
            let same = |field: &String| field.eq_ignore_ascii_case(name);
            let column = || columns.iter().find(|column| column.field.eq_ignore_ascii_case(name)).cloned();
            Column::parse(name).or_else(|| if group_by.iter().chain(&output).any(same) { None } else { column() })
        };
        let order = limit.order.iter().map(|(name, _)| meant(name)).collect();
        Ok(Self {
            resource_type: resource_type.name.to_string(),
            filter: Filter::read(bean("searchfilter").as_ref())?,
            limit,
            group_by,
            output,
            columns,
            having,
            order,
        })
    }

    /// The fields it asks for beside those of the filter.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let columns = self.columns.iter().chain(self.having.iter().map(|(column, ..)| column));
        let order = self.limit.order.iter().zip(&self.order).map(|((name, _), column)| match column {
            Some(column) => column.field.as_str(),
            None => name,
        });
        self.group_by
            .iter()
            .chain(&self.output)
            .map(String::as_str)
            .chain(columns.map(|c| c.field.as_str()))
            .chain(order)
    }

    /// The rows of beans that passed the filter, each a `ResultRow`: an object from column name to text, and the texts of what is
    /// put out and then of what is aggregated, in the order in which they were asked for.
    ///
    /// # Errors
    /// When they are too many, or the run is stopped meanwhile.
    pub fn rows(&self, beans: &[Bean]) -> Result<Vec<Value>> {
        let beans: Vec<&Bean> = beans.iter().collect();
        let text = |bean: &Bean, field: &str| filter::values(bean, field).first().map(|value| scalar_text(value));
        let groups: Vec<Vec<&Bean>> = if self.group_by.is_empty() {
            if self.columns.is_empty() || beans.is_empty() {
                beans.into_iter().map(|bean| vec![bean]).collect()
            } else {
                vec![beans]
            }
        } else {
            let mut groups: BTreeMap<Vec<Option<String>>, Vec<&Bean>> = BTreeMap::new();
            for bean in beans {
                Meter::check_current()?;
                groups.entry(self.group_by.iter().map(|field| text(bean, field)).collect()).or_default().push(bean);
            }
            groups.into_values().collect()
        };
        let mut room = Room::new("the answer", JSON_BYTES);
        let mut rows: Vec<(Vec<Key>, Value)> = Vec::new();
        for group in &groups {
            Meter::check_current()?;
            let mut held = true;
            for (column, condition, value) in &self.having {
                held = held && holds(column.of(group)?, condition, *value);
            }
            if !held {
                continue;
            }
            let (mut row, mut list) = (Map::new(), Vec::new());
            let mut put = |name: String, text: Option<String>, listed: bool| {
                let text = text.map_or(Value::Null, Value::String);
                room.take(name.len() + text.as_str().map_or(0, |text| text.len() * (1 + usize::from(listed))))?;
                if listed {
                    list.push(text.clone());
                }
                if !text.is_null() {
                    row.insert(name, text);
                }
                Ok::<_, mlua::Error>(())
            };
            for (fields, listed) in [(&self.output, true), (&self.group_by, self.output.is_empty())] {
                for field in fields {
                    put(field.clone(), group.first().and_then(|bean| text(bean, field)), listed)?;
                }
            }
            for column in &self.columns {
                put(column.name(), column.of(group)?.map(|value| scalar_text(&value)), true)?;
            }
            let mut keys = Vec::with_capacity(self.limit.order.len());
            for ((name, _), column) in self.limit.order.iter().zip(&self.order) {
                keys.push(match column {
                    Some(column) => Key::of(column.of(group)?.as_ref()),
                    None => {
                        let first = group.first().and_then(|bean| filter::values(bean, name).into_iter().next());
                        Key::of(first.as_deref())
                    }
                });
            }
            rows.push((keys, json!({"@bean": "ResultRow", "columnMap": row, "column": list})));
        }
        rows.sort_by(|(a, _), (b, _)| {
            let orders = a.iter().zip(b).zip(&self.limit.order);
            let mut orders = orders.map(|((a, b), (_, descending))| if *descending { b.cmp(a) } else { a.cmp(b) });
            orders.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        });
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

fn holds(value: Option<Value>, condition: &str, wanted: f64) -> bool {
    let number = value.as_ref().and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let Some(number) = number else { return false };
    match condition {
        "IS_NOT_EQUAL_TO" => number_text(number) != number_text(wanted),
        "IS_GREATER_THAN" => number > wanted,
        "IS_GREATER_THAN_OR_EQUAL_TO" => number >= wanted,
        "IS_LESS_THAN" => number < wanted,
        "IS_LESS_THAN_OR_EQUAL_TO" => number <= wanted,
        _ => number_text(number) == number_text(wanted),
    }
}
