//! The key files: private keys that sign access tokens, and public keys that verify them.
//!
//! Both are PEM with the newest key last. At every moment the public file holds the public half of every private key,
//! so whoever changes the two adds to the public file first, and takes from it last: a crash in between leaves keys
//! that nobody signs with. A new key is left alone for `auth.new_key_delay_s` from the private file's change on, so
//! that every server has read its public half by then.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::{
    encoding::AsDer,
    signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey},
};
use chat_core::token::{LEEWAY_S, key_id, read_public_keys};
use chrono::{DateTime, TimeDelta, Utc};
use pem::Pem;

use crate::{config::AuthSettings, key_file};

/// For how much longer than it needs to be an old key is kept: clocks differ, and servers look now and then.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

/// A private key, and its public half of 32 bytes.
pub struct SigningKey {
    pub(super) pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl SigningKey {
    fn make() -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("an Ed25519 key could not be made"))?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("an Ed25519 key could not be written"))?;
        Ok(Self { pkcs8: pkcs8.as_ref().to_vec(), public: pair.public_key().as_ref().to_vec() })
    }

    fn parse(pem: &Pem) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pem.contents()).ok()?;
        Some(Self { pkcs8: pem.contents().to_vec(), public: pair.public_key().as_ref().to_vec() })
    }

    /// Its name in tokens.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(&self.public)
    }

    /// The public half: 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }
}

/// The keys of both files.
pub struct KeyRing {
    /// Those that sign, the newest last; at least one.
    pub signing: Vec<SigningKey>,
    /// Those that verify.
    pub verifying: Vec<Vec<u8>>,
    /// When the private file was changed.
    pub changed_at: DateTime<Utc>,
}

impl KeyRing {
    /// Reads the files that the settings name; without a public one, the private keys' own halves verify.
    ///
    /// # Errors
    /// A file that is not set, cannot be read, can be read by others, or holds anything else; a private key whose
    /// public half is missing.
    pub fn read(settings: &AuthSettings) -> anyhow::Result<Self> {
        let path = &settings.private_key_file;
        ensure!(
            !path.as_os_str().is_empty(),
            "auth.private_key_file is not set: name an Ed25519 key in PEM (PKCS#8), \
             as `openssl genpkey -algorithm ed25519` makes it"
        );
        let (signing, changed_at) = read_private_keys(path)?;
        let public = &settings.public_key_file;
        if public.as_os_str().is_empty() {
            let verifying = signing.iter().map(|key| key.public.clone()).collect();
            return Ok(Self { signing, verifying, changed_at });
        }
        let verifying = read_public_keys(public)?;
        ensure!(
            signing.iter().all(|key| verifying.contains(&key.public)),
            "{} does not hold the public half of every key of {}",
            public.display(),
            path.display()
        );
        Ok(Self { signing, verifying, changed_at })
    }

    /// From when on the newest key signs.
    #[must_use]
    pub fn newest_signs_from(&self, settings: &AuthSettings) -> DateTime<Utc> {
        if self.signing.len() == 1 { self.changed_at } else { self.changed_at + settings.new_key_delay() }
    }

    /// From when on no token is left that an older key than the newest signed.
    #[must_use]
    pub fn others_end_at(&self, settings: &AuthSettings) -> DateTime<Utc> {
        self.changed_at
            + settings.new_key_delay()
            + settings.access_token_life()
            + TimeDelta::seconds(LEEWAY_S)
            + MARGIN
    }
}

/// Makes a pair of keys in `dir`, `signing.pem` and `verifying.pem`, unless they are there; answers where.
///
/// # Errors
/// A folder or file that cannot be made, or a signing key that is there but of no use.
pub fn make_key_files(dir: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (private, public) = (dir.join("signing.pem"), dir.join("verifying.pem"));
    make(&private, &public)?;
    Ok((private, public))
}

/// Makes a pair of keys in these files, unless they are there.
///
/// # Errors
/// A folder or file that cannot be made, or a signing key that is there but of no use.
pub fn make(private: &Path, public: &Path) -> anyhow::Result<()> {
    // In one folder, both are the owner's alone; in two, anybody may read the public keys.
    key_file::make_folder_of(private, 0o700)?;
    key_file::make_folder_of(public, 0o755)?;
    if !private.try_exists()? {
        write_private(private, &[&SigningKey::make()?])?;
    }
    if !public.try_exists()? {
        let (signing, _) = read_private_keys(private)?;
        write_public(public, signing.iter().map(SigningKey::public_key))?;
    }
    Ok(())
}

