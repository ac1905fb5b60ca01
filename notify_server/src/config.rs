//! The settings, as `notify.yml` documents them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use chat_core::{
    database::DatabaseSettings,
    http::listen::ListenSettings,
    settings,
    telemetry::{logs::LogSettings, traces::TraceSettings},
    token::TokenNames,
};
use serde::Deserialize;

use crate::{hub::QueueLimits, ring::RingLimits};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../../notify.yml");

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    pub server: ListenSettings,
    /// The way to PostgreSQL.
    pub database: DatabaseSettings,
    /// Tokens.
    pub auth: AuthSettings,
    /// The event streams.
    pub stream: StreamSettings,
    /// Limits on requests.
    pub limits: LimitSettings,
    /// Logs.
    pub log: LogSettings,
    /// Traces.
    pub telemetry: TraceSettings,
}

/// Tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// The public keys that verify, in PEM.
    pub public_key_file: PathBuf,
    /// Whom tokens are by and for.
    pub tokens: TokenNames,
}

/// The event streams.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSettings {
    /// Between pings of an idle stream, in seconds, give or take a fifth.
    pub heartbeat_s: u64,
    /// Events that may wait for one connection.
    pub queue_events: usize,
    /// Bytes that may wait for one connection.
    pub queue_bytes: usize,
    /// Recent events in memory.
    pub ring_events: usize,
    /// Bytes of recent events in memory.
    pub ring_bytes: usize,
    /// How many events of the log a client may be behind and still be replayed what it lacks.
    pub replay_max: i64,
    /// Pages of the event table that are read at the same time.
    pub replay_concurrency: usize,
}

/// Limits on requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// How long a request may take, in seconds; streams are none.
    pub request_s: u64,
}

impl Settings {
    /// The defaults, then `file` when there is one, then `NOTIFY_…` variables.
    ///
    /// # Errors
    /// What [`settings::read`] finds, and values outside their range.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let settings: Self = settings::read(DEFAULTS, file, "NOTIFY")?;
        settings.stream.validate()?;
        ensure!(settings.limits.request_s >= 1, "limits.request_s must be at least 1");
        Ok(settings)
    }

    /// How long open streams may take to end.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.server.drain_s)
    }
}

impl StreamSettings {
    fn validate(&self) -> anyhow::Result<()> {
        ensure!((1..=3600).contains(&self.heartbeat_s), "stream.heartbeat_s must be from 1 to 3600");
        ensure!(self.queue_events >= 1, "stream.queue_events must be at least 1");
        ensure!(self.queue_bytes >= 1024, "stream.queue_bytes must be at least 1024");
        ensure!(self.ring_events >= 1, "stream.ring_events must be at least 1");
        ensure!(self.ring_bytes >= 1024, "stream.ring_bytes must be at least 1024");
        ensure!(self.replay_max >= 0, "stream.replay_max must not be negative");
        ensure!(self.replay_concurrency >= 1, "stream.replay_concurrency must be at least 1");
        Ok(())
    }

    /// How much may wait for one connection.
    #[must_use]
    pub fn queue_limits(&self) -> QueueLimits {
        QueueLimits { events: self.queue_events, bytes: self.queue_bytes }
    }

    /// How much the ring holds.
    #[must_use]
    pub fn ring_limits(&self) -> RingLimits {
        RingLimits { events: self.ring_events, bytes: self.ring_bytes }
    }
}
