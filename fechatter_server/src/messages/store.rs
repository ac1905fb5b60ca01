//! Statements that read single messages, and what all statements about whole messages share.

use chat_core::{
    database::Pool,
    ids::{ChatId, MessageId, UserId},
    message::Message,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::views::store as views;
use crate::access::{ChatPermit, ReadChat};

/// `query!` for whole messages, which [`to_message!`] makes of its rows: `$also`, with a comma after it, is selected before
/// them; the message is the row `m` of the `from` part, its sender `s`.
macro_rules! messages {
    ($also:literal, $from:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query!(
            "select " + $also + r#"
                m.id as "id: chat_core::ids::MessageId", m.chat_id as "chat_id: chat_core::ids::ChatId", m.seq, m.kind as "kind: chat_core::message::MessageKind",
                m.content, m.system as "system: sqlx::types::Json<chat_core::message::SystemNote>", m.reply_to as "reply_to: chat_core::ids::MessageId",
                case when m.reply_to is not null then quote_of(m.chat_id, m.reply_to) end as "quote: sqlx::types::Json<chat_core::message::Quote>",
                m.thread_root as "thread_root: chat_core::ids::MessageId", m.in_chat, m.mentions as "mentions: Vec<chat_core::ids::UserId>",
                m.mentions_all, m.files as "files: sqlx::types::Json<Vec<chat_core::message::FileFacts>>",
                m.reactions as "reactions: sqlx::types::Json<Vec<chat_core::message::Reaction>>", m.reply_count, m.last_reply_at, m.pinned_at,
                m.pinned_by as "pinned_by: chat_core::ids::UserId", m.client_id, m.created_at, m.edited_at, m.version, m.deleted_at,
                m.deleted_by as "deleted_by: chat_core::ids::UserId", s.id as "sender_id: chat_core::ids::UserId", s.full_name, s.username,
                s.avatar_url
            "# + $from,
            $($argument),+
        )
    };
}

/// The message of a row of [`messages!`].
macro_rules! to_message {
    ($row:expr) => {{
        let row = $row;
        chat_core::message::Message {
            id: row.id,
            chat_id: row.chat_id,
            seq: row.seq,
            kind: row.kind,
            content: row.content,
            system: row.system.map(|sqlx::types::Json(note)| note),
            sender: chat_core::user::Person {
                id: row.sender_id,
                name: row.full_name,
                username: row.username,
                avatar_url: row.avatar_url,
            },
            reply_to: row.reply_to,
            quote: row.quote.map(|sqlx::types::Json(quote)| quote),
            thread_root: row.thread_root,
            in_chat: row.in_chat,
            thread: chat_core::message::Thread::of(row.reply_count, row.last_reply_at),
            mentions: row.mentions.unwrap_or_default(),
            mentions_all: row.mentions_all,
            files: row.files.map(|sqlx::types::Json(files)| files).unwrap_or_default(),
            reactions: row.reactions.map(|sqlx::types::Json(reactions)| reactions).unwrap_or_default(),
            pinned: chat_core::message::Pin::of(row.pinned_at, row.pinned_by),
            client_id: row.client_id,
            created_at: row.created_at,
            edited_at: row.edited_at,
            version: row.version,
            deleted_at: row.deleted_at,
            deleted_by: row.deleted_by,
        }
    }};
}

pub(crate) use {messages, to_message};

/// The message that its sender sent with this key.
pub(super) async fn sent_as(
    connection: &mut PgConnection,
    chat_id: ChatId,
    sender_id: UserId,
    client_id: &str,
) -> sqlx::Result<Option<Message>> {
    let row = messages!(
        "",
        "from messages m join users s on s.id = m.sender_id
         where m.chat_id = $1 and m.sender_id = $2 and m.client_id = $3",
        chat_id.0,
        sender_id.0,
        client_id,
    );
    Ok(row.fetch_optional(connection).await?.map(|row| to_message!(row)))
}

/// One message of a chat.
pub(super) async fn one(
    connection: &mut PgConnection,
    chat_id: ChatId,
    id: MessageId,
) -> sqlx::Result<Option<Message>> {
    let row = messages!(
        "",
        "from messages m join users s on s.id = m.sender_id where m.chat_id = $1 and m.id = $2",
        chat_id.0,
        id.0,
    );
    Ok(row.fetch_optional(connection).await?.map(|row| to_message!(row)))
}

/// One message of the chat, as the person of the proof sees it.
pub async fn message(
    pool: &Pool,
    permit: &ChatPermit<ReadChat>,
    id: MessageId,
) -> sqlx::Result<Option<Message>> {
    let mut connection = pool.acquire().await?;
    let mut message = one(&mut connection, permit.chat_id(), id).await?;
    views::complete(&mut connection, permit.user_id(), message.as_mut_slice()).await?;
    Ok(message)
}

pub(super) async fn seq_of(
    connection: &mut PgConnection,
    chat_id: ChatId,
    id: MessageId,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("select seq from messages where chat_id = $1 and id = $2", chat_id.0, id.0)
        .fetch_optional(connection)
        .await
}

/// Of the messages at these places those that their reader may read, in this order.
pub(crate) async fn readable_at(
    connection: &mut PgConnection,
    reader: UserId,
    places: &[(ChatId, MessageId)],
) -> sqlx::Result<Vec<Message>> {
    let (chats, ids): (Vec<Uuid>, Vec<Uuid>) = places.iter().map(|(chat, id)| (chat.0, id.0)).unzip();
    let rows = messages!(
        "",
        "from unnest($2::uuid[], $3::uuid[]) with ordinality place (chat_id, id, nth)
         cross join lateral (select * from messages where chat_id = place.chat_id and id = place.id limit 1) m
         join users s on s.id = m.sender_id
         where exists (select from readable_chats($1) r where r.id = m.chat_id offset 0)
         order by place.nth",
        reader.0,
        &chats,
        &ids,
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| to_message!(row)).collect())
}
