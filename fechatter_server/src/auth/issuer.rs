//! Signs access tokens.

pub mod key_files;

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use chat_core::{
    ids::{SessionId, UserId},
    token::{Claims, TOKEN_TYPE, TokenNames},
};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use uuid::Uuid;

pub use self::key_files::make_key_files;
use self::key_files::{KeyRing, SigningKey};
use crate::{config::AuthSettings, error::Error};

/// Holds the private keys, which may be replaced while it is used.
pub struct Issuer {
    signers: RwLock<Arc<Signers>>,
    names: TokenNames,
    life: TimeDelta,
    new_key_delay: TimeDelta,
}

/// The newest key, and the one that signs until every server knows it.
struct Signers {
    newest: Signer,
    newest_from: DateTime<Utc>,
    before: Option<Signer>,
}

#[derive(Clone)]
struct Signer {
    key: EncodingKey,
    header: Header,
}

impl Signer {
    fn new(key: &SigningKey) -> Self {
        let header =
            Header { typ: Some(TOKEN_TYPE.to_owned()), kid: Some(key.id()), ..Header::new(Algorithm::EdDSA) };
        Self { key: EncodingKey::from_ed_der(&key.pkcs8), header }
    }
}

impl Signers {
    fn at(&self, now: DateTime<Utc>) -> &Signer {
        match &self.before {
            Some(before) if now < self.newest_from => before,
            _ => &self.newest,
        }
    }
}

impl Issuer {
    /// An issuer with the key files that the settings name.
    ///
    /// # Errors
    /// What [`KeyRing::read`] finds.
    pub fn from_settings(settings: &AuthSettings) -> anyhow::Result<Self> {
        Self::new(&KeyRing::read(settings)?, settings)
    }

    /// An issuer with the keys of a ring.
    pub(crate) fn new(ring: &KeyRing, settings: &AuthSettings) -> anyhow::Result<Self> {
        let signers = signers(ring, ring.newest_signs_from(settings))?;
        Ok(Self {
            signers: RwLock::new(Arc::new(signers)),
            names: settings.tokens.clone(),
            life: settings.access_token_life(),
            new_key_delay: settings.new_key_delay(),
        })
    }

    /// Takes a ring in place of the one that it has. A key that it has not seen before signs after the delay, counted
    /// from now: a file that was copied may be older than its arrival.
    pub(crate) fn replace_keys(&self, ring: &KeyRing, now: DateTime<Utc>) -> anyhow::Result<()> {
        let mut current = self.signers.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = signers(ring, current.newest_from)?;
        if next.newest.header.kid != current.newest.header.kid {
            next.newest_from = now + self.new_key_delay;
            let signing = current.at(now);
            if ring.signing.iter().any(|key| Some(key.id()) == signing.header.kid) {
                next.before = Some(signing.clone());
            }
        }
        *current = Arc::new(next);
        Ok(())
    }

    /// A token for this session, and its end.
    ///
    /// # Errors
    /// None in practice: the key was checked when it was read.
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
        let signers = Arc::clone(&self.signers.read().unwrap_or_else(PoisonError::into_inner));
        let Signer { key, header } = signers.at(now);
        let token = jsonwebtoken::encode(header, &claims, key)
            .map_err(|error| Error::Internal(format!("a token could not be signed: {error}")))?;
        Ok((token, DateTime::from_timestamp(claims.exp, 0).unwrap_or(expires_at)))
    }
}