/// Adds a new key to both files, which signs once every server knows it; answers its id.
///
/// # Errors
/// Files that cannot be read or written, and a key of the last rotation that does not sign yet.
pub fn rotate(settings: &AuthSettings, now: DateTime<Utc>) -> anyhow::Result<String> {
    let _alone = lock(settings)?;
    let mut ring = KeyRing::read(settings)?;
    let signs_from = ring.newest_signs_from(settings);
    if ring.signing.len() > 1 && now < signs_from {
        bail!("the key of the last rotation signs from {} on: rotate again after that", seconds(signs_from));
    }
    let new = SigningKey::make()?;
    let public = ring.verifying.iter().map(Vec::as_slice).chain([new.public_key()]);
    write_public(&settings.public_key_file, public)?;
    let newest = ring.signing.pop().context("a file of keys holds one")?;
    write_private(&settings.private_key_file, &[&newest, &new])?;
    Ok(new.id())
}

/// What came of pruning.
#[derive(Debug, PartialEq, Eq)]
pub enum Pruned {
    /// There is one key alone.
    Nothing,
    /// Tokens that older keys signed are still in force, until then.
    NotBefore(DateTime<Utc>),
    /// So many public keys are gone.
    Keys(usize),
}

/// Takes all keys but the newest out of both files, once no token of theirs is left, or `at_once`.
///
/// # Errors
/// Files that cannot be read or written.
pub fn prune(settings: &AuthSettings, at_once: bool, now: DateTime<Utc>) -> anyhow::Result<Pruned> {
    let _alone = lock(settings)?;
    let ring = KeyRing::read(settings)?;
    let others = ring.verifying.len() - 1;
    let newest = ring.signing.last().context("a file of keys holds one")?;
    if ring.signing.len() == 1 && others == 0 {
        return Ok(Pruned::Nothing);
    }
    let due = ring.others_end_at(settings);
    if !at_once && now < due {
        return Ok(Pruned::NotBefore(due));
    }
    if ring.signing.len() > 1 {
        write_private(&settings.private_key_file, &[newest])?;
    }
    write_public(&settings.public_key_file, [newest.public_key()])?;
    Ok(Pruned::Keys(others))
}

/// Keeps other commands out while it lives.
fn lock(settings: &AuthSettings) -> anyhow::Result<File> {
    ensure!(
        !settings.public_key_file.as_os_str().is_empty(),
        "auth.public_key_file is not set: name the file that notify_server verifies with"
    );
    key_file::lock(&settings.private_key_file, "signing key")
}

/// The private keys of a file, and when it was changed.
fn read_private_keys(path: &Path) -> anyhow::Result<(Vec<SigningKey>, DateTime<Utc>)> {
    let (blocks, changed_at) = key_file::read_private(path, "signing key")?;
    let keys: Vec<_> = blocks.iter().map_while(SigningKey::parse).collect();
    ensure!(
        !keys.is_empty() && keys.len() == blocks.len(),
        "the signing key {} is not an Ed25519 key in PEM (PKCS#8)",
        path.display()
    );
    Ok((keys, changed_at))
}

fn write_private(path: &Path, keys: &[&SigningKey]) -> anyhow::Result<()> {
    let blocks: Vec<_> = keys.iter().map(|key| Pem::new("PRIVATE KEY", key.pkcs8.as_slice())).collect();
    key_file::write_whole(path, &blocks, 0o600)
}

fn write_public<'key>(path: &Path, keys: impl IntoIterator<Item = &'key [u8]>) -> anyhow::Result<()> {
    let encode = |key: &[u8]| {
        let key = ParsedPublicKey::new(&ED25519, key).ok()?;
        Some(Pem::new("PUBLIC KEY", key.as_der().ok()?.as_ref()))
    };
    let blocks: Option<Vec<_>> = keys.into_iter().map(encode).collect();
    key_file::write_whole(path, &blocks.context("an Ed25519 key could not be written")?, 0o644)
}

fn seconds(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
