//! Statements that read the history of a chat: what is shown in a thread alone is not part of it.

use chat_core::{
    database::Pool,
    event::{Epoch, Position},
    http::page::cut,
    ids::{ChatId, MessageId},
    message::{Message, Thread},
};
use sqlx::{PgConnection, types::Json};

use crate::{
    access::{ChatPermit, ReadChat},
    error::Error,
    messages::{
        store::{messages, seq_of, to_message},
        types::{MessagePage, Window},
        views::store as views,
    },
};

/// The newest messages, and the position in the log that they show: one statement sees one moment, without a
/// transaction around it. None for a chat without messages. The counts of threads are of that moment too, since clients
/// add to them what comes after it.
pub async fn newest(
    pool: &Pool,
    permit: &ChatPermit<ReadChat>,
    limit: i64,
) -> sqlx::Result<Option<(MessagePage, Position)>> {
    let rows = messages!(
        r#"log.epoch, coalesce((select max(id) from events), log.dropped_through) as "log_end!",
            t.following as "following?", t.last_read_seq as "last_read_seq?", t.unread_count as "unread_count?",
            t.participants as "participants?: sqlx::types::Json<Vec<chat_core::user::Person>>","#,
        "from stream_epoch log, messages m join users s on s.id = m.sender_id
         left join lateral thread_seen_by(
            m.chat_id, case when m.reply_count > 0 then m.id end, m.thread_people, $3
         ) t on true
         where m.chat_id = $1 and m.in_chat order by m.seq desc limit $2",
        permit.chat_id().0,
        limit + 1,
        permit.user_id().0,
    )
    .fetch_all(pool)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let position = Position { epoch: Epoch(first.epoch.clone()), id: first.log_end };
    let mut messages: Vec<_> = rows
        .into_iter()
        .map(|mut row| {
            let (following, last_read_seq, unread_count) =
                (row.following, row.last_read_seq, row.unread_count);
            let participants = row.participants.take().map(|Json(people)| people);
            let mut message = to_message!(row);
            message.thread = message.thread.map(|thread| Thread {
                participants,
                following,
                last_read_seq,
                unread_count,
                ..thread
            });
            message
        })
        .collect();
    if views::depend_on_reader(&messages) {
        views::complete(&mut *pool.acquire().await?, permit.user_id(), &mut messages).await?;
    }
    Ok(Some((page(Window::Newest, limit, messages, Vec::new()), position)))
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
    if let Window::Around(id) = window
        && !is_in_chat(&mut *connection, chat_id, id).await?
    {
        return Err(Error::Invalid { field: "around", message: "is shown in its thread alone" });
    }
    // One more than asked for on each side tells whether there are more.
    let (older, newer, from) = match window {
        Window::Newest | Window::Before(_) => (limit + 1, 0, seq),
        Window::After(_) => (0, limit + 1, seq + 1),
        Window::Around(_) => (limit / 2 + 1, limit - limit / 2 + 1, seq),
    };
    let older = side(&mut *connection, chat_id, Side::Before(seq), older).await?;
    let newer = side(&mut *connection, chat_id, Side::From(from), newer).await?;
    let mut page = page(window, limit, older, newer);
    views::complete(connection, permit.user_id(), &mut page.messages).await?;
    Ok(page)
}

async fn is_in_chat(connection: &mut PgConnection, chat_id: ChatId, id: MessageId) -> sqlx::Result<bool> {
    sqlx::query_scalar!("select in_chat from messages where chat_id = $1 and id = $2", chat_id.0, id.0)
        .fetch_one(connection)
        .await
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
    let messages = match side {
        Side::Before(seq) => {
            let before = messages!(
                "",
                "from messages m join users s on s.id = m.sender_id
                 where m.chat_id = $1 and m.in_chat and m.seq < $2 order by m.seq desc limit $3",
                chat_id.0,
                seq,
                limit,
            );
            before.fetch_all(connection).await?.into_iter().map(|row| to_message!(row)).collect()
        }
        Side::From(seq) => {
            let from = messages!(
                "",
                "from messages m join users s on s.id = m.sender_id
                 where m.chat_id = $1 and m.in_chat and m.seq >= $2 order by m.seq limit $3",
                chat_id.0,
                seq,
                limit,
            );
            from.fetch_all(connection).await?.into_iter().map(|row| to_message!(row)).collect()
        }
    };
    Ok(messages)
}

/// The page of what lies on both sides, each nearest first and with one message too many if there are more.
pub(in crate::messages) fn page(
    window: Window,
    limit: i64,
    mut older: Vec<Message>,
    mut newer: Vec<Message>,
) -> MessagePage {
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
