//! Reads the end of the event log, without what the events name.

use chat_core::event::{Epoch, EventKind};
use sqlx::PgPool;

use super::changes::{Change, Target};

/// What the log said of itself.
pub(super) struct Log {
    pub(super) epoch: Epoch,
    /// Events up to here have been dropped.
    pub(super) dropped_through: i64,
}

/// The first `limit` changes after `cursor`, and the log they are of.
pub(super) async fn changes_after(
    pool: &PgPool,
    cursor: i64,
    limit: i64,
) -> sqlx::Result<(Log, Vec<Change>)> {
    let rows = sqlx::query!(
        r#"
        select s.epoch, s.dropped_through, e.id as "id?", e.kind as "kind?", e.data ->> 'type' as fact,
            e.user_id as "user_id?", e.chat_id as "chat_id?", e.workspace_id as "workspace_id?"
        from stream_epoch s
        left join lateral (select * from events where id > $1 order by id limit $2) e on true
        order by e.id
        "#,
        cursor,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let log = Log { epoch: Epoch(first.epoch.clone()), dropped_through: first.dropped_through };
    let changes = rows.into_iter().filter_map(|row| {
        let kind = EventKind::parse(&row.kind?);
        let fact = row.fact.unwrap_or_default();
        let target = Target::of(kind, &fact, row.user_id, row.chat_id, row.workspace_id);
        Some(Change { id: row.id?, target })
    });
    Ok((log, changes.collect()))
}
