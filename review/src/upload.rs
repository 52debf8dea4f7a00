//! A capture that comes in: streamed to disk, looked at no further than its first bytes, kept only when it is whole.

use crate::capture::{CaptureId, Format};
use crate::download::blocking;
use crate::error::ApiError;
use crate::folder::Folder;
use crate::store::{LOG, Store};
use crate::token::Token;
use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long an upload may pause before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the body in as a capture called `name`, of at most `limit` bytes.
pub(crate) async fn upload(store: &Arc<Store>, name: &str, body: Body, limit: u64) -> Result<(CaptureId, Token), ApiError> {
    let keeping = |error| ApiError::io("Keeping the upload", &error);
    let id = CaptureId::random().map_err(keeping)?;
    let (folder, lock) = store.part(&id).map_err(keeping)?;
    let mut part = Part { folder, store: Arc::clone(store), id: id.clone(), is_taken: false };
    let folder = part.folder.clone();
    let mut file = blocking(move || folder.create_file(LOG)).await.map_err(keeping)?;

    let mut head = Vec::with_capacity(4);
    let mut size: u64 = 0;
    let mut data = body.into_data_stream();
    loop {
        let piece = match tokio::time::timeout(PATIENCE, data.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(broken_off(size, &error.to_string())),
            Err(_) => return Err(broken_off(size, "nothing came for a minute")),
        };
        size += piece.len() as u64;
        if size > limit {
            return Err(ApiError::too_large(limit));
        }
        if head.len() < 4 {
            head.extend(piece.iter().take(4 - head.len()));
            if head.len() == 4 {
                recognise(&head)?;
            }
        }
        file = blocking(move || write(file, &piece)).await.map_err(keeping)?;
    }
    recognise(&head)?;
    blocking(move || file.sync_all()).await.map_err(keeping)?;

    let (store, name, taken) = (Arc::clone(store), name.to_owned(), id.clone());
    let token = blocking(move || part.hand_over(|folder| store.take(taken, &name, folder, lock))).await.map_err(keeping)?;
    Ok((id, token))
}

/// Refuses what cannot be a capture before the rest of it is taken in.
fn recognise(head: &[u8]) -> Result<(), ApiError> {
    match Format::of(head) {
        Format::Unknown => Err(ApiError::not_a_capture(head)),
        Format::PcapNg | Format::Pcap | Format::Gzip | Format::Zstd | Format::Lz4 => Ok(()),
    }
}

fn write(mut file: File, piece: &Bytes) -> std::io::Result<File> {
    file.write_all(piece)?;
    Ok(file)
}

fn broken_off(size: u64, why: &str) -> ApiError {
    ApiError::bad_request(format!("The upload broke off after {size} bytes: {why}."), "Send the file again.")
}

/// The folder of an upload on its way: removed unless it was handed over.
struct Part {
    folder: Folder,
    store: Arc<Store>,
    id: CaptureId,
    is_taken: bool,
}

impl Part {
    fn hand_over<T>(&mut self, take: impl FnOnce(&Folder) -> std::io::Result<T>) -> std::io::Result<T> {
        let taken = take(&self.folder)?;
        self.is_taken = true;
        Ok(taken)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_taken
            && let Err(error) = self.store.remove_part(&self.id)
        {
            tracing::warn!("{}, of an upload that failed, cannot be removed: {error}", self.folder.path().display());
        }
    }
}
