//! Statements about how far a chat has been read.

use chat_core::{database::Pool, ids::ChatId, store::begin_write};
use sqlx::PgConnection;

use crate::{
    access::{ChatPermit, SendTo},
    error::Error,
    messages::{
        store::seq_of,
        types::{MarkRead, MarkUnread, ReadState},
    },
};

/// Moves the caller's read cursor forward, at most to the newest message.
pub async fn mark_read(pool: &Pool, permit: &ChatPermit<SendTo>, mark: MarkRead) -> Result<ReadState, Error> {
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
    pool: &Pool,
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
            count_unread(chat_id, user_id, last_read_seq) as "unread_count!",
            count_mentions(chat_id, user_id, last_read_seq, joined_seq) as "mention_count!"
        from chat_members where chat_id = $1 and user_id = $2
        "#,
        permit.chat_id().0,
        permit.user_id().0,
    )
    .fetch_one(connection)
    .await
}
