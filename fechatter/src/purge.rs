//! The operator's command that does the servers' housekeeping at once.

use std::io::{self, Write};

use anyhow::Context;
use chat_core::clock::Clock;
use fechatter_server::{config::Settings, housekeeping};

use crate::database;

/// Removes what has expired or was deleted long ago, and prints how much that was.
///
/// # Errors
/// A database that does not answer; what was removed by then stays removed.
pub async fn run(settings: &Settings, clock: &Clock, json: bool) -> anyhow::Result<()> {
    let pool = database::pool(settings, "fechatter purge")?;
    let purged = housekeeping::run_now(&pool, settings, clock.now()).await;
    let purged = purged.context("the purge did not come to its end")?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&purged)?)?;
        return Ok(());
    }
    for (count, what) in [
        (purged.event_partitions, "partitions of the event log"),
        (purged.sessions, "sessions"),
        (purged.invites, "invites"),
        (purged.idempotency_keys, "idempotency keys"),
        (purged.messages, "messages of deleted chats"),
        (purged.chat_rows, "deleted chats and memberships"),
        (purged.workspace_rows, "deleted workspaces and memberships"),
    ] {
        writeln!(out, "{count:>10}  {what}")?;
    }
    Ok(())
}
