//! The event streams of Fechatter: follows the database's event log and delivers it to who may see it.

pub mod config;
pub mod directory;
pub mod entry;
pub mod error;
#[cfg(test)]
mod fixtures;
pub mod frame;
pub mod hub;
pub mod intake;
mod light;
mod metrics;
mod readiness;
pub mod reason;
pub mod replay;
pub mod ring;
pub mod routes;
pub mod snapshots;
pub mod sse;
pub mod state;
pub mod store;
pub mod stream;
pub mod subscriber;
pub mod subscription;
pub mod ticket;

use anyhow::ensure;
use axum::Router;
use chat_core::{
    api::Api,
    caller::Authenticator,
    clock::Clock,
    feed::Lag,
    problem::Problem,
    telemetry::{metrics::keep_up, pools::PoolGauges},
    token::TokenVerifier,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    hub::Hub,
    metrics::Gauges,
    ring::Ring,
    snapshots::Snapshots,
    state::{AppState, Shared},
};

/// The application, running: its background tasks and its streams end with the token given to [`App::start`].
pub struct App {
    state: AppState,
}

impl App {
    /// Starts the background tasks. The database may come later.
    ///
    /// # Errors
    /// Settings that cannot be used; the message names them.
    pub fn start(settings: Settings, clock: Clock, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let auth = &settings.auth;
        ensure!(!auth.public_key_file.as_os_str().is_empty(), "auth.public_key_file is not set");
        let verifier = TokenVerifier::from_file(&auth.public_key_file, &auth.tokens)?;
        let pool = settings.database.pool("notify_server")?;
        let listen = settings.database.listen_options("notify_server")?;
        let authenticator = Authenticator::new(verifier, pool.clone(), clock.clone());

        let ring_limits = settings.stream.ring_limits();
        let (hub, handle) = Hub::new(Ring::new(ring_limits, 0), authenticator.clone(), clock.clone());
        let (to_hub, intake) = mpsc::channel(intake::BATCHES);
        let feed = settings.database.pool_of_one("notify_server feed")?;
        let pools = [PoolGauges::new("notify_server", &pool), PoolGauges::new("notify_server feed", &feed)];
        let lag = Lag::default();
        let gauges = Gauges::new(pools, lag.clone());
        let following = intake::follow(feed, listen, lag, ring_limits, to_hub);
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(following));
        tokio::spawn(hub.run(intake, shutdown.clone(), settings.drain()));

        let replays = Semaphore::new(settings.stream.replay_concurrency);
        let snapshots = Snapshots::start(&pool, &clock, &shutdown);
        let shared = Shared { pool, clock, authenticator, hub: handle, snapshots, replays, settings, gauges };
        let state = AppState::from(shared);
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(keep_up()));
        tokio::spawn(shutdown.run_until_cancelled_owned(ticket::purge(state.clone())));
        Ok(Self { state })
    }

    /// The routes and their document.
    #[must_use]
    pub fn api(&self) -> Api<()> {
        routes::api(self.state.clone())
    }

    /// Whether it can serve.
    ///
    /// # Errors
    /// 503, and why it cannot.
    pub async fn ready(&self) -> Result<(), Problem> {
        readiness::check(&self.state).await.map_err(Problem::from)
    }

    /// Brings those metrics up to date that are looked at only when somebody asks.
    pub fn observe(&self) {
        self.state.observe();
    }

    /// The operators' endpoints.
    pub fn admin(&self) -> Router {
        routes::admin(self.state.clone())
    }

    /// The routes with their own document, for a server that runs them alone.
    pub fn router(&self) -> Router {
        routes::with_document(self.api())
    }
}
