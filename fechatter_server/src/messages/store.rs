//! Statements about messages.

use chat_core::{
    event::{Epoch, Position},
    http::page::cut,
    ids::{ChatId, MessageId, UserId},
    message::{Message, MessageKind, SystemNote},
    store::begin_write,
    user::Person,
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, types::Json};

use super::types::{MarkRead, MarkUnread, MessagePage, ReadState, Window};
use crate::{
    access::{ChatPermit, ReadChat, SendTo},
    error::Error,
};

/// A message row with its sender.
struct Row {
    id: MessageId,
    chat_id: ChatId,
    seq: i64,
    kind: MessageKind,
    content: Option<String>,
    system: Option<Json<SystemNote>>,
    reply_to: Option<MessageId>,
    client_id: Option<String>,
    created_at: DateTime<Utc>,
    edited_at: Option<DateTime<Utc>>,
    version: i32,
    deleted_at: Option<DateTime<Utc>>,
    deleted_by: Option<UserId>,
    sender_id: UserId,
    sender_name: String,
    sender_username: String,
    sender_avatar_url: Option<String>,
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            chat_id: row.chat_id,
            seq: row.seq,
            kind: row.kind,
            content: row.content,
            system: row.system.map(|Json(note)| note),
            sender: Person {
                id: row.sender_id,
                name: row.sender_name,
                username: row.sender_username,
                avatar_url: row.sender_avatar_url,
            },
            reply_to: row.reply_to,
            client_id: row.client_id,
            created_at: row.created_at,
            edited_at: row.edited_at,
            version: row.version,
            deleted_at: row.deleted_at,
            deleted_by: row.deleted_by,
        }
    }
}

/// `query_as!` for whole messages: the rows `m` of the given `from` part.
macro_rules! messages {
    ($from:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"
            select m.id as "id: MessageId", m.chat_id as "chat_id: ChatId", m.seq, m.kind as "kind: MessageKind",
                m.content, m.system as "system: Json<SystemNote>", m.reply_to as "reply_to: MessageId",
                m.client_id, m.created_at, m.edited_at, m.version, m.deleted_at,
                m.deleted_by as "deleted_by: UserId", s.id as "sender_id: UserId", s.full_name as sender_name,
                s.username as sender_username, s.avatar_url as sender_avatar_url
            "# + $from,
            $($argument),+
        )
    };
}

/// The message that its sender sent with this key.
pub(super) async fn sent_as(
    connection: &mut PgConnection,
    chat_id: ChatId,
    sender_id: UserId,
    client_id: &str,
) -> sqlx::Result<Option<Message>> {
    let row = messages!(
        "from messages m join users s on s.id = m.sender_id
         where m.chat_id = $1 and m.sender_id = $2 and m.client_id = $3",
        chat_id.0,
        sender_id.0,
        client_id,
    );
    Ok(row.fetch_optional(connection).await?.map(Message::from))
}

/// One message of a chat.
pub(super) async fn one(
    connection: &mut PgConnection,
    chat_id: ChatId,
    id: MessageId,
) -> sqlx::Result<Option<Message>> {
    let row = messages!(
        "from messages m join users s on s.id = m.sender_id where m.chat_id = $1 and m.id = $2",
        chat_id.0,
        id.0,
    );
    Ok(row.fetch_optional(connection).await?.map(Message::from))
}

/// One message of the chat.
pub async fn message(
    pool: &PgPool,
    permit: &ChatPermit<ReadChat>,
    id: MessageId,
) -> sqlx::Result<Option<Message>> {
    one(&mut *pool.acquire().await?, permit.chat_id(), id).await
}

async fn seq_of(connection: &mut PgConnection, chat_id: ChatId, id: MessageId) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("select seq from messages where chat_id = $1 and id = $2", chat_id.0, id.0)
        .fetch_optional(connection)
        .await
}

/// The newest messages, and the position in the log that they show: one statement sees one moment, without a
/// transaction around it. None for a chat without messages.
pub async fn newest(
    pool: &PgPool,
    permit: &ChatPermit<ReadChat>,
    limit: i64,
) -> sqlx::Result<Option<(MessagePage, Position)>> {
    let rows = sqlx::query!(
        r#"
        select log.epoch, coalesce((select max(id) from events), log.dropped_through) as "log_end!",
            m.id as "id: MessageId", m.chat_id as "chat_id: ChatId", m.seq, m.kind as "kind: MessageKind",
            m.content, m.system as "system: Json<SystemNote>", m.reply_to as "reply_to: MessageId",
            m.client_id, m.created_at, m.edited_at, m.version, m.deleted_at,
            m.deleted_by as "deleted_by: UserId", s.id as "sender_id: UserId", s.full_name, s.username,
            s.avatar_url
        from stream_epoch log, messages m join users s on s.id = m.sender_id
        where m.chat_id = $1 order by m.seq desc limit $2
        "#,
        permit.chat_id().0,
        limit + 1,
    )
    .fetch_all(pool)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let position = Position { epoch: Epoch(first.epoch.clone()), id: first.log_end };
    let messages = rows.into_iter().map(|row| Message {
        id: row.id,
        chat_id: row.chat_id,
        seq: row.seq,
        kind: row.kind,
        content: row.content,
        system: row.system.map(|Json(note)| note),
        sender: Person {
            id: row.sender_id,
            name: row.full_name,
            username: row.username,
            avatar_url: row.avatar_url,
        },
        reply_to: row.reply_to,
        client_id: row.client_id,
        created_at: row.created_at,
        edited_at: row.edited_at,
        version: row.version,
        deleted_at: row.deleted_at,
        deleted_by: row.deleted_by,
    });
    Ok(Some((page(Window::Newest, limit, messages.collect(), Vec::new()), position)))
}

