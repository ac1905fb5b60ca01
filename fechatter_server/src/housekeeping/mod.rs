//! What is done now and then: room in the event log, its retention, what has expired, and what was deleted.

mod store;

use std::{ops::AddAssign, time::Duration};

use chat_core::database::Pool;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::{config::Settings, files::collector, idempotency, state::AppState};

const EVERY: Duration = Duration::from_mins(1);
/// Rounds from one sweep of the files to the next, which lists them all.
const SWEEP: u64 = 60;
/// Batches of a purge that one round does at most.
const BATCHES: usize = 200;

/// What a round did away with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Whole partitions of the event log.
    pub event_partitions: u64,
    /// Sessions that ended some time ago.
    pub sessions: u64,
    /// Invites that ended some time ago.
    pub invites: u64,
    /// Keys of requests that nobody repeats any more.
    pub idempotency_keys: u64,
    /// Messages of deleted chats.
    pub messages: u64,
    /// Deleted chats and who was in them.
    pub chat_rows: u64,
    /// Deleted workspaces and who was in them.
    pub workspace_rows: u64,
}

impl AddAssign for Purged {
    fn add_assign(&mut self, other: Self) {
        self.event_partitions += other.event_partitions;
        self.sessions += other.sessions;
        self.invites += other.invites;
        self.idempotency_keys += other.idempotency_keys;
        self.messages += other.messages;
        self.chat_rows += other.chat_rows;
        self.workspace_rows += other.workspace_rows;
    }
}

/// Does it every minute, on every instance; the database sees to it that only one does at a time.
pub(crate) async fn run(state: AppState) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0_u64.. {
        ticks.tick().await;
        match once(&state.pool, &state.settings, state.clock.now()).await {
            Ok(purged) if purged == Purged::default() => {}
            Ok(purged) => tracing::info!(?purged, "what had expired or was deleted long ago is gone"),
            Err(error) => tracing::warn!(%error, "housekeeping failed; it is tried again in a minute"),
        }
        match purge(&state.pool, &state.settings, state.clock.now()).await {
            Ok(purged) if purged == Purged::default() => {}
            Ok(purged) => tracing::info!(?purged, "deleted chats and workspaces were purged"),
            Err(error) => tracing::warn!(%error, "the purge failed; it goes on in a minute"),
        }
        collect_files(&state, round % SWEEP == 0).await;
    }
}

/// Removes the files that nobody needs from where they lie, and if so wished those that nobody knows of.
async fn collect_files(state: &AppState, sweep: bool) {
    let (pool, vault, limits) = (&state.pool, &state.vault, &state.settings.files.limits);
    match collector::collect(pool, vault, limits, state.clock.now()).await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "files that nobody needs are gone"),
        Err(error) => tracing::warn!(%error, "files could not be collected; it is tried again in a minute"),
    }
    if !sweep {
        return;
    }
    match collector::sweep(pool, vault, limits, state.clock.now()).await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "files that nothing names are gone"),
        Err(error) => tracing::warn!(%error, "files could not be swept; it is tried again in an hour"),
    }
}

/// Does all of it at once, as an operator wishes. What a server does away with meanwhile is not counted.
///
/// # Errors
/// What PostgreSQL says; what was done by then stays done.
pub async fn run_now(pool: &Pool, settings: &Settings, now: DateTime<Utc>) -> sqlx::Result<Purged> {
    let mut all = once(pool, settings, now).await?;
    loop {
        let round = purge(pool, settings, now).await?;
        if round == Purged::default() {
            return Ok(all);
        }
        all += round;
    }
}

/// Makes room in the event log, and removes what has expired.
async fn once(pool: &Pool, settings: &Settings, now: DateTime<Utc>) -> sqlx::Result<Purged> {
    let retention = TimeDelta::hours(i64::from(settings.events.retention_hours));
    let mut purged = pool.in_time(tend_log(pool, retention)).await?;
    purged += pool.in_time(delete_expired(pool, now)).await?;
    Ok(purged)
}

/// Makes room in the event log, and drops what is too old: in a transaction of its own, because from the drop to the
/// commit nobody else gets at the log.
async fn tend_log(pool: &Pool, retention: TimeDelta) -> sqlx::Result<Purged> {
    let Some(mut tx) = store::begin_alone(pool).await? else { return Ok(Purged::default()) };
    store::make_room_for_events(&mut tx).await?;
    let dropped = store::drop_events(&mut tx, retention).await?;
    tx.commit().await?;
    Ok(Purged { event_partitions: u64::try_from(dropped).unwrap_or_default(), ..Purged::default() })
}

/// Deletes the rows that have expired.
async fn delete_expired(pool: &Pool, now: DateTime<Utc>) -> sqlx::Result<Purged> {
    let Some(mut tx) = store::begin_alone(pool).await? else { return Ok(Purged::default()) };
    let purged = Purged {
        sessions: store::delete_expired_sessions(&mut tx, now).await?,
        invites: store::delete_expired_invites(&mut tx, now).await?,
        idempotency_keys: idempotency::store::purge(&mut tx, now).await?,
        ..Purged::default()
    };
    tx.commit().await?;
    Ok(purged)
}

/// Purges chats and workspaces that were deleted long ago, batch by batch.
async fn purge(pool: &Pool, settings: &Settings, now: DateTime<Utc>) -> sqlx::Result<Purged> {
    let deleted_before = now - TimeDelta::days(settings.chats.purge_after_days.into());
    let mut all = Purged::default();
    for _ in 0..BATCHES {
        let messages = pool.in_time(store::purge_messages(pool, deleted_before)).await?;
        let mut batch = Purged { messages, ..Purged::default() };
        if batch == Purged::default() {
            batch.chat_rows = pool.in_time(store::purge_chat(pool, deleted_before)).await?;
        }
        if batch == Purged::default() {
            batch.workspace_rows = pool.in_time(store::purge_workspace(pool, deleted_before)).await?;
        }
        if batch == Purged::default() {
            break;
        }
        all += batch;
    }
    Ok(all)
}
