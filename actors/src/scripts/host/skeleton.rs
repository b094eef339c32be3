//! A bean that a script filled in for what it wants created or changed.

use crate::scripts::beans::{key, take_contact};
use serde_json::{Map, Value};
use sutler_lua::{Bean, HostError};
use sutler_model::{Contact, FieldError, ResourceKey, Scope};
use uuid::Uuid;

use super::refusal;

/// Reads properties; what is wrong names the property. Those beginning with `@` are the runtime's.
pub(super) struct Skeleton<'a>(pub &'a Map<String, Value>);

impl Skeleton<'_> {
    /// A text that is not blank.
    pub fn text(&self, property: &str) -> Option<&str> {
        self.0.get(property).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    pub fn required(&self, property: &str) -> Result<&str, HostError> {
        self.text(property)
            .ok_or_else(|| HostError::refused("REQUIRED_FIELD_NOT_SET", format!("{property}: must be set")))
    }

    /// The id of another record; none where it is not set.
    pub fn id(&self, property: &str) -> Result<Option<Uuid>, HostError> {
        let parse = |text: &str| text.parse().map_err(|_| invalid(property, "must be the UUID of a resource"));
        self.text(property).map(parse).transpose()
    }

    /// The id of the record that the bean stands for.
    pub fn own_id(&self) -> Result<Uuid, HostError> {
        let id = self.text("resourceUUID").and_then(|text| text.parse().ok());
        id.ok_or_else(|| HostError::refused("NO_RESOURCE_FOUND", "the bean has no resource UUID"))
    }

    /// A whole number.
    pub fn whole(&self, property: &str) -> Result<Option<u64>, HostError> {
        match self.0.get(property) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => crate::scripts::beans::whole(value).map(Some).map_err(|detail| invalid(property, &detail)),
        }
    }

    /// The beans of a list.
    pub fn list(&self, property: &str) -> impl Iterator<Item = Skeleton<'_>> {
        let items = self.0.get(property).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_object).map(Skeleton)
    }

    /// Its keys, as a script of `viewer` may set them.
    pub fn keys(&self, viewer: Scope) -> Result<Vec<ResourceKey>, HostError> {
        let items = self.0.get("resourceKey").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let keys: Result<Vec<_>, _> = items.iter().map(|item| key(item, viewer)).collect();
        keys.map_err(|detail| HostError::refused("CANNOT_CHANGE_SYSTEM_OR_BILLING_KEYS", detail))
    }

    /// How somebody is reached: what the bean says, and otherwise what is known.
    pub fn contact(&self, known: &Contact) -> Result<Contact, HostError> {
        let mut contact = known.clone();
        take_contact(&mut contact, self.0).map_err(|(property, detail)| invalid(property, &detail))?;
        Ok(contact)
    }

    /// The same as a bean of the platform's.
    pub fn bean(&self, kind: &'static str) -> Bean {
        let mut properties = self.0.clone();
        properties.retain(|name, _| !name.starts_with('@'));
        Bean { kind: kind.into(), properties: properties.into() }
    }
}

/// A property that cannot be what it was set to.
pub(super) fn invalid(property: &str, detail: &str) -> HostError {
    refusal(crate::Error::Invalid(vec![FieldError::new(property, detail)]))
}
