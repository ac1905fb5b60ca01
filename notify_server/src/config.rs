//! The settings, as `notify.yml` documents them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chat_core::{
    database::{DatabaseSettings, SettingsError},
    http::{
        connection_limit::ConnectionLimits,
        listen::{ClientLimits, ListenSettings},
    },
    limits::Allowance,
    settings::{self, Problems},
    telemetry::{logs::LogSettings, traces::TraceSettings},
    token::{TokenNames, read_public_keys},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{hub::QueueLimits, ring::RingLimits};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../../notify.yml");

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize, Serialize)]
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
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// The public keys that verify, in PEM.
    pub public_key_file: PathBuf,
    /// Whom tokens are by and for.
    pub tokens: TokenNames,
}

/// The event streams.
#[derive(Clone, Debug, Deserialize, Serialize)]
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
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// How long a request may take, in seconds; streams are none.
    pub request_s: u64,
    /// Requests that are answered at the same time; streams are none.
    pub requests_in_flight: usize,
    /// Whether rates are limited.
    pub enabled: bool,
    /// Streams that are opened by token, and tickets, by person.
    pub calls: Allowance,
    /// Calls without a good access token or ticket, by address.
    pub calls_without_token: Allowance,
    /// Connections in all; 0 for as many as there can be open files.
    pub connections: u32,
    /// Connections from one address; 0 for no limit.
    pub connections_per_address: u32,
    /// Streams of one person; 0 for no limit.
    pub streams_per_person: u32,
    /// Until the first byte of a connection, in seconds.
    pub first_byte_s: u64,
    /// For the head of a request, in seconds.
    pub head_s: u64,
    /// Without any more of the body of a request, in seconds.
    pub body_idle_s: u64,
    /// Between two requests of a connection, in seconds.
    pub keep_alive_s: u64,
}

impl LimitSettings {
    /// What each client is allowed.
    #[must_use]
    pub fn clients(&self) -> ClientLimits {
        ClientLimits {
            connections: ConnectionLimits {
                connections: self.connections,
                per_address: self.connections_per_address,
            },
            first_byte_s: self.first_byte_s,
            head_s: self.head_s,
            body_idle_s: self.body_idle_s,
            keep_alive_s: self.keep_alive_s,
        }
    }
}

impl Settings {
    /// The defaults, then `file` when there is one, then `NOTIFY_…` variables.
    ///
    /// # Errors
    /// What [`settings::read`] finds, and values outside their range.
    pub fn read(file: Option<&Path>) -> Result<Self, Problems> {
        let settings: Self = settings::read(DEFAULTS, file, "NOTIFY")?;
        settings.problems().none()?;
        Ok(settings)
    }

    /// What is wrong with the values.
    #[must_use]
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        self.server.check(&mut problems);
        self.database.check(&mut problems);
        self.auth.tokens.check(&mut problems);
        self.stream.check(&mut problems);
        let request = (1..=600).contains(&self.limits.request_s);
        problems.unless(request, "limits.request_s must be from 1 to 600");
        let in_flight = self.limits.requests_in_flight >= 1;
        problems.unless(in_flight, "limits.requests_in_flight must be at least 1");
        self.limits.clients().check(&mut problems);
        self.log.check(&mut problems);
        self.telemetry.check(&mut problems);
        problems
    }

    /// What keeps `notify_server` from starting: a database or keys that are missing or of no use.
    #[must_use]
    pub fn problems_of_start(&self) -> Problems {
        let mut problems = Problems::default();
        if self.database.url.expose_secret().is_empty() {
            problems.note::<()>(Err(SettingsError::Missing));
        }
        let keys = &self.auth.public_key_file;
        if keys.as_os_str().is_empty() {
            problems
                .unless(false, "auth.public_key_file is not set: name the keys that verify access tokens");
        } else {
            problems.note(read_public_keys(keys));
        }
        problems.note(self.server.tls.check());
        problems
    }

    /// How long open streams may take to end.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.server.drain_s)
    }
}

impl StreamSettings {
    fn check(&self, problems: &mut Problems) {
        let heartbeat = (1..=3600).contains(&self.heartbeat_s);
        problems.unless(heartbeat, "stream.heartbeat_s must be from 1 to 3600");
        problems.unless(self.queue_events >= 1, "stream.queue_events must be at least 1");
        problems.unless(self.queue_bytes >= 1024, "stream.queue_bytes must be at least 1024");
        problems.unless(self.ring_events >= 1, "stream.ring_events must be at least 1");
        problems.unless(self.ring_bytes >= 1024, "stream.ring_bytes must be at least 1024");
        problems.unless(self.replay_max >= 0, "stream.replay_max must not be negative");
        problems.unless(self.replay_concurrency >= 1, "stream.replay_concurrency must be at least 1");
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
