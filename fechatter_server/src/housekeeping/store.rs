//! Statements of the housekeeping.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Transaction, postgres::types::PgInterval};

/// Starts a transaction, unless another instance is at it. Dropping a partition needs the whole table for
/// a moment: it gives up soon, so that nobody waits behind it.
pub(super) async fn begin_alone(pool: &PgPool) -> sqlx::Result<Option<Transaction<'static, Postgres>>> {
    let mut tx = pool.begin().await?;
    let alone = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtext('fechatter housekeeping')) as "alone!""#
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("set local lock_timeout = '500ms'").execute(&mut *tx).await?;
    Ok(alone.then_some(tx))
}

/// Partitions for the next two million events.
pub(super) async fn make_room_for_events(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "select make_event_partition(last_value + n * event_partition_size()) from events_id_seq, generate_series(0, 2) n"
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Drops the partitions that hold older events only; answers how many.
pub(super) async fn drop_events(connection: &mut PgConnection, older_than: TimeDelta) -> sqlx::Result<i32> {
    let interval =
        PgInterval { months: 0, days: 0, microseconds: older_than.num_microseconds().unwrap_or(i64::MAX) };
    sqlx::query_scalar!(r#"select drop_expired_events($1) as "dropped!""#, interval)
        .fetch_one(connection)
        .await
}

/// Deletes sessions that ended some time ago.
pub(super) async fn delete_expired_sessions(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("delete from sessions where expires_at < $1::timestamptz - interval '30 days'", now)
        .execute(connection)
        .await?;
    Ok(())
}
