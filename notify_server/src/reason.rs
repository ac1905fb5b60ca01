//! Why a stream breaks or ends, in the words of the wire.

use chat_core::feed::Gap;

/// Why a client has to reload by REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The cursor is of another log.
    Epoch,
    /// The events after the cursor have been dropped.
    Expired,
    /// The cursor is further behind than is replayed; or the person has left a chat before all that was said there until
    /// then was delivered, and it may have been changed since.
    TooFar,
    /// The cursor never was a position of this log.
    Unknown,
}

impl Reset {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] = [Self::Epoch, Self::Expired, Self::TooFar, Self::Unknown];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Expired => "expired",
            Self::TooFar => "too_far",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Gap> for Reset {
    fn from(gap: Gap) -> Self {
        match gap {
            Gap::Start | Gap::Epoch => Self::Epoch,
            Gap::Expired => Self::Expired,
        }
    }
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bye {
    /// The access token ends.
    TokenExpired,
    /// The session was ended.
    SessionRevoked,
    /// The person was suspended.
    Suspended,
    /// The server ends.
    Shutdown,
}

impl Bye {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] =
        [Self::TokenExpired, Self::SessionRevoked, Self::Suspended, Self::Shutdown];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenExpired => "token_expired",
            Self::SessionRevoked => "session_revoked",
            Self::Suspended => "suspended",
            Self::Shutdown => "shutdown",
        }
    }

    /// How long the client should wait before it comes back, in milliseconds; random, so that not all come at once.
    #[must_use]
    pub fn reconnect_ms(self) -> u32 {
        rand::random_range(
            0..=match self {
                Self::Shutdown => 5_000,
                Self::TokenExpired | Self::SessionRevoked | Self::Suspended => 1_000,
            },
        )
    }
}
