//! Whether the bytes of restored files are there: they come back by themselves, and not with the database.

use chat_core::{clock::Clock, database::DatabaseSettings};
use fechatter_server::config::Settings;

use crate::{
    doctor::{Finding, look_at_files},
    up,
};

/// What is known of the files that a restored database names.
pub(super) enum Files {
    /// Nobody looked, or could, for this reason.
    NotLookedAt(String),
    /// What was found.
    Found(Finding),
}

/// Looks at every file as `fechatter doctor --files` does, if their place and their keys are on this machine.
pub(super) async fn look(
    settings: &Settings,
    clock: &Clock,
    database: &DatabaseSettings,
) -> anyhow::Result<Files> {
    let files = up::file_settings(settings);
    if !files.key_file.exists() {
        return Ok(Files::NotLookedAt(format!("their keys, {}, are not here", files.key_file.display())));
    }
    if !files.s3.is_on() && !files.folder.exists() {
        return Ok(Files::NotLookedAt(format!("their folder, {}, is not here", files.folder.display())));
    }
    let pool = database.pool_without_limits("fechatter restore")?;
    let mut connection = pool.acquire().await?;
    Ok(Files::Found(look_at_files(settings, clock, &mut connection, true).await?))
}
