//! Statements of the housekeeping.

use chat_core::{
    database::{Pool, Transaction},
    store::{begin_unordered, begin_write},
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, postgres::types::PgInterval};

/// Starts a transaction, unless another instance is at it. Dropping a partition needs the whole table for
/// a moment: it gives up soon, so that nobody waits behind it.
pub(super) async fn begin_alone(pool: &Pool) -> sqlx::Result<Option<Transaction>> {
    let mut tx = begin_unordered(pool).await?;
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
    sqlx::query!("select make_room_for_events()").execute(connection).await?;
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

/// Deletes sessions that ended some time ago; answers how many.
pub(super) async fn delete_expired_sessions(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    sqlx::query!("delete from sessions where expires_at < $1::timestamptz - interval '30 days'", now)
        .execute(connection)
        .await
        .map(|deleted| deleted.rows_affected())
}

/// Deletes invites that ended some time ago; answers how many.
pub(super) async fn delete_expired_invites(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    sqlx::query!("delete from workspace_invites where expires_at < $1::timestamptz - interval '30 days'", now)
        .execute(connection)
        .await
        .map(|deleted| deleted.rows_affected())
}

/// Deletes up to 1,000 messages of one chat that was deleted before then, newest first, so that a reply goes
/// before what it replies to. It makes no events and takes no ordering lock: nobody writes to a deleted chat.
pub(super) async fn purge_messages(pool: &Pool, deleted_before: DateTime<Utc>) -> sqlx::Result<u64> {
    let Some(mut tx) = begin_alone(pool).await? else { return Ok(0) };
    sqlx::query!("select set_config('fechatter.purging', 'on', true)").fetch_one(&mut *tx).await?;
    let deleted = sqlx::query!(
        "with doomed as (
            select m.chat_id, m.seq
            from (
                select c.id from chats c
                where c.deleted_at < $1 and exists (select from messages m where m.chat_id = c.id)
                order by c.deleted_at limit 1
            ) chat
            join messages m on m.chat_id = chat.id
            order by m.seq desc limit 1000
         )
         delete from messages m using doomed where m.chat_id = doomed.chat_id and m.seq = doomed.seq",
        deleted_before,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// Deletes up to 1,000 members of one chat without messages that was deleted before then, or else the chat.
/// Under the ordering lock, for people who leave the workspace at the same time.
pub(super) async fn purge_chat(pool: &Pool, deleted_before: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut tx = begin_write(pool, None).await?;
    sqlx::query!("select set_config('fechatter.purging', 'on', true)").fetch_one(&mut *tx).await?;
    let chat = sqlx::query_scalar!(
        "select c.id from chats c
         where c.deleted_at < $1 and not exists (select from messages m where m.chat_id = c.id)
         order by c.deleted_at limit 1",
        deleted_before,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(chat) = chat else { return Ok(0) };
    let members = sqlx::query!(
        "delete from chat_members where chat_id = $1
            and user_id in (select user_id from chat_members where chat_id = $1 limit 1000)",
        chat,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if members == 0 {
        sqlx::query!("delete from chats where id = $1", chat).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(members.max(1))
}

/// Deletes up to 1,000 members of one workspace without chats that was deleted before then, or else the workspace with
/// its invites.
pub(super) async fn purge_workspace(pool: &Pool, deleted_before: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut tx = begin_write(pool, None).await?;
    sqlx::query!("select set_config('fechatter.purging', 'on', true)").fetch_one(&mut *tx).await?;
    let workspace = sqlx::query_scalar!(
        "select w.id from workspaces w
         where w.deleted_at < $1 and not exists (select from chats c where c.workspace_id = w.id)
         order by w.deleted_at limit 1",
        deleted_before,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(workspace) = workspace else { return Ok(0) };
    let members = sqlx::query!(
        "delete from workspace_members where workspace_id = $1
            and user_id in (select user_id from workspace_members where workspace_id = $1 limit 1000)",
        workspace,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if members == 0 {
        sqlx::query!("delete from workspaces where id = $1", workspace).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(members.max(1))
}
