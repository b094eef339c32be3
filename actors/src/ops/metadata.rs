//! What owners keep on their resources for programs, in parts that differ in who reads them.

use super::{
    race::{again, go_on},
    reach::{missing, unchanged, valid},
};
use crate::{
    Caller, Error, System,
    scripts::{Draft, Keyed},
};
use serde::{Deserialize, Serialize};
use sutler_lua::xml_content;
use sutler_model::{
    BillingEntity, Customer, FieldError, Image, Noun, Permission, ResourceMetadata, Server, TriggerType,
};
use sutler_store::ChangeSet;
use uuid::Uuid;

/// Parts of metadata to set; what is none stays, and an empty part goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataPatch {
    /// For whoever sees the resource, and its guest.
    pub public: Option<String>,
    /// For the owner and its sellers, and the guest.
    pub restricted: Option<String>,
    /// For the owner and its sellers alone.
    pub private: Option<String>,
}

impl MetadataPatch {
    /// What makes `old` to `new`.
    pub(crate) fn between(old: Option<&ResourceMetadata>, new: Option<&ResourceMetadata>) -> Self {
        let part = |of: fn(&ResourceMetadata) -> &String| {
            let text = |metadata: Option<&ResourceMetadata>| metadata.map(of).cloned().unwrap_or_default();
            (text(old) != text(new)).then(|| text(new))
        };
        Self { public: part(|m| &m.public), restricted: part(|m| &m.restricted), private: part(|m| &m.private) }
    }

    /// Sets its parts; where all are empty, nothing is kept. Answers what is wrong with what is kept then, by part.
    pub(crate) fn onto(&self, kept: &mut Option<Box<ResourceMetadata>>) -> Vec<FieldError> {
        let mut metadata = kept.take().unwrap_or_default();
        for (part, text) in [
            (&mut metadata.public, &self.public),
            (&mut metadata.restricted, &self.restricted),
            (&mut metadata.private, &self.private),
        ] {
            if let Some(text) = text {
                part.clone_from(text);
            }
        }
        let problems = problems(&metadata);
        *kept = (!metadata.is_empty()).then_some(metadata);
        problems
    }
}

/// A record that keeps metadata.
trait Keeper: Keyed + PartialEq {
    /// What one must be allowed to, to read it and to change it.
    const PERMISSIONS: [Permission; 2];
}

macro_rules! keepers {
    ($($record:ty => $read:ident, $write:ident;)*) => {$(
        impl Keeper for $record {
            const PERMISSIONS: [Permission; 2] = [Permission::$read, Permission::$write];
        }
    )*};
}
keepers! {
    Server => ServersRead, ServersWrite;
    Image => ServersRead, ImagesWrite;
    Customer => CustomersRead, CustomersWrite;
    BillingEntity => CustomersRead, CustomersWrite;
}

/// Does the same for a kind of record.
macro_rules! for_noun {
    ($noun:expr, $id:expr, $record:ident => $body:expr) => {
        match $noun {
            Noun::Server => {
                type $record = Server;
                $body
            }
            Noun::Image => {
                type $record = Image;
                $body
            }
            Noun::Customer => {
                type $record = Customer;
                $body
            }
            Noun::BillingEntity => {
                type $record = BillingEntity;
                $body
            }
            noun => Err(missing(noun, $id)),
        }
    };
}

impl System {
    /// What is kept on a server, image, customer or billing entity, and the record's version: all for its owner and the sellers
    /// above, the public part for those to whom an image is offered.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn metadata(&self, caller: &Caller, noun: Noun, id: Uuid) -> Result<(u64, ResourceMetadata), Error> {
        for_noun!(noun, id, R => self.read_metadata::<R>(caller, id).await)
    }

    /// Sets parts of what is kept on a record. Whoever may change the record may.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a part that is too long or no XML, [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`],
    /// [`Error::Refused`].
    pub async fn set_metadata(
        &self,
        caller: &Caller,
        (noun, id): (Noun, Uuid),
        if_match: Option<u64>,
        patch: MetadataPatch,
    ) -> Result<(u64, ResourceMetadata), Error> {
        for_noun!(noun, id, R => self.write_metadata::<R>(caller, id, if_match, &patch).await)
    }

    async fn read_metadata<R: Keeper>(&self, caller: &Caller, id: Uuid) -> Result<(u64, ResourceMetadata), Error> {
        let record: R = self.find(id).await?;
        let owns = match self.owned(caller, &record).await {
            Ok(()) => true,
            Err(Error::NotFound { .. })
                if R::NOUN == Noun::Image && self.inner.scripts.sees(caller.scope, id).await? =>
            {
                false
            }
            Err(error) => return Err(error),
        };
        caller.must(R::PERMISSIONS[0])?;
        let mut kept = record.metadata().cloned().unwrap_or_default();
        if !owns {
            kept = ResourceMetadata { public: kept.public, ..ResourceMetadata::default() };
        }
        Ok((record.version(), kept))
    }

    async fn write_metadata<R: Keeper + Draft>(
        &self,
        caller: &Caller,
        id: Uuid,
        if_match: Option<u64>,
        patch: &MetadataPatch,
    ) -> Result<(u64, ResourceMetadata), Error> {
        again(if_match, async || {
            let mut old: R = self.find(id).await?;
            self.owned(caller, &old).await?;
            caller.must(R::PERMISSIONS[1])?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            if let Some(kept) = new.metadata_mut() {
                valid(patch.onto(kept))?;
            }
            let kept = |record: &R| (record.version(), record.metadata().cloned().unwrap_or_default());
            if new == old {
                return Ok(kept(&old));
            }
            let decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            go_on(&[&decided], &mut old, &mut new).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            Ok(kept(&new))
        })
        .await
    }

    /// Refuses as not found what is not the caller's own.
    async fn owned<R: Keeper>(&self, caller: &Caller, record: &R) -> Result<(), Error> {
        let (id, customer) = (record.id(), record.customer());
        let seller = if R::NOUN == Noun::BillingEntity { id.into() } else { record.billing_entity() };
        self.reach(caller, seller, customer, (R::NOUN, id)).await
    }
}

/// What is wrong with metadata, by part.
pub(crate) fn problems(metadata: &ResourceMetadata) -> Vec<FieldError> {
    let long = metadata.problems();
    if !long.is_empty() {
        return long;
    }
    // Before it is kept, so that no guest is told half an element.
    let wrong = |(name, text)| Some(FieldError::new(name, format!("is no XML: {}", xml_content(text).err()?)));
    metadata.parts().into_iter().filter_map(wrong).collect()
}
