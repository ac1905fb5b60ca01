//! Statements about saved messages. The table's triggers tell the person.

use chat_core::{
    caller::Caller,
    database::Pool,
    http::page::cut,
    ids::{MessageId, SavedId, UserId},
    message::Message,
    store::begin_write,
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::types::{ListSaved, SAVED_MAX, Saved, SavedPage};
use crate::{
    access::{ChatPermit, ReadChat},
    error::{Conflict, Error},
    messages::{
        store::{messages, to_message},
        views::store::complete,
    },
};

/// Saves a message for the caller, unless it is saved.
pub(super) async fn save(pool: &Pool, permit: &ChatPermit<ReadChat>, id: MessageId) -> Result<Saved, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let deleted = sqlx::query_scalar!(
        r#"select deleted_at is not null as "deleted!" from messages where chat_id = $1 and id = $2"#,
        permit.chat_id().0,
        id.0,
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(Error::NotFound)?;
    let saved = match one(&mut tx, permit, id).await? {
        Some(saved) => saved,
        None if deleted => return Err(Error::Conflict(Conflict::MessageDeleted)),
        None => {
            insert(&mut tx, permit, id).await?;
            one(&mut tx, permit, id).await?.ok_or(sqlx::Error::RowNotFound)?
        }
    };
    tx.commit().await?;
    Ok(saved)
}

async fn insert(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    id: MessageId,
) -> Result<(), Error> {
    let inserted = sqlx::query!(
        "insert into saved_messages (id, user_id, chat_id, message_id)
         select $1, $2, $3, $4
         where not exists (select from saved_messages where user_id = $2 offset $5)",
        SavedId::new().0,
        permit.user_id().0,
        permit.chat_id().0,
        id.0,
        SAVED_MAX - 1,
    )
    .execute(connection)
    .await?;
    if inserted.rows_affected() == 1 { Ok(()) } else { Err(Error::Conflict(Conflict::TooManySaved)) }
}

async fn one(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    id: MessageId,
) -> sqlx::Result<Option<Saved>> {
    let row = messages!(
        r#"v.id as "saved_id: SavedId", v.saved_at,"#,
        "from saved_messages v
         join messages m on m.chat_id = v.chat_id and m.id = v.message_id
         join users s on s.id = m.sender_id
         where v.chat_id = $1 and v.message_id = $2 and v.user_id = $3",
        permit.chat_id().0,
        id.0,
        permit.user_id().0,
    );
    let row = row.fetch_optional(&mut *connection).await?;
    let row = row.into_iter().map(|row| ((row.saved_id, row.saved_at), to_message!(row)));
    shown(connection, permit.user_id(), row.unzip()).await.map(|mut saved| saved.pop())
}

/// Takes a message out of the caller's saved ones.
pub(super) async fn unsave(pool: &Pool, permit: &ChatPermit<ReadChat>, id: MessageId) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let there = sqlx::query_scalar!(
        r#"select exists (select from messages where chat_id = $1 and id = $2) as "there!""#,
        permit.chat_id().0,
        id.0,
    );
    if !there.fetch_one(&mut *tx).await? {
        return Err(Error::NotFound);
    }
    sqlx::query!(
        "delete from saved_messages where chat_id = $1 and message_id = $2 and user_id = $3",
        permit.chat_id().0,
        id.0,
        permit.user_id().0,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// A page of the caller's saved messages: of chats that they may read, as the permission matrix says of `read`.
pub(super) async fn list(
    connection: &mut PgConnection,
    caller: Caller,
    query: &ListSaved,
) -> sqlx::Result<SavedPage> {
    let rows = messages!(
        r#"v.id as "saved_id: SavedId", v.saved_at,"#,
        "from (
            select * from saved_messages v
            where v.user_id = $1 and v.id < $2
                and exists (select from readable_chats($1) r where r.id = v.chat_id offset 0)
            order by v.id desc limit $3
         ) v
         join messages m on m.chat_id = v.chat_id and m.id = v.message_id
         join users s on s.id = m.sender_id
         order by v.id desc",
        caller.user_id().0,
        query.before.map_or(Uuid::max(), |before| before.0),
        query.limit + 1,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut rows: Vec<_> =
        rows.into_iter().map(|row| ((row.saved_id, row.saved_at), to_message!(row))).collect();
    let has_more = cut(&mut rows, query.limit);
    let saved = shown(connection, caller.user_id(), rows.into_iter().unzip()).await?;
    Ok(SavedPage { saved, has_more })
}

/// Places and their messages, as the reader sees them.
async fn shown(
    connection: &mut PgConnection,
    reader: UserId,
    (places, mut messages): (Vec<(SavedId, DateTime<Utc>)>, Vec<Message>),
) -> sqlx::Result<Vec<Saved>> {
    complete(connection, reader, &mut messages).await?;
    let saved = places.into_iter().zip(messages);
    Ok(saved.map(|((id, saved_at), message)| Saved { id, saved_at, message }).collect())
}
