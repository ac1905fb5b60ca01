//! Statements about pinned messages. A trigger tells the chat; a deletion unpins.

use std::slice;

use chat_core::{
    database::Pool,
    ids::MessageId,
    message::{Message, MessageKind},
    store::begin_write,
};
use sqlx::PgConnection;

use super::types::PINS_MAX;
use crate::{
    access::{ChatPermit, PinMessage, ReadChat},
    error::{Conflict, Error},
    messages::{
        store::{messages, one, to_message},
        views::store::complete,
    },
};

/// Pins a message, unless it is pinned.
pub(super) async fn pin(
    pool: &Pool,
    permit: &ChatPermit<PinMessage>,
    id: MessageId,
) -> Result<Message, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let chat = permit.confirm(&mut tx).await?;
    let mut message = one(&mut tx, permit.chat_id(), id).await?.ok_or(Error::NotFound)?;
    if message.kind == MessageKind::System {
        return Err(Error::Forbidden("Nobody pins what the server noted."));
    }
    if message.pinned.is_none() {
        chat.refuse_archived()?;
        if message.deleted_at.is_some() {
            return Err(Error::Conflict(Conflict::MessageDeleted));
        }
        set_pinned(&mut tx, permit, id).await?;
        message = one(&mut tx, permit.chat_id(), id).await?.ok_or(sqlx::Error::RowNotFound)?;
    }
    complete(&mut tx, permit.user_id(), slice::from_mut(&mut message)).await?;
    tx.commit().await?;
    Ok(message)
}

async fn set_pinned(
    connection: &mut PgConnection,
    permit: &ChatPermit<PinMessage>,
    id: MessageId,
) -> Result<(), Error> {
    let pinned = sqlx::query!(
        "update messages set pinned_at = clock_timestamp(), pinned_by = $3
         where chat_id = $1 and id = $2 and (
            select count(*) from messages where chat_id = $1 and pinned_at is not null
         ) < $4",
        permit.chat_id().0,
        id.0,
        permit.user_id().0,
        PINS_MAX,
    )
    .execute(connection)
    .await?;
    if pinned.rows_affected() == 1 { Ok(()) } else { Err(Error::Conflict(Conflict::TooManyPins)) }
}

/// Unpins a message, if it is pinned.
pub(super) async fn unpin(pool: &Pool, permit: &ChatPermit<PinMessage>, id: MessageId) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let chat = permit.confirm(&mut tx).await?;
    let message = one(&mut tx, permit.chat_id(), id).await?.ok_or(Error::NotFound)?;
    if message.pinned.is_none() {
        return Ok(());
    }
    chat.refuse_archived()?;
    sqlx::query!(
        "update messages set pinned_at = null, pinned_by = null where chat_id = $1 and id = $2",
        permit.chat_id().0,
        id.0,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// The pinned messages of the chat, the last one to be pinned first.
pub(super) async fn list(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
) -> sqlx::Result<Vec<Message>> {
    let rows = messages!(
        "",
        "from messages m join users s on s.id = m.sender_id
         where m.chat_id = $1 and m.pinned_at is not null order by m.pinned_at desc, m.id desc limit $2",
        permit.chat_id().0,
        PINS_MAX,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut pinned: Vec<_> = rows.into_iter().map(|row| to_message!(row)).collect();
    complete(connection, permit.user_id(), &mut pinned).await?;
    Ok(pinned)
}
