//! Statements about threads. The triggers on `messages` count replies and let people follow.

use chat_core::{
    caller::Caller,
    database::Pool,
    http::page::cut,
    ids::{ChatId, MessageId},
    message::{Message, MessageKind},
    store::begin_write,
};
use sqlx::PgConnection;

use super::types::{ListThreads, ThreadCursor, ThreadList, ThreadPage, ThreadState};
use crate::{
    access::{ChatPermit, ReadChat, SendTo},
    error::Error,
    messages::{
        history,
        store::{messages, one, to_message},
        types::{MarkRead, Window},
        views::store as views,
    },
};

/// The root of the thread that a message stands in, or that stands or could stand under it.
async fn root_of(connection: &mut PgConnection, chat_id: ChatId, id: MessageId) -> Result<Message, Error> {
    let message = one(&mut *connection, chat_id, id).await?.ok_or(Error::NotFound)?;
    match message.thread_root {
        None => Ok(message),
        Some(root) => one(connection, chat_id, root).await?.ok_or(Error::NotFound),
    }
}

/// The seq of a message, which must be the root or one of its replies.
async fn seq_in(
    connection: &mut PgConnection,
    root: &Message,
    id: MessageId,
    field: &'static str,
) -> Result<i64, Error> {
    let seq = sqlx::query_scalar!(
        "select seq from messages where chat_id = $1 and id = $2 and (id = $3 or thread_root = $3)",
        root.chat_id.0,
        id.0,
        root.id.0,
    );
    let strange = Error::Invalid { field, message: "is not a message of this thread" };
    seq.fetch_optional(connection).await?.ok_or(strange)
}

/// A page of a thread.
pub(super) async fn page(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    id: MessageId,
    window: Window,
    limit: i64,
) -> Result<ThreadPage, Error> {
    let mut root = root_of(&mut *connection, permit.chat_id(), id).await?;
    let seq = match window {
        Window::Newest => i64::MAX,
        Window::Before(id) => seq_in(&mut *connection, &root, id, "before").await?,
        Window::After(id) => seq_in(&mut *connection, &root, id, "after").await? + 1,
        Window::Around(id) => seq_in(&mut *connection, &root, id, "around").await?,
    };
    // One more than asked for on each side tells whether there are more.
    let (older, newer) = match window {
        Window::Newest | Window::Before(_) => (limit + 1, 0),
        Window::After(_) => (0, limit + 1),
        Window::Around(_) => (limit / 2 + 1, limit - limit / 2 + 1),
    };
    let older = before(&mut *connection, &root, seq, older).await?;
    let newer = from(&mut *connection, &root, seq, newer).await?;
    let mut replies = history::store::page(window, limit, older, newer);
    views::complete(&mut *connection, permit.user_id(), &mut replies.messages).await?;
    views::complete(connection, permit.user_id(), std::slice::from_mut(&mut root)).await?;
    Ok(ThreadPage {
        root,
        messages: replies.messages,
        has_more: replies.has_more,
        has_newer: replies.has_newer,
    })
}

/// Replies before a seq, newest first.
async fn before(
    connection: &mut PgConnection,
    root: &Message,
    seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    let rows = messages!(
        "",
        "from messages m join users s on s.id = m.sender_id
         where m.chat_id = $1 and m.thread_root = $2 and m.seq < $3 order by m.seq desc limit $4",
        root.chat_id.0,
        root.id.0,
        seq,
        limit,
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| to_message!(row)).collect())
}

/// Replies from a seq on, oldest first.
async fn from(
    connection: &mut PgConnection,
    root: &Message,
    seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    let rows = messages!(
        "",
        "from messages m join users s on s.id = m.sender_id
         where m.chat_id = $1 and m.thread_root = $2 and m.seq >= $3 order by m.seq limit $4",
        root.chat_id.0,
        root.id.0,
        seq,
        limit,
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| to_message!(row)).collect())
}

