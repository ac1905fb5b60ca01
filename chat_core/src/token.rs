//! Access tokens: JWTs (RFC 7519, RFC 9068) signed with Ed25519 (RFC 8037).

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    ids::{SessionId, UserId},
    settings::Problems,
};

/// The `typ` of an access token (RFC 9068, section 2.1).
pub const TOKEN_TYPE: &str = "at+jwt";

/// For how long after its end a token is still accepted, in seconds: clocks differ.
pub const LEEWAY_S: i64 = 30;

/// What an access token says. It holds no roles: those are looked up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// The person.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// The end, in seconds since 1970.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
}

impl Claims {
    /// Whether the token has not come to its end at `now`.
    #[must_use]
    pub fn in_force(&self, now: DateTime<Utc>) -> bool {
        let end = DateTime::from_timestamp(self.exp, 0);
        end.is_some_and(|end| now < end + TimeDelta::seconds(LEEWAY_S))
    }
}

/// Checks access tokens; holds public keys only, which may be replaced while it is used.
pub struct TokenVerifier {
    keys: RwLock<Arc<VerifyingKeys>>,
    validation: Validation,
}

/// The public keys of one moment.
struct VerifyingKeys {
    by_id: HashMap<String, (KeyMark, DecodingKey)>,
    generation: u64,
}

/// Which key signed a token, to keep with what the token opened: the first bytes of the key's thumbprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMark(pub i64);

impl KeyMark {
    fn of(public_key: &[u8]) -> Self {
        let thumbprint = thumbprint(public_key);
        let first = thumbprint.first_chunk().copied().unwrap_or_default();
        Self(i64::from_be_bytes(first))
    }
}

/// What a verified token says, and which key signed it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// By which key.
    pub key: KeyMark,
}

/// Why the public key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read.
    #[error("cannot read the key file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Not a PEM file with Ed25519 public keys.
    #[error("the key file {0} does not hold an Ed25519 public key in PEM (SubjectPublicKeyInfo)")]
    Malformed(String),
}

/// Whom tokens are by and for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenNames {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim.
    pub audience: String,
}

impl TokenNames {
    /// Notes what is wrong with these settings.
    pub fn check(&self, problems: &mut Problems) {
        problems.unless(!self.issuer.is_empty(), "auth.tokens.issuer is not set");
        problems.unless(!self.audience.is_empty(), "auth.tokens.audience is not set");
    }
}

impl TokenVerifier {
    /// A verifier with these Ed25519 keys, of 32 bytes each; a token names the one that signed it by its `kid`.
    #[must_use]
    pub fn new<'key>(keys: impl IntoIterator<Item = &'key [u8]>, names: &TokenNames) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&names.issuer]);
        validation.set_audience(&[&names.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The end is checked below, against the clock that is a parameter.
        validation.validate_exp = false;
        let keys = VerifyingKeys { by_id: by_id(keys), generation: 0 };
        Self { keys: RwLock::new(Arc::new(keys)), validation }
    }

    /// A verifier with every public key of a PEM file.
    ///
    /// # Errors
    /// A file that cannot be read or holds anything but Ed25519 public keys.
    pub fn from_file(path: &Path, names: &TokenNames) -> Result<Self, KeyError> {
        let keys = read_public_keys(path)?;
        Ok(Self::new(keys.iter().map(Vec::as_slice), names))
    }

    /// Puts these keys in place of the ones that it has: from now on, they alone count.
    pub fn replace_keys<'key>(&self, keys: impl IntoIterator<Item = &'key [u8]>) {
        let by_id = by_id(keys);
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let removed = current.by_id.keys().any(|id| !by_id.contains_key(id));
        let generation = current.generation + u64::from(removed);
        *current = Arc::new(VerifyingKeys { by_id, generation });
    }

    /// How often keys have been removed: what was verified at another count may not hold any more.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current().generation
    }

    /// The claims of a token that is signed by a known key, for us, and in force at `now`.
    #[must_use]
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Verified> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let keys = self.current();
        let (mark, key) = keys.by_id.get(header.kid.as_deref()?)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?.claims;
        claims.in_force(now).then_some(Verified { claims, key: *mark })
    }

    /// Whether a key still counts.
    #[must_use]
    pub fn knows(&self, key: KeyMark) -> bool {
        self.current().by_id.values().any(|(mark, _)| *mark == key)
    }

    fn current(&self) -> Arc<VerifyingKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn by_id<'key>(keys: impl IntoIterator<Item = &'key [u8]>) -> HashMap<String, (KeyMark, DecodingKey)> {
    let keys = keys.into_iter();
    keys.map(|key| (key_id(key), (KeyMark::of(key), DecodingKey::from_ed_der(key)))).collect()
}

/// The Ed25519 public keys of a PEM file, of 32 bytes each; at least one.
///
/// # Errors
/// A file that cannot be read or holds anything else.
pub fn read_public_keys(path: &Path) -> Result<Vec<Vec<u8>>, KeyError> {
    let shown = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| KeyError::Read { path: shown.clone(), source })?;
    let blocks = pem::parse_many(&text).map_err(|_| KeyError::Malformed(shown.clone()))?;
    let keys = blocks.iter().map(|block| ed25519_public_key(block.contents()).map(<[u8]>::to_vec));
    match keys.collect::<Option<Vec<_>>>() {
        Some(keys) if !keys.is_empty() => Ok(keys),
        _ => Err(KeyError::Malformed(shown)),
    }
}

/// The 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410, section 4).
#[must_use]
pub fn ed25519_public_key(spki: &[u8]) -> Option<&[u8]> {
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.strip_prefix(&PREFIX).filter(|key| key.len() == 32)
}

/// The key's id: its JWK thumbprint (RFC 7638; RFC 8037, appendix A.3).
#[must_use]
pub fn key_id(public_key: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(thumbprint(public_key))
}

fn thumbprint(public_key: &[u8]) -> [u8; 32] {
    let x = BASE64_URL_SAFE_NO_PAD.encode(public_key);
    Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() -> Result<(), Box<dyn std::error::Error>> {
        let key = BASE64_URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")?;
        assert_eq!(key_id(&key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        Ok(())
    }
}
