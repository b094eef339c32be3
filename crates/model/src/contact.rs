//! Where somebody is and how they are reached: for people, customers and sellers alike.

use crate::FieldError;
use serde::{Deserialize, Serialize};

/// Most lines of an address: street, more of it, town, region, postcode and country, as scripts count them.
pub const ADDRESS_LINES: usize = 6;
/// Longest text of a contact, in bytes.
pub const TEXT_BYTES: usize = 256;

/// How somebody is reached. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Contact {
    /// Up to six lines: street, more of it, town, region, postcode, country (two letters).
    pub address: Vec<String>,
    /// The company of a person.
    pub organisation: String,
    /// Telephone by day.
    pub day_time_number: String,
    /// Telephone in the evening.
    pub evening_number: String,
    /// Mobile telephone.
    pub mobile_number: String,
    /// Fax.
    pub fax_number: String,
    /// Number for value added tax, with the country's letters.
    pub vat_number: String,
    /// Web address of a seller's control panel; empty: that of the seller above.
    pub control_panel_url: String,
}

/// Changes to a contact; what is left out stays, an empty text or list clears.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(example = json!({"mobile_number": "+44 7700 900123"})))]
#[serde(default, deny_unknown_fields)]
pub struct ContactPatch {
    /// New lines of the address, replacing all.
    pub address: Option<Vec<String>>,
    /// New company.
    pub organisation: Option<String>,
    /// New telephone number by day.
    pub day_time_number: Option<String>,
    /// New telephone number in the evening.
    pub evening_number: Option<String>,
    /// New mobile telephone number.
    pub mobile_number: Option<String>,
    /// New fax number.
    pub fax_number: Option<String>,
    /// New number for value added tax.
    pub vat_number: Option<String>,
    /// New web address of a seller's control panel.
    pub control_panel_url: Option<String>,
}

impl Contact {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A line of the address, from 1; empty where there is none.
    pub fn line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|index| self.address.get(index)).map_or("", String::as_str)
    }

    /// Sets a line of the address, from 1.
    pub fn set_line(&mut self, number: usize, text: String) {
        if self.address.len() < number {
            self.address.resize(number, String::new());
        }
        if let Some(line) = number.checked_sub(1).and_then(|index| self.address.get_mut(index)) {
            *line = text;
        }
    }

    /// What is wrong, by the field's name below `place`.
    pub fn problems(&self, place: &str) -> Vec<FieldError> {
        let texts = [
            ("organisation", &self.organisation),
            ("day_time_number", &self.day_time_number),
            ("evening_number", &self.evening_number),
            ("mobile_number", &self.mobile_number),
            ("fax_number", &self.fax_number),
            ("vat_number", &self.vat_number),
            ("control_panel_url", &self.control_panel_url),
        ];
        let texts = texts.into_iter().map(|(name, text)| (format!("{place}.{name}"), text));
        let lines = self.address.iter().enumerate().map(|(index, line)| (format!("{place}.address.{index}"), line));
        let mut problems: Vec<FieldError> = texts
            .chain(lines)
            .filter_map(|(field, text)| {
                let detail = if text.len() > TEXT_BYTES {
                    format!("has {} bytes; at most {TEXT_BYTES} are allowed", text.len())
                } else if text.chars().any(char::is_control) {
                    "must not contain control characters such as line breaks".to_owned()
                } else {
                    return None;
                };
                Some(FieldError::new(field, detail))
            })
            .collect();
        if self.address.len() > ADDRESS_LINES {
            let detail = format!("has {} lines; at most {ADDRESS_LINES} are allowed", self.address.len());
            problems.push(FieldError::new(format!("{place}.address"), detail));
        }
        let url = &self.control_panel_url;
        if !url.is_empty() && !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
            let field = format!("{place}.control_panel_url");
            problems.push(FieldError::new(field, "must begin with https:// or http://"));
        }
        problems
    }
}

impl ContactPatch {
    /// Takes the changes into a contact.
    pub fn apply(self, contact: &mut Contact) {
        let take = |new: Option<String>, old: &mut String| {
            if let Some(new) = new {
                *old = new;
            }
        };
        if let Some(address) = self.address {
            contact.address = address;
        }
        take(self.organisation, &mut contact.organisation);
        take(self.day_time_number, &mut contact.day_time_number);
        take(self.evening_number, &mut contact.evening_number);
        take(self.mobile_number, &mut contact.mobile_number);
        take(self.fax_number, &mut contact.fax_number);
        take(self.vat_number, &mut contact.vat_number);
        take(self.control_panel_url, &mut contact.control_panel_url);
    }
}

impl From<Contact> for ContactPatch {
    fn from(all: Contact) -> Self {
        Self {
            address: Some(all.address),
            organisation: Some(all.organisation),
            day_time_number: Some(all.day_time_number),
            evening_number: Some(all.evening_number),
            mobile_number: Some(all.mobile_number),
            fax_number: Some(all.fax_number),
            vat_number: Some(all.vat_number),
            control_panel_url: Some(all.control_panel_url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let mut contact = Contact { mobile_number: "1".into(), fax_number: "2".into(), ..Contact::default() };
        let patch = ContactPatch { mobile_number: Some(String::new()), ..ContactPatch::default() };
        patch.apply(&mut contact);
        assert_eq!(contact, Contact { fax_number: "2".into(), ..Contact::default() });
        let whole = contact.clone();
        ContactPatch::from(whole.clone()).apply(&mut contact);
        assert_eq!(contact, whole);
    }

    #[test]
    fn lines_are_counted_from_one_and_made_as_needed() {
        let mut contact = Contact::default();
        assert!(contact.is_empty() && contact.line(0).is_empty() && contact.line(6).is_empty());
        contact.set_line(3, "London".into());
        contact.set_line(0, "nowhere".into());
        assert_eq!(contact.address, ["", "", "London"]);
        assert_eq!(contact.line(3), "London");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let contact = Contact {
            address: vec![String::new(); 7],
            mobile_number: "x".repeat(257),
            fax_number: "1\n2".into(),
            control_panel_url: "javascript:alert(1)".into(),
            ..Contact::default()
        };
        let fields: Vec<String> = contact.problems("contact").into_iter().map(|problem| problem.field).collect();
        assert_eq!(
            fields,
            ["contact.mobile_number", "contact.fax_number", "contact.address", "contact.control_panel_url"]
        );
        assert!(Contact::default().problems("contact").is_empty());
    }
}