/// The threads that the caller follows, latest reply first. Who follows one is a member of its chat: the row goes with
/// the membership. It costs as much as the caller follows threads: no reply has to touch its followers' rows for it.
pub(super) async fn followed(
    connection: &mut PgConnection,
    caller: Caller,
    query: &ListThreads,
) -> sqlx::Result<ThreadList> {
    let rows = messages!(
        "",
        "from (
            select r.chat_id, r.id, r.last_reply_at
            from thread_followers f
            join chats c on c.id = f.chat_id
            cross join lateral (
                select m.chat_id, m.id, m.last_reply_at from messages m
                where m.chat_id = f.chat_id and m.id = f.root_id and m.reply_count > 0 limit 1
            ) r
            where f.user_id = $1 and f.following and c.deleted_at is null
                and ($2::uuid is null or c.workspace_id = $2)
                and ($3::timestamptz is null or (r.last_reply_at, r.id) < ($3, $4))
            order by r.last_reply_at desc, r.id desc limit $5
         ) t
         join messages m on m.chat_id = t.chat_id and m.id = t.id join users s on s.id = m.sender_id
         order by t.last_reply_at desc, t.id desc",
        caller.user_id().0,
        query.workspace_id.map(|id| id.0) as Option<uuid::Uuid>,
        query.cursor.map(|cursor| cursor.last_reply_at),
        query.cursor.map(|cursor| cursor.root.0) as Option<uuid::Uuid>,
        query.limit + 1,
    );
    let rows = rows.fetch_all(&mut *connection).await?;
    let mut threads: Vec<_> = rows.into_iter().map(|row| to_message!(row)).collect();
    let has_more = cut(&mut threads, query.limit);
    views::complete(connection, caller.user_id(), &mut threads).await?;
    let next = threads.last().filter(|_| has_more).and_then(|root| {
        Some(ThreadCursor { last_reply_at: root.thread.as_ref()?.last_reply_at?, root: root.id })
    });
    Ok(ThreadList { threads, has_more, next })
}

/// Follows a thread or not; doing it twice is doing it once. Who begins to follow has read what is there.
pub(super) async fn set_following(
    pool: &Pool,
    permit: &ChatPermit<SendTo>,
    id: MessageId,
    following: bool,
) -> Result<ThreadState, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let root = root_of(&mut tx, permit.chat_id(), id).await?;
    if root.kind == MessageKind::System {
        return Err(Error::Forbidden("Nothing stands under what the server noted."));
    }
    sqlx::query!(
        "insert into thread_followers as f (chat_id, root_id, user_id, following, last_read_seq)
         select c.id, $2, $3, $4, c.last_seq from chats c where c.id = $1
         on conflict on constraint thread_followers_pkey do update
            set following = excluded.following, last_read_seq = greatest(f.last_read_seq, excluded.last_read_seq)
            where f.following <> excluded.following",
        root.chat_id.0,
        root.id.0,
        permit.user_id().0,
        following,
    )
    .execute(&mut *tx)
    .await?;
    let state = state(&mut tx, permit, &root).await?;
    tx.commit().await?;
    Ok(state)
}

/// Moves the caller's read cursor in a thread forward, at most to the chat's newest message; for who does not follow the
/// thread there is none.
pub(super) async fn mark_read(
    pool: &Pool,
    permit: &ChatPermit<SendTo>,
    id: MessageId,
    mark: &MarkRead,
) -> Result<ThreadState, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let root = root_of(&mut tx, permit.chat_id(), id).await?;
    let seq = match (mark.message_id, mark.seq) {
        (Some(id), _) => seq_in(&mut tx, &root, id, "message_id").await?,
        (None, seq) => seq.unwrap_or_default(),
    };
    sqlx::query!(
        "update thread_followers f set last_read_seq = least($4, c.last_seq)
         from chats c
         where f.chat_id = $1 and f.root_id = $2 and f.user_id = $3 and f.following and c.id = f.chat_id
            and least($4, c.last_seq) > f.last_read_seq",
        root.chat_id.0,
        root.id.0,
        permit.user_id().0,
        seq,
    )
    .execute(&mut *tx)
    .await?;
    let state = state(&mut tx, permit, &root).await?;
    tx.commit().await?;
    Ok(state)
}

async fn state(
    connection: &mut PgConnection,
    permit: &ChatPermit<SendTo>,
    root: &Message,
) -> sqlx::Result<ThreadState> {
    let seen = sqlx::query!(
        r#"
        select following as "following!", last_read_seq as "last_read_seq!", unread_count as "unread_count!"
        from thread_seen_by($1, $2, null, $3)
        "#,
        root.chat_id.0,
        root.id.0,
        permit.user_id().0,
    )
    .fetch_one(connection)
    .await?;
    Ok(ThreadState {
        chat_id: root.chat_id,
        message_id: root.id,
        following: seen.following,
        last_read_seq: seen.last_read_seq,
        unread_count: seen.unread_count,
    })
}
