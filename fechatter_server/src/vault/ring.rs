//! The key ring: the keys that wrap the files' own keys.
//!
//! The file is PEM with the newest key last. Every key opens what it wrapped; the newest wraps, once every server has
//! read it: `files.new_key_delay_s` after the file was changed. A key's name is taken from the key itself, so that no
//! two keys can come to share one.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest::{SHA256, digest},
    rand,
};
use chat_core::clock::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use pem::Pem;
use secrecy::{ExposeSecret, SecretBox};

use super::{VaultError, WrappedKey, seal::DataKey, settings::FileSettings};
use crate::key_file;

/// What stands around a key in the file.
const ARMOUR: &str = "FECHATTER FILE KEY";
/// What a key's name and what it wraps belong to: bytes made for anything else never fit.
const CONTEXT: &[u8] = b"fechatter file key 1";
/// For how much longer than it needs to be an old key is kept: a file may be on its way into its row.
const MARGIN: TimeDelta = TimeDelta::minutes(15);

/// A key of the ring.
struct RingKey {
    bytes: SecretBox<[u8; 32]>,
    id: String,
    wraps: RandomizedNonceKey,
}

impl RingKey {
    fn make() -> anyhow::Result<Self> {
        let mut bytes = SecretBox::new(Box::new([0; 32]));
        rand::fill(secrecy::ExposeSecretMut::expose_secret_mut(&mut bytes))
            .map_err(|_| anyhow!("the operating system gives no random bytes"))?;
        Self::of(bytes).context("a file key could not be made")
    }

    fn of(bytes: SecretBox<[u8; 32]>) -> Option<Self> {
        let named = digest(&SHA256, &[CONTEXT, bytes.expose_secret().as_slice()].concat());
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
        let id = named.as_ref()[..8].iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        let wraps = RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes.expose_secret()).ok()?;
        Some(Self { bytes, id, wraps })
    }

    fn parse(block: &Pem) -> Option<Self> {
        let bytes = block.contents().try_into().ok().filter(|_| block.tag() == ARMOUR)?;
        Self::of(SecretBox::new(Box::new(bytes)))
    }

    fn armoured(&self) -> Pem {
        Pem::new(ARMOUR, self.bytes.expose_secret().as_slice())
    }
}

/// The keys of the file.
pub struct FileKeys {
    /// The newest last; at least one.
    keys: Vec<RingKey>,
    /// When the file was changed.
    changed_at: DateTime<Utc>,
    delay: TimeDelta,
}

impl FileKeys {
    /// Reads the file that the settings name.
    ///
    /// # Errors
    /// A file that is not set, cannot be read, can be read by others, or holds anything else.
    pub fn read(settings: &FileSettings) -> anyhow::Result<Self> {
        let path = &settings.key_file;
        ensure!(
            !path.as_os_str().is_empty(),
            "files.key_file is not set: name the file of the keys that encrypt files; \
             `fechatter keys files make` makes it"
        );
        let (blocks, changed_at) = key_file::read_private(path, "file keys")?;
        let keys: Vec<_> = blocks.iter().map_while(RingKey::parse).collect();
        ensure!(
            !keys.is_empty() && keys.len() == blocks.len(),
            "the file keys {} are not what `fechatter keys files make` makes",
            path.display()
        );
        Ok(Self { keys, changed_at, delay: settings.new_key_delay() })
    }

    /// The same keys, as a server takes them that had others. The delay of one that it has not seen before counts from
    /// now: a file that was copied may be older than its arrival.
    pub(super) fn in_place_of(mut self, before: &Self, now: DateTime<Utc>) -> Self {
        let known = self.ids().next_back() == before.ids().next_back();
        self.changed_at = self.changed_at.max(if known { before.changed_at } else { now });
        self
    }

    /// The names of the keys, the newest last.
    #[must_use]
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// From when on the newest key wraps.
    #[must_use]
    pub fn newest_wraps_from(&self) -> DateTime<Utc> {
        if self.keys.len() == 1 { self.changed_at } else { self.changed_at + self.delay }
    }

    /// From when on no server wraps by an older key than the newest.
    #[must_use]
    pub fn others_end_at(&self) -> DateTime<Utc> {
        self.changed_at + self.delay + MARGIN
    }

    /// The key that wraps now.
    fn current(&self, now: DateTime<Utc>) -> Option<&RingKey> {
        let waits = self.keys.len() > 1 && now < self.newest_wraps_from();
        self.keys.iter().rev().nth(usize::from(waits))
    }

