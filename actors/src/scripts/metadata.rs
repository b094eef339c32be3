//! What a server's guest is told when it starts, which PRE triggers may add to.
//!
//! The document is as the original's: CONFIG, below it `meta/server/system`, `meta/server/foreignkeys/key[@name]`,
//! `meta/server/public` and `restricted` (what the owner keeps for the guest) and `meta/runtime/system/userdata`. It reaches
//! the guest only where a script was asked about it or the owner keeps something for the guest, and holds nothing that the
//! server's customer may not see. What a server was started with for one run is in `meta/runtime/public` and `restricted`.

use super::{
    Scripts,
    beans::{Beans, same},
    drafts::Draft,
    occasion::chain,
    pre::Asking,
};
use crate::{Error, caller::job_cause};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use sutler_lua::{Bean, Input, text_at, xml_content};
use sutler_model::{
    BillingEntityId, CustomerId, FieldError, Job, KeyKind, ResourceMetadata, Scope, Server, TriggerType,
};
use sutler_store::Error as StoreError;
use uuid::Uuid;

/// All that scripts may add to a server's user data, bytes: what a guest reads at boot without being held up.
const ADDITIONS_BYTES: usize = 256 << 10;
/// Where the customer's own user data lies in the document.
const USER_DATA: &str = "CONFIG/meta/runtime/system/userdata";
/// The bean's property that collects what is added.
const ADDED: &str = "cloudInitData";

/// What scripts made of a server's metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metadata {
    /// The customer's user data, as the document has it now.
    pub user_data: Option<String>,
    /// Texts added to it.
    pub additions: Vec<String>,
    /// The document.
    pub document: String,
}

/// A server about to be told.
#[derive(Clone)]
struct Boot {
    server: Server,
    additions: Vec<String>,
    document: String,
}

impl Draft for Boot {
    const OPTION: &'static str = "ANY";

    fn id(&self) -> Uuid {
        self.server.id.into()
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.server.customer_id)
    }

    fn seller(&self) -> BillingEntityId {
        self.server.billing_entity_id
    }

    fn input(&self, beans: &Beans<'_>) -> Result<Input, StoreError> {
        let server = beans.bean(self.server.clone())?.with(ADDED, self.additions.clone());
        Ok(Input::Metadata { server, document: self.document.clone() })
    }

    fn take(&mut self, before: &Bean, after: &Bean, _: Scope) -> Result<Vec<String>, Vec<FieldError>> {
        let (before, after) = (before.properties.to_map(), after.properties.to_map());
        let added = after.get(ADDED).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let text = |text: &Value| text.as_str().map(str::to_owned);
        let Some(additions) = added.iter().map(text).collect() else {
            return Err(vec![FieldError::new(ADDED, "must be texts")]);
        };
        self.additions = additions;
        let value = |of: &Map<String, Value>, name: &str| of.get(name).cloned().unwrap_or_default();
        let changed = |name: &&String| *name != ADDED && !same(&value(&before, name), &value(&after, name));
        Ok(after.keys().filter(changed).cloned().collect())
    }

    fn take_document(&mut self, document: &str) {
        document.clone_into(&mut self.document);
    }

    fn problems(&self) -> Vec<FieldError> {
        let bytes =
            self.additions.iter().map(String::len).sum::<usize>() + user_data(&self.document).map_or(0, |d| d.len());
        if bytes <= ADDITIONS_BYTES {
            return Vec::new();
        }
        vec![FieldError::new(
            ADDED,
            format!("is {bytes} bytes with the user data; at most {ADDITIONS_BYTES} are told to a guest"),
        )]
    }
}

