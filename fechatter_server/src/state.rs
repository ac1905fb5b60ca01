//! What every handler can reach.

use std::sync::Arc;

use axum::extract::FromRef;
use chat_core::{
    caller::Authenticator, clock::Clock, feed::Lag, telemetry::pools::PoolGauges, token::TokenVerifier,
};
use sqlx::PgPool;

use crate::{
    auth::{issuer::Issuer, passwords::Passwords},
    chats::views::cache::ChatLists,
    config::Settings,
    log_tail::LogTail,
    messages::sending::Writer,
    metrics::Gauges,
};

/// Cheap to clone: everything in it is shared.
#[derive(Clone)]
pub struct AppState {
    /// PostgreSQL.
    pub pool: PgPool,
    /// The time.
    pub clock: Clock,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// Signs tokens.
    pub issuer: Arc<Issuer>,
    /// What has changed lately.
    pub(crate) log_tail: LogTail,
    /// Lists of chats that still hold.
    pub(crate) chat_lists: ChatLists,
    /// Sends messages.
    pub writer: Writer,
    /// Hashes passwords.
    pub passwords: Arc<Passwords>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// What operators see.
    gauges: Arc<Gauges>,
}

impl AppState {
    /// The state for these settings; connects to nothing yet. The feed and its pool are the caller's.
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        feed_pool: PoolGauges,
        lag: Lag,
    ) -> anyhow::Result<Self> {
        let pool = settings.database.pool("fechatter_server")?;
        let auth = &settings.auth;
        let issuer = Issuer::from_settings(auth)?;
        let verifier = if auth.public_key_file.as_os_str().is_empty() {
            TokenVerifier::new([issuer.public_key()], &auth.tokens)
        } else {
            TokenVerifier::from_file(&auth.public_key_file, &auth.tokens)?
        };
        let writer_pool = settings.database.pool_of_one("fechatter_server writer")?;
        let log_pool = settings.database.pool_of_one("fechatter_server log")?;
        let pools = vec![
            PoolGauges::new("fechatter_server", &pool),
            PoolGauges::new("fechatter_server writer", &writer_pool),
            PoolGauges::new("fechatter_server log", &log_pool),
            feed_pool,
        ];
        let writer = Writer::start(writer_pool);
        let log_tail = LogTail::new(log_pool);
        Ok(Self {
            chat_lists: ChatLists::new(settings.chats.list_cache_mib * 1024 * 1024, log_tail.clone()),
            log_tail,
            writer,
            authenticator: Authenticator::new(verifier, pool.clone(), clock.clone()),
            passwords: Arc::new(Passwords::new(auth)?),
            issuer: Arc::new(issuer),
            pool,
            clock,
            settings: Arc::new(settings),
            gauges: Arc::new(Gauges::new(pools, lag)),
        })
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
