//! The way to PostgreSQL: pools with their time limits, and the schema.

mod pool;
mod way;

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sqlx::{
    Connection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::pool::{Lent, Pool, Transaction};
use crate::{
    pulse::Pulse,
    settings::{Problems, hidden},
};

/// The schema, embedded.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The version of the newest migration of this program.
#[must_use]
pub fn needed_schema() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// How long a connection may be idle and be taken for good without a question: PostgreSQL cannot restart that fast.
const IDLE: Duration = Duration::from_millis(100);
/// How much longer than PostgreSQL's own limit on a statement its answer may take, before the connection is given up.
const MARGIN: Duration = Duration::from_secs(2);

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
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host/database`; empty where `fechatter up` brings its own.
    #[serde(serialize_with = "hidden")]
    pub url: SecretString,
    /// A direct connection for LISTEN, which does not work through a pooler; empty: the same as `url`.
    #[serde(serialize_with = "hidden")]
    pub listen_url: SecretString,
    /// The authorities that PostgreSQL's certificate may be by, in PEM, beside the public ones; empty: those alone.
    pub ca_file: PathBuf,
    /// Whether another machine may be reached without verified TLS.
    pub allow_insecure: bool,
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
    /// Notes what is wrong with these settings; an empty URL is not, because `fechatter up` brings its own.
    pub fn check(&self, problems: &mut Problems) {
        for (setting, url) in [("database.url", &self.url), ("database.listen_url", &self.listen_url)] {
            if !url.expose_secret().is_empty() {
                problems.note(way::options(self, setting, url));
            }
        }
        let connections = (1..=10_000).contains(&self.max_connections);
        problems.unless(connections, "database.max_connections must be from 1 to 10000");
        // 0 would be no limit at all: PostgreSQL manual, section 20.11.1.
        for (setting, seconds) in [
            ("acquire_timeout_s", self.acquire_timeout_s),
            ("statement_timeout_s", self.statement_timeout_s),
            ("lock_timeout_s", self.lock_timeout_s),
            ("idle_in_transaction_timeout_s", self.idle_in_transaction_timeout_s),
        ] {
            let fine = (1..=3600).contains(&seconds);
            problems.unless(fine, &format!("database.{setting} must be from 1 to 3600"));
        }
    }

    /// Connections that may search at a time: a search takes longer than most of what else is asked.
    #[must_use]
    pub fn connections_of_searches(&self) -> usize {
        usize::try_from(self.max_connections / 4).unwrap_or(1).max(1)
    }

    /// A pool that connects when it is first used, so that a server starts before its database.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn pool(&self, application: &str) -> Result<Pool, SettingsError> {
        let options = self.options(application)?;
        if !way::is_safe(&options) {
            tracing::warn!(
                "the database is reached without verified TLS, because database.allow_insecure says so"
            );
        }
        Ok(self.pool_of(self.max_connections, options))
    }

    /// A pool of one connection, for a task that must not wait for one while requests have taken all others.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn pool_of_one(&self, application: &str) -> Result<Pool, SettingsError> {
        Ok(self.pool_of(1, self.options(application)?))
    }

    /// A pool that pings a connection before its use only when it has been idle for a while: it may have been closed
    /// meanwhile. Half of the time is left for another one then.
    fn pool_of(&self, max_connections: u32, options: PgConnectOptions) -> Pool {
        let acquire_timeout = Duration::from_secs(self.acquire_timeout_s);
        let connections = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > IDLE {
                        let alive = timeout(acquire_timeout / 2, connection.ping()).await;
                        alive.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Pool::new(connections, Duration::from_secs(self.statement_timeout_s) + MARGIN)
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
        let options = self.way("database.url", &self.url, application)?.options([
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
    pub fn pool_without_limits(&self, application: &str) -> Result<Pool, SettingsError> {
        let options = self.way("database.url", &self.url, application)?;
        let connections = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        Ok(Pool::new(connections, Duration::from_hours(24)))
    }

    /// The direct connection for LISTEN.
    ///
    /// # Errors
    /// A URL that cannot be parsed, or none.
    pub fn listen_options(&self, application: &str) -> Result<PgConnectOptions, SettingsError> {
        let application = format!("{application} listen");
        if self.listen_url.expose_secret().is_empty() {
            self.way("database.url", &self.url, &application)
        } else {
            self.way("database.listen_url", &self.listen_url, &application)
        }
    }

    fn way(
        &self,
        setting: &'static str,
        url: &SecretString,
        application: &str,
    ) -> Result<PgConnectOptions, SettingsError> {
        Ok(way::options(self, setting, url)?.application_name(application))
    }
}

/// What can be wrong with the database settings; the URL itself is never shown.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No URL.
    #[error("database.url is not set: name the database, for example postgres://user@localhost/fechatter")]
    Missing,
    /// Not a PostgreSQL URL.
    #[error("{0} is not a PostgreSQL URL; in a password, all but letters and digits is written as %XX")]
    Malformed(&'static str),
    /// A parameter that would be ignored.
    #[error(
        "{0} has a parameter that is not known; in a password, all but letters and digits is written as %XX"
    )]
    Parameter(&'static str),
    /// Another machine without verified TLS.
    #[error(
        "{0} leads to another machine and must say sslmode=verify-full (database.ca_file or sslrootcert names a \
        private authority), unless database.allow_insecure is true"
    )]
    Insecure(&'static str),
    /// Authorities that cannot be read.
    #[error("the authorities of PostgreSQL's certificate, {file}, cannot be used: {why}")]
    Authorities {
        /// The file.
        file: String,
        /// Why not.
        why: String,
    },
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
