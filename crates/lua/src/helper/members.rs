//! Further members of `p` for functions that are no triggers: tables of texts, what was measured, what a plan fills in.

use super::{Module, platform, text_of};
use crate::{Api, Member, meter::Meter, object::Val, room::Room, schema::Type, shard::Shard};
use mlua::{Error, IntoLua, Lua, Result, Table, Value as Lv};
use serde_json::{Value, json};
use std::{collections::BTreeMap, rc::Rc};
use uuid::Uuid;

/// Longest list of keys that measures are asked by.
const KEYS_BYTES: usize = 64 << 10;

/// The Lua value of a member.
///
/// # Errors
/// Out of memory.
pub(crate) fn member(lua: &Lua, shard: &Rc<Shard>, member: Member) -> Result<Lv> {
    match member {
        Member::Texts(texts) => texts.into_lua(lua),
        Member::Secrets(texts, secrets) => {
            if let Some(meter) = Meter::current() {
                secrets.iter().filter_map(|key| texts.get(key)).for_each(|secret| meter.keep_secret(secret));
            }
            texts.into_lua(lua)
        }
        // Set where the resource itself is known.
        Member::Resource => Ok(Lv::Nil),
        Member::Value(value) => Val::answered(lua, value, &Type::Any)?.into_lua(lua),
        Member::Measures(resource) => measures(lua, shard, resource).map(Lv::Table),
        Member::Billing(values) => billing(lua, values).map(Lv::Table),
    }
}

/// `p.measureComp`: `getMAXMeasureBetween(from, to, "keys")`, its MIN, AVG, SUM and COUNT, and `getMeasureAt(time, "keys")`:
/// a Map from key to MeasuredValue, or nil when nothing was measured.
fn measures(lua: &Lua, shard: &Rc<Shard>, resource: Uuid) -> Result<Table> {
    let module = Module::new(lua)?;
    for (name, pick) in [
        ("getMAXMeasureBetween", "MAX"),
        ("getMINMeasureBetween", "MIN"),
        ("getAVGMeasureBetween", "AVERAGE"),
        ("getAVERAGEMeasureBetween", "AVERAGE"),
        ("getSUMMeasureBetween", "SUM"),
        ("getCOUNTMeasureBetween", "COUNT"),
    ] {
        let shard = shard.clone();
        module.waiting(name, move |lua, (from, to, keys): (Lv, Lv, Lv)| {
            let shard = shard.clone();
            async move { ask(&lua, &shard, resource, pick, time(&from)?, time(&to)?, &keys).await }
        })?;
    }
    let shard = shard.clone();
    module.waiting("getMeasureAt", move |lua, (at, keys): (Lv, Lv)| {
        let shard = shard.clone();
        async move { ask(&lua, &shard, resource, "LAST", 0, time(&at)?, &keys).await }
    })?;
    Ok(module.table)
}

async fn ask(lua: &Lua, shard: &Shard, resource: Uuid, pick: &str, from: i64, to: i64, keys: &Lv) -> Result<Lv> {
    let keys: Vec<String> = match keys {
        Lv::Table(list) => {
            let mut room = Room::new("the list of keys", KEYS_BYTES);
            let keys = list.sequence_values::<Lv>().map(|key| room.text(&key?));
            keys.filter_map(Result::transpose).collect::<Result<_>>()?
        }
        text => text_of(text).unwrap_or_default().split(',').map(|key| key.trim().to_owned()).collect(),
    };
    let args = vec![json!(resource), json!(pick), json!(from), json!(to), json!(keys)];
    let answer = platform::call(shard, Api::Admin, MEASURES, args).await?;
    let Value::Object(found) = answer else { return Ok(Lv::Nil) };
    if found.is_empty() {
        return Ok(Lv::Nil);
    }
    Val::answered(lua, Value::Object(found), &Type::Map(Box::new(Type::Bean("MeasuredValue"))))?.into_lua(lua)
}

/// The host's operation behind `p.measureComp`: (resource, MAX | MIN | AVERAGE | SUM | COUNT | LAST, from, to in
/// milliseconds, keys) to an object from key to MeasuredValue.
const MEASURES: &str = "getMeasures";

fn time(value: &Lv) -> Result<i64> {
    let number = text_of(value).and_then(|text| text.trim().parse::<f64>().ok()).filter(|n| n.is_finite());
    #[allow(clippy::cast_possible_truncation)] // saturates, and no measure is that far off
    number.map(|n| n as i64).ok_or_else(|| Error::runtime("INVALID_INPUT: a time in milliseconds expected"))
}

/// `p.billingComp`: `getBillingValue(key)` gives an object with `getValue()`, or nil.
fn billing(lua: &Lua, values: BTreeMap<String, String>) -> Result<Table> {
    let module = Module::new(lua)?;
    let all: Vec<Value> = values.iter().map(|(key, value)| bean(key, value)).collect();
    module.function("getBillingValue", move |lua, key: Lv| {
        let key = text_of(&key).unwrap_or_default();
        match values.get(&key) {
            Some(value) => Val::answered(lua, bean(&key, value), &Type::Any)?.into_lua(lua),
            None => Ok(Lv::Nil),
        }
    })?;
    module.function("getBillingValues", move |lua, ()| {
        Val::answered(lua, Value::Array(all.clone()), &Type::Any)?.into_lua(lua)
    })?;
    Ok(module.table)
}

fn bean(key: &str, value: &str) -> Value {
    json!({"@bean": "Value", "key": key, "value": value})
}
