//! An object in the making, in parts.

use std::mem;

use bytes::Bytes;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, Result as StoreResult,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use tokio::{runtime::Handle, task::JoinHandle};

use super::{
    VaultError,
    metrics::{Operation, measured},
    place::Place,
};

/// Seen by nobody until it is complete. Dropped before, it leaves nothing.
pub(super) struct Draft {
    place: Place,
    path: Path,
    state: State,
    /// The part that is on its way.
    sending: Option<JoinHandle<Result<Option<PartId>, VaultError>>>,
}

enum State {
    /// No part is full yet.
    Empty,
    /// A file beside the one that it becomes.
    Folder(Box<dyn MultipartUpload>),
    /// An upload of S3, and its parts.
    S3(Multipart, Vec<PartId>),
    /// It is an object.
    Complete,
}

/// An upload of several parts at S3. Its note is there as long as it may be.
pub(super) struct Multipart {
    pub(super) path: Path,
    pub(super) id: String,
    pub(super) note: Path,
}

impl Multipart {
    /// Begins it. What fails after that leaves an upload without a note, which S3's own rules of the bucket end.
    async fn begin(store: &(impl MultipartStore + ObjectStore), path: &Path) -> StoreResult<Self> {
        let name = path.filename().unwrap_or_default();
        let note = Path::from_iter(["uploads", name]);
        let upload = Self { path: path.clone(), id: store.create_multipart(path).await?, note };
        let text = format!("{}\n{}", upload.path, upload.id);
        if let Err(error) = store.put(&upload.note, PutPayload::from(text)).await {
            store.abort_multipart(path, &upload.id).await?;
            return Err(error);
        }
        Ok(upload)
    }

    /// Reads a note.
    pub(super) fn parse(note: Path, text: &str) -> Option<Self> {
        let (path, id) = text.split_once('\n')?;
        Some(Self { path: Path::parse(path).ok()?, id: id.to_owned(), note })
    }

    /// Ends it without an object, and removes the note.
    pub(super) async fn abort(&self, store: &(impl MultipartStore + ObjectStore)) -> Result<(), VaultError> {
        match store.abort_multipart(&self.path, &self.id).await.map_err(VaultError::from) {
            // It was ended, or has become an object.
            Ok(()) | Err(VaultError::Missing(_)) => Ok(store.delete(&self.note).await?),
            Err(error) => Err(error),
        }
    }
}

impl Draft {
    pub(super) fn new(place: Place, path: Path) -> Self {
        Self { place, path, state: State::Empty, sending: None }
    }

    /// Sends a part, once the one before has arrived: two parts are in memory, and no more.
    pub(super) async fn put_part(&mut self, part: Bytes) -> Result<(), VaultError> {
        self.arrived().await?;
        if matches!(self.state, State::Empty) {
            self.state = match &self.place {
                Place::Folder(store, _) => State::Folder(store.put_multipart(&self.path).await?),
                Place::S3(store) => State::S3(Multipart::begin(&**store, &self.path).await?, Vec::new()),
            };
        }
        self.send(part);
        Ok(())
    }

    /// Makes it an object that ends with `last`; durable when this returns.
    pub(super) async fn complete(mut self, last: Bytes) -> Result<(), VaultError> {
        if matches!(self.state, State::Empty) {
            let put = async { Ok(self.place.store().put(&self.path, last.into()).await?) };
            measured(Operation::Write, put).await?;
            self.state = State::Complete;
            return Ok(());
        }
        self.arrived().await?;
        self.send(last);
        self.arrived().await?;
        let completing = async {
            match (&mut self.state, &self.place) {
                (State::Folder(upload), _) => drop(upload.complete().await?),
                (State::S3(upload, parts), Place::S3(store)) => {
                    store.complete_multipart(&upload.path, &upload.id, mem::take(parts)).await?;
                    // The object is there: a note that stays behind is swept.
                    let _ = store.delete(&upload.note).await;
                }
                _ => {}
            }
            Ok(())
        };
        measured(Operation::Write, completing).await?;
        self.state = State::Complete;
        Ok(())
    }

    /// Sends a part in a task of its own.
    fn send(&mut self, part: Bytes) {
        self.sending = match (&mut self.state, &self.place) {
            (State::Folder(upload), _) => {
                let written = upload.put_part(part.into());
                let write = async move { Ok(written.await.map(|()| None)?) };
                Some(tokio::spawn(measured(Operation::Write, write)))
            }
            (State::S3(upload, parts), Place::S3(store)) => {
                let (store, path, id) = (store.clone(), upload.path.clone(), upload.id.clone());
                let number = parts.len();
                let write = async move { Ok(Some(store.put_part(&path, &id, number, part.into()).await?)) };
                Some(tokio::spawn(measured(Operation::Write, write)))
            }
            _ => None,
        };
    }

    /// Waits for the part that is on its way.
    async fn arrived(&mut self) -> Result<(), VaultError> {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        let arrived = sending.await;
        self.sending = None;
        let arrived = arrived.map_err(|error| object_store::Error::JoinError { source: error })??;
        if let (State::S3(_, parts), Some(part)) = (&mut self.state, arrived) {
            parts.push(part);
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // A file that was not renamed removes itself.
        let State::S3(upload, _) = mem::replace(&mut self.state, State::Complete) else { return };
        let (Place::S3(store), Ok(runtime)) = (&self.place, Handle::try_current()) else { return };
        let (store, sending) = (store.clone(), self.sending.take());
        runtime.spawn(async move {
            // A part that arrives after the end would stay.
            if let Some(sending) = sending {
                let _ = sending.await;
            }
            if let Err(error) = upload.abort(&*store).await {
                tracing::warn!(%error, "an upload to S3 could not be ended; it is swept later");
            }
        });
    }
}
