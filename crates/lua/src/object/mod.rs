//! Beans.
use crate::Bean;
use mlua::{IntoLua, Lua, Value};
use std::{cell::RefCell, rc::Rc};

#[derive(Clone)]
pub(crate) struct BeanRef(Rc<RefCell<Bean>>);

impl BeanRef {
    pub fn from_bean(bean: Bean) -> Self {
        Self(Rc::new(RefCell::new(bean)))
    }
    pub fn to_bean(&self) -> Bean {
        self.0.borrow().clone()
    }
}
impl IntoLua for BeanRef {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        crate::json::to_lua(lua, &serde_json::Value::Object(self.0.borrow().properties.clone()))
    }
}
pub(crate) fn register(_lua: &Lua, _bytes: usize) -> mlua::Result<()> {
    Ok(())
}
pub(crate) fn to_json(_object: &mlua::AnyUserData) -> Option<serde_json::Value> {
    None
}
