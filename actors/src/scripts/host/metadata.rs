//! What a resource's owner keeps on it for programs. It is read as the bean's `resourceMetadata`.

use super::{
    ask::Ask,
    refusal,
    skeleton::{Skeleton, invalid},
};
use crate::{
    Error,
    ops::missing,
    scripts::{beans::Described, occasion::within},
};
use serde_json::{Map, Value};
use sutler_lua::{HostError, xml_content};
use sutler_model::{Customer, FieldError, Image, Noun, Permission, ResourceMetadata, Server};
use sutler_store::ChangeSet;
use uuid::Uuid;

/// A record that keeps metadata.
trait Keeper: Described {
    const PERMISSION: Permission;
    fn metadata_mut(&mut self) -> &mut Option<Box<ResourceMetadata>>;
}

macro_rules! keeper {
    ($($record:ty => $permission:ident),*) => {$(
        impl Keeper for $record {
            const PERMISSION: Permission = Permission::$permission;
            fn metadata_mut(&mut self) -> &mut Option<Box<ResourceMetadata>> {
                &mut self.metadata
            }
        }
    )*};
}
keeper!(Server => ServersWrite, Customer => CustomersWrite, Image => ImagesWrite);

/// `updateMetadata(resource UUID, ResourceMetadata)`: yes. A part that is not set stays, an empty one removes it.
pub(super) async fn update(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = ask.args.id(0)?;
    let bean = ask.args.bean(1, "a ResourceMetadata")?;
    if Skeleton(bean).text("systemMetadata").is_some() {
        return Err(invalid("systemMetadata", "is the platform's own and cannot be set"));
    }
    match super::operations::noun_of(ask, id) {
        Some(Noun::Server) => apply::<Server>(ask, id, bean).await,
        Some(Noun::Customer) => apply::<Customer>(ask, id, bean).await,
        Some(Noun::Image) => apply::<Image>(ask, id, bean).await,
        _ => Err(HostError::refused("NO_RESOURCE_FOUND", "there is no such resource that keeps metadata")),
    }
}

async fn apply<R: Keeper>(ask: &Ask<'_>, id: Uuid, bean: &Map<String, Value>) -> Result<Value, HostError> {
    let system = ask.platform.system()?;
    let decide = async || {
        let (scope, tree) = (ask.caller.scope, ask.platform.tree.clone());
        let read = system.store().read(move |snapshot| {
            let Some(record) = snapshot.get::<R>(id)? else { return Ok(None) };
            let owned = within(snapshot, &tree, scope, record.billing_entity(), record.customer())?;
            Ok(owned.then_some(record))
        });
        let old = read.await?.ok_or_else(|| missing(R::NOUN, id))?;
        ask.caller.must(R::PERMISSION)?;
        let metadata = changed(old.metadata().cloned().unwrap_or_default(), bean)?;
        let mut set = ChangeSet::new(ask.caller.cause.clone());
        if old.metadata().is_none_or(|old| *old != metadata) {
            let mut new = old.clone();
            *new.metadata_mut() = (!metadata.is_empty()).then(|| Box::new(metadata));
            set.update(&old, &mut new);
        }
        Ok((set, ()))
    };
    system.decided(None, decide).await.map_err(refusal)?;
    Ok(Value::Bool(true))
}

/// Metadata with the parts that a bean sets.
fn changed(mut metadata: ResourceMetadata, bean: &Map<String, Value>) -> Result<ResourceMetadata, Error> {
    for (name, part) in [
        ("publicMetadata", &mut metadata.public),
        ("restrictedMetadata", &mut metadata.restricted),
        ("privateMetadata", &mut metadata.private),
    ] {
        match bean.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => part.clone_from(text),
            Some(_) => return Err(Error::Invalid(vec![FieldError::new(name, "must be a text")])),
        }
    }
    let mut problems = metadata.problems();
    if problems.is_empty() {
        // Before it is kept, so that no guest is told half an element.
        let wrong = |(name, text)| Some(FieldError::new(name, format!("is no XML: {}", xml_content(text).err()?)));
        problems.extend(metadata.parts().into_iter().filter_map(wrong));
    }
    if problems.is_empty() { Ok(metadata) } else { Err(Error::Invalid(problems)) }
}
