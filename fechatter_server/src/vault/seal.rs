//! How a file becomes an object: chunks, each sealed under the file's own key.
//!
//! | what | how |
//! |---|---|
//! | chunk | 64 KiB of the file, the last one shorter; an empty file has one empty chunk |
//! | sealed chunk | AES-256-GCM: as long as the chunk, and a tag of 16 bytes |
//! | nonce | three zero bytes, 1 for the last chunk and 0 for others, the chunk's number in 8 bytes |
//! | associated data | the format's number and the file's id |
//!
//! That is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance", 2015) with places that can be reached directly: a chunk that was moved, swapped,
//! cut off or changed does not open. A key seals one file, once, so that no nonce comes twice.

use std::ops::Range;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use bytes::{Bytes, BytesMut};
use chat_core::ids::FileId;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};

use super::VaultError;

/// The form described above; the number stands with each file.
pub(super) const FORMAT: i16 = 1;
/// Bytes of the file in a chunk.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes that sealing adds to a chunk.
const TAG: usize = 16;
/// Bytes of a whole sealed chunk.
pub(super) const SEALED: usize = CHUNK + TAG;

/// The key of one file.
pub(super) struct DataKey(SecretBox<[u8; 32]>);

impl DataKey {
    /// A fresh one.
    pub(super) fn random() -> Result<Self, VaultError> {
        let mut bytes = SecretBox::new(Box::new([0; 32]));
        rand::fill(bytes.expose_secret_mut()).map_err(|_| VaultError::Cryptography)?;
        Ok(Self(bytes))
    }

    /// None when there are not 32 of them.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(SecretBox::new(Box::new(bytes.try_into().ok()?))))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// For the chunks of this file.
    pub(super) fn cipher(&self, file: FileId) -> Result<Cipher, VaultError> {
        let key = UnboundKey::new(&AES_256_GCM, self.bytes()).map_err(|_| VaultError::Cryptography)?;
        Ok(Cipher { key: LessSafeKey::new(key), owner: owner(file) })
    }
}

/// What the key and the chunks of a file are bound to.
pub(super) fn owner(file: FileId) -> [u8; 18] {
    let mut owner = [0; 18];
    owner[..2].copy_from_slice(&FORMAT.to_be_bytes());
    owner[2..].copy_from_slice(file.0.as_bytes());
    owner
}

/// Seals and opens the chunks of one file.
pub(super) struct Cipher {
    key: LessSafeKey,
    owner: [u8; 18],
}

impl Cipher {
    /// Seals what stands in `buffer` from `from` on, in its place.
    pub(super) fn seal(
        &self,
        index: u64,
        is_last: bool,
        buffer: &mut Vec<u8>,
        from: usize,
    ) -> Result<(), VaultError> {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(index, is_last), Aad::from(self.owner), &mut buffer[from..])
            .map_err(|_| VaultError::Cryptography)?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// The bytes of a sealed chunk.
    pub(super) fn open(&self, index: u64, is_last: bool, mut sealed: BytesMut) -> Result<Bytes, VaultError> {
        let plain = self
            .key
            .open_in_place(nonce(index, is_last), Aad::from(self.owner), &mut sealed)
            .map_err(|_| VaultError::Damaged("a chunk does not open"))?
            .len();
        sealed.truncate(plain);
        Ok(sealed.freeze())
    }
}

fn nonce(index: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[3] = is_last.into();
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Where the chunks of a file of so many bytes lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    size: u64,
}

impl Layout {
    pub(super) fn of(size: u64) -> Self {
        Self { size }
    }

    /// The number of the last chunk.
    pub(super) fn last(self) -> u64 {
        self.size.saturating_sub(1) / CHUNK as u64
    }

    /// Bytes of the object. None for a size that no object can have.
    pub(super) fn sealed_size(self) -> Option<u64> {
        (self.last() + 1).checked_mul(TAG as u64)?.checked_add(self.size)
    }

    /// Where a chunk's bytes are in the file.
    pub(super) fn plain(self, index: u64) -> Range<u64> {
        let from = index * CHUNK as u64;
        from..self.size.min(from + CHUNK as u64)
    }

    /// Where a chunk's bytes are in the object.
    pub(super) fn sealed(self, index: u64) -> Range<u64> {
        let plain = self.plain(index);
        let from = index * SEALED as u64;
        from..from + (plain.end - plain.start) + TAG as u64
    }
}
