//! Tokens that say nothing: refresh tokens and invites.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// 256 bits that only their holder knows; stored as their hash.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OpaqueToken([u8; 32]);

impl OpaqueToken {
    /// A fresh token.
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// Reads what [`Self::text`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The token as its holder keeps it.
    pub(crate) fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What is stored. The token is random through and through, so a fast hash will do.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// The token that follows: HMAC-SHA256 (RFC 2104), keyed with this one. It takes both this token and
    /// `nonce`, so neither the database nor an earlier holder can compute it alone.
    pub(crate) fn next(&self, nonce: &[u8]) -> Self {
        // HMAC fills a short key up with zeros itself; a whole block is a key that always fits.
        let mut key = [0; 64];
        key[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(nonce);
        Self(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_written() {
        let token = OpaqueToken::random();
        assert!(OpaqueToken::parse(&token.text()).is_some_and(|read| read == token));
        assert_eq!(token.text().len(), 43);
    }

    #[test]
    fn what_never_was_a_token_is_none() {
        let long = OpaqueToken::random().text() + "A";
        for text in ["", "abc", "%", "=", long.as_str()] {
            assert!(OpaqueToken::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_next_token_follows_from_this_one_and_the_nonce() {
        let (token, nonce) = (OpaqueToken::random(), [7; 32]);
        assert!(token.next(&nonce) == token.next(&nonce));
        assert!(token.next(&nonce) != token.next(&[8; 32]));
        assert!(token.next(&nonce) != OpaqueToken::random().next(&nonce));
    }

    #[test]
    fn it_is_hmac_sha256() {
        // RFC 4231, test case 1, whose key is 20 bytes long: zeros to the right do not change HMAC.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = [
            0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b,
            0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7,
        ];
        assert_eq!(OpaqueToken(key).next(b"Hi There").0, expected);
    }
}
