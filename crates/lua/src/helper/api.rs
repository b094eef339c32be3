//! `adminAPI` and `userAPI`: lists and queries answered here by the one filter engine, everything else by the host.

use super::{acting, email, module::drop_self, platform, text_of};
use crate::{
    Api, Bean, HostError,
    filter::{
        Filter, Limit, doubt,
        related::{self, Joined},
    },
    object::{self, BeanRef, JSON_BYTES, ListRef, OBJECT_BYTES, Object, Val},
    query::Query,
    room::Room,
    schema::Type,
    shard::Shard,
};
use mlua::{Error, IntoLua, Lua, MultiValue, Result, Table, Value as Lv};
use serde_json::Value;
use std::rc::Rc;

/// An API object. Its operations come to be when they are first named.
pub(super) fn create(lua: &Lua, shard: &Rc<Shard>, user: bool) -> Result<Table> {
    let api = lua.create_table()?;
    let meta = lua.create_table()?;
    let shard = shard.clone();
    meta.raw_set(
        "__index",
        lua.create_function(move |lua, (api, name): (Table, Lv)| {
            let Lv::String(name) = name else { return Ok(Lv::Nil) };
            let operation: Rc<str> = name.to_string_lossy().into();
            let own = api.to_pointer();
            let shard = shard.clone();
            let function = lua.create_async_function(move |lua, mut args: MultiValue| {
                drop_self(&mut args, own);
                let (shard, operation) = (shard.clone(), operation.clone());
                async move { call(&lua, &shard, user, &operation, args.into_iter().collect()).await }
            })?;
            api.raw_set(name, &function)?;
            Ok(Lv::Function(function))
        })?,
    )?;
    meta.raw_set("__metatable", false)?;
    api.set_metatable(Some(meta))?;
    Ok(api)
}

async fn call(lua: &Lua, shard: &Shard, user: bool, operation: &str, args: Vec<Lv>) -> Result<Lv> {
    let arg = |index: usize| args.get(index).cloned().unwrap_or(Lv::Nil);
    let (meter, who) = acting()?;
    let api = if user { Api::User(meter.session()) } else { Api::Admin };
    match operation {
        "setSessionUser" => {
            meter.set_session(text_of(&arg(0)));
            Ok(Lv::Nil)
        }
        "listResources" | "listProductPurchases" | "listUnitTransactions" | "listUnitTransactionSummary" => {
            let resource_type = match operation {
                "listProductPurchases" => "PRODUCT_PURCHASE".to_owned(),
                "listUnitTransactions" => "UNIT_TRANSACTION".to_owned(),
                "listUnitTransactionSummary" => "UNIT_TRANSACTION_SUMMARY".to_owned(),
                _ => text_of(&arg(2)).unwrap_or_else(|| "ANY".to_owned()),
            };
            let filter = Filter::read(bean(&arg(0), "SearchFilter")?.as_ref())?;
            let limit = Limit::read(bean(&arg(1), "QueryLimit")?.as_ref())?;
            let beans = sorted(shard, &api, &resource_type, &filter, &limit).await?;
            let total = beans.len();
            let page: Vec<Bean> = limit.page(beans).collect();
            let to = limit.from + page.len();
            let result = counted(lua, "ListResult", total, limit.from, to)?;
            result.put("list", Val::List(beans_list(lua, page)?));
            result.into_lua(lua)
        }
        "runListQuery" => {
            let filter = Filter::read(bean(&arg(0), "SearchFilter")?.as_ref())?;
            let limit = Limit::read(bean(&arg(1), "QueryLimit")?.as_ref())?;
            let resource_type = text_of(&arg(2)).unwrap_or_else(|| "ANY".to_owned());
            let beans = sorted(shard, &api, &resource_type, &filter, &limit).await?;
            // All pages: the largest number of records is a page's size.
            Object::Iter(beans_list(lua, beans.into_iter().skip(limit.from).collect())?.iterator()).into_lua(lua)
        }
        "runAggregationQuery" => {
            let (rows, limit) = rows(shard, &api, &arg(0)).await?;
            // All pages, as above.
            Object::Iter(rows_list(lua, rows.into_iter().skip(limit.from))?.iterator()).into_lua(lua)
        }
        "doQuery" => {
            let (rows, limit) = rows(shard, &api, &arg(0)).await?;
            let total = rows.len();
            let page = rows_list(lua, limit.page(rows))?;
            let result = counted(lua, "QueryResult", total, limit.from, limit.from + page.len())?;
            result.put("resultRow", Val::List(page));
            result.into_lua(lua)
        }
        "getResource" => {
            let uuid = text_of(&arg(0)).ok_or_else(|| Error::runtime("INVALID_RESOURCE_UUID: a text expected"))?;
            let children = !matches!(arg(1), Lv::Boolean(false) | Lv::Nil);
            match shard.host.get(&who, &api, &uuid, children).await.map_err(raise)? {
                Some(found) => {
                    let weight = found.properties.weight();
                    let found = BeanRef::from_bean(found);
                    found.charge(lua, weight)?;
                    found.into_lua(lua)
                }
                None => Ok(Lv::Nil),
            }
        }
        _ => {
            let mut room = Room::new("what is passed to an operation", JSON_BYTES);
            let args = args.iter().map(|arg| Val::within(arg, &Type::Any, &mut room)?.to_json(true));
            let args = args.collect::<Result<Vec<Value>>>()?;
            let answer = platform::call(shard, api, operation, args).await?;
            if operation == "sendEmail" {
                return email::send_prepared(shard, &answer).await.map(Lv::Boolean);
            }
            Val::answered(lua, answer, &Type::Any)?.into_lua(lua)
        }
    }
}

