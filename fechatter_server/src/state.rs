//! What every handler can reach.

use std::sync::Arc;

use axum::extract::FromRef;
use chat_core::{caller::Authenticator, clock::Clock, token::TokenVerifier};
use sqlx::PgPool;

use crate::{
    auth::{
        issuer::{Issuer, key_files::KeyRing},
        passwords::Passwords,
    },
    chats::views::cache::ChatLists,
    config::Settings,
    log_tail::LogTail,
    messages::sending::Writer,
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
}

impl AppState {
    /// The state for these settings; connects to nothing yet.
    pub(crate) fn new(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let pool = settings.database.pool("fechatter_server")?;
        let auth = &settings.auth;
        let keys = KeyRing::read(auth)?;
        let issuer = Issuer::new(&keys, auth)?;
        let verifier = TokenVerifier::new(keys.verifying.iter().map(Vec::as_slice), &auth.tokens);
        let writer = Writer::start(settings.database.pool_of_one("fechatter_server writer")?);
        let log_tail = LogTail::new(settings.database.pool_of_one("fechatter_server log")?);
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
        })
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
}

impl FromRef<AppState> for Authenticator {
    fn from_ref(state: &AppState) -> Self {
        state.authenticator.clone()
    }
}
