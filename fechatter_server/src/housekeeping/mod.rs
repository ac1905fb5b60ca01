//! What is done now and then: room in the event log, its retention, what has expired, and what was deleted.

mod store;

use std::time::Duration;

use chrono::TimeDelta;

use crate::{idempotency, state::AppState};

const EVERY: Duration = Duration::from_mins(1);
/// Batches of a purge that one round does at most.
const BATCHES: usize = 200;

/// Does it every minute, on every instance; the database sees to it that only one does at a time.
pub(crate) async fn run(state: AppState) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match once(&state).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "partitions of the event log were dropped"),
            Err(error) => tracing::warn!(%error, "housekeeping failed; it is tried again in a minute"),
        }
        match purge(&state).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "deleted chats were purged"),
            Err(error) => tracing::warn!(%error, "the purge failed; it goes on in a minute"),
        }
    }
}

async fn once(state: &AppState) -> sqlx::Result<i32> {
    let Some(mut tx) = store::begin_alone(&state.pool).await? else { return Ok(0) };
    let retention = TimeDelta::hours(i64::from(state.settings.events.retention_hours));
    store::make_room_for_events(&mut tx).await?;
    let dropped = store::drop_events(&mut tx, retention).await?;
    store::delete_expired_sessions(&mut tx, state.clock.now()).await?;
    idempotency::store::purge(&mut tx, state.clock.now()).await?;
    tx.commit().await?;
    Ok(dropped)
}

/// Purges chats that were deleted long ago, batch by batch; answers how many rows went.
async fn purge(state: &AppState) -> sqlx::Result<u64> {
    let deleted_before = state.clock.now() - TimeDelta::days(state.settings.chats.purge_after_days.into());
    let mut rows = 0;
    for _ in 0..BATCHES {
        let mut batch = store::purge_messages(&state.pool, deleted_before).await?;
        if batch == 0 {
            batch = store::purge_chat(&state.pool, deleted_before).await?;
        }
        if batch == 0 {
            break;
        }
        rows += batch;
    }
    Ok(rows)
}
