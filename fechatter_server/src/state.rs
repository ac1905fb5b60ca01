//! What every handler can reach.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::extract::FromRef;
use chat_core::{
    caller::Authenticator, clock::Clock, database::Pool, feed::FeedProgress, http::capacity::Capacity,
    limits::Gate, readiness::Health, telemetry::pools::PoolGauges, token::TokenVerifier,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        issuer::{Issuer, key_files::KeyRing},
        passwords::Passwords,
    },
    chats::views::cache::ChatLists,
    config::Settings,
    files::Transfers,
    limits::Limits,
    log_tail::LogTail,
    messages::{sending::Writer, typing::Told},
    metrics::Gauges,
    vault::Vault,
};

/// Everything shared, behind one pointer: each request clones it several times.
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
    /// Signs tokens.
    pub issuer: Issuer,
    /// What has changed lately.
    pub(crate) log_tail: LogTail,
    /// Lists of chats that still hold.
    pub(crate) chat_lists: ChatLists,
    /// Sends messages.
    pub writer: Writer,
    /// Who was said to be writing a moment ago.
    pub(crate) typing: Told,
    /// Searches that may be at work, so that they leave most connections to the rest.
    pub(crate) searches: Semaphore,
    /// How often what may be done.
    pub limits: Limits,
    /// How much is done at a time.
    pub(crate) capacity: Arc<Capacity>,
    /// What readiness depends on.
    pub(crate) health: Health,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Keeps files.
    pub vault: Vault,
    /// Files that come and go.
    pub(crate) transfers: Transfers,
    /// The settings.
    pub settings: Settings,
    /// What operators see.
    gauges: Gauges,
}

impl AppState {
    /// The state for these settings; connects to nothing yet. The feed's pool is the caller's.
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        feed_pool: PoolGauges,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let pool = settings.database.pool("fechatter_server")?;
        let auth = &settings.auth;
        let keys = KeyRing::read(auth)?;
        let issuer = Issuer::new(&keys, auth)?;
        let verifier = TokenVerifier::new(keys.verifying.iter().map(Vec::as_slice), &auth.tokens);
        let writer_pool = settings.database.pool_of_one("fechatter_server writer")?;
        let log_pool = settings.database.pool_of_one("fechatter_server log")?;
        let pools = vec![
            PoolGauges::new("fechatter_server", &pool),
            PoolGauges::new("fechatter_server writer", &writer_pool),
            PoolGauges::new("fechatter_server log", &log_pool),
            feed_pool,
        ];
        let writer = Writer::start(writer_pool, shutdown);
        let log_tail = LogTail::start(log_pool, shutdown);
        let pulse = settings.database.pulse("fechatter_server pulse", shutdown)?;
        let limits = &settings.limits;
        let longest = Duration::from_secs(limits.request_s);
        let feed = FeedProgress::default();
        Ok(Self(Arc::new(Shared {
            capacity: Arc::new(
                Capacity::new(limits.requests_in_flight, longest, pulse.clone())
                    .with_unsent(limits.unsent_mib * 1024 * 1024),
            ),
            gauges: Gauges::new(pools, feed.clone()),
            health: Health { pulse, feed, shutdown: shutdown.clone() },
            chat_lists: ChatLists::new(settings.chats.list_cache_mib * 1024 * 1024, log_tail.clone()),
            log_tail,
            writer,
            authenticator: Authenticator::new(verifier, pool.clone(), clock.clone()),
            searches: Semaphore::new(settings.database.connections_of_searches()),
            typing: Told::default(),
            passwords: Passwords::new(auth)?,
            vault: Vault::open(&settings.files, &clock)?,
            transfers: Transfers::new(&settings.files.limits),
            issuer,
            limits: Limits::new(&settings, &clock),
            pool,
            clock,
            settings,
        })))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// Takes the keys of the files in place of those that it has.
    pub(crate) fn reload_keys(&self) -> anyhow::Result<()> {
        let keys = KeyRing::read(&self.settings.auth)?;
        // First what verifies: nothing is signed that would be refused here.
        self.authenticator.replace_keys(keys.verifying.iter().map(Vec::as_slice));
        self.issuer.replace_keys(&keys, self.clock.now())
    }

    /// Brings those metrics up to date that are looked at only when somebody asks.
    pub(crate) fn observe(&self) {
        self.gauges.observe(&self.writer, &self.passwords);
    }
}

impl FromRef<AppState> for Authenticator {
    fn from_ref(state: &AppState) -> Self {
        state.authenticator.clone()
    }
}

impl FromRef<AppState> for Arc<Gate> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.limits.gate)
    }
}
