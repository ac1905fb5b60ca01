//! The queries of this server.

use chat_core::{
    caller::Caller,
    database::Pool,
    event::{Epoch, Position},
    ids::{ChatId, SessionId, UserId, WorkspaceId},
};
use chrono::{DateTime, Utc};

use crate::{
    departures::Departure,
    directory::{Change, Memberships},
    subscriber::Subscriber,
};

/// All that opening a stream depends on, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment: everything up to here is in it, and nothing after.
    pub position: Position,
    /// Events up to here have been dropped.
    pub dropped_through: i64,
    /// Whether the log has an event with the cursor's id.
    pub holds_cursor: bool,
    /// Whether the session is in force.
    pub session_active: bool,
    /// Where the person is.
    pub memberships: Memberships,
    /// Where the person was when it was deleted.
    pub deleted: Memberships,
}

/// Takes the snapshots of many at once, with the cursors that some of them have, in their order. It is a single
/// statement, because that has a single snapshot (PostgreSQL manual, section 13.2.1), and thousands may ask for
/// theirs at once.
pub async fn snapshots(
    pool: &Pool,
    wanted: &[(Subscriber, Option<i64>)],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Snapshot>> {
    let users: Vec<_> = wanted.iter().map(|(subscriber, _)| subscriber.user_id().0).collect();
    let sessions: Vec<_> = wanted.iter().map(|(subscriber, _)| subscriber.session_id().0).collect();
    let cursors: Vec<_> = wanted.iter().map(|(_, cursor)| cursor.unwrap_or_default()).collect();
    let rows = sqlx::query!(
        r#"
        select s.epoch, s.dropped_through,
            coalesce((select max(id) from events), s.dropped_through) as "head!",
            (w.cursor = 0 or exists (select from events where id = w.cursor)) as "holds_cursor!",
            exists (
                select from sessions i join users u on u.id = i.user_id
                where i.id = w.session_id and i.user_id = w.user_id and i.revoked_at is null
                    and i.expires_at > $4 and u.status = 'Active'
            ) as "session_active!",
            coalesce(c.present, '{}') as "chats!: Vec<ChatId>",
            coalesce(c.deleted, '{}') as "deleted_chats!: Vec<ChatId>",
            coalesce(p.present, '{}') as "workspaces!: Vec<WorkspaceId>",
            coalesce(p.deleted, '{}') as "deleted_workspaces!: Vec<WorkspaceId>"
        from stream_epoch s
        cross join unnest($1::uuid[], $2::uuid[], $3::bigint[]) with ordinality
            as w (user_id, session_id, cursor, place)
        cross join lateral (
            select array_agg(m.chat_id) filter (where c.deleted_at is null) as present,
                array_agg(m.chat_id) filter (where c.deleted_at is not null) as deleted
            from chat_members m join chats c on c.id = m.chat_id
            where m.user_id = w.user_id
        ) c
        cross join lateral (
            select array_agg(m.workspace_id) filter (where k.deleted_at is null) as present,
                array_agg(m.workspace_id) filter (where k.deleted_at is not null) as deleted
            from workspace_members m join workspaces k on k.id = m.workspace_id
            where m.user_id = w.user_id
        ) p
        order by w.place
        "#,
        &users,
        &sessions,
        &cursors,
        now,
    )
    .fetch_all(pool)
    .await?;
    let memberships = |chats: Vec<_>, workspaces: Vec<_>| Memberships {
        chats: chats.into_iter().collect(),
        workspaces: workspaces.into_iter().collect(),
    };
    let snapshots = rows.into_iter().map(|row| Snapshot {
        position: Position { epoch: Epoch(row.epoch), id: row.head },
        dropped_through: row.dropped_through,
        holds_cursor: row.holds_cursor,
        session_active: row.session_active,
        memberships: memberships(row.chats, row.workspaces),
        deleted: memberships(row.deleted_chats, row.deleted_workspaces),
    });
    Ok(snapshots.collect())
}

/// Where a person came and went in `(after, until]`, latest first.
pub async fn own_changes(pool: &Pool, user: UserId, after: i64, until: i64) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query!(
        r#"
        select kind, data ->> 'type' as "fact!", chat_id as "chat_id: ChatId",
            workspace_id as "workspace_id: WorkspaceId"
        from events
        where user_id = $1 and id > $2 and id <= $3 and kind in ('chat_update', 'workspace_update')
            and data ->> 'type' in ('member_added', 'member_removed')
        order by id desc
        "#,
        user.0,
        after,
        until,
    )
    .fetch_all(pool)
    .await?;
    let change = |chat_update: bool, fact: &str, chat: Option<ChatId>, workspace: Option<WorkspaceId>| {
        Some(match (chat_update, fact == "member_added") {
            (true, true) => Change::JoinedChat(chat?, user),
            (true, false) => Change::LeftChat(chat?, user),
            (false, true) => Change::JoinedWorkspace(workspace?, user),
            (false, false) => Change::LeftWorkspace(workspace?, user),
        })
    };
    let changes = rows.into_iter();
    Ok(changes
        .filter_map(|row| change(row.kind == "chat_update", &row.fact, row.chat_id, row.workspace_id))
        .collect())
}

