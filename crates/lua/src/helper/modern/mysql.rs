//! `mysql`: statements on MariaDB and MySQL, their values beside them and never in their text.

use crate::{
    dialect::number_text,
    helper::Module,
    object::{Object, with},
    peer::{
        self, Errand, mysql,
        mysql::{Cell, Statement},
    },
    room::Room,
    shard::Shard,
};
use mlua::{Error, IntoLua, Lua, Result, Table, Value as Lv};
use std::rc::Rc;

/// Most statements that take effect together.
const STATEMENTS: usize = 1_000;
/// Longest that all statements of a call and their values are together: they are copied outside the limits of the run.
const BYTES: usize = 8 << 20;
/// Most values of a statement: what the protocol counts to.
const PARAMS: i64 = 65_535;
/// Whole numbers up to this are numbers of Lua; larger ones are texts.
const EXACT: i64 = 1 << 53;

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let host = shard.clone();
    module.waiting("query", move |lua, options: Table| {
        let host = host.clone();
        async move {
            let answer = run(&host, "query", &options, vec![statement("query", &options, &mut room())?])
                .await?
                .pop()
                .unwrap_or_default();
            let rows = lua.create_table()?;
            for cells in answer.rows {
                let row = lua.create_table_with_capacity(0, cells.len())?;
                for (name, cell) in answer.columns.iter().zip(cells) {
                    row.raw_set(name.as_str(), to_lua(&lua, cell)?)?;
                }
                rows.raw_push(row)?;
            }
            Ok(rows)
        }
    })?;
    let host = shard.clone();
    module.waiting("execute", move |lua, options: Table| {
        let host = host.clone();
        async move {
            let several: Option<Table> = options.get("statements")?;
            let statements = match &several {
                None => vec![statement("execute", &options, &mut room())?],
                Some(list) => {
                    let mut room = room();
                    let read = |each: Result<Table>| statement("execute", &each?, &mut room);
                    list.sequence_values().take(STATEMENTS + 1).map(read).collect::<Result<Vec<_>>>()?
                }
            };
            if statements.is_empty() || statements.len() > STATEMENTS {
                return Err(Error::runtime(format!("mysql.execute: `statements` has 1 to {STATEMENTS} of them")));
            }
            let answers = run(&host, "execute", &options, statements).await?;
            let affected = answers.iter().map(|answer| answer.affected).sum::<u64>();
            let last = answers.iter().map(|answer| answer.last_insert_id).rfind(|id| *id != 0).unwrap_or(0);
            let found = lua.create_table()?;
            found.raw_set("affected", number(&lua, affected)?)?;
            found.raw_set("last_insert_id", number(&lua, last)?)?;
            Ok(found)
        }
    })?;
    Ok(module.table)
}

async fn run(shard: &Shard, method: &str, options: &Table, statements: Vec<Statement>) -> Result<Vec<mysql::Answer>> {
    let url: Option<String> = options.get("url")?;
    let url = url.ok_or_else(|| Error::runtime(format!("mysql.{method}: `url` is missing")))?;
    let url = peer::url("mysql", &url, &mysql::SCHEMES)?;
    let errand = Errand {
        helper: "mysql",
        method: if method == "query" { "QUERY" } else { "EXECUTE" },
        port: 3306,
        url: url.clone(),
        trusted: false,
        bytes: statements.iter().map(Statement::bytes).sum(),
    };
    peer::run(shard, errand, Vec::new(), async |line| mysql::run(&line, &url, &statements).await).await
}

/// For all statements of a call.
fn room() -> Room {
    Room::new("what is sent to a database", BYTES)
}

/// `sql` and `params` of a table.
fn statement(method: &str, options: &Table, room: &mut Room) -> Result<Statement> {
    let sql = room.text(&options.get("sql")?)?;
    let sql = sql.filter(|sql| !sql.trim().is_empty());
    let sql = sql.ok_or_else(|| Error::runtime(format!("mysql.{method}: `sql` is missing")))?;
    let mut params = Vec::new();
    if let Some(given) = options.get::<Option<Table>>("params")? {
        // Nil among them is NULL, so the length is the largest key.
        let mut most = 0;
        for pair in given.pairs::<Lv, Lv>() {
            let (key, _) = pair?;
            let index = match key {
                Lv::Integer(n) => n,
                #[allow(clippy::cast_possible_truncation)] // compared
                Lv::Number(n) if n.fract() == 0.0 && n.abs() < 1e9 => n as i64,
                _ => 0,
            };
            if !(1..=PARAMS).contains(&index) {
                return Err(Error::runtime(format!(
                    "mysql.{method}: `params` is a list, in the order of the question marks"
                )));
            }
            most = most.max(index);
        }
        for index in 1..=most {
            let value: Lv = given.raw_get(index)?;
            room.text(&value)?;
            params.push(cell(method, index, &value)?);
        }
    }
    Ok(Statement { sql, params })
}

#[allow(clippy::cast_possible_truncation)] // checked
fn cell(method: &str, index: i64, value: &Lv) -> Result<Cell> {
    let text = |text: &str| Cell::Bytes(text.as_bytes().to_vec());
    Ok(match value {
        Lv::Nil => Cell::Null,
        Lv::Boolean(value) => Cell::Bool(*value),
        Lv::Integer(value) => Cell::Whole(*value),
        Lv::Number(value) if value.fract() == 0.0 && value.abs() <= EXACT as f64 => Cell::Whole(*value as i64),
        Lv::Number(value) if value.is_finite() => Cell::Real(*value),
        Lv::String(value) => Cell::Bytes(value.as_bytes().to_vec()),
        other => match with(other, |object| match object {
            Object::Enum(constant) => Some(text(&constant.name)),
            Object::Date(ms) => Some(text(&crate::date::format(*ms, "yyyy-MM-dd HH:mm:ss.SSS"))),
            _ => None,
        }) {
            Some(Some(cell)) => cell,
            _ => {
                let kind = if let Lv::Number(n) = other { number_text(*n) } else { other.type_name().to_owned() };
                return Err(Error::runtime(format!(
                    "mysql.{method}: parameter {index} is a {kind}, which SQL has no value for"
                )));
            }
        },
    })
}

fn to_lua(lua: &Lua, cell: Cell) -> Result<Lv> {
    Ok(match cell {
        Cell::Null => Lv::Nil,
        Cell::Bool(value) => Lv::Boolean(value),
        Cell::Whole(value) if value.unsigned_abs() <= EXACT.unsigned_abs() => value.into_lua(lua)?,
        Cell::Whole(value) => value.to_string().into_lua(lua)?,
        Cell::Real(value) => Lv::Number(value),
        Cell::Bytes(bytes) => Lv::String(lua.create_string(&bytes)?),
    })
}

/// A count, as a text where a number would not be exact.
fn number(lua: &Lua, value: u64) -> Result<Lv> {
    to_lua(lua, i64::try_from(value).map_or_else(|_| Cell::Bytes(value.to_string().into_bytes()), Cell::Whole))
}
