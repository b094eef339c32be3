//! The display texts of what blocks describe, in the language of whoever looks: descriptors may name them by the keys of
//! their package's texts. What is stored and checked stays as the block has it.

use super::{Scripts, attempt, table::Armed};
use crate::{Caller, Error, System};
use std::sync::Arc;
use sutler_model::{
    BillingEntityId, Scope, Script, ValueDef,
    point::{Action, Component},
    translation::{self, Translations},
};

/// A block's texts for readers of a language.
pub(crate) struct Wording {
    texts: Arc<Translations>,
    language: Option<String>,
}

impl Scripts {
    /// The language of a seller's people and customers; none: English.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn language(&self, seller: BillingEntityId) -> Result<Option<String>, Error> {
        Ok(attempt::language(&self.env.core.store, Scope::Entity(seller)).await?)
    }
}

/// Somebody who looks at blocks.
#[derive(Clone, Debug)]
pub struct Reader {
    language: Option<String>,
}

impl System {
    /// The caller as one who looks at blocks.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reader(&self, caller: &Caller) -> Result<Reader, Error> {
        Ok(Reader { language: self.inner.scripts.language(caller.billing_entity_id).await? })
    }
}

impl Reader {
    /// What a block registered, named in the reader's language.
    pub fn reads(&self, mut script: Script) -> Script {
        let texts = Arc::new(std::mem::take(&mut script.translations));
        let wording = Wording { texts: texts.clone(), language: self.language.clone() };
        let entries = script.entries.iter_mut().flat_map(|entry| [&mut entry.name, &mut entry.description]);
        let points = script.points.iter_mut().flat_map(|point| [&mut point.name, &mut point.description]);
        entries.chain(points).for_each(|text| wording.put(text));
        drop(wording);
        script.translations = Arc::unwrap_or_clone(texts);
        script
    }
}

impl Wording {
    /// A block's, for readers of a language.
    pub(crate) fn of(script: &Armed, language: Option<String>) -> Self {
        Self { texts: script.translations.clone(), language }
    }

    /// The text of a key; a text that is no key is its own.
    pub(crate) fn text(&self, key: &str) -> String {
        let own = translation::text(&self.texts, self.language.as_deref(), key);
        own.or_else(|| sutler_lua::platform_text(key)).unwrap_or(key).to_owned()
    }

    fn put(&self, text: &mut String) {
        if !text.is_empty() {
            *text = self.text(text);
        }
    }

    /// A form.
    pub(crate) fn form(&self, mut values: Vec<ValueDef>) -> Vec<ValueDef> {
        for value in &mut values {
            self.put(&mut value.name);
            self.put(&mut value.description);
            if let Some(text) = &mut value.default_text {
                self.put(text);
            }
            let Some(validator) = &mut value.validator else { continue };
            if let Some(error) = &mut validator.error {
                self.put(error);
            }
            if validator.kind == "ENUM" {
                let words = validator.rule.split(',').map(str::trim);
                let named = words.map(|word| (word.to_owned(), self.text(word)));
                validator.labels = named.filter(|(word, text)| word != text).collect();
            }
        }
        values
    }

    /// An action with what it asks for.
    pub(crate) fn action(&self, mut action: Action) -> Action {
        self.put(&mut action.name);
        self.put(&mut action.description);
        action.parameters = self.form(action.parameters);
        action
    }

    /// A part of a provider.
    pub(crate) fn component(&self, mut component: Component) -> Component {
        self.put(&mut component.name);
        component.values = self.form(component.values);
        component.actions = component.actions.into_iter().map(|action| self.action(action)).collect();
        component
    }
}
