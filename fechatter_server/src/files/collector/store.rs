//! Statements about files that go.

use chat_core::{database::Pool, store::begin_write};
use chrono::{DateTime, Utc};

/// Deletes up to 500 files that no message claimed before then; answers how many. Under the ordering lock, under which
/// messages claim: whatever is claimed by now stays, and what is gone cannot be claimed. The table's trigger notes the
/// objects.
pub(super) async fn give_up_unclaimed(pool: &Pool, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let some = sqlx::query_scalar!(
        r#"
        select exists (
            select from files where message_id is null and uploader_id is not null and created_at < $1
        ) as "some!"
        "#,
        before,
    )
    .fetch_one(pool)
    .await?;
    // Nobody else waits for what is not to be done.
    if !some {
        return Ok(0);
    }
    let mut tx = begin_write(pool, None).await?;
    let deleted = sqlx::query!(
        "delete from files where id in (
            select id from files where message_id is null and uploader_id is not null and created_at < $1
            order by created_at limit 500
         ) and message_id is null",
        before,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// Objects whose files are gone since before then.
pub(super) async fn due(pool: &Pool, before: DateTime<Utc>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select location from removed_files where removed_at < $1 order by removed_at limit 100",
        before
    )
    .fetch_all(pool)
    .await
}

/// Notes that these objects are gone, and gives back what they took; answers how many that was. Another instance may have
/// done some of it.
pub(super) async fn note_removed(pool: &Pool, locations: &[String]) -> sqlx::Result<u64> {
    // In one order with the uploads, which raise what this lowers.
    let mut tx = begin_write(pool, None).await?;
    let removed = sqlx::query_scalar!(
        r#"
        with gone as (
            delete from removed_files where location = any($1) returning uploader_id, workspace_id, size
        ), less as (
            select owner_id, sum(size)::bigint as bytes
            from (
                select uploader_id as owner_id, size from gone
                union all
                -- A small picture counts against nobody's quota.
                select workspace_id, size from gone where uploader_id is not null
            ) counted
            where owner_id is not null
            group by owner_id
        ), lowered as (
            update file_usage u set bytes = greatest(u.bytes - less.bytes, 0) from less where u.owner_id = less.owner_id
        )
        select count(*) as "count!" from gone
        "#,
        locations,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(removed.unsigned_abs())
}

/// Those of these objects that neither a file nor a note names.
pub(super) async fn unnamed(pool: &Pool, locations: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select object.location as "location!" from unnest($1::text[]) object (location)
        where not exists (select from files f where f.location = object.location)
            and not exists (select from removed_files r where r.location = object.location)
        "#,
        locations,
    )
    .fetch_all(pool)
    .await
}
