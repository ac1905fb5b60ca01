//! The way to PostgreSQL: pools with their time limits, and the schema.

use std::{str::FromStr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::{
    Connection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

use crate::pulse::Pulse;

/// The schema, embedded.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The version of the newest migration of this program.
#[must_use]
pub fn needed_schema() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// How long a connection may be idle and be taken for good without a question: PostgreSQL cannot restart that fast.
const IDLE: Duration = Duration::from_millis(100);

/// Every statement of ours finds its rows by keys. So each is planned once a connection, for whatever parameters,
/// because planning over the partitions of `messages` takes longer than running; and along the indexes, also when a
/// table was empty at that time or a `limit` is not known (PostgreSQL manual, sections 20.7.1 and 20.7.4).
const PLANNING: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// How to reach PostgreSQL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host/database`; empty where `fechatter up` brings its own.
    pub url: SecretString,
    /// A direct connection for LISTEN, which does not work through a pooler; empty: the same as `url`.
    pub listen_url: SecretString,
    /// Connections in the pool.
    pub max_connections: u32,
    /// How long a request waits for a connection, in seconds.
    pub acquire_timeout_s: u64,
    /// `statement_timeout`, in seconds.
    pub statement_timeout_s: u64,
    /// `lock_timeout`, in seconds.
    pub lock_timeout_s: u64,
    /// `idle_in_transaction_session_timeout`, in seconds.
    pub idle_in_transaction_timeout_s: u64,
}

impl DatabaseSettings {
    /// A pool that connects when it is first used, so that a server starts before its database.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn pool(&self, application: &str) -> Result<PgPool, SettingsError> {
        let options = self.options(application)?;
        Ok(pool_options(self.max_connections)
            .acquire_timeout(Duration::from_secs(self.acquire_timeout_s))
            .connect_lazy_with(options))
    }

    /// A pool of one connection, for a task that must not wait for one while requests have taken all others.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn pool_of_one(&self, application: &str) -> Result<PgPool, SettingsError> {
        Ok(pool_options(1)
            .acquire_timeout(Duration::from_secs(self.acquire_timeout_s))
            .connect_lazy_with(self.options(application)?))
    }

    /// The database's pulse; an answer may take as long as a request waits for a connection.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn pulse(&self, application: &str, shutdown: &CancellationToken) -> Result<Pulse, SettingsError> {
        let patience = Duration::from_secs(self.acquire_timeout_s);
        Ok(Pulse::start(self.options(application)?, patience, shutdown))
    }

    fn options(&self, application: &str) -> Result<PgConnectOptions, SettingsError> {
        let options = connect_options(&self.url, application)?.options([
            ("statement_timeout", format!("{}s", self.statement_timeout_s)),
            ("lock_timeout", format!("{}s", self.lock_timeout_s)),
            ("idle_in_transaction_session_timeout", format!("{}s", self.idle_in_transaction_timeout_s)),
        ]);
        Ok(options.options(PLANNING))
    }

    /// A pool of one connection without time limits, for migrations.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn pool_without_limits(&self, application: &str) -> Result<PgPool, SettingsError> {
        let options = connect_options(&self.url, application)?;
        Ok(PgPoolOptions::new().max_connections(1).connect_lazy_with(options))
    }

    /// The direct connection for LISTEN.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn listen_options(&self, application: &str) -> Result<PgConnectOptions, SettingsError> {
        let url = if self.listen_url.expose_secret().is_empty() { &self.url } else { &self.listen_url };
        connect_options(url, &format!("{application} listen"))
    }
}

/// Pings a connection before its use only when it has been idle for a while: it may have been closed meanwhile.
fn pool_options(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(max_connections).test_before_acquire(false).before_acquire(
        |connection, meta| {
            Box::pin(async move {
                if meta.idle_for > IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        },
    )
}

fn connect_options(url: &SecretString, application: &str) -> Result<PgConnectOptions, SettingsError> {
    if url.expose_secret().is_empty() {
        return Err(SettingsError::Missing);
    }
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| SettingsError::Malformed)?;
    Ok(options.application_name(application))
}

/// What can be wrong with the database settings; the URL itself is never shown.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No URL.
    #[error("database.url is not set: name the database, for example postgres://user@localhost/fechatter")]
    Missing,
    /// Not a PostgreSQL URL.
    #[error("database.url or database.listen_url is not a PostgreSQL URL")]
    Malformed,
}

/// Whether PostgreSQL could not be reached or could not answer in time, so that trying again makes sense.
///
/// Codes: PostgreSQL manual, appendix A.
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection, resources, operator intervention; lock and serialization failures.
            ["08", "53", "57"].iter().any(|class| code.starts_with(class))
                || ["25P03", "40001", "40P01", "55P03"].contains(&&*code)
        }),
        _ => false,
    }
}
