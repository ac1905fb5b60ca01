//! A file on its way in.

use std::mem;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use chat_core::ids::FileId;

use super::{
    StoredFile, Vault, VaultError, WrappedKey,
    draft::Draft,
    metrics::TRAFFIC,
    place::Place,
    seal::{CHUNK, Cipher, DataKey, FORMAT},
};

/// A file on its way in. It takes two parts of memory at most, 2 MiB for a folder and 10 MiB for S3, whatever its size.
/// Dropped before [`Upload::finish`] has returned, it leaves no object.
pub struct Upload {
    vault: Vault,
    id: FileId,
    key: DataKey,
    cipher: Cipher,
    hash: Context,
    size: u64,
    /// The number of the chunk that is being filled.
    index: u64,
    /// Sealed chunks, and then the one that is being filled, from `open_from` on.
    part: Vec<u8>,
    open_from: usize,
    /// False once a write failed or was given up in the middle: then a part may be lost.
    intact: bool,
    draft: Draft,
}

impl Upload {
    pub(super) fn begin(vault: Vault, id: FileId) -> Result<Self, VaultError> {
        let key = DataKey::random()?;
        let draft = Draft::new(vault.0.place.clone(), Place::path_of(id));
        Ok(Self {
            cipher: key.cipher(id)?,
            key,
            vault,
            id,
            hash: Context::new(&SHA256),
            size: 0,
            index: 0,
            part: Vec::new(),
            open_from: 0,
            intact: true,
            draft,
        })
    }

    /// Bytes that it has been given.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes; waits while the place is slower than they come.
    ///
    /// # Errors
    /// What the place says, of these bytes or of those before them. Then the upload is of no more use.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), VaultError> {
        self.check()?;
        self.intact = false;
        self.hash.update(&bytes);
        self.size += bytes.len() as u64;
        TRAFFIC.written.increment(bytes.len() as u64);
        while !bytes.is_empty() {
            let filled = self.part.len() - self.open_from;
            // A full chunk is sealed when there is more: the last one is sealed otherwise.
            if filled == CHUNK {
                self.seal(false)?;
                if self.part.len() >= self.vault.0.place.part() {
                    let next = Vec::with_capacity(self.part.len());
                    let part = mem::replace(&mut self.part, next);
                    self.open_from = 0;
                    self.draft.put_part(part.into()).await?;
                }
                continue;
            }
            let more = bytes.split_to(bytes.len().min(CHUNK - filled));
            self.part.extend_from_slice(&more);
        }
        self.intact = true;
        Ok(())
    }

    /// Makes the file one that can be read; it is durable when this returns.
    ///
    /// # Errors
    /// What the place says; then there is no object.
    pub async fn finish(mut self) -> Result<StoredFile, VaultError> {
        self.check()?;
        self.seal(true)?;
        self.draft.complete(mem::take(&mut self.part).into()).await?;
        // Last, so that a key of the ring is not in use any longer than the row takes to be written.
        let WrappedKey { key_id, wrapped_key } = self.vault.wrap(self.id, &self.key)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.finish().as_ref());
        Ok(StoredFile {
            id: self.id,
            location: Place::path_of(self.id).into(),
            size: self.size,
            sha256,
            key_id,
            wrapped_key,
            format: FORMAT,
        })
    }

    fn check(&self) -> Result<(), VaultError> {
        if self.intact { Ok(()) } else { Err(VaultError::Damaged("a part of it was not written")) }
    }

    fn seal(&mut self, is_last: bool) -> Result<(), VaultError> {
        self.cipher.seal(self.index, is_last, &mut self.part, self.open_from)?;
        self.open_from = self.part.len();
        self.index += 1;
        Ok(())
    }
}
