//! Refresh tokens: how one follows from the other, and what a presented one is worth.

use chat_core::user::UserStatus;
use chrono::{DateTime, TimeDelta, Utc};

use super::opaque::OpaqueToken;
use crate::config::AuthSettings;

/// A refresh token: two opaque tokens, of which one stays and one changes at each rotation.
#[derive(PartialEq, Eq)]
pub(crate) struct RefreshToken {
    /// Shared by all refresh tokens of a session.
    pub(super) family: OpaqueToken,
    /// In force until it is traded.
    pub(super) current: OpaqueToken,
}

impl RefreshToken {
    /// The first token of a session.
    pub(super) fn random() -> Self {
        Self { family: OpaqueToken::random(), current: OpaqueToken::random() }
    }

    /// Reads what [`Self::text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (family, current) = text.split_once('.')?;
        Some(Self { family: OpaqueToken::parse(family)?, current: OpaqueToken::parse(current)? })
    }

    /// The token as its holder keeps it.
    pub(super) fn text(&self) -> String {
        format!("{}.{}", self.family.text(), self.current.text())
    }

    /// The token that follows, by this nonce.
    pub(super) fn next(&self, nonce: &[u8]) -> Self {
        Self { family: self.family.clone(), current: self.current.next(nonce) }
    }
}

/// A session, as far as its refresh tokens go.
pub(super) struct Chain {
    /// The hash of the part in force.
    pub(super) refresh_hash: Vec<u8>,
    /// What the token in force was derived with, and when; none before the first rotation.
    pub(super) rotation_nonce: Option<Vec<u8>>,
    pub(super) rotated_at: Option<DateTime<Utc>>,
    pub(super) last_used_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
    /// Whether its person may sign in.
    pub(super) status: UserStatus,
}

/// What follows.
pub(super) enum Step {
    /// It is in force: the next one takes its place.
    Rotate,
    /// It was in force a moment ago; its answer was lost, or two asked at once. This one followed it.
    Repeat(RefreshToken),
    /// It was traded long ago: one of the two who hold it stole it.
    Reused,
    /// The session is over.
    Refused,
}

impl Chain {
    /// What follows from presenting `token`, which is of this session's family.
    pub(super) fn present(&self, token: &RefreshToken, auth: &AuthSettings, now: DateTime<Utc>) -> Step {
        let idle_end = self.last_used_at + TimeDelta::days(auth.session_idle_days.into());
        let over = self.revoked_at.is_some() || now >= self.expires_at || now >= idle_end;
        if over || self.status != UserStatus::Active {
            return Step::Refused;
        }
        if self.refresh_hash == token.current.hash() {
            return Step::Rotate;
        }
        let grace = TimeDelta::seconds(auth.refresh_grace_s.into());
        let next = self.rotation_nonce.as_ref().map(|nonce| token.next(nonce));
        match (next, self.rotated_at) {
            (Some(next), Some(at)) if now <= at + grace && self.refresh_hash == next.current.hash() => {
                Step::Repeat(next)
            }
            _ => Step::Reused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DEFAULTS, Settings};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap_or_default()
    }

    /// A session that was opened at 0 with `first`, whose token was then traded at 100.
    fn rotated(first: &RefreshToken) -> (Chain, RefreshToken) {
        let second = first.next(&[1; 32]);
        let chain = Chain {
            refresh_hash: second.current.hash().to_vec(),
            rotation_nonce: Some(vec![1; 32]),
            rotated_at: Some(at(100)),
            last_used_at: at(100),
            expires_at: at(30 * 86_400),
            revoked_at: None,
            status: UserStatus::Active,
        };
        (chain, second)
    }

    fn auth() -> Result<AuthSettings, Box<dyn std::error::Error>> {
        let settings: Settings = chat_core::settings::read(DEFAULTS, None, "FECHATTER_TEST_OF_ROTATION")?;
        Ok(settings.auth)
    }

    #[test]
    fn a_lost_answer_is_given_again_and_a_late_token_is_reuse() -> Result<(), Box<dyn std::error::Error>> {
        let (auth, first) = (auth()?, RefreshToken::random());
        let (chain, second) = rotated(&first);
        assert!(matches!(chain.present(&second, &auth, at(101)), Step::Rotate));
        assert!(matches!(chain.present(&first, &auth, at(101)), Step::Repeat(next) if next == second));
        assert!(matches!(chain.present(&first, &auth, at(110)), Step::Repeat(_)));
        assert!(matches!(chain.present(&first, &auth, at(111)), Step::Reused));
        assert!(matches!(chain.present(&RefreshToken::random(), &auth, at(101)), Step::Reused));
        Ok(())
    }

    #[test]
    fn a_session_that_is_over_refuses() -> Result<(), Box<dyn std::error::Error>> {
        let (auth, first) = (auth()?, RefreshToken::random());
        let (chain, second) = rotated(&first);
        let idle = 100 + i64::from(auth.session_idle_days) * 86_400;
        assert!(matches!(chain.present(&second, &auth, at(idle - 1)), Step::Rotate));
        assert!(matches!(chain.present(&second, &auth, at(idle)), Step::Refused));
        let used = Chain { last_used_at: at(30 * 86_400 - 1), ..rotated(&first).0 };
        assert!(matches!(used.present(&second, &auth, at(30 * 86_400 - 1)), Step::Rotate));
        assert!(matches!(used.present(&second, &auth, at(30 * 86_400)), Step::Refused));
        let revoked = Chain { revoked_at: Some(at(101)), ..rotated(&first).0 };
        assert!(matches!(revoked.present(&second, &auth, at(102)), Step::Refused));
        assert!(matches!(revoked.present(&first, &auth, at(102)), Step::Refused));
        let suspended = Chain { status: UserStatus::Suspended, ..rotated(&first).0 };
        assert!(matches!(suspended.present(&second, &auth, at(102)), Step::Refused));
        Ok(())
    }
}
