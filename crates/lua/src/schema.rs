//! The beans and enums of the language, read once from `schema/*.txt`.

use std::{collections::HashMap, sync::LazyLock};

/// A property's type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Text,
    Number,
    Bool,
    Date,
    Enum(&'static str),
    Bean(&'static str),
    List(Box<Type>),
    Map(Box<Type>),
    /// A type the reference does not describe.
    Any,
}

/// A property.
#[derive(Debug)]
pub(crate) struct Property {
    pub name: &'static str,
    pub kind: Type,
}

/// A bean's properties, by their names in lower case, its base's included.
#[derive(Debug)]
pub(crate) struct BeanType {
    pub name: &'static str,
    pub properties: HashMap<String, Property>,
}

/// An enum.
#[derive(Debug)]
pub(crate) struct EnumType {
    pub name: &'static str,
    pub values: Vec<&'static str>,
}

#[derive(Default)]
pub(crate) struct Schema {
    beans: HashMap<&'static str, BeanType>,
    aliases: HashMap<&'static str, &'static str>,
    enums: HashMap<&'static str, EnumType>,
}

static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::read(include_str!("../schema/beans.txt"), include_str!("../schema/enums.txt")));

/// A bean type by its name or another name for it.
pub(crate) fn bean(name: &str) -> Option<&'static BeanType> {
    let schema = &*SCHEMA;
    schema.beans.get(schema.aliases.get(name).copied().unwrap_or(name))
}

/// An enum type by its name.
pub(crate) fn enumeration(name: &str) -> Option<&'static EnumType> {
    SCHEMA.enums.get(name)
}

impl EnumType {
    /// The value that a word means, in any letter case.
    pub fn value(&self, word: &str) -> Option<&'static str> {
        self.values.iter().find(|known| known.eq_ignore_ascii_case(word.trim())).copied()
    }
}

impl Schema {
    fn read(beans: &'static str, enums: &'static str) -> Self {
        let mut schema = Self::default();
        for (name, values) in lines(enums) {
            schema.enums.insert(name, EnumType { name, values: values.split_whitespace().collect() });
        }
        let heads: Vec<_> = lines(beans)
            .map(|(head, properties)| {
                let (names, base) = head.split_once(':').map_or((head, None), |(n, b)| (n, Some(b.trim())));
                let mut names = names.split('=').map(str::trim);
                let name = names.next().unwrap_or_default();
                (name, names.collect::<Vec<_>>(), base, properties)
            })
            .collect();
        let known: Vec<&'static str> = heads.iter().map(|(name, ..)| *name).collect();
        for (name, aliases, base, text) in heads {
            let mut properties = HashMap::new();
            // Bases stand before what builds on them.
            if let Some(base) = base.and_then(|base| schema.beans.get(base)) {
                for (key, property) in &base.properties {
                    properties.insert(key.clone(), Property { name: property.name, kind: property.kind.clone() });
                }
            }
            for (property, kind) in text.split(", ").filter_map(|part| part.trim().split_once(':')) {
                let kind = read_type(kind, &schema.enums, &known);
                properties.insert(property.to_lowercase(), Property { name: property, kind });
            }
            schema.beans.insert(name, BeanType { name, properties });
            schema.aliases.extend(aliases.into_iter().map(|alias| (alias, name)));
        }
        schema
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('|').map(|(head, rest)| (head.trim(), rest.trim())))
}

fn read_type(text: &'static str, enums: &HashMap<&'static str, EnumType>, beans: &[&'static str]) -> Type {
    if let Some(element) = text.strip_suffix("[]") {
        return Type::List(Box::new(read_type(element, enums, beans)));
    }
    if let Some((_, value)) =
        text.strip_prefix("map<").and_then(|t| t.strip_suffix('>')).and_then(|t| t.split_once(','))
    {
        return Type::Map(Box::new(read_type(value, enums, beans)));
    }
    match text {
        "string" => Type::Text,
        "int" | "double" => Type::Number,
        "bool" => Type::Bool,
        "date" => Type::Date,
        name if enums.contains_key(name) => Type::Enum(name),
        name if beans.contains(&name) => Type::Bean(name),
        _ => Type::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bean_name: &str, property: &str) -> Type {
        bean(bean_name).unwrap().properties[property].kind.clone()
    }

    #[test]
    fn beans_inherit_and_know_the_types_of_their_properties() {
        assert_eq!(kind("Server", "status"), Type::Enum("ServerStatus"));
        assert_eq!(kind("Server", "nics"), Type::List(Box::new(Type::Bean("Nic"))));
        assert_eq!(kind("Server", "resourcecreatedate"), Type::Date);
        assert_eq!(kind("Customer", "warninglevel"), Type::Number);
        assert_eq!(kind("Invoice", "customeruuid"), Type::Text);
        assert_eq!(kind("Resource", "providers"), Type::Map(Box::new(Type::Map(Box::new(Type::Text)))));
        assert_eq!(kind("CustomerEmail", "emailsettingdetails"), Type::Map(Box::new(Type::Text)));
        assert_eq!(kind("ListResult", "list"), Type::List(Box::new(Type::Any)));
        assert_eq!(bean("User").unwrap().name, "UserDetails");
    }

    #[test]
    fn the_whole_reference_is_read() {
        assert!(SCHEMA.beans.len() >= 95, "{}", SCHEMA.beans.len());
        assert!(SCHEMA.enums.len() >= 65, "{}", SCHEMA.enums.len());
        assert!(enumeration("JobType").unwrap().values.contains(&"CREATE_SERVER"));
        let any: Vec<_> = SCHEMA
            .beans
            .values()
            .flat_map(|bean| bean.properties.values().filter(|p| p.kind == Type::Any).map(move |p| (bean.name, p.name)))
            .collect();
        assert!(any.is_empty(), "properties of unknown types: {any:?}");
    }
}
