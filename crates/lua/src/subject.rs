//! What an event is about, as a script holds it and as it is afterwards.

use crate::{
    Bean, Input, Params, ScriptError, error,
    object::{BeanRef, Object},
    xml::Node,
};
use mlua::{IntoLua, Lua, Result, Value};

/// The parts of `p.input` that a script may change; shared with the run, so that its changes are seen at its end.
#[derive(Clone, Default)]
pub(crate) struct Subject {
    bean: Option<BeanRef>,
    /// The document, and the text it was read from.
    document: Option<(Node, String)>,
    /// `p.resource`.
    resource: Option<BeanRef>,
}

/// What a script left of them.
#[derive(Default)]
pub(crate) struct Left {
    pub input: Option<Bean>,
    pub document: Option<String>,
    pub resource: Option<Bean>,
    pub resource_set: Vec<String>,
}

impl Subject {
    /// Takes them out of the parameters, where there are any.
    ///
    /// # Errors
    /// A document that is not XML.
    pub fn take(params: &mut Params) -> std::result::Result<Self, ScriptError> {
        let resource = params.resource.take().map(BeanRef::from_bean);
        let subject = match std::mem::take(&mut params.input) {
            Input::Bean(bean) => Self { bean: Some(BeanRef::from_bean(bean)), ..Self::default() },
            Input::Metadata { server, document } => {
                let node = Node::parse(&document)
                    .map_err(|reason| ScriptError::new(format!("the metadata is not an XML document: {reason}")))?;
                Self { bean: Some(BeanRef::from_bean(server)), document: Some((node, document)), resource: None }
            }
            other => {
                params.input = other;
                Self::default()
            }
        };
        Ok(Self { resource, ..subject })
    }

    /// `p.resource`, if there is one.
    pub fn resource(&self) -> Option<BeanRef> {
        self.resource.clone()
    }

    /// `p.input`: the bean, or an array of bean and document.
    pub fn to_lua(&self, lua: &Lua) -> Result<Value> {
        let Some((document, _)) = &self.document else { return self.bean.clone().into_lua(lua) };
        document.charge_all(lua)?;
        let both = lua.create_table()?;
        both.raw_set(1, self.bean.clone())?;
        both.raw_set(2, Object::Node(document.clone()))?;
        both.into_lua(lua)
    }

    /// Beans and document as they were left.
    ///
    /// # Errors
    /// When they grew too large to be written.
    pub fn left(self) -> std::result::Result<Left, ScriptError> {
        let read = |bean: Option<BeanRef>| bean.map(|bean| bean.to_bean()).transpose().map_err(|e| error::from_lua(&e));
        let resource_set = self.resource.as_ref().map(BeanRef::set_by_script).unwrap_or_default();
        let (input, resource) = (read(self.bean)?, read(self.resource)?);
        let document = match self.document {
            // As it came, to the last blank.
            Some((document, text)) if !document.changed() => Some(text),
            Some((document, _)) => Some(document.to_xml().map_err(ScriptError::new)?),
            None => None,
        };
        Ok(Left { input, document, resource, resource_set })
    }
}
