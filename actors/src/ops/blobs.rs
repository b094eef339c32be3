//! Blobs: small files that scripts and their packages bring along.

use super::{
    BlobPatch, NewBlob,
    race::again,
    reach::{missing, unchanged, valid},
};
use crate::{Caller, Error, System};
use sha2::{Digest, Sha256};
use sutler_model::{Blob, BlobContent, BlobId, FieldError, Noun, Permission, Scope, TriggerType, blob};
use sutler_store::{ChangeSet, Field};

impl System {
    /// Keeps a file for an owner within the caller's reach.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`] for an owner out of reach, [`Error::Forbidden`], [`Error::Quota`],
    /// [`Error::Refused`].
    pub async fn create_blob(&self, caller: &Caller, new: NewBlob) -> Result<Blob, Error> {
        self.create_blob_as(caller, self.inner.core.new_id(), new).await
    }

    /// The same under an id that the caller has derived, so that asking again cannot make a second one.
    pub(crate) async fn create_blob_as(&self, caller: &Caller, id: BlobId, new: NewBlob) -> Result<Blob, Error> {
        caller.must(Permission::ScriptsWrite)?;
        let billing_entity_id = match new.customer_id {
            Some(customer) => self.customer(caller, customer).await?.billing_entity_id,
            None => self.entity(caller, new.billing_entity_id).await?.id,
        };
        let at = self.inner.core.now();
        let mut blob = Blob {
            id,
            version: 0,
            name: new.name,
            billing_entity_id,
            customer_id: new.customer_id,
            media_type: new.media_type,
            bytes: new.content.len() as u64,
            sha256: sha256(&new.content),
            public: new.public,
            created_at: at,
            modified_at: at,
        };
        valid(blob.problems().into_iter().chain(too_long(&new.content)))?;
        let owner = blob.customer_id.map_or(billing_entity_id.0, |customer| customer.0);
        let used = self.store().index().count(Noun::Blob, Field::Subject, owner.as_bytes());
        if used >= blob::EACH {
            return Err(Error::Quota { what: "blobs", limit: blob::EACH as u64, used: used as u64, asked: 1 });
        }
        let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut blob).await?;
        let mut content = BlobContent { id: id.0.into(), version: 0, content: new.content };
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut blob).create(&mut content);
        self.store().commit(set).await?;
        Ok(blob)
    }

    /// Keeps a package's file under the version 5 UUID of its name, in place of what was there; true: it is new.
    ///
    /// # Errors
    /// As [`System::create_blob`]; [`Error::Taken`] when others have a file of this name.
    pub async fn put_blob(&self, caller: &Caller, id: BlobId, new: NewBlob) -> Result<(Blob, bool), Error> {
        caller.must(Permission::ScriptsWrite)?;
        if let Some(old) = self.store().get::<Blob>(id).await? {
            // Two sellers' packages may name a file alike; a customer is told as little as of any other id.
            let taken = || match caller.scope {
                Scope::Customer(_) => missing(Noun::Blob, id.0),
                _ => Error::Taken { noun: Noun::Blob, field: "id" },
            };
            let old = match self.blob(caller, id).await {
                Err(Error::NotFound { .. }) => return Err(taken()),
                _ if old.customer_id != new.customer_id => return Err(taken()),
                found => found?,
            };
            let patch = BlobPatch {
                name: Some(new.name),
                media_type: Some(new.media_type),
                public: Some(new.public),
                content: Some(new.content),
            };
            return Ok((self.update_blob(caller, old.id, None, patch).await?, false));
        }
        // Else a customer could sit on the names of its seller's packages, and any id on those to come.
        if matches!(caller.scope, Scope::Customer(_)) {
            return Err(missing(Noun::Blob, id.0));
        }
        if id.0.get_version_num() != 5 {
            let detail = "must be derived from a name (UUID version 5); leave it out by creating with POST";
            return Err(Error::Invalid(vec![FieldError::new("id", detail)]));
        }
        Ok((self.create_blob_as(caller, id, new).await?, true))
    }

    /// Changes a blob.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Refused`].
    pub async fn update_blob(
        &self,
        caller: &Caller,
        id: BlobId,
        if_match: Option<u64>,
        patch: BlobPatch,
    ) -> Result<Blob, Error> {
        caller.must(Permission::ScriptsWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let old = self.blob(caller, id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            new.name = patch.name.unwrap_or(new.name);
            new.media_type = patch.media_type.unwrap_or(new.media_type);
            new.public = patch.public.unwrap_or(new.public);
            let mut set = ChangeSet::new(caller.cause.clone());
            if let Some(bytes) = patch.content {
                valid(too_long(&bytes))?;
                new.bytes = bytes.len() as u64;
                new.sha256 = sha256(&bytes);
                if new.sha256 != old.sha256 {
                    let before: BlobContent = self.find(id.0).await?;
                    let mut after = BlobContent { content: bytes, ..before.clone() };
                    set.update(&before, &mut after);
                }
            }
            valid(new.problems())?;
            if new == old {
                return Ok(old);
            }
            new.modified_at = self.inner.core.now();
            let _decided = self.inner.scripts.before(caller, TriggerType::PreModify, &mut new).await?;
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            Ok(new)
        })
        .await
    }

    /// Deletes a blob and its content.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Refused`].
    pub async fn delete_blob(&self, caller: &Caller, id: BlobId, if_match: Option<u64>) -> Result<(), Error> {
        caller.must(Permission::ScriptsWrite)?;
        again(if_match, async || {
            let old = self.blob(caller, id).await?;
            unchanged(&old, if_match)?;
            let _decided = self.inner.scripts.before(caller, TriggerType::PreDelete, &mut old.clone()).await?;
            let content: BlobContent = self.find(id.0).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.delete(&old).delete(&content);
            self.store().commit(set).await?;
            Ok(())
        })
        .await
    }

    /// What a blob holds, for those who may see it: whose reach it lies in, and where it is public everybody.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Store`] also for content that no longer has its checksum.
    pub async fn blob_content(&self, caller: Option<&Caller>, id: BlobId) -> Result<(Blob, Vec<u8>), Error> {
        let read = self.store().read(move |s| Ok((s.get::<Blob>(id)?, s.get::<BlobContent>(id.0)?)));
        let (Some(blob), Some(content)) = read.await? else { return Err(missing(Noun::Blob, id.0)) };
        if !blob.public {
            let caller = caller.ok_or_else(|| missing(Noun::Blob, id.0))?;
            self.reach(caller, blob.billing_entity_id, blob.customer_id, (Noun::Blob, id.0)).await?;
        }
        if sha256(&content.content) != blob.sha256 {
            tracing::error!(blob = %id, "the content does not have its checksum");
            return Err(Error::Store(sutler_store::Error::Corrupt {
                path: self.store().path().to_owned(),
                detail: format!("the content of blob {id} does not have its checksum"),
            }));
        }
        Ok((blob, content.content))
    }

    /// A blob within the caller's reach.
    pub(crate) async fn blob(&self, caller: &Caller, id: BlobId) -> Result<Blob, Error> {
        let blob: Blob = self.find(id).await?;
        self.reach(caller, blob.billing_entity_id, blob.customer_id, (Noun::Blob, id.0)).await?;
        Ok(blob)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn too_long(content: &[u8]) -> Option<FieldError> {
    let (bytes, most) = (content.len(), blob::BYTES);
    (bytes > most).then(|| FieldError::new("content", format!("has {bytes} bytes; at most {most} are allowed")))
}
