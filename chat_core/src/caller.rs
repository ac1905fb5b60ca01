//! Who is calling: the bearer extractor of both servers.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{StatusCode, header, request::Parts},
};
use chrono::{DateTime, Utc};
use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::{
    api::{Input, Operation},
    clock::Clock,
    database::Pool,
    http::layers::Asker,
    ids::{SessionId, UserId},
    limits::{Gate, Limit},
    problem::Problem,
    store,
    token::{KeyMark, TokenVerifier, Verified},
};

/// The upper bound for a revocation that the event feed has not told yet.
const SESSION_TTL: Duration = Duration::from_secs(1);
/// Sessions remembered; the rest are looked up again.
const SESSIONS: u64 = 100_000;

/// A person with a verified token of a session in force.
///
/// The fields are private: only [`Authenticator`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    user_id: UserId,
    session_id: SessionId,
    token_expires_at: DateTime<Utc>,
    key: KeyMark,
}

impl Caller {
    /// Who.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// By which session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// When the token ends.
    #[must_use]
    pub fn token_expires_at(&self) -> DateTime<Utc> {
        self.token_expires_at
    }

    /// Which key signed the token.
    #[must_use]
    pub fn key(&self) -> KeyMark {
        self.key
    }
}

/// Tokens remembered; the rest are verified again.
const TOKENS: u64 = 100_000;
/// How long a verified token is remembered at most; its own end counts all the same.
const TOKEN_TTL: Duration = Duration::from_mins(15);

/// A token that was verified, and when by the count of removed keys.
#[derive(Clone)]
struct Remembered {
    verified: Arc<Verified>,
    generation: u64,
}

/// Turns tokens into callers; cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Arc<Shared>);

struct Shared {
    verifier: TokenVerifier,
    /// Tokens that were verified, by their SHA-256: to verify a signature costs far more.
    verified: Cache<[u8; 32], Remembered>,
    sessions: Cache<(SessionId, UserId), bool>,
    pool: Pool,
    clock: Clock,
}

impl Authenticator {
    /// An authenticator that looks sessions up in `pool`.
    #[must_use]
    pub fn new(verifier: TokenVerifier, pool: Pool, clock: Clock) -> Self {
        let sessions = Cache::builder()
            .max_capacity(SESSIONS)
            .time_to_live(SESSION_TTL)
            .support_invalidation_closures()
            .build();
        let tokens = Cache::builder().max_capacity(TOKENS).time_to_live(TOKEN_TTL).build();
        Self(Arc::new(Shared { verifier, verified: tokens, sessions, pool, clock }))
    }

    /// The caller that a bearer token stands for.
    ///
    /// # Errors
    /// 401 for a token that is not accepted or whose session has ended; 503 when the database cannot tell.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Problem> {
        let now = self.0.clock.now();
        let verified = self.verified(token, now).await.ok_or_else(Problem::unauthorized)?;
        let claims = &verified.claims;
        let active = self
            .0
            .sessions
            .try_get_with(
                (claims.sid, claims.sub),
                store::session_is_active(&self.0.pool, claims.sid, claims.sub, now),
            )
            .await
            .map_err(|error| match Arc::try_unwrap(error) {
                Ok(error) => Problem::from(error),
                Err(_) => Problem::unavailable("The database is not available at the moment."),
            })?;
        if !active {
            return Err(Problem::unauthorized());
        }
        let token_expires_at = DateTime::from_timestamp(claims.exp, 0).unwrap_or(now);
        Ok(Caller { user_id: claims.sub, session_id: claims.sid, token_expires_at, key: verified.key })
    }

    /// What a bearer token says, for callers whose session is looked up by other means. Not remembered.
    ///
    /// # Errors
    /// 401 for a token that is not accepted.
    pub fn verify(&self, token: &str) -> Result<Verified, Problem> {
        self.0.verifier.verify(token, self.0.clock.now()).ok_or_else(Problem::unauthorized)
    }

    async fn verified(&self, token: &str, now: DateTime<Utc>) -> Option<Arc<Verified>> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        // Read first: a key that is removed meanwhile makes another generation.
        let generation = self.0.verifier.generation();
        if let Some(Remembered { verified, generation: then }) = self.0.verified.get(&hash).await
            && then == generation
        {
            return verified.claims.in_force(now).then_some(verified);
        }
        let verified = Arc::new(self.0.verifier.verify(token, now)?);
        self.0.verified.insert(hash, Remembered { verified: Arc::clone(&verified), generation }).await;
        Some(verified)
    }

    /// Whether tokens that this key signed are still accepted.
    #[must_use]
    pub fn knows(&self, key: KeyMark) -> bool {
        self.0.verifier.knows(key)
    }

    /// Puts these public keys in place of the ones that tokens were verified with.
    pub fn replace_keys<'key>(&self, keys: impl IntoIterator<Item = &'key [u8]>) {
        self.0.verifier.replace_keys(keys);
    }

    /// Forgets what is remembered of a session, because it has ended.
    pub fn forget(&self, session: SessionId) {
        // Refused only without support for closures, which `new` asks for.
        let _ = self.0.sessions.invalidate_entries_if(move |(id, _), _| *id == session);
    }

    /// Forgets all sessions, after a gap in the event feed.
    pub fn forget_all(&self) {
        self.0.sessions.invalidate_all();
    }
}

impl Caller {
    /// The caller of a request that counts against `limit`; of one without a good token, against the address.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`], and 429.
    pub async fn admitted(
        parts: &mut Parts,
        authenticator: &Authenticator,
        gate: &Gate,
        limit: &Limit,
    ) -> Result<Self, Problem> {
        let token = bearer_token(parts);
        let authenticated = match token {
            Some(token) => authenticator.authenticate(token).await,
            None => Err(Problem::unauthorized()),
        };
        if authenticated.as_ref().is_err_and(|problem| problem.status == StatusCode::UNAUTHORIZED) {
            gate.admit_stranger(parts)?;
        }
        let caller = authenticated?;
        limit.admit(&caller.user_id)?;
        parts.extensions.insert(caller);
        Asker::is(parts, caller.user_id);
        Ok(caller)
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
    Arc<Gate>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Extracted and counted once a request: proofs build on it.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(*caller);
        }
        let gate = Arc::<Gate>::from_ref(state);
        Self::admitted(parts, &Authenticator::from_ref(state), &gate, gate.calls()).await
    }
}

/// The token of `Authorization: Bearer` (RFC 6750, section 2.1).
#[must_use]
pub fn bearer_token(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Input for Caller {
    fn describe(operation: &mut Operation) {
        operation.requires_token();
    }
}
