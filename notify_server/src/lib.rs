//! The event streams of Fechatter: follows the database's event log and delivers it to who may see it.

pub mod config;
pub mod departures;
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

use std::{sync::Arc, time::Duration};

use axum::Router;
use chat_core::{
    api::Api,
    caller::Authenticator,
    clock::Clock,
    essential,
    feed::FeedProgress,
    http::{capacity::Capacity, client_address::Locator},
    limits::{Allowance, Gate, Limit},
    operators::{self, Operated},
    readiness::{Health, Readiness},
    renewal,
    telemetry::{metrics::keep_up, pools::PoolGauges},
    token::{KeyError, TokenVerifier, read_public_keys},
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
#[derive(Clone)]
pub struct App {
    state: AppState,
}

impl App {
    /// Starts the background tasks. The database may come later.
    ///
    /// # Errors
    /// Settings that cannot be used; the message names them.
    pub fn start(settings: Settings, clock: Clock, shutdown: CancellationToken) -> anyhow::Result<Self> {
        settings.problems_of_start().none()?;
        let auth = &settings.auth;
        let verifier = TokenVerifier::from_file(&auth.public_key_file, &auth.tokens)?;
        let pool = settings.database.pool("notify_server")?;
        let listen = settings.database.listen_options("notify_server")?;
        let authenticator = Authenticator::new(verifier, pool.clone(), clock.clone());

        let ring_limits = settings.stream.ring_limits();
        let streams = settings.limits.streams_per_person;
        let ring = Ring::new(ring_limits, 0);
        let (hub, handle) = Hub::new(ring, streams, authenticator.clone(), clock.clone());
        let (to_hub, intake) = mpsc::channel(intake::BATCHES);
        let feed = settings.database.pool_of_one("notify_server feed")?;
        let pools = [PoolGauges::new("notify_server", &pool), PoolGauges::new("notify_server feed", &feed)];
        let progress = FeedProgress::default();
        let gauges = Gauges::new(pools, progress.clone());
        let (said, ephemeral) = mpsc::channel(intake::EPHEMERAL);
        let following = intake::follow(feed, listen, progress.clone(), ring_limits, to_hub, said);
        essential::spawn("feed", &shutdown, following);
        let hub = hub.run(intake, ephemeral, shutdown.clone(), settings.drain());
        essential::spawn_to_the_end("hub", &shutdown, hub);

        let file = settings.auth.public_key_file.clone();
        let renewing = renewal::follow(vec![file.clone()], {
            let authenticator = authenticator.clone();
            move || {
                authenticator.replace_keys(read_public_keys(&file)?.iter().map(Vec::as_slice));
                Ok::<_, KeyError>(())
            }
        });
        essential::spawn("keys", &shutdown, renewing);

        let replays = Semaphore::new(settings.stream.replay_concurrency);
        let snapshots = Snapshots::start(&pool, &clock, &shutdown);
        let pulse = settings.database.pulse("notify_server pulse", &shutdown)?;
        let state = AppState::from(Shared {
            gate: Arc::new(gate(&settings, &clock)),
            capacity: Arc::new(Capacity::new(
                settings.limits.requests_in_flight,
                Duration::from_secs(settings.limits.request_s),
                pulse.clone(),
            )),
            health: Health { pulse, feed: progress, shutdown: shutdown.clone() },
            pool,
            clock,
            authenticator,
            hub: handle,
            snapshots,
            replays,
            settings,
            gauges,
        });
        essential::spawn("metrics", &shutdown, keep_up());
        essential::spawn("tickets", &shutdown, ticket::purge(state.clone()));
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

    /// The routes with their own document, for a server that runs them alone.
    pub fn router(&self) -> Router {
        routes::with_document(self.api())
    }
}

impl Operated for App {
    type Readiness = Readiness;

    /// The database answers by the schema of this version, the event log is delivered, and the server is not to end.
    fn readiness(&self) -> Readiness {
        self.state.health.judge(self.state.hub.position().map(|position| position.id))
    }

    fn observe(&self) {
        self.state.observe();
    }
}

fn gate(settings: &Settings, clock: &Clock) -> Gate {
    let (server, limits) = (&settings.server, &settings.limits);
    let locator = Locator::new(server.trusted_proxies.clone(), server.forwarded_header);
    let limit = |name, allowance: Allowance| {
        if limits.enabled { Limit::new(name, allowance, clock) } else { Limit::off(name, allowance) }
    };
    Gate::new(locator, limit("calls", limits.calls), limit("calls_without_token", limits.calls_without_token))
}
