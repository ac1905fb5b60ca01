//! Statements that read the event log.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::{cursor::Cursor, row::Row};
use crate::{
    database::Pool,
    event::{Epoch, Event, EventKind, Position},
    ids::{ChatId, MessageId, UserId, WorkspaceId},
    message::{FileFacts, MessageKind, Quote, Reaction, SystemNote},
    user::Person,
};

/// The end of the log.
pub(super) async fn end(pool: &Pool) -> sqlx::Result<Cursor> {
    let row = sqlx::query!(
        r#"
        select s.epoch, coalesce(e.id, s.dropped_through) as "id!", e.at as "at?"
        from stream_epoch s left join lateral (select id, at from events order by id desc limit 1) e on true
        "#
    )
    .fetch_one(pool)
    .await?;
    Ok(Cursor { position: Position { epoch: Epoch(row.epoch), id: row.id }, at: row.at })
}

/// The position of the log's end.
///
/// # Errors
/// What PostgreSQL says.
pub async fn read_end(pool: &Pool) -> sqlx::Result<Position> {
    end(pool).await.map(|cursor| cursor.position)
}

/// Gives the log a new epoch, unless its epoch is not `known` any more; answers the epoch that it has then.
///
/// Every stream is told `reset` soon after, and every position that a client holds is of another log from then on.
///
/// # Errors
/// What PostgreSQL says; on a standby that nothing can be written.
pub async fn rotate_epoch(pool: &Pool, known: &Epoch) -> sqlx::Result<Epoch> {
    sqlx::query!("select rotate_epoch($1)", known.0).execute(pool).await?;
    end(pool).await.map(|cursor| cursor.position.epoch)
}

/// Whether the log ends at `position`, and so nothing was committed after it. Costs far less than to read what was.
///
/// The sequence never lags behind a committed event (PostgreSQL manual, section 9.17); it may be ahead of the last one,
/// and then the answer is no although nothing is there.
///
/// # Errors
/// What PostgreSQL says.
pub async fn ends_at(pool: &Pool, position: &Position) -> sqlx::Result<bool> {
    let row = sqlx::query!("select s.epoch, q.last_value as last from stream_epoch s, events_id_seq q")
        .fetch_one(pool)
        .await?;
    Ok(row.epoch == position.epoch.0 && row.last == position.id)
}

/// What the log said of itself, in the statement that read the events.
#[derive(Clone, Debug)]
pub struct LogState {
    /// Which log.
    pub epoch: Epoch,
    /// Events up to here have been dropped.
    pub dropped_through: i64,
    /// When the event of the cursor was written; none when the log has no event of that id.
    pub cursor_at: Option<DateTime<Utc>>,
}

/// The first `limit` events after `cursor`, joined with what they name, and the log's state at that moment.
pub async fn read_after(pool: &Pool, cursor: i64, limit: i64) -> sqlx::Result<(LogState, Vec<Event>)> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select s.epoch, s.dropped_through,
            (select at from events where id = $1) as cursor_at,
            e.id as "id?", e.kind as "kind?", e.at as "at?",
            e.workspace_id as "workspace_id?: WorkspaceId", e.chat_id as "chat_id?: ChatId",
            e.user_id as "user_id?: UserId", e.actor_id as "actor_id?: UserId",
            e.message_id as "message_id?: MessageId", e.data as "data?",
            m.seq as "seq?", m.kind as "message_kind?: MessageKind", m.content as "content?",
            m.system as "system?: Json<SystemNote>", m.deleted_by as "deleted_by?: UserId",
            case when e.kind = 'thread_update' and e.user_id is null then
                people_of(array(select jsonb_array_elements_text(e.data -> 'participants')::uuid))
            end as "participants?: Json<Vec<Person>>",
            m.reply_to as "reply_to?: MessageId",
            case when m.reply_to is not null then quote_in_snapshot(e.chat_id, m.reply_to) end as "quote?: Json<Quote>",
            m.thread_root as "thread_root?: MessageId",
            m.in_chat as "in_chat?", m.mentions as "mentions?: Vec<UserId>", m.mentions_all as "mentions_all?",
            m.files as "files?: Json<Vec<FileFacts>>", m.reactions as "reactions?: Json<Vec<Reaction>>",
            m.reply_count as "reply_count?", m.last_reply_at as "last_reply_at?", m.pinned_at as "pinned_at?",
            m.pinned_by as "pinned_by?: UserId", m.client_id as "client_id?",
            m.created_at as "created_at?", m.edited_at as "edited_at?",
            m.version as "version?", m.deleted_at as "deleted_at?",
            p.id as "person_id?: UserId", p.full_name as "person_name?",
            p.username as "person_username?", p.avatar_url as "person_avatar_url?"
        from stream_epoch s
        left join lateral (select * from events where id > $1 order by id limit $2) e on true
        left join lateral (
            select * from messages where chat_id = e.chat_id and id = e.message_id limit 1
        ) m on true
        left join lateral (
            select id, full_name, username, avatar_url from users where id = coalesce(m.sender_id,
                case when e.data ->> 'type' = 'member_added' then e.user_id end) limit 1
        ) p on true
        order by e.id
        "#,
        cursor,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let log = LogState {
        epoch: Epoch(first.epoch.clone()),
        dropped_through: first.dropped_through,
        cursor_at: first.cursor_at,
    };
    Ok((log, rows.into_iter().filter_map(Row::into_event).collect()))
}

/// [`read_after`], without what the events name.
pub async fn read_bare_after(pool: &Pool, cursor: i64, limit: i64) -> sqlx::Result<(LogState, Vec<Event>)> {
    let rows = sqlx::query!(
        r#"
        select s.epoch, s.dropped_through, (select at from events where id = $1) as cursor_at,
            e.id as "id?", e.kind as "kind?", e.at as "at?",
            e.workspace_id as "workspace_id?: WorkspaceId", e.chat_id as "chat_id?: ChatId",
            e.user_id as "user_id?: UserId", e.actor_id as "actor_id?: UserId",
            e.message_id as "message_id?: MessageId", e.data as "data?"
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
    let log = LogState {
        epoch: Epoch(first.epoch.clone()),
        dropped_through: first.dropped_through,
        cursor_at: first.cursor_at,
    };
    let events = rows.into_iter().filter_map(|row| {
        Some(Event {
            id: row.id?,
            kind: EventKind::parse(&row.kind?),
            workspace_id: row.workspace_id,
            chat_id: row.chat_id,
            user_id: row.user_id,
            actor_id: row.actor_id,
            message_id: row.message_id,
            data: row.data.unwrap_or_default(),
            participants: Vec::new(),
            at: row.at?,
            message: None,
            person: None,
        })
    });
    Ok((log, events.collect()))
}
