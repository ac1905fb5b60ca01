//! The REST API of Fechatter.

pub mod access;
pub mod accounts;
pub mod auth;
mod background;
pub mod chats;
pub mod config;
pub mod docs;
pub mod error;
pub mod files;
pub mod housekeeping;
pub mod idempotency;
mod key_file;
pub mod limits;
mod log_tail;
pub mod members;
pub mod mentions;
pub mod messages;
mod metrics;
pub mod permissions;
pub mod routes;
pub mod saved;
pub mod search;
pub mod state;
mod text;
pub mod users;
pub mod vault;
pub mod watch;
pub mod workspaces;

use axum::Router;
use chat_core::{
    api::Api,
    clock::Clock,
    essential,
    operators::{self, Operated},
    readiness::Readiness,
    renewal,
    telemetry::{metrics::keep_up, pools::PoolGauges},
};
use tokio_util::sync::CancellationToken;

use crate::{config::Settings, state::AppState};

/// The application, running: its background tasks end with the token given to [`App::start`].
#[derive(Clone)]
pub struct App {
    state: AppState,
}

impl App {
    /// Starts the background tasks.
    ///
    /// # Errors
    /// Settings that cannot be used; the message names them.
    pub fn start(settings: Settings, clock: Clock, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        settings.problems_of_start().none()?;
        let listen = settings.database.listen_options("fechatter_server")?;
        let feed = settings.database.pool_of_one("fechatter_server feed")?;
        let feed_gauges = PoolGauges::new("fechatter_server feed", &feed);
        let state = AppState::new(settings, clock, feed_gauges, shutdown)?;
        let watching = watch::follow(state.clone(), feed, listen);
        let keeping = housekeeping::run(state.clone());
        let auth = &state.settings.auth;
        let files = vec![auth.private_key_file.clone(), auth.public_key_file.clone()];
        let renewing = renewal::follow(files, {
            let state = state.clone();
            move || state.reload_keys()
        });
        let vault = state.vault.clone();
        let file_keys = vec![state.settings.files.key_file.clone()];
        let renewing_file_keys = renewal::follow(file_keys, move || vault.reload_keys());
        let tending = vault::tend(state.vault.clone());
        essential::spawn("metrics", shutdown, keep_up());
        essential::spawn("feed", shutdown, watching);
        essential::spawn("housekeeping", shutdown, keeping);
        essential::spawn("keys", shutdown, renewing);
        essential::spawn("file keys", shutdown, renewing_file_keys);
        essential::spawn("vault", shutdown, tending);
        Ok(Self { state })
    }

    /// The routes and their document.
    #[must_use]
    pub fn api(&self) -> Api<()> {
        routes::api(self.state.clone())
    }

    /// The operators' endpoints.
    pub fn admin(&self) -> Router {
        operators::routes(self.clone())
    }
}

impl Operated for App {
    type Readiness = Readiness;

    /// The database answers by the schema of this version, the event log is followed, and the server is not to end.
    fn readiness(&self) -> Readiness {
        let health = &self.state.health;
        health.judge(health.feed.id())
    }

    fn observe(&self) {
        self.state.observe();
    }
}
