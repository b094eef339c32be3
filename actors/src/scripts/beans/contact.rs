//! How people, customers and sellers are reached, as properties of their beans.

use super::text;
use serde_json::{Map, Value, json};
use sutler_model::{Contact, contact::ADDRESS_LINES};

/// An Address: always there, and its lines are texts, empty where nothing is known, as the original's forms left them.
pub(super) fn address(contact: &Contact) -> Value {
    (1..=ADDRESS_LINES).map(|number| (format!("address{number}"), Value::from(contact.line(number)))).collect()
}

/// Takes an Address.
pub(super) fn set_address(contact: &mut Contact, value: &Value) -> Result<(), String> {
    for number in 1..=ADDRESS_LINES {
        let line = text(value.get(format!("address{number}")).unwrap_or(&Value::Null));
        if line != contact.line(number) {
            contact.set_line(number, line);
        }
    }
    checked(contact)
}

/// A text, or nil where nothing is known.
pub(super) fn known(value: &str) -> Value {
    if value.is_empty() { Value::Null } else { json!(value) }
}

/// Takes a text of a contact, nil for none.
pub(super) fn set(contact: &mut Contact, part: fn(&mut Contact) -> &mut String, value: &Value) -> Result<(), String> {
    *part(contact) = text(value);
    checked(contact)
}

/// Takes what a bean says of how somebody is reached; what it does not say stays.
///
/// # Errors
/// The property, and what would be right.
pub(crate) fn take(contact: &mut Contact, bean: &Map<String, Value>) -> Result<(), (&'static str, String)> {
    if let Some(value) = bean.get("address") {
        set_address(contact, value).map_err(|detail| ("address", detail))?;
    }
    type Part = fn(&mut Contact) -> &mut String;
    let parts: [(&'static str, Part); 6] = [
        ("organisation", |c| &mut c.organisation),
        ("dayTimeNumber", |c| &mut c.day_time_number),
        ("eveningNumber", |c| &mut c.evening_number),
        ("mobileNumber", |c| &mut c.mobile_number),
        ("faxNumber", |c| &mut c.fax_number),
        ("vatNumber", |c| &mut c.vat_number),
    ];
    for (name, part) in parts {
        if let Some(value) = bean.get(name) {
            set(contact, part, value).map_err(|detail| (name, detail))?;
        }
    }
    Ok(())
}

fn checked(contact: &Contact) -> Result<(), String> {
    match contact.problems("contact").first() {
        None => Ok(()),
        Some(problem) => Err(problem.detail.clone()),
    }
}
