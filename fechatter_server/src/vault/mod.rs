//! The storage of files: bytes in, bytes out, encrypted, in a folder or on S3.
//!
//! Each file has a key of its own, which lies in the file's row, wrapped by a key of the key ring ([`ring`]); the object
//! holds sealed chunks ([`seal`]), so that a part of a file is read without the rest. An object is written once, never
//! changed, and seen only when it is whole.

mod download;
mod draft;
mod metrics;
mod place;
pub mod ring;
mod seal;
pub mod settings;
mod tending;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use chat_core::{clock::Clock, ids::FileId};
use chrono::{DateTime, Utc};
use futures::Stream;

pub(crate) use self::tending::tend;
pub use self::{metrics::Standing, upload::Upload};
use self::{
    metrics::{Operation, measured},
    place::Place,
    ring::FileKeys,
    seal::{DataKey, owner},
    settings::FileSettings,
};

/// The storage of files; cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    place: Place,
    keys: RwLock<Arc<FileKeys>>,
    settings: FileSettings,
    clock: Clock,
    standing: Standing,
}

/// What is known of a stored file, for its row: whoever reads it needs all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// The file.
    pub id: FileId,
    /// The name of its object.
    pub location: String,
    /// Bytes of the file, as it was given.
    pub size: u64,
    /// The hash of these bytes.
    pub sha256: [u8; 32],
    /// The key of the ring that wrapped the file's own.
    pub key_id: String,
    /// The file's own key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// The form of the object: 1.
    pub format: i16,
}

impl StoredFile {
    /// The file of a row of `files`.
    #[must_use]
    pub fn of_row(
        id: FileId,
        location: String,
        size: i64,
        sha256: Vec<u8>,
        key_id: String,
        wrapped_key: Vec<u8>,
        format: i16,
    ) -> Self {
        // The table's constraints see to both.
        let (size, sha256) = (size.unsigned_abs(), sha256.try_into().unwrap_or_default());
        Self { id, location, size, sha256, key_id, wrapped_key, format }
    }
}

/// A file's own key, under a key of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The name of the key of the ring.
    pub key_id: String,
    /// 60 bytes: a nonce, the key and a tag.
    pub wrapped_key: Vec<u8>,
}

/// Why a file cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no object of this name.
    #[error("there is no object {0}")]
    Missing(String),
    /// The object is not the one that was stored: never answered by wrong bytes.
    #[error("the object is not what was stored: {0}")]
    Damaged(&'static str),
    /// The ring lacks the key that wrapped the file's own.
    #[error("the key ring has no key {0}")]
    UnknownKey(String),
    /// More than there is was asked for.
    #[error("bytes {from} to {to} are not in a file of {size}")]
    Range {
        /// The first.
        from: u64,
        /// After the last.
        to: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The operating system gives no random bytes, or the file is beyond what can be encrypted.
    #[error("encryption failed")]
    Cryptography,
    /// The folder or S3 does not do what it should; trying again later may help.
    #[error("the place of files fails: {0}")]
    Place(object_store::Error),
}

impl Vault {
    /// The storage that the settings name, with the keys of the ring.
    ///
    /// # Errors
    /// Keys that cannot be used, a folder that cannot be written, S3 settings that cannot be used. Whether S3 answers
    /// is not asked: chats go on without it, and [`Vault::standing`] tells.
    pub fn open(settings: &FileSettings, clock: &Clock) -> anyhow::Result<Self> {
        let keys = FileKeys::read(settings)?;
        let place = Place::open(settings)?;
        let inner = Inner {
            place,
            keys: RwLock::new(Arc::new(keys)),
            settings: settings.clone(),
            clock: clock.clone(),
            standing: Standing::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Begins the object of a new file, under a key of its own. An id is good for one object.
    ///
    /// # Errors
    /// No random bytes.
    #[expect(clippy::unused_async, reason = "a place may have to be asked first; who uploads waits anyway")]
    pub async fn begin(&self, id: FileId) -> Result<Upload, VaultError> {
        Upload::begin(self.clone(), id)
    }

    /// The bytes of a file within `range`, of which whole chunks are read and checked.
    ///
    /// # Errors
    /// A range beyond the file, a key that the ring lacks, or an object that is missing or of another size; the stream
    /// ends by an error where a chunk is not what was stored.
    pub async fn read(
        &self,
        stored: &StoredFile,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, VaultError>> + Send + 'static + use<>, VaultError> {
        measured(Operation::Read, download::begin(self, stored, range)).await
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// What the place says.
    pub async fn remove(&self, location: &str) -> Result<(), VaultError> {
        measured(Operation::Remove, self.0.place.remove(location)).await
    }

    /// Every object, with the time when it became whole, in no order.
    pub fn list(
        &self,
    ) -> impl Stream<Item = Result<(String, DateTime<Utc>), VaultError>> + Send + 'static + use<> {
        self.0.place.list()
    }

    /// Bytes of an object; none when it is not there.
    ///
    /// # Errors
    /// What the place says.
    pub async fn size_of_object(&self, location: &str) -> Result<Option<u64>, VaultError> {
        self.0.place.size(location).await
    }

    /// The file's own key, under the key of the ring that wraps now.
    ///
    /// # Errors
    /// A key that the ring lacks, or that was not wrapped for this file.
    pub fn rewrap(&self, stored: &StoredFile) -> Result<WrappedKey, VaultError> {
        self.wrap(stored.id, &self.key_of(stored)?)
    }

    /// The name of the key that wraps now.
    #[must_use]
    pub fn current_key_id(&self) -> Option<String> {
        self.keys().current_id(self.0.clock.now()).map(str::to_owned)
    }

    /// Takes the keys of the file in place of those that it has.
    ///
    /// # Errors
    /// Keys that cannot be used: those from before stay in force.
    pub fn reload_keys(&self) -> anyhow::Result<()> {
        let read = FileKeys::read(&self.0.settings)?;
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Arc::new(read.in_place_of(&keys, self.0.clock.now()));
        Ok(())
    }

    /// Whether the place could be written when it was last tried.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.0.standing
    }

    fn keys(&self) -> Arc<FileKeys> {
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn wrap(&self, id: FileId, key: &DataKey) -> Result<WrappedKey, VaultError> {
        self.keys().wrap(key, &owner(id), self.0.clock.now())
    }

    fn key_of(&self, stored: &StoredFile) -> Result<DataKey, VaultError> {
        if stored.format != seal::FORMAT {
            return Err(VaultError::Damaged("it is of a form that this program does not know"));
        }
        self.keys().unwrap(&stored.key_id, &stored.wrapped_key, &owner(stored.id))
    }
}