impl Scripts {
    /// Lets PRE triggers add to what a server's guest is told at its next start. None: nobody was asked, and the owner keeps
    /// nothing for the guest.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn before_boot(&self, job: &Job, server: &Server) -> Result<Option<Metadata>, Error> {
        let trigger = TriggerType::PreServerMetadataUpdate;
        let (seller, customer) = (server.billing_entity_id, Some(server.customer_id));
        if self.env.listeners(trigger, "ANY", seller, customer).await?.is_empty() {
            let told = |kept: &ResourceMetadata| !kept.public.is_empty() || !kept.restricted.is_empty();
            let kept = [&server.metadata, &job.metadata].into_iter().flatten().any(|kept| told(kept));
            return Ok(kept.then(|| Metadata {
                user_data: server.user_data.clone(),
                additions: Vec::new(),
                document: document(server, job.metadata.as_deref()),
            }));
        }
        let cause = job.cause.clone();
        let (depth, _) = self.env.core.store.read(move |snapshot| chain(snapshot, &cause)).await?;
        // Why it fails stands on the job, which others see.
        let asking = Asking { user_id: job.user_id, cause: job_cause(job.id), depth, sees_runs_of: None };
        let first = document(server, job.metadata.as_deref());
        let server = Server { runtime_metadata: job.metadata.clone(), ..server.clone() };
        let mut boot = Boot { server: server.clone(), additions: Vec::new(), document: first.clone() };
        self.before_as(&asking, trigger, "ANY", &mut boot).await?;
        // What no script changed goes byte for byte as the customer gave it.
        let told = user_data(&boot.document);
        let user_data = if told == user_data(&first) { server.user_data.clone() } else { told };
        Ok(Some(Metadata { user_data, additions: boot.additions, document: boot.document }))
    }
}

/// The customer's user data in a document; an empty one is none.
fn user_data(document: &str) -> Option<String> {
    text_at(document, USER_DATA).filter(|text| !text.trim().is_empty())
}

/// The document about a server before any script has seen it, with what it is started with.
pub(crate) fn document(server: &Server, runtime: Option<&ResourceMetadata>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CONFIG><meta><server><system>");
    for (name, value) in [
        ("uuid", server.id.to_string()),
        ("name", server.name.clone()),
        ("customeruuid", server.customer_id.to_string()),
        ("billingentityuuid", server.billing_entity_id.to_string()),
        ("imageuuid", server.image_id.to_string()),
        ("cpu", server.cpu.to_string()),
        ("ram", server.memory_mib.to_string()),
    ] {
        // Writing to a string cannot fail.
        let _ = write!(xml, "<{name}>{}</{name}>", escaped(&value));
    }
    xml.push_str("</system><foreignkeys>");
    for key in server.keys.iter().filter(|key| key.kind == KeyKind::User) {
        let _ = write!(xml, "<key name=\"{}\">{}</key>", escaped(&key.name), escaped(&key.value));
    }
    xml.push_str("</foreignkeys>");
    parts(&mut xml, server.metadata.as_deref());
    let own = server.user_data.as_deref().map(escaped).unwrap_or_default();
    let _ = write!(xml, "</server><runtime><system><userdata>{own}</userdata></system>");
    parts(&mut xml, runtime);
    xml.push_str("</runtime></meta></CONFIG>\n");
    xml
}

/// What guests are told of what is kept.
fn parts(xml: &mut String, kept: Option<&ResourceMetadata>) {
    for (name, text) in kept.into_iter().flat_map(|kept| [("public", &kept.public), ("restricted", &kept.restricted)]) {
        // It was found well formed when it was set.
        if let Some(content) = xml_content(text).ok().filter(|content| !content.trim().is_empty()) {
            let _ = write!(xml, "<{name}>{content}</{name}>");
        }
    }
}

/// A text within an element or attribute. What XML cannot hold is left out; line ends are kept as they are.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(letter),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_in_its_element_and_comes_back_as_it_was() {
        let text = "#!/bin/sh\r\necho \"<b>&\" > x\n\tü";
        let xml = format!("<CONFIG><meta><x name=\"{0}\">{0}</x></meta></CONFIG>", escaped(text));
        assert_eq!(text_at(&xml, "CONFIG/meta/x").as_deref(), Some(text));
        assert_eq!(escaped("a\u{0}\u{1b}b"), "ab");
    }
}