/// Who left a chat after the event `after`, in order, and the log's end.
pub async fn departures(pool: &Pool, after: i64) -> sqlx::Result<(Vec<Departure>, i64)> {
    let rows = sqlx::query!(
        r#"
        select coalesce(l.id, 0) as "end!", e.id as "id?", e.chat_id as "chat_id?: ChatId",
            e.user_id as "user_id?: UserId"
        from (select max(id) as id from events) l
        left join lateral (
            select id, chat_id, user_id from events
            where id > $1 and kind = 'chat_update' and data ->> 'type' = 'member_removed'
        ) e on true
        order by e.id
        "#,
        after,
    )
    .fetch_all(pool)
    .await?;
    let end = rows.first().map_or(0, |row| row.end);
    let departures = rows.into_iter();
    let departures =
        departures.filter_map(|row| Some(Departure { id: row.id?, chat: row.chat_id?, user: row.user_id? }));
    Ok((departures.collect(), end))
}

/// Keeps the hash of a ticket of the caller's.
pub async fn put_ticket(
    pool: &Pool,
    hash: &[u8],
    caller: &Caller,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stream_tickets (hash, user_id, session_id, token_expires_at, expires_at, signed_by)
        values ($1, $2, $3, $4, $5, $6)",
        hash,
        caller.user_id().0,
        caller.session_id().0,
        caller.token_expires_at(),
        expires_at,
        caller.key().0,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What a ticket stood for.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Who asked for it.
    pub user_id: UserId,
    /// By which session.
    pub session_id: SessionId,
    /// The end of the token that it was asked with.
    pub token_expires_at: DateTime<Utc>,
    /// Which key signed that token.
    pub signed_by: Option<i64>,
}

/// Takes a ticket: it is gone then, for whoever comes second.
pub async fn take_ticket(pool: &Pool, hash: &[u8], now: DateTime<Utc>) -> sqlx::Result<Option<Ticket>> {
    sqlx::query_as!(
        Ticket,
        r#"
        delete from stream_tickets where hash = $1 and expires_at > $2
        returning user_id as "user_id: UserId", session_id as "session_id: SessionId", token_expires_at,
            signed_by
        "#,
        hash,
        now,
    )
    .fetch_optional(pool)
    .await
}

/// Removes the tickets that nobody used in time; answers how many.
pub async fn purge_tickets(pool: &Pool, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let purged = sqlx::query!("delete from stream_tickets where expires_at <= $1", now).execute(pool).await?;
    Ok(purged.rows_affected())
}

/// Whether the tables are there.
pub async fn schema_is_there(pool: &Pool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select to_regclass('stream_epoch') is not null as "there!""#).fetch_one(pool).await
}
