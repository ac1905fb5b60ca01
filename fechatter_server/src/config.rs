//! The settings, as `app.yml` documents them.

use std::path::{Path, PathBuf};

use chat_core::{
    database::{DatabaseSettings, SettingsError},
    http::{
        connection_limit::ConnectionLimits,
        listen::{ClientLimits, ListenSettings},
    },
    limits::Allowance,
    settings::{self, Problems},
    telemetry::{logs::LogSettings, traces::TraceSettings},
    token::TokenNames,
};
use chrono::TimeDelta;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::auth::{
    issuer::key_files::KeyRing,
    passwords::{PASSWORD_MIN, Passwords},
};
use crate::vault::{ring::FileKeys, settings::FileSettings};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../../app.yml");

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    pub server: ListenSettings,
    /// The way to PostgreSQL.
    pub database: DatabaseSettings,
    /// Where `fechatter up` keeps its database and keys.
    pub data_dir: PathBuf,
    /// Passwords, tokens and sessions.
    pub auth: AuthSettings,
    /// Limits on requests.
    pub limits: LimitSettings,
    /// The event log.
    pub events: EventSettings,
    /// Chats.
    pub chats: ChatSettings,
    /// Files.
    pub files: FileSettings,
    /// Logs.
    pub log: LogSettings,
    /// Traces.
    pub telemetry: TraceSettings,
}

/// Passwords, tokens and sessions.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// The signing key, in PEM.
    pub private_key_file: PathBuf,
    /// The public keys that verify, in PEM; empty: that of the signing key.
    pub public_key_file: PathBuf,
    /// For how long a new key of a running site is left alone, in seconds.
    pub new_key_delay_s: u32,
    /// Whom tokens are by and for.
    pub tokens: TokenNames,
    /// The life of an access token, in minutes.
    pub access_token_minutes: u32,
    /// For how long the refresh token before the last one is still answered, in seconds.
    pub refresh_grace_s: u32,
    /// The life of an unused session, in days.
    pub session_idle_days: u32,
    /// The life of any session, in days.
    pub session_days: u32,
    /// Sessions a person.
    pub sessions_per_person: u32,
    /// The fewest code points of a password.
    pub password_min_length: usize,
    /// Memory of argon2id, in KiB.
    pub argon2_memory_kib: u32,
    /// Passes of argon2id.
    pub argon2_passes: u32,
    /// Lanes of argon2id.
    pub argon2_lanes: u32,
    /// Hashings that may wait for a core.
    pub hashing_queue: usize,
    /// How long they wait, in milliseconds.
    pub hashing_wait_ms: u64,
}

/// Limits on requests.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// How long a request may take, in seconds.
    pub request_s: u64,
    /// Requests that are answered at the same time.
    pub requests_in_flight: usize,
    /// Memory for large answers that have not been taken by their clients yet, in MiB.
    pub unsent_mib: u64,
    /// Whether rates are limited.
    pub enabled: bool,
    /// Messages, by person.
    pub sends: Allowance,
    /// Searches, by person.
    pub searches: Allowance,
    /// Other calls, by person.
    pub calls: Allowance,
    /// Calls without a good access token, by address.
    pub calls_without_token: Allowance,
    /// Accounts that are opened, by address.
    pub sign_ups: Allowance,
    /// Passwords that are offered, by address.
    pub passwords: Allowance,
    /// Wrong passwords, by account and address.
    pub wrong_passwords: Allowance,
    /// Wrong passwords, by account, from addresses that it does not know.
    pub wrong_passwords_anywhere: Allowance,
    /// Connections in all; 0 for as many as there can be open files.
    pub connections: u32,
    /// Connections from one address; 0 for no limit.
    pub connections_per_address: u32,
    /// Until the first byte of a connection, in seconds.
    pub first_byte_s: u64,
    /// For the head of a request, in seconds.
    pub head_s: u64,
    /// Without any more of the body of a request, in seconds.
    pub body_idle_s: u64,
    /// Between two requests of a connection, in seconds.
    pub keep_alive_s: u64,
}

