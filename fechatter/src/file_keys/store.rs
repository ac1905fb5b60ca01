//! Which keys files need.

use std::collections::HashMap;

use chat_core::{database::Pool, ids::FileId, store::begin_write};
use fechatter_server::vault::{StoredFile, WrappedKey};

/// How many files each key of the ring wraps.
pub(super) async fn files_by_key(pool: &Pool) -> sqlx::Result<HashMap<String, i64>> {
    let counts = sqlx::query!(r#"select key_id, count(*) as "files!" from files group by key_id"#);
    Ok(counts.fetch_all(pool).await?.into_iter().map(|row| (row.key_id, row.files)).collect())
}

/// Up to 500 files, by their ids from `after` on, that another key than this wraps.
pub(super) async fn wrapped_by_others(
    pool: &Pool,
    key_id: &str,
    after: Option<FileId>,
) -> sqlx::Result<Vec<StoredFile>> {
    let rows = sqlx::query!(
        r#"
        select id as "id: FileId", location, size, sha256, key_id, wrapped_key, format
        from files where key_id <> $1 and ($2::uuid is null or id > $2)
        order by id limit 500
        "#,
        key_id,
        after.map(|after| after.0),
    )
    .fetch_all(pool)
    .await?;
    let stored = rows.into_iter().map(|row| {
        StoredFile::of_row(
            row.id,
            row.location,
            row.size,
            row.sha256,
            row.key_id,
            row.wrapped_key,
            row.format,
        )
    });
    Ok(stored.collect())
}

/// Writes down the keys of files that were wrapped anew, but where somebody else did so meanwhile; answers how many.
pub(super) async fn set_keys(pool: &Pool, renewed: &[(StoredFile, WrappedKey)]) -> sqlx::Result<u64> {
    let of = |what: fn(&(StoredFile, WrappedKey)) -> Vec<u8>| renewed.iter().map(what).collect::<Vec<_>>();
    let ids: Vec<_> = renewed.iter().map(|(stored, _)| stored.id.0).collect();
    let key_ids: Vec<_> = renewed.iter().map(|(_, key)| key.key_id.clone()).collect();
    // In one order with the sends that claim files.
    let mut tx = begin_write(pool, None).await?;
    let written = sqlx::query!(
        "update files f set key_id = n.key_id, wrapped_key = n.wrapped_key
        from unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[]) n (id, key_id, wrapped_key, before)
        where f.id = n.id and f.wrapped_key = n.before",
        &ids,
        &key_ids,
        &of(|(_, key)| key.wrapped_key.clone()),
        &of(|(stored, _)| stored.wrapped_key.clone()),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(written.rows_affected())
}