/// What says how many there are, and which of them follow.
fn counted(lua: &Lua, kind: &'static str, total: usize, from: usize, to: usize) -> Result<BeanRef> {
    let result = Bean::new(kind).with("totalCount", total).with("listFrom", from).with("listTo", to);
    let result = BeanRef::from_bean(result);
    result.charge(lua, OBJECT_BYTES)?;
    Ok(result)
}

/// All rows of a `Query`, in order, and what it says of pages.
async fn rows(shard: &Shard, api: &Api, query: &Lv) -> Result<(Vec<Value>, Limit)> {
    let query = bean(query, "Query")?.ok_or_else(|| Error::runtime("INVALID_INPUT: a Query expected"))?;
    let query = Query::read(&query)?;
    let (beans, _joined) = fetch(shard, api, &query.resource_type, &query.filter, query.fields()).await?;
    Ok((query.rows(&beans)?, query.limit))
}

fn rows_list(lua: &Lua, rows: impl ExactSizeIterator<Item = Value>) -> Result<ListRef> {
    ListRef::made(lua, Type::Any, rows.map(|row| Val::answered(lua, row, &Type::Any)))
}

/// The beans of a type that pass a filter, with what the filter and further fields ask of their relations, which is in the second.
async fn fetch(
    shard: &Shard,
    api: &Api,
    resource_type: &str,
    filter: &Filter,
    further: impl Iterator<Item = &str>,
) -> Result<(Vec<Bean>, Joined)> {
    let (meter, who) = acting()?;
    let listed = shard.host.list(&who, api, &resource_type.to_uppercase(), &filter.equal()).await;
    let mut beans = match listed {
        // There are none, and who goes through all types goes on.
        Err(absent @ HostError::Absent { .. }) => {
            meter.note(&absent.to_string());
            Vec::new()
        }
        listed => listed.map_err(raise)?,
    };
    let further: Vec<_> = further.map(related::steps).collect();
    let paths = filter.paths().chain(further.iter().map(Vec::as_slice)).collect();
    let joined = related::join(&*shard.host, &who, api, &mut beans, paths).await?;
    doubt::tell(filter, &further, &beans);
    filter.keep(&mut beans)?;
    Ok((beans, joined))
}

/// The beans of a type that pass a filter, in order and as they are.
async fn sorted(shard: &Shard, api: &Api, resource_type: &str, filter: &Filter, limit: &Limit) -> Result<Vec<Bean>> {
    let order = limit.order.iter().map(|(field, _)| field.as_str());
    let (mut beans, joined) = fetch(shard, api, resource_type, filter, order).await?;
    limit.sort(&mut beans)?;
    joined.part(&mut beans);
    Ok(beans)
}

fn beans_list(lua: &Lua, beans: Vec<Bean>) -> Result<ListRef> {
    let bean = |bean: Bean| {
        let weight = OBJECT_BYTES + bean.properties.weight();
        let bean = BeanRef::from_bean(bean);
        bean.charge(lua, weight)?;
        Ok(Val::Bean(bean))
    };
    ListRef::made(lua, Type::Any, beans.into_iter().map(bean))
}

/// A bean argument that may be nil.
fn bean(value: &Lv, kind: &str) -> Result<Option<BeanRef>> {
    match object::with(value, Clone::clone) {
        Some(Object::Bean(bean)) => Ok(Some(bean)),
        _ if value.is_nil() => Ok(None),
        _ => Err(Error::runtime(format!("INVALID_INPUT: a {kind} expected, got {}", value.type_name()))),
    }
}

/// A host's refusal as the error a script sees: `CODE: message`.
pub(super) fn raise(error: HostError) -> Error {
    Error::runtime(error)
}