/// The event log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EventSettings {
    /// How long events are kept, in hours.
    pub retention_hours: u32,
}

/// Chats.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChatSettings {
    /// After how many days a deleted chat is purged.
    pub purge_after_days: u32,
    /// Memory for lists of chats that are kept, in MiB.
    pub list_cache_mib: u64,
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
    /// The defaults, then `file` when there is one, then `FECHATTER_…` variables.
    ///
    /// # Errors
    /// What [`settings::read`] finds, and values outside their range.
    pub fn read(file: Option<&Path>) -> Result<Self, Problems> {
        let mut settings: Self = settings::read(DEFAULTS, file, "FECHATTER")?;
        settings.problems().none()?;
        settings.files.settle(&settings.data_dir);
        Ok(settings)
    }

    /// What is wrong with the values.
    #[must_use]
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        self.server.check(&mut problems);
        self.database.check(&mut problems);
        self.auth.check(&mut problems);
        let request = (1..=600).contains(&self.limits.request_s);
        problems.unless(request, "limits.request_s must be from 1 to 600");
        let in_flight = self.limits.requests_in_flight >= 1;
        problems.unless(in_flight, "limits.requests_in_flight must be at least 1");
        let unsent = (1..=1_048_576).contains(&self.limits.unsent_mib);
        problems.unless(unsent, "limits.unsent_mib must be from 1 to 1048576");
        self.limits.clients().check(&mut problems);
        let retention = (1..=8760).contains(&self.events.retention_hours);
        problems.unless(retention, "events.retention_hours must be from 1 to 8760");
        // A stream that resumes from before the deletion needs to know who was in the chat.
        problems.unless(
            u64::from(self.chats.purge_after_days) * 24 > u64::from(self.events.retention_hours),
            "chats.purge_after_days must be longer than events.retention_hours",
        );
        let memory = self.chats.list_cache_mib <= 1024 * 1024;
        problems.unless(memory, "chats.list_cache_mib must be at most 1048576");
        self.files.check(&mut problems);
        self.log.check(&mut problems);
        self.telemetry.check(&mut problems);
        problems
    }

    /// What keeps `fechatter_server` from starting: a database or keys that are missing or of no use.
    #[must_use]
    pub fn problems_of_start(&self) -> Problems {
        let mut problems = Problems::default();
        if self.database.url.expose_secret().is_empty() {
            problems.note::<()>(Err(SettingsError::Missing));
        }
        problems.note(KeyRing::read(&self.auth));
        problems.note(FileKeys::read(&self.files));
        problems.note(self.server.tls.check());
        problems
    }
}

impl AuthSettings {
    fn check(&self, problems: &mut Problems) {
        self.tokens.check(problems);
        for (setting, value, range) in [
            ("new_key_delay_s", self.new_key_delay_s, 0..=86_400),
            ("access_token_minutes", self.access_token_minutes, 1..=1440),
            ("refresh_grace_s", self.refresh_grace_s, 0..=300),
            ("session_idle_days", self.session_idle_days, 1..=3650),
            ("session_days", self.session_days, 1..=3650),
            ("sessions_per_person", self.sessions_per_person, 1..=10_000),
        ] {
            let (from, to) = (range.start(), range.end());
            let line = format!("auth.{setting} must be from {from} to {to}");
            problems.unless(range.contains(&value), &line);
        }
        problems.unless(
            (PASSWORD_MIN..=64).contains(&self.password_min_length),
            "auth.password_min_length must be from 8 to 64",
        );
        problems.note(Passwords::new(self));
        problems.unless(self.hashing_wait_ms <= 60_000, "auth.hashing_wait_ms must be at most 60000");
    }

    /// How long an access token is good for.
    #[must_use]
    pub fn access_token_life(&self) -> TimeDelta {
        TimeDelta::minutes(self.access_token_minutes.into())
    }

    /// For how long a new key is left alone.
    #[must_use]
    pub fn new_key_delay(&self) -> TimeDelta {
        TimeDelta::seconds(self.new_key_delay_s.into())
    }
}
