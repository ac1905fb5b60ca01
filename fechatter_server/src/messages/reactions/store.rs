//! Statements about reactions. The table's triggers keep the counts on the message, and tell the chat.

use std::collections::HashSet;

use chat_core::{
    database::Pool,
    http::page::cut,
    ids::{MessageId, ReactionId, UserId},
    message::{Message, Reaction},
    store::begin_write,
    user::Person,
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    emoji::Emoji,
    types::{KINDS_MAX, ListReactions, Reacted, ReactionCounts, ReactionPage},
};
use crate::{
    access::{ChatPermit, ReadChat, SendTo},
    error::{Conflict, Error},
};

/// What a reaction meets: the message's counts, and whether the same one is there.
struct Present {
    deleted: bool,
    counts: Vec<Reaction>,
    own: bool,
}

async fn present(
    connection: &mut PgConnection,
    permit: &ChatPermit<SendTo>,
    id: MessageId,
    emoji: &Emoji,
) -> Result<Present, Error> {
    let row = sqlx::query!(
        r#"
        select m.deleted_at is not null as "deleted!", m.reactions as "counts: Json<Vec<Reaction>>",
            exists (
                select from reactions r
                where r.chat_id = m.chat_id and r.message_id = m.id and r.user_id = $3 and r.emoji = $4
            ) as "own!"
        from messages m where m.chat_id = $1 and m.id = $2
        "#,
        permit.chat_id().0,
        id.0,
        permit.user_id().0,
        emoji.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or(Error::NotFound)?;
    let counts = row.counts.map(|Json(counts)| counts).unwrap_or_default();
    Ok(Present { deleted: row.deleted, counts, own: row.own })
}

/// Adds the caller's reaction, unless it is there.
pub(super) async fn add(
    pool: &Pool,
    permit: &ChatPermit<SendTo>,
    id: MessageId,
    emoji: &Emoji,
) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let chat = permit.confirm(&mut tx).await?;
    let present = present(&mut tx, permit, id, emoji).await?;
    if present.own {
        return Ok(());
    }
    chat.refuse_archived()?;
    if present.deleted {
        return Err(Error::Conflict(Conflict::MessageDeleted));
    }
    let known = present.counts.iter().any(|kind| kind.emoji == emoji.as_str());
    if !known && present.counts.len() >= KINDS_MAX {
        return Err(Error::Conflict(Conflict::TooManyReactions));
    }
    sqlx::query!(
        "insert into reactions (id, chat_id, message_id, user_id, emoji) values ($1, $2, $3, $4, $5)",
        ReactionId::new().0,
        permit.chat_id().0,
        id.0,
        permit.user_id().0,
        emoji.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Removes the caller's reaction, if it is there.
pub(super) async fn remove(
    pool: &Pool,
    permit: &ChatPermit<SendTo>,
    id: MessageId,
    emoji: &Emoji,
) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let chat = permit.confirm(&mut tx).await?;
    if !present(&mut tx, permit, id, emoji).await?.own {
        return Ok(());
    }
    chat.refuse_archived()?;
    sqlx::query!(
        "delete from reactions where chat_id = $1 and message_id = $2 and user_id = $3 and emoji = $4",
        permit.chat_id().0,
        id.0,
        permit.user_id().0,
        emoji.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// The counts of a message, as the caller sees them. It is asked outside of the transaction that wrote, in which
/// everybody else would wait for it.
pub(super) async fn counts(
    pool: &Pool,
    permit: &ChatPermit<SendTo>,
    id: MessageId,
) -> Result<ReactionCounts, Error> {
    let row = sqlx::query!(
        r#"
        select m.reactions as "counts: Json<Vec<Reaction>>", array(
                select r.emoji from reactions r
                where r.chat_id = m.chat_id and r.message_id = m.id and r.user_id = $3
            ) as "own!"
        from messages m where m.chat_id = $1 and m.id = $2
        "#,
        permit.chat_id().0,
        id.0,
        permit.user_id().0,
    )
    .fetch_optional(pool)
    .await?
    .ok_or(Error::NotFound)?;
    let mut reactions = row.counts.map(|Json(counts)| counts).unwrap_or_default();
    for kind in &mut reactions {
        kind.me = Some(row.own.contains(&kind.emoji));
    }
    Ok(ReactionCounts { message_id: id, reactions })
}

/// Tells of each reaction to these messages whether the reader is among those who chose it.
pub(crate) async fn mark_own(
    connection: &mut PgConnection,
    reader: UserId,
    messages: &mut [Message],
) -> sqlx::Result<()> {
    let mut with_some: Vec<_> = messages.iter_mut().filter(|message| !message.reactions.is_empty()).collect();
    if with_some.is_empty() {
        return Ok(());
    }
    let chats: Vec<Uuid> = with_some.iter().map(|message| message.chat_id.0).collect();
    let ids: Vec<Uuid> = with_some.iter().map(|message| message.id.0).collect();
    let rows = sqlx::query!(
        r#"
        select r.message_id as "message_id: MessageId", r.emoji
        from unnest($1::uuid[], $2::uuid[]) shown (chat_id, message_id)
        join reactions r on r.chat_id = shown.chat_id and r.message_id = shown.message_id and r.user_id = $3
        "#,
        &chats,
        &ids,
        reader.0,
    )
    .fetch_all(connection)
    .await?;
    let own: HashSet<_> = rows.into_iter().map(|row| (row.message_id, row.emoji)).collect();
    for message in &mut with_some {
        let id = message.id;
        for kind in &mut message.reactions {
            kind.me = Some(own.contains(&(id, kind.emoji.clone())));
        }
    }
    Ok(())
}

/// A page of who reacted to a message; nobody did to a deleted one.
pub(super) async fn list(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    id: MessageId,
    query: &ListReactions,
) -> Result<ReactionPage, Error> {
    let there = sqlx::query_scalar!(
        r#"select exists (select from messages where chat_id = $1 and id = $2) as "there!""#,
        permit.chat_id().0,
        id.0,
    );
    if !there.fetch_one(&mut *connection).await? {
        return Err(Error::NotFound);
    }
    let rows = sqlx::query!(
        r#"
        select r.id as "id: ReactionId", r.emoji, r.created_at, u.id as "user_id: UserId", u.full_name, u.username,
            u.avatar_url
        from reactions r join users u on u.id = r.user_id
        where r.chat_id = $1 and r.message_id = $2 and r.id > $3 and ($4::text is null or r.emoji = $4)
        order by r.id limit $5
        "#,
        permit.chat_id().0,
        id.0,
        query.after.map_or(Uuid::nil(), |after| after.0),
        query.emoji.as_ref().map(Emoji::as_str),
        query.limit + 1,
    )
    .fetch_all(connection)
    .await?;
    let reacted = rows.into_iter().map(|row| Reacted {
        id: row.id,
        emoji: row.emoji,
        user: Person {
            id: row.user_id,
            name: row.full_name,
            username: row.username,
            avatar_url: row.avatar_url,
        },
        created_at: row.created_at,
    });
    let mut reactions: Vec<_> = reacted.collect();
    let has_more = cut(&mut reactions, query.limit);
    Ok(ReactionPage { reactions, has_more })
}