    /// The name of the key that wraps now.
    #[must_use]
    pub fn current_id(&self, now: DateTime<Utc>) -> Option<&str> {
        self.current(now).map(|key| key.id.as_str())
    }

    /// Wraps the key of what `owner` names.
    pub(super) fn wrap(
        &self,
        key: &DataKey,
        owner: &[u8],
        now: DateTime<Utc>,
    ) -> Result<WrappedKey, VaultError> {
        let current = self.current(now).ok_or(VaultError::Cryptography)?;
        let mut sealed = key.bytes().to_vec();
        let nonce = current
            .wraps
            .seal_in_place_append_tag(Aad::from(bound_to(owner, &current.id)), &mut sealed)
            .map_err(|_| VaultError::Cryptography)?;
        let wrapped_key = [nonce.as_ref().as_slice(), &sealed].concat();
        Ok(WrappedKey { key_id: current.id.clone(), wrapped_key })
    }

    /// The key that [`Self::wrap`] wrapped.
    pub(super) fn unwrap(&self, key_id: &str, wrapped: &[u8], owner: &[u8]) -> Result<DataKey, VaultError> {
        let key = self.keys.iter().find(|key| key.id == key_id);
        let key = key.ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))?;
        let damaged = VaultError::Damaged("its key was not wrapped by this key ring, or not for it");
        let Some((nonce, sealed)) = wrapped.split_first_chunk::<NONCE_LEN>() else { return Err(damaged) };
        let mut sealed = SecretBox::<Vec<u8>>::new(Box::new(sealed.to_vec()));
        let opened = key.wraps.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(bound_to(owner, key_id)),
            secrecy::ExposeSecretMut::expose_secret_mut(&mut sealed),
        );
        match opened.map(|plain| DataKey::from_bytes(plain)) {
            Ok(Some(key)) => Ok(key),
            Ok(None) | Err(_) => Err(damaged),
        }
    }
}

/// What a wrapped key is good for: one object, under one key of the ring.
fn bound_to(owner: &[u8], key_id: &str) -> Vec<u8> {
    [CONTEXT, b"\0", key_id.as_bytes(), b"\0", owner].concat()
}

/// Makes the first key of this file, unless it is there.
///
/// # Errors
/// A folder or file that cannot be made, or one that is there but of no use.
pub fn make_file_keys(path: &Path) -> anyhow::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    key_file::make_folder_of(path, 0o700)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _alone = key_file::lock_folder(folder)?;
    // Two who make a key at once would leave files that the one of them cannot read.
    if !path.try_exists()? {
        key_file::write_whole(path, &[RingKey::make()?.armoured()], 0o600)?;
    }
    Ok(())
}

/// Adds a new key, which wraps once every server has read it; answers its name.
///
/// # Errors
/// A file that cannot be read or written, and a key of the last rotation that does not wrap yet.
pub fn rotate(settings: &FileSettings, clock: &Clock) -> anyhow::Result<String> {
    let _alone = key_file::lock(&settings.key_file, "file keys")?;
    let ring = FileKeys::read(settings)?;
    let from = ring.newest_wraps_from();
    if ring.keys.len() > 1 && clock.now() < from {
        let from = from.format("%Y-%m-%dT%H:%M:%SZ");
        bail!("the key of the last rotation wraps from {from} on: rotate again after that");
    }
    let new = RingKey::make()?;
    let blocks: Vec<_> = ring.keys.iter().chain([&new]).map(RingKey::armoured).collect();
    key_file::write_whole(&settings.key_file, &blocks, 0o600)?;
    Ok(new.id)
}

/// Takes the keys of these names out of the file; never the newest.
///
/// # Errors
/// A file that cannot be read or written, and keys that may still be in use.
pub fn remove(settings: &FileSettings, ids: &[String], clock: &Clock) -> anyhow::Result<()> {
    let _alone = key_file::lock(&settings.key_file, "file keys")?;
    let ring = FileKeys::read(settings)?;
    let newest = ring.ids().next_back().context("a file of keys holds one")?;
    ensure!(!ids.iter().any(|id| id == newest), "{newest} is the newest key, which wraps");
    let due = ring.others_end_at();
    ensure!(
        clock.now() >= due,
        "servers may use older keys until {}: nothing was removed",
        due.format("%Y-%m-%dT%H:%M:%SZ")
    );
    let kept = ring.keys.iter().filter(|key| !ids.contains(&key.id));
    let blocks: Vec<_> = kept.map(RingKey::armoured).collect();
    key_file::write_whole(&settings.key_file, &blocks, 0o600)
}
