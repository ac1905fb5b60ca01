//! The settings, as `app.yml` documents them.

use std::path::{Path, PathBuf};

use chat_core::{
    database::DatabaseSettings,
    http::listen::ListenSettings,
    settings,
    telemetry::{logs::LogSettings, traces::TraceSettings},
    token::TokenNames,
};
use serde::Deserialize;

use crate::auth::passwords::PASSWORD_MIN;

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../../app.yml");

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
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
    /// Logs.
    pub log: LogSettings,
    /// Traces.
    pub telemetry: TraceSettings,
}

/// Passwords, tokens and sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// The signing key, in PEM.
    pub private_key_file: PathBuf,
    /// The public keys that verify, in PEM; empty: that of the signing key.
    pub public_key_file: PathBuf,
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
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// How long a request may take, in seconds.
    pub request_s: u64,
}

/// The event log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSettings {
    /// How long events are kept, in hours.
    pub retention_hours: u32,
}

/// Chats.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatSettings {
    /// After how many days a deleted chat is purged.
    pub purge_after_days: u32,
    /// Memory for lists of chats that are kept, in MiB.
    pub list_cache_mib: u64,
}

impl Settings {
    /// The defaults, then `file` when there is one, then `FECHATTER_…` variables.
    ///
    /// # Errors
    /// What [`settings::read`] finds, and values outside their range.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let settings: Self = settings::read(DEFAULTS, file, "FECHATTER")?;
        let auth = &settings.auth;
        anyhow::ensure!(
            (PASSWORD_MIN..=64).contains(&auth.password_min_length),
            "auth.password_min_length must be from 8 to 64"
        );
        anyhow::ensure!(auth.access_token_minutes >= 1, "auth.access_token_minutes must be at least 1");
        anyhow::ensure!(auth.sessions_per_person >= 1, "auth.sessions_per_person must be at least 1");
        anyhow::ensure!(settings.events.retention_hours >= 1, "events.retention_hours must be at least 1");
        // A stream that resumes from before the deletion needs to know who was in the chat.
        anyhow::ensure!(
            u64::from(settings.chats.purge_after_days) * 24 > u64::from(settings.events.retention_hours),
            "chats.purge_after_days must be longer than events.retention_hours"
        );
        Ok(settings)
    }
}
