//! The `FDLCustomWidgetHelper`: what the definitions of a dashboard widget have in common.
//!
//! Of the original only the calls are known. The flag that most of them take is read as "required"; keys and texts are ours.

use super::{Module, data::request, platform::call, text_of};
use crate::{
    Api,
    data::DataAction,
    json,
    object::{JSON_BYTES, Object, Val, with},
    room::Room,
    shard::Shard,
};
use mlua::{Error, Lua, Result, Table, Value as Lv};
use serde_json::{Value, json};
use std::rc::Rc;
use sutler_model::DataSpace;

/// Key of the widget's icon among its values.
const ICON: &str = "RESOURCE_ICON";
/// Icons that the console brings along need no blob.
const BUILT_IN: &str = "FONT_ICON_";

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    for (method, key, name, validator, range, default) in [
        ("getRefreshTimeValueDefinition", "REFRESH_TIME", "Refresh time", "NUMERIC_INT", "0-86400", "0"),
        ("getResourceDescriptionValueDefinition", "RESOURCE_DESCRIPTION", "Description", "BIG_TEXT", "", ""),
        ("getResourceIconValueDefinition", ICON, "Icon", "ICON", "", ""),
    ] {
        module.function(method, move |lua, required: Lv| {
            let required = matches!(required, Lv::Boolean(true));
            let mut definition = json!({
                "key": key, "name": format!("#__WIDGET_{key}_NAME"), "description": format!("#__WIDGET_{key}_DESCRIPTION"),
                "defaultText": name, "required": required, "readOnly": false, "hidden": false, "defaultValue": default,
                "validator": {"validatorType": validator, "validateString": range},
            });
            if key == "REFRESH_TIME" {
                definition["measureType"] = "SECOND".into();
            }
            json::decode(lua, definition.to_string().as_bytes())
        })?;
    }
    module.function("getContentActionDefinition", |lua, (function, levels, icon, available): (Lv, Lv, Lv, Lv)| {
        let function = text_of(&function)
            .ok_or_else(|| Error::runtime("FDLCustomWidgetHelper.getContentActionDefinition: a function's name expected"))?;
        let levels = match json::from_lua(&levels)? {
            Value::Null => json!([]),
            Value::String(one) => json!([one]),
            levels => levels,
        };
        let mut definition = json!({
            "key": "GET_CONTENT", "name": "#__WIDGET_GET_CONTENT_NAME", "description": "#__WIDGET_GET_CONTENT_DESCRIPTION",
            "returnType": "STRING", "executionFunction": function, "order": 0, "synchronous": true,
            "invocationType": "INSTANCE", "invocationLevels": levels, "parameters": [],
            "available": !matches!(available, Lv::Boolean(false)),
        });
        if let Some(icon) = text_of(&icon) {
            definition["icon"] = icon.into();
        }
        json::decode(lua, definition.to_string().as_bytes())
    })?;
    module.function("createGetContentOutput", |_, (css, html, javascript): (Lv, Lv, Lv)| {
        let mut room = Room::new("the content", JSON_BYTES);
        let mut part = |value: &Lv| room.text(value).map(Option::unwrap_or_default);
        json::text(&json!({"css": part(&css)?, "html": part(&html)?, "javascript": part(&javascript)?}), false)
    })?;
    for (method, wanted) in
        [("createIconBlob", Wanted::There), ("modifyIconBlob", Wanted::There), ("deleteIconBlob", Wanted::Gone)]
    {
        let shard = shard.clone();
        module.waiting(method, move |_, p: Lv| {
            let shard = shard.clone();
            async move { icon(&shard, method, &p, wanted).await }
        })?;
    }
    Ok(module.table)
}

/// What is to become of an icon's blob.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    There,
    Gone,
}

/// Makes, changes or deletes the blob of the icon of `p.resource`; which blob that is, the script's private data says.
/// True: there is one, or none any more, as wanted.
async fn icon(shard: &Shard, method: &str, p: &Lv, wanted: Wanted) -> Result<bool> {
    let Lv::Table(p) = p else {
        return Err(Error::runtime(format!("FDLCustomWidgetHelper.{method}: the function's `p` expected")));
    };
    let resource = with(&p.get::<Lv>("resource")?, |object| match object {
        Object::Bean(bean) => match bean.get("resourceuuid") {
            Val::Text(id) => Some((id.to_string(), bean.get("customeruuid"))),
            _ => None,
        },
        _ => None,
    });
    let (id, customer) = resource.flatten().ok_or_else(|| {
        Error::runtime(format!("FDLCustomWidgetHelper.{method}: `p.resource` must be a resource with a UUID"))
    })?;
    let image = icon_of(&p.get::<Lv>("resourceValues")?)?.filter(|image| !image.starts_with(BUILT_IN));
    let key = format!("icon:{id}");
    let kept = request(shard, method, DataSpace::Private, DataAction::Get { key: key.clone() }).await?;
    let blob = kept.as_str().map(str::to_owned);
    match (image.filter(|_| wanted == Wanted::There), blob) {
        (Some(image), None) => {
            let customer = if let Val::Text(id) = customer { Value::from(id.as_ref()) } else { Value::Null };
            let skeleton = json!({
                "@bean": "Blob", "resourceName": format!("icon of {id}"), "value": image, "publicResource": true,
                "customerUUID": customer,
            });
            let made = call(shard, Api::Admin, "createBlob", vec![skeleton, Value::Null]).await?;
            // Where a job makes it, the job names it.
            let made = made.get("itemUUID").or_else(|| made.get("resourceUUID")).cloned().unwrap_or_default();
            let action = DataAction::Set { key, value: Some(made), ttl_s: None };
            request(shard, method, DataSpace::Private, action).await?;
        }
        (Some(image), Some(blob)) => {
            let changed = json!({"@bean": "Blob", "resourceUUID": blob, "value": image, "publicResource": true});
            call(shard, Api::Admin, "modifyBlob", vec![changed, Value::Null]).await?;
        }
        (None, Some(blob)) => {
            call(shard, Api::Admin, "deleteResource", vec![blob.into(), false.into(), Value::Null]).await?;
            let action = DataAction::Set { key, value: None, ttl_s: None };
            request(shard, method, DataSpace::Private, action).await?;
        }
        (None, None) => return Ok(wanted == Wanted::Gone),
    }
    Ok(true)
}

/// The icon among the values: a table, or a map of the language.
fn icon_of(values: &Lv) -> Result<Option<String>> {
    let text = match values {
        Lv::Table(values) => text_of(&values.get(ICON)?),
        values => json::from_lua(values)?.get(ICON).and_then(Value::as_str).map(str::to_owned),
    };
    Ok(text.filter(|text| !text.is_empty()))
}
