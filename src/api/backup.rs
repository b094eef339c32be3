//! A copy of the store while it runs, as a download.

use super::{Api, Shared, common::Answer, extract::Who, problem::Problem};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, header},
    response::IntoResponse,
};
use futures_util::stream;
use std::{io, path::Path, sync::Arc};
use sutler_model::Permission;
use tokio::{
    fs::{self, File},
    io::AsyncReadExt,
    sync::OwnedMutexGuard,
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Where the copy is made, beside the store: one name, so that a copy left by a crash is found and removed.
const FILE: &str = "download.copy";
/// Bytes handed on at once.
const PIECE: usize = 256 * 1024;
/// The last event that a copy holds.
const SEQ: HeaderName = HeaderName::from_static("sutler-seq");

/// The route of copies.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(download_backup))
}

/// Copy the store.
///
/// Everything that was committed when the request came, of all tenants, as a file that `sutler restore` takes. Writing
/// goes on meanwhile. The header `Sutler-Seq` is the position of the last event in it.
#[utoipa::path(get, path = "/backup", tag = "operation",
    responses((status = 200, description = "The copy.", body = [u8], content_type = "application/octet-stream",
        headers(("Sutler-Seq" = u64, description = "The last event it holds.")))))]
async fn download_backup(State(api): State<Arc<Api>>, Who(caller): Who) -> Answer {
    caller.must(Permission::OperatorWrite)?;
    let Ok(turn) = api.copying.clone().try_lock_owned() else {
        return Err(Problem::conflict("state", "Another copy is being made or fetched; ask again when it is done."));
    };
    let store = api.store();
    let path = store.path().with_file_name(FILE);
    remove(&path).await.map_err(|e| Problem::internal(&e))?;
    let copied = store.backup(path.clone()).await.map_err(sutler_actors::Error::from)?;
    let file = File::open(&path).await.map_err(|e| Problem::internal(&e))?;
    // Nothing is left behind whatever becomes of us: the open file is all there is.
    remove(&path).await.map_err(|e| Problem::internal(&e))?;
    let length = file.metadata().await.map_err(|e| Problem::internal(&e))?.len();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"sutler-{}.redb\"", copied.seq)),
        (SEQ, copied.seq.to_string()),
    ];
    Ok((headers, Body::from_stream(stream::try_unfold((file, turn), piece))).into_response())
}

async fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The next piece of the copy; the turn ends with the download.
async fn piece<T>(
    (mut file, turn): (File, OwnedMutexGuard<T>),
) -> io::Result<Option<(Bytes, (File, OwnedMutexGuard<T>))>> {
    let mut piece = Vec::with_capacity(PIECE);
    match file.read_buf(&mut piece).await? {
        0 => Ok(None),
        _ => Ok(Some((piece.into(), (file, turn)))),
    }
}
