//! What is done now and then: room in the event log, its retention, and what has expired.

mod store;

use std::time::Duration;

use chrono::TimeDelta;

use crate::{idempotency, state::AppState};

const EVERY: Duration = Duration::from_mins(1);

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
