//! The database that the operator's commands work on.

use std::fs;

use anyhow::Context;
use chat_core::database::{DatabaseSettings, Pool};
use fechatter_server::config::Settings;
use secrecy::{ExposeSecret, SecretString};

use crate::up::database_url_file;

/// A pool on the database of the settings, or else on the one of `fechatter up`, which must be running.
///
/// # Errors
/// What [`settings`] meets.
pub(crate) fn pool(of: &Settings, application: &str) -> anyhow::Result<Pool> {
    Ok(settings(of)?.pool(application)?)
}

/// The database of the settings, or else the one of `fechatter up`.
///
/// # Errors
/// No database is named and `fechatter up` has left none.
pub(crate) fn settings(settings: &Settings) -> anyhow::Result<DatabaseSettings> {
    let mut database = settings.database.clone();
    if database.url.expose_secret().is_empty() {
        let file = database_url_file(settings);
        let url = fs::read_to_string(&file).with_context(|| {
            format!("no database is named, and {} of `fechatter up` is not there", file.display())
        })?;
        database.url = SecretString::from(url);
    }
    Ok(database)
}
