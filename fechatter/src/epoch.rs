//! The operator's command for a database that was restored.

use std::io::{self, Write};

use anyhow::Context;
use chat_core::{feed, store};
use fechatter_server::config::Settings;

use crate::database;

/// Gives the event log a new epoch, so that every client reloads, and prints it.
///
/// # Errors
/// A database that does not answer, or that cannot be written.
pub async fn rotate(settings: &Settings) -> anyhow::Result<()> {
    let pool = database::pool(settings, "fechatter rotate-epoch")?;
    let known = store::position(&pool).await.context("the database does not answer")?.epoch;
    let epoch = feed::rotate_epoch(&pool, &known).await.context("the epoch could not be renewed")?;
    writeln!(io::stdout(), "{}", epoch.0)?;
    Ok(())
}