fn signers(ring: &KeyRing, newest_from: DateTime<Utc>) -> anyhow::Result<Signers> {
    let mut keys = ring.signing.iter().rev().map(Signer::new);
    let newest = keys.next().context("a file of keys holds one")?;
    Ok(Signers { newest, newest_from, before: keys.next() })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
    };

    use chat_core::token::TokenVerifier;

    use super::{
        key_files::{Pruned, make, prune, rotate},
        *,
    };
    use crate::config::{DEFAULTS, Settings};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn settings() -> Result<AuthSettings, Box<dyn std::error::Error>> {
        let settings: Settings = chat_core::settings::read(DEFAULTS, None, "FECHATTER_TEST_OF_KEYS")?;
        Ok(settings.auth)
    }

    /// A folder with keys, and the settings that name them.
    fn keys() -> Result<(PathBuf, AuthSettings), Box<dyn std::error::Error>> {
        let dir = std::env::temp_dir().join(format!("fechatter-keys-{}", Uuid::now_v7()));
        let (private_key_file, public_key_file) = make_key_files(&dir)?;
        Ok((dir, AuthSettings { private_key_file, public_key_file, ..settings()? }))
    }

    fn mode(path: &Path) -> std::io::Result<u32> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o777)
    }

    fn changed_at(auth: &AuthSettings) -> anyhow::Result<DateTime<Utc>> {
        Ok(KeyRing::read(auth)?.changed_at)
    }

    /// The id of the key that signs at a time.
    fn signs(issuer: &Issuer, now: DateTime<Utc>) -> Option<String> {
        let (token, _) = issuer.issue(UserId::new(), SessionId::new(), now).ok()?;
        jsonwebtoken::decode_header(token).ok()?.kid
    }

    #[test]
    fn keys_are_made_once_and_sign_what_their_public_half_verifies() -> Outcome {
        let (dir, auth) = keys()?;
        let (private, public) = (&auth.private_key_file, &auth.public_key_file);
        assert_eq!((mode(&dir)?, mode(private)?, mode(public)?), (0o700, 0o600, 0o644));
        assert_eq!(fs::read_dir(&dir)?.count(), 2);

        let now = DateTime::from_timestamp(1_800_000_000, 0).ok_or("no time")?;
        let (user, session) = (UserId::new(), SessionId::new());
        let (token, expires_at) = Issuer::from_settings(&auth)?.issue(user, session, now)?;
        let verifier = TokenVerifier::from_file(public, &auth.tokens)?;
        let claims = verifier.verify(&token, now).ok_or("not verified")?.claims;
        assert_eq!((claims.sub, claims.sid, claims.exp), (user, session, expires_at.timestamp()));

        let before = fs::read_to_string(private)?;
        fs::remove_file(public)?;
        make_key_files(&dir)?;
        assert_eq!(fs::read_to_string(private)?, before);
        assert!(TokenVerifier::from_file(public, &auth.tokens)?.verify(&token, now).is_some());

        fs::set_permissions(private, fs::Permissions::from_mode(0o640))?;
        let refused = Issuer::from_settings(&auth).err().ok_or("accepted")?.to_string();
        assert!(refused.contains("mode 640"), "{refused}");
        fs::remove_dir_all(&dir)?;
        Ok(())
    }

    #[test]
    fn in_a_folder_of_their_own_public_keys_can_be_read_by_others() -> Outcome {
        let dir = std::env::temp_dir().join(format!("fechatter-keys-{}", Uuid::now_v7()));
        make(&dir.join("private/signing.pem"), &dir.join("public/verifying.pem"))?;
        assert_eq!((mode(&dir.join("private"))?, mode(&dir.join("public"))?), (0o700, 0o755));
        assert_eq!(mode(&dir.join("public/verifying.pem"))?, 0o644);
        fs::remove_dir_all(&dir)?;
        Ok(())
    }

    #[test]
    fn a_key_that_is_not_set_is_said_so() -> Outcome {
        let refused = Issuer::from_settings(&settings()?).err().ok_or("accepted")?.to_string();
        assert!(refused.starts_with("auth.private_key_file is not set"), "{refused}");
        Ok(())
    }

    #[test]
    fn keys_that_do_not_belong_together_are_refused() -> Outcome {
        let ((dir, auth), (another, other)) = (keys()?, keys()?);
        let mixed = AuthSettings { public_key_file: other.public_key_file, ..auth };
        let refused = KeyRing::read(&mixed).err().ok_or("accepted")?.to_string();
        assert!(refused.contains("public half"), "{refused}");
        fs::remove_dir_all(&dir)?;
        fs::remove_dir_all(&another)?;
        Ok(())
    }

    #[test]
    fn a_new_key_signs_after_the_delay_and_the_last_one_verifies_until_its_tokens_end() -> Outcome {
        let (dir, auth) = keys()?;
        fs::set_permissions(&auth.public_key_file, fs::Permissions::from_mode(0o640))?;
        let issuer = Issuer::from_settings(&auth)?;
        let first = signs(&issuer, changed_at(&auth)?).ok_or("no key")?;
        assert_eq!(prune(&auth, false, changed_at(&auth)?)?, Pruned::Nothing);

        let second = rotate(&auth, changed_at(&auth)?)?;
        assert_eq!((mode(&auth.private_key_file)?, mode(&auth.public_key_file)?), (0o600, 0o640));
        let now = changed_at(&auth)?;
        let delay = auth.new_key_delay();
        let moment = TimeDelta::seconds(1);
        // Whether a server saw the change or started after it.
        issuer.replace_keys(&KeyRing::read(&auth)?, now)?;
        for issuer in [&issuer, &Issuer::from_settings(&auth)?] {
            assert_eq!(signs(issuer, now + delay - moment).as_ref(), Some(&first));
            assert_eq!(signs(issuer, now + delay).as_ref(), Some(&second));
        }
        // Seen again, it does not wait again.
        issuer.replace_keys(&KeyRing::read(&auth)?, now + delay - moment)?;
        assert_eq!(signs(&issuer, now + delay).as_ref(), Some(&second));

        let refused = rotate(&auth, now + delay - moment).err().ok_or("rotated")?.to_string();
        assert!(refused.contains("last rotation"), "{refused}");
        let due = KeyRing::read(&auth)?.others_end_at(&auth);
        assert!(due > now + delay + auth.access_token_life() + TimeDelta::seconds(30));
        assert_eq!(prune(&auth, false, due - moment)?, Pruned::NotBefore(due));
        assert_eq!(KeyRing::read(&auth)?.verifying.len(), 2);
        assert_eq!(prune(&auth, false, due)?, Pruned::Keys(1));
        let ring = KeyRing::read(&auth)?;
        assert_eq!((ring.signing.len(), ring.verifying.len()), (1, 1));
        assert_eq!(ring.signing[0].id(), second);
        assert_eq!(fs::read_dir(&dir)?.count(), 2, "no drafts are left");
        fs::remove_dir_all(&dir)?;
        Ok(())
    }

    #[test]
    fn a_crash_between_the_two_files_does_no_harm() -> Outcome {
        let (dir, auth) = keys()?;
        let before = fs::read(&auth.private_key_file)?;
        rotate(&auth, changed_at(&auth)?)?;
        let rotated = fs::read(&auth.public_key_file)?;
        // As if it had come no further than the public file.
        fs::write(&auth.private_key_file, &before)?;
        let issuer = Issuer::from_settings(&auth)?;
        assert_eq!(KeyRing::read(&auth)?.verifying.len(), 2);
        let first = signs(&issuer, changed_at(&auth)?);
        let third = rotate(&auth, changed_at(&auth)?)?;
        assert_eq!(KeyRing::read(&auth)?.verifying.len(), 3);
        assert_eq!(prune(&auth, true, changed_at(&auth)?)?, Pruned::Keys(2));

        // As if the prune had come no further than the private file.
        fs::write(&auth.public_key_file, [fs::read(&auth.public_key_file)?, rotated].concat())?;
        let issuer = Issuer::from_settings(&auth)?;
        assert_eq!(signs(&issuer, changed_at(&auth)?).as_ref(), Some(&third));
        assert_ne!(first.as_ref(), Some(&third));
        let due = KeyRing::read(&auth)?.others_end_at(&auth);
        assert_eq!(prune(&auth, false, due)?, Pruned::Keys(2));
        fs::remove_dir_all(&dir)?;
        Ok(())
    }
}
