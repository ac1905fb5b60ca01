//! Signs access tokens, and makes the keys for it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, ensure};
use aws_lc_rs::{
    encoding::AsDer,
    signature::{Ed25519KeyPair, KeyPair},
};
use chat_core::{
    ids::{SessionId, UserId},
    token::{Claims, TOKEN_TYPE, TokenNames, key_id},
};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pem::Pem;
use uuid::Uuid;

use crate::{config::AuthSettings, error::Error};

/// The permissions of everybody but a file's owner.
const OTHERS: u32 = 0o077;

/// Holds the private key.
pub struct Issuer {
    key: EncodingKey,
    public_key: Vec<u8>,
    header: Header,
    names: TokenNames,
    life: TimeDelta,
}

impl Issuer {
    /// An issuer with the key file that the settings name.
    ///
    /// # Errors
    /// A file that is not set, cannot be read, can be read by others, or holds no Ed25519 key.
    pub fn from_settings(settings: &AuthSettings) -> anyhow::Result<Self> {
        let path = &settings.private_key_file;
        ensure!(
            !path.as_os_str().is_empty(),
            "auth.private_key_file is not set: name an Ed25519 key in PEM (PKCS#8), \
             as `openssl genpkey -algorithm ed25519` makes it"
        );
        let (pkcs8, pair) = read_private_key(path)?;
        let public_key = pair.public_key().as_ref().to_vec();
        let header = Header {
            typ: Some(TOKEN_TYPE.to_owned()),
            kid: Some(key_id(&public_key)),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok(Self {
            key: EncodingKey::from_ed_der(&pkcs8),
            public_key,
            header,
            names: settings.tokens.clone(),
            life: TimeDelta::minutes(i64::from(settings.access_token_minutes)),
        })
    }

    /// The public half: 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// A token for this session, and its end.
    ///
    /// # Errors
    /// None in practice: the key was checked at the start.
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>), Error> {
        let expires_at = now + self.life;
        let claims = Claims {
            iss: self.names.issuer.clone(),
            aud: self.names.audience.clone(),
            sub: user,
            sid: session,
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
            jti: Uuid::now_v7(),
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.key)
            .map_err(|error| Error::Internal(format!("a token could not be signed: {error}")))?;
        Ok((token, DateTime::from_timestamp(claims.exp, 0).unwrap_or(expires_at)))
    }
}

/// Makes a pair of keys in `dir`, `signing.pem` and `verifying.pem`, unless they are there; answers where.
///
/// # Errors
/// A folder or file that cannot be made, or a signing key that is there but of no use.
pub fn make_key_files(dir: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (private, public) = (dir.join("signing.pem"), dir.join("verifying.pem"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the folder {}", dir.display()))?;
    if !private.try_exists()? {
        let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("an Ed25519 key could not be made"))?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("an Ed25519 key could not be written"))?;
        write_whole(&private, &Pem::new("PRIVATE KEY", pkcs8.as_ref()), 0o600)?;
    }
    if !public.try_exists()? {
        let (_, pair) = read_private_key(&private)?;
        let spki = pair.public_key().as_der().map_err(|_| anyhow!("an Ed25519 key could not be written"))?;
        write_whole(&public, &Pem::new("PUBLIC KEY", spki.as_ref()), 0o644)?;
    }
    Ok((private, public))
}

/// The key in PKCS#8, and read.
fn read_private_key(path: &Path) -> anyhow::Result<(Vec<u8>, Ed25519KeyPair)> {
    let shown = path.display();
    let unreadable = || format!("cannot read the signing key {shown}");
    let mode = fs::metadata(path).with_context(unreadable)?.permissions().mode();
    ensure!(
        mode & OTHERS == 0,
        "the signing key {shown} is open to others than its owner (mode {:o}): chmod 600 it",
        mode & 0o777
    );
    let text = fs::read_to_string(path).with_context(unreadable)?;
    let malformed = || anyhow!("the signing key {shown} is not an Ed25519 key in PEM (PKCS#8)");
    let block = pem::parse(text).map_err(|_| malformed())?;
    let pair = Ed25519KeyPair::from_pkcs8(block.contents()).map_err(|_| malformed())?;
    Ok((block.into_contents(), pair))
}

/// Writes a file that is either there whole, with its mode, or not at all.
fn write_whole(path: &Path, pem: &Pem, mode: u32) -> anyhow::Result<()> {
    let draft = path.with_extension(format!("{}.tmp", Uuid::now_v7()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        // The mode given above is cut by the umask.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(pem::encode(pem).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display())).inspect_err(|_| {
        // Nothing to tell when it was never made.
        let _ = fs::remove_file(&draft);
    })
}

#[cfg(test)]
mod tests {
    use chat_core::token::TokenVerifier;

    use super::*;
    use crate::config::{DEFAULTS, Settings};

    fn settings() -> Result<AuthSettings, Box<dyn std::error::Error>> {
        let settings: Settings = chat_core::settings::read(DEFAULTS, None, "FECHATTER_TEST_OF_KEYS")?;
        Ok(settings.auth)
    }

    #[test]
    fn keys_are_made_once_and_sign_what_their_public_half_verifies() -> Result<(), Box<dyn std::error::Error>>
    {
        let dir = std::env::temp_dir().join(format!("fechatter-keys-{}", Uuid::now_v7()));
        let (private, public) = make_key_files(&dir)?;
        assert_eq!(fs::metadata(&dir)?.permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&private)?.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&public)?.permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(&dir)?.count(), 2);

        let auth = AuthSettings { private_key_file: private.clone(), ..settings()? };
        let now = DateTime::from_timestamp(1_800_000_000, 0).ok_or("no time")?;
        let (user, session) = (UserId::new(), SessionId::new());
        let (token, expires_at) = Issuer::from_settings(&auth)?.issue(user, session, now)?;
        let claims =
            TokenVerifier::from_file(&public, &auth.tokens)?.verify(&token, now).ok_or("not verified")?;
        assert_eq!((claims.sub, claims.sid, claims.exp), (user, session, expires_at.timestamp()));

        let before = fs::read_to_string(&private)?;
        fs::remove_file(&public)?;
        make_key_files(&dir)?;
        assert_eq!(fs::read_to_string(&private)?, before);
        assert!(TokenVerifier::from_file(&public, &auth.tokens)?.verify(&token, now).is_some());

        fs::set_permissions(&private, fs::Permissions::from_mode(0o640))?;
        let refused = Issuer::from_settings(&auth).err().ok_or("accepted")?.to_string();
        assert!(refused.contains("mode 640"), "{refused}");
        fs::remove_dir_all(&dir)?;
        Ok(())
    }

    #[test]
    fn a_key_that_is_not_set_is_said_so() -> Result<(), Box<dyn std::error::Error>> {
        let refused = Issuer::from_settings(&settings()?).err().ok_or("accepted")?.to_string();
        assert!(refused.starts_with("auth.private_key_file is not set"), "{refused}");
        Ok(())
    }
}
