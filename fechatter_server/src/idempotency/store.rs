//! Statements about keys.

use chat_core::ids::UserId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::types::RequestKey;
use crate::error::{Conflict, Error};

/// What the caller's first request with this key made, if there was one. Asked under the ordering lock.
pub(crate) async fn made_before(
    connection: &mut PgConnection,
    caller: UserId,
    key: Option<&RequestKey>,
) -> Result<Option<Uuid>, Error> {
    let Some(key) = key else { return Ok(None) };
    let earlier = sqlx::query!(
        "select request_hash, result_id from idempotency_keys where user_id = $1 and operation = $2 and key = $3",
        caller.0,
        key.operation,
        key.key,
    )
    .fetch_optional(connection)
    .await?;
    match earlier {
        Some(earlier) if earlier.request_hash != key.request_hash => {
            Err(Error::Conflict(Conflict::IdempotencyKeyReused))
        }
        earlier => Ok(earlier.map(|earlier| earlier.result_id)),
    }
}

/// Notes what the caller's request made, in the transaction that makes it.
pub(crate) async fn note(
    connection: &mut PgConnection,
    caller: UserId,
    key: Option<&RequestKey>,
    made: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Some(key) = key else { return Ok(()) };
    sqlx::query!(
        "insert into idempotency_keys (user_id, operation, key, request_hash, result_id, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        caller.0,
        key.operation,
        key.key,
        &key.request_hash,
        made,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the keys of some time ago; answers how many.
pub(crate) async fn purge(connection: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<u64> {
    sqlx::query!("delete from idempotency_keys where created_at < $1::timestamptz - interval '2 days'", now)
        .execute(connection)
        .await
        .map(|deleted| deleted.rows_affected())
}
