//! Who opens a stream.

use axum::{
    RequestPartsExt,
    extract::{FromRef, FromRequestParts},
    http::{header, request::Parts},
};
use chat_core::{
    api::{Input, Operation},
    caller::bearer_token,
    http::{layers::Asker, query::Query},
    ids::{SessionId, UserId},
    problem::Problem,
    token::{KeyMark, Verified},
};
use chrono::{DateTime, Utc};

use crate::{error::Error, sse::EventsQuery, state::AppState, ticket};

/// A person who opens a stream: by `Authorization: Bearer`, or else by a ticket.
///
/// The fields are private: only a verified token or a ticket taken makes one. The session's being in force
/// is part of the snapshot that the stream starts from.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber {
    user_id: UserId,
    session_id: SessionId,
    token_expires_at: DateTime<Utc>,
    key: Option<KeyMark>,
}

impl Subscriber {
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

    /// When the token ends, and the stream with it.
    #[must_use]
    pub fn token_expires_at(&self) -> DateTime<Utc> {
        self.token_expires_at
    }

    /// Which key signed the token: the stream ends when the key is removed. None by a ticket that does not say.
    #[must_use]
    pub fn key(&self) -> Option<KeyMark> {
        self.key
    }

    /// One without a token, for unit tests.
    #[cfg(test)]
    pub(crate) fn for_test(user_id: UserId, session_id: SessionId, token_expires_at: DateTime<Utc>) -> Self {
        Self { user_id, session_id, token_expires_at, key: None }
    }

    /// Its person was counted when the ticket was issued; until it is found to be one, the address is.
    async fn by_ticket(ticket: &str, parts: &Parts, state: &AppState) -> Result<Self, Problem> {
        state.gate.admit_stranger(parts)?;
        let taken = ticket::take(state, ticket).await;
        if !matches!(taken, Err(Error::Unauthorized)) {
            state.gate.recognise(parts);
        }
        let ticket = taken?;
        Asker::is(parts, ticket.user_id);
        Ok(Self {
            user_id: ticket.user_id,
            session_id: ticket.session_id,
            token_expires_at: ticket.token_expires_at,
            key: ticket.signed_by.map(KeyMark),
        })
    }
}

impl<S> FromRequestParts<S> for Subscriber
where
    S: Send + Sync,
    AppState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let state = AppState::from_ref(state);
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            // Read whole first: a request that is refused does not cost the ticket.
            let Query(query) = parts.extract::<Query<EventsQuery>>().await?;
            if let Some(ticket) = query.ticket() {
                return Self::by_ticket(ticket, parts, &state).await;
            }
        }
        let token = bearer_token(parts).ok_or_else(Problem::unauthorized);
        let Verified { claims, key } = match token.and_then(|token| state.authenticator.verify(token)) {
            Ok(verified) => verified,
            Err(refused) => {
                state.gate.admit_stranger(parts)?;
                return Err(refused);
            }
        };
        state.gate.calls().admit(&claims.sub)?;
        Asker::is(parts, claims.sub);
        Ok(Self {
            user_id: claims.sub,
            session_id: claims.sid,
            token_expires_at: DateTime::from_timestamp(claims.exp, 0).unwrap_or_default(),
            key: Some(key),
        })
    }
}

impl Input for Subscriber {
    fn describe(operation: &mut Operation) {
        operation.requires_token();
    }
}
