//! Makes an image of a disk. Its server must not run, and does not start meanwhile: jobs of a server run one after another.

use super::{Apply, StepCtx, StepError, Work, guest::state_of, nothing, step::steps};
use crate::family::Family;
use async_trait::async_trait;
use sutler_drivers::storage::StoredImage;
use sutler_model::{DiskId, Image, ImageState, ServerState, Timestamp};

steps! {
    /// Order of work when making an image.
    ImageStep {
        /// Copies the disk where it lies.
        CopyDisk => "copy_disk",
        /// Copies the image to where other nodes find it.
        ShareImage => "share_image",
        /// Hands it over.
        Publish => "publish",
    }
}

/// The job.
pub(crate) struct CreateImage {
    pub(crate) disk_id: DiskId,
}

impl CreateImage {
    /// Copies the disk, or finds it copied.
    async fn stored(&self, ctx: &StepCtx<'_>) -> Result<StoredImage, StepError> {
        Ok(ctx.drivers()?.storage.capture_image(&image(ctx)?.storage_key, self.disk_id).await?)
    }
}

#[async_trait]
impl Work for CreateImage {
    type Step = ImageStep;
    const FIRST: ImageStep = ImageStep::CopyDisk;

    fn next(&self, done: ImageStep) -> Option<ImageStep> {
        match done {
            ImageStep::CopyDisk => Some(ImageStep::ShareImage),
            ImageStep::ShareImage => Some(ImageStep::Publish),
            ImageStep::Publish => None,
        }
    }

    async fn run(&self, step: ImageStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        match step {
            ImageStep::CopyDisk => {
                // A guest started by hand writes to its disk like any other.
                let seen = ctx.drivers()?.compute.see(ctx.server()?.id).await?;
                if state_of(seen.map(|guest| guest.state)) != ServerState::Stopped {
                    return Err(StepError::Permanent {
                        code: "server_not_stopped",
                        message: "the server runs; stop it before an image is made of it".to_owned(),
                        operator: None,
                    });
                }
                let stored = self.stored(ctx).await?;
                Ok(Box::new(move |family: &mut Family, _| {
                    if let Some(image) = &mut family.image {
                        image.sha256.clone_from(&stored.sha256);
                    }
                }))
            }
            ImageStep::ShareImage => {
                let (stored, own) = (self.stored(ctx).await?, ctx.drivers()?.storage);
                let file = own.image_file(&stored.storage_key);
                for storage in ctx.core.nodes.storages() {
                    if !std::sync::Arc::ptr_eq(&storage, &own) {
                        storage.share_image(&stored, &file).await?;
                    }
                }
                Ok(nothing())
            }
            ImageStep::Publish => Ok(Box::new(|family: &mut Family, _| {
                if let Some(image) = &mut family.image {
                    image.state = ImageState::Ready;
                }
            })),
        }
    }

    async fn undo(&self, _: ImageStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        // Nothing is made from an image that was never handed over.
        if let Some(image) = &ctx.family.image {
            for storage in ctx.core.nodes.storages() {
                storage.delete_image(&image.storage_key).await?;
            }
        }
        Ok(nothing())
    }

    fn gave_up(&self, family: &mut Family, _: Timestamp, _: &str) {
        family.image = None;
    }
}

/// The image's record.
fn image<'a>(ctx: &'a StepCtx<'_>) -> Result<&'a Image, StepError> {
    ctx.family.image.as_ref().ok_or_else(|| StepError::Permanent {
        code: "gone",
        message: "the image was deleted meanwhile".to_owned(),
        operator: None,
    })
}
