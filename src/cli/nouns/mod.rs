//! The table of nouns: where each is in the API, what its list shows, and what its commands take.
//!
//! [`super::noun`] makes commands from it. A new noun, field or plain action is a line here.

mod accounts;
mod billing;
mod payments;
mod resources;
mod work;

pub use resources::AT;
pub use work::RUN_COLUMNS;

use super::{
    field::{Field, Kind},
    output::Column,
};
use serde_json::{Value, json};

/// What the commands of a noun are made from.
#[derive(Debug)]
pub struct Noun {
    /// The word on the command line.
    pub name: &'static str,
    /// Its place under `/api/v1/`.
    pub path: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The field by which people name one, also the filter that finds it; none: by id only.
    pub named_by: Option<&'static str>,
    /// What its list shows.
    pub columns: &'static [Column],
    /// What its list can be narrowed by.
    pub filters: &'static [Field],
    /// Commands that need nothing but the table.
    pub verbs: &'static [Verb],
    /// What `create` takes.
    pub create: &'static [Field],
    /// What `create` sends when the command line says nothing else.
    pub create_base: fn() -> Value,
    /// Brings what `create` was given into the shape the API takes.
    pub settle: fn(&mut Value),
    /// What `update` takes.
    pub update: &'static [Field],
    /// Further commands on one record.
    pub actions: &'static [Action],
}

/// A command every noun could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// All of them.
    List,
    /// One of them.
    Show,
    /// A new one.
    Create,
    /// Changes one.
    Update,
    /// Removes one; the word differs for keys.
    Delete(&'static str),
}

/// A command on one record that sends a fixed request.
#[derive(Debug)]
pub struct Action {
    /// The command.
    pub verb: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it sends.
    pub request: Request,
    /// What it takes besides.
    pub fields: &'static [Field],
}

/// The request of an action.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// POST to this place under the record, with this body.
    Post(&'static str, fn() -> Value),
    /// PATCH of the record with this body, if nobody else changed it meanwhile.
    Patch(fn() -> Value),
}

/// The noun with this word.
pub fn find(name: &str) -> Option<&'static Noun> {
    NOUNS.iter().find(|n| n.name == name)
}

/// Every noun that has commands.
pub const NOUNS: &[Noun] = &[
    resources::SERVER,
    resources::DISK,
    resources::IMAGE,
    resources::PLUGGABLE,
    resources::NODE,
    accounts::CUSTOMER,
    accounts::BILLING_ENTITY,
    accounts::USER,
    accounts::KEY,
    billing::PLAN,
    billing::INVOICE,
    payments::METHOD,
    payments::INSTANCE,
    payments::TRANSACTION,
    work::JOB,
    work::TRIGGER,
    work::RUN,
    work::BLOB,
];

const fn col(title: &'static str, at: &'static str) -> Column {
    Column { title, at }
}

const LOOK: &[Verb] = &[Verb::List, Verb::Show];
const CHANGE: &[Verb] = &[Verb::List, Verb::Show, Verb::Create, Verb::Update];
const EVERYTHING: &[Verb] = &[Verb::List, Verb::Show, Verb::Create, Verb::Update, Verb::Delete("delete")];

const BY_NAME: Field = Field::may("name", "name", Kind::Text, "Only the one of this name");
const BY_CUSTOMER: Field =
    Field::may("customer", "customer_id", Kind::Ref("customer"), "Only those of this customer (name or id)");
const BY_ENTITY: Field = Field::may(
    "billing-entity",
    "billing_entity_id",
    Kind::Ref("billing-entity"),
    "Only those of this billing entity (name or id)",
);
const OF_ENTITY: Field = Field::may(
    "billing-entity",
    "billing_entity_id",
    Kind::Ref("billing-entity"),
    "Who sells (name or id); default: yours",
);
const NEW_NAME: Field = Field::place("name", "name", Kind::Text, "Its name");
const KEYS: Field = Field::may("key", "keys", Kind::Keys, "A resource key; may be given more than once");
/// A noun with no commands.
const BARE: Noun = Noun {
    name: "",
    path: "",
    about: "",
    named_by: None,
    columns: &[],
    filters: &[],
    verbs: &[],
    create: &[],
    create_base: || json!({}),
    settle: |_| {},
    update: &[],
    actions: &[],
};

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::{JobState, Permission, Role, RunState, ServerState, TransactionState};

    #[test]
    fn words_to_choose_from_are_those_of_the_model() {
        fn all_are<T: serde::de::DeserializeOwned>(words: &[&str]) {
            for word in words {
                assert!(serde_json::from_value::<T>(json!(word)).is_ok(), "{word} is not in the model");
            }
        }
        all_are::<ServerState>(resources::STATES);
        all_are::<Role>(accounts::ROLES);
        all_are::<Permission>(accounts::PERMISSIONS);
        all_are::<JobState>(work::JOB_STATES);
        all_are::<RunState>(work::RUN_STATES);
        all_are::<TransactionState>(payments::STATES);
        assert_eq!(ServerState::ALL.map(ServerState::name).as_slice(), resources::STATES);
        assert_eq!(Permission::ALL.len(), accounts::PERMISSIONS.len());
    }

    #[test]
    fn every_noun_is_found_by_its_word() {
        for noun in NOUNS {
            assert_eq!(find(noun.name).map(|n| n.path), Some(noun.path), "{}", noun.name);
        }
    }
}
