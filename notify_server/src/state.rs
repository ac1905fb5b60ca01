//! What every handler and every stream can reach.

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;
use chat_core::{
    caller::Authenticator, clock::Clock, database::Pool, http::capacity::Capacity, limits::Gate,
    readiness::Health,
};
use tokio::sync::Semaphore;

use crate::{config::Settings, hub::HubHandle, metrics::Gauges, snapshots::Snapshots};

/// Everything shared, behind one pointer: each stream holds it.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// What is shared.
pub struct Shared {
    /// PostgreSQL.
    pub pool: Pool,
    /// The time.
    pub clock: Clock,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// How often who may ask.
    pub gate: Arc<Gate>,
    /// How much is done at a time.
    pub(crate) capacity: Arc<Capacity>,
    /// What readiness depends on.
    pub(crate) health: Health,
    /// Routes events to streams.
    pub hub: HubHandle,
    /// What streams start from.
    pub snapshots: Snapshots,
    /// Permits to read pages of the event table.
    pub replays: Semaphore,
    /// The settings.
    pub settings: Settings,
    /// What operators see.
    pub(crate) gauges: Gauges,
}

impl Shared {
    /// Brings those metrics up to date that are looked at only when somebody asks.
    pub(crate) fn observe(&self) {
        self.gauges.observe(self.hub.position());
    }
}

impl From<Shared> for AppState {
    fn from(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<AppState> for Authenticator {
    fn from_ref(state: &AppState) -> Self {
        state.authenticator.clone()
    }
}

impl FromRef<AppState> for Arc<Gate> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.gate)
    }
}