/// A page of the history.
pub async fn history(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    window: Window,
    limit: i64,
) -> Result<MessagePage, Error> {
    let chat_id = permit.chat_id();
    let cursor = match window {
        Window::Newest => None,
        Window::Before(id) => Some(("before", id)),
        Window::After(id) => Some(("after", id)),
        Window::Around(id) => Some(("around", id)),
    };
    let seq = match cursor {
        None => i64::MAX,
        Some((field, id)) => seq_of(&mut *connection, chat_id, id)
            .await?
            .ok_or(Error::Invalid { field, message: "is not a message of this chat" })?,
    };
    // One more than asked for on each side tells whether there are more.
    let (older, newer, from) = match window {
        Window::Newest | Window::Before(_) => (limit + 1, 0, seq),
        Window::After(_) => (0, limit + 1, seq + 1),
        Window::Around(_) => (limit / 2 + 1, limit - limit / 2 + 1, seq),
    };
    let older = side(&mut *connection, chat_id, Side::Before(seq), older).await?;
    let newer = side(connection, chat_id, Side::From(from), newer).await?;
    Ok(page(window, limit, older, newer))
}

enum Side {
    Before(i64),
    From(i64),
}

/// Up to `limit` messages on one side of a seq, nearest first.
async fn side(
    connection: &mut PgConnection,
    chat_id: ChatId,
    side: Side,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let rows = match side {
        Side::Before(seq) => {
            let before = messages!(
                "from messages m join users s on s.id = m.sender_id
                 where m.chat_id = $1 and m.seq < $2 order by m.seq desc limit $3",
                chat_id.0,
                seq,
                limit,
            );
            before.fetch_all(connection).await?
        }
        Side::From(seq) => {
            let from = messages!(
                "from messages m join users s on s.id = m.sender_id
                 where m.chat_id = $1 and m.seq >= $2 order by m.seq limit $3",
                chat_id.0,
                seq,
                limit,
            );
            from.fetch_all(connection).await?
        }
    };
    Ok(rows.into_iter().map(Message::from).collect())
}

/// The page of what lies on both sides, each nearest first and with one message too many if there are more.
fn page(window: Window, limit: i64, mut older: Vec<Message>, mut newer: Vec<Message>) -> MessagePage {
    match window {
        Window::Newest | Window::Before(_) => {
            let has_more = cut(&mut older, limit);
            MessagePage { messages: older, has_more, has_newer: None }
        }
        Window::After(_) => {
            let has_more = cut(&mut newer, limit);
            MessagePage { messages: newer, has_more, has_newer: None }
        }
        Window::Around(_) => {
            let has_more = cut(&mut older, limit / 2);
            let has_newer = cut(&mut newer, limit - limit / 2);
            newer.reverse();
            newer.append(&mut older);
            MessagePage { messages: newer, has_more, has_newer: Some(has_newer) }
        }
    }
}

/// Moves the caller's read cursor forward, at most to the newest message.
pub async fn mark_read(
    pool: &PgPool,
    permit: &ChatPermit<SendTo>,
    mark: MarkRead,
) -> Result<ReadState, Error> {
    let (chat_id, user_id) = (permit.chat_id(), permit.user_id());
    let mut tx = begin_write(pool, Some(user_id)).await?;
    permit.confirm(&mut tx).await?;
    let seq = match (mark.message_id, mark.seq) {
        (Some(id), _) => seq_of(&mut tx, chat_id, id)
            .await?
            .ok_or(Error::Invalid { field: "message_id", message: "is not a message of this chat" })?,
        (None, seq) => seq.unwrap_or_default(),
    };
    sqlx::query!(
        r#"
        update chat_members cm set last_read_seq = least($3, c.last_seq)
        from chats c
        where cm.chat_id = $1 and cm.user_id = $2 and c.id = cm.chat_id
            and least($3, c.last_seq) > cm.last_read_seq
        "#,
        chat_id.0,
        user_id.0,
        seq,
    )
    .execute(&mut *tx)
    .await?;
    let state = read_state(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(state)
}

/// Moves the caller's read cursor to just before a message.
pub async fn mark_unread(
    pool: &PgPool,
    permit: &ChatPermit<SendTo>,
    mark: &MarkUnread,
) -> Result<ReadState, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let seq = seq_of(&mut tx, permit.chat_id(), mark.message_id)
        .await?
        .ok_or(Error::Invalid { field: "message_id", message: "is not a message of this chat" })?;
    sqlx::query!(
        "update chat_members set last_read_seq = $3
         where chat_id = $1 and user_id = $2 and last_read_seq <> $3",
        permit.chat_id().0,
        permit.user_id().0,
        seq - 1,
    )
    .execute(&mut *tx)
    .await?;
    let state = read_state(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(state)
}

async fn read_state(connection: &mut PgConnection, permit: &ChatPermit<SendTo>) -> sqlx::Result<ReadState> {
    sqlx::query_as!(
        ReadState,
        r#"
        select chat_id as "chat_id: ChatId", last_read_seq,
            count_unread(chat_id, user_id, last_read_seq) as "unread_count!"
        from chat_members where chat_id = $1 and user_id = $2
        "#,
        permit.chat_id().0,
        permit.user_id().0,
    )
    .fetch_one(connection)
    .await
}
