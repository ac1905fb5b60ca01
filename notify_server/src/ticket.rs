//! POST /api/notifications/ticket: what a browser's `EventSource`, which sends no headers, opens a stream with.

use std::time::Duration;

use axum::extract::State;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_core::{caller::Caller, http::answer::Created};
use chrono::TimeDelta;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use utoipa::ToSchema;

use crate::{
    error::Error,
    state::AppState,
    store::{self, Ticket},
};

/// The life of a ticket, in seconds.
const LIFE_S: u32 = 30;
/// How often unused tickets are removed.
const PURGE: Duration = Duration::from_mins(1);

/// A ticket: good for opening one stream.
#[derive(Serialize, ToSchema)]
pub struct IssuedTicket {
    /// For `?ticket=` of the stream.
    ticket: String,
    /// Seconds in which it must be used.
    expires_in: u32,
}

/// Issues a ticket.
pub async fn issue(State(state): State<AppState>, caller: Caller) -> Result<Created<IssuedTicket>, Error> {
    let ticket = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let expires_at = state.clock.now() + TimeDelta::seconds(LIFE_S.into());
    store::put_ticket(&state.pool, &hash(&ticket), &caller, expires_at).await?;
    Ok(Created(IssuedTicket { ticket, expires_in: LIFE_S }))
}

/// Takes a ticket.
///
/// # Errors
/// [`Error::Unauthorized`] for one that was not issued, has been used, or is too old.
pub async fn take(state: &AppState, ticket: &str) -> Result<Ticket, Error> {
    store::take_ticket(&state.pool, &hash(ticket), state.clock.now()).await?.ok_or(Error::Unauthorized)
}

/// Removes unused tickets, now and then.
pub async fn purge(state: AppState) {
    loop {
        sleep(PURGE).await;
        match store::purge_tickets(&state.pool, state.clock.now()).await {
            Ok(count) => tracing::debug!(count, "unused tickets were removed"),
            Err(error) => tracing::warn!(%error, "unused tickets could not be removed"),
        }
    }
}

/// Only the hash is stored: who reads the table cannot open streams.
fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket).into()
}
