//! What every handler can reach.

use std::sync::Arc;

use axum::extract::FromRef;
use chat_core::{caller::Authenticator, clock::Clock};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::{config::Settings, hub::HubHandle};

/// Cheap to clone: everything in it is shared.
#[derive(Clone)]
pub struct AppState {
    /// PostgreSQL.
    pub pool: PgPool,
    /// The time.
    pub clock: Clock,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// Routes events to streams.
    pub hub: HubHandle,
    /// Permits to read pages of the event table.
    pub replays: Arc<Semaphore>,
    /// The settings.
    pub settings: Arc<Settings>,
}

impl FromRef<AppState> for Authenticator {
    fn from_ref(state: &AppState) -> Self {
        state.authenticator.clone()
    }
}
