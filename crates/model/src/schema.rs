//! Schemas of the values whose text form the derive macro cannot know.

use crate::{Currency, Nanos, Timestamp};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{SchemaType, Type},
    },
};

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).description(Some(description))
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        text("A point in time, UTC, RFC 3339 with milliseconds.")
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-11-22T10:00:00.000Z"])
            .into()
    }
}

impl PartialSchema for Nanos {
    fn schema() -> RefOr<Schema> {
        text("An exact decimal amount with at most nine places.")
            .pattern(Some(r"^-?[0-9]+(\.[0-9]{1,9})?$"))
            .examples(["12.34"])
            .into()
    }
}

impl PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        text("An ISO 4217 currency code.").pattern(Some("^[A-Z]{3}$")).examples(["EUR"]).into()
    }
}

macro_rules! named {
    ($($name:ident),*) => {$(
        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

named!(Timestamp, Nanos, Currency);
