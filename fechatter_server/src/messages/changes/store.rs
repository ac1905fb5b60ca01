//! Statements that change messages. The table's triggers keep what an edit replaces, and erase it at a deletion.

use std::slice;

use chat_core::{
    database::Pool,
    http::page::cut,
    ids::MessageId,
    message::{Message, MessageKind},
    permission::ChatAction,
    store::begin_write,
};
use sqlx::PgConnection;

use super::types::{Edit, EditMessage, EditPage, ListEdits};
use crate::{
    access::{self, ChatPermit, DeleteMessage, ReadChat},
    error::{Conflict, Error},
    mentions::{self, mentioned},
    messages::{store::one, views::store as views},
};

/// Edits the author's message; what changes nothing writes nothing.
pub(super) async fn edit(
    pool: &Pool,
    permit: &ChatPermit<access::EditMessage>,
    id: MessageId,
    change: &EditMessage,
) -> Result<Message, Error> {
    let (chat_id, author) = (permit.chat_id(), permit.user_id());
    let mut tx = begin_write(pool, Some(author)).await?;
    let chat = permit.confirm(&mut tx).await?;
    let present = one(&mut tx, chat_id, id).await?.ok_or(Error::NotFound)?;
    refuse_noted(&present)?;
    if present.sender.id != author {
        return Err(Error::Forbidden("Only its author edits a message."));
    }
    chat.refuse_archived()?;
    if present.deleted_at.is_some() {
        return Err(Error::Conflict(Conflict::MessageDeleted));
    }
    if change.expected_version.is_some_and(|expected| expected != present.version) {
        return Err(Error::Conflict(Conflict::VersionMismatch));
    }
    if present.content.as_ref() == Some(&change.content) {
        return shown(&mut tx, permit, present).await;
    }
    rewrite(&mut tx, permit, &present, &change.content).await?;
    let message = one(&mut tx, chat_id, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let message = shown(&mut tx, permit, message).await?;
    tx.commit().await?;
    Ok(message)
}

/// The message as its author sees it.
async fn shown(
    connection: &mut PgConnection,
    permit: &ChatPermit<access::EditMessage>,
    mut message: Message,
) -> Result<Message, Error> {
    views::complete(connection, permit.user_id(), slice::from_mut(&mut message)).await?;
    Ok(message)
}

/// Writes another text, and whom it mentions: the same handles mean whom they meant before, whoever bears them now.
async fn rewrite(
    connection: &mut PgConnection,
    permit: &ChatPermit<access::EditMessage>,
    present: &Message,
    content: &str,
) -> Result<(), Error> {
    let (chat_id, author) = (permit.chat_id(), permit.user_id());
    let named = mentioned(content);
    let same = present.content.as_deref().is_some_and(|content| mentioned(content) == named);
    if named.all && !present.mentions_all {
        mentions::store::demand_all(connection, chat_id, author).await?;
    }
    sqlx::query!(
        "update messages
         set content = $4, version = version + 1, edited_at = clock_timestamp(), updated_at = clock_timestamp(),
            mentions = case when $5 then mentions else mentioned_members($1, $6) end, mentions_all = $7
         where chat_id = $1 and id = $2 and sender_id = $3 and kind = 'User' and deleted_at is null",
        chat_id.0,
        present.id.0,
        author.0,
        content,
        same,
        named.listed(),
        named.all,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Leaves a tombstone in the message's place: its seq stays, its content is gone.
pub(super) async fn delete(
    pool: &Pool,
    permit: &ChatPermit<DeleteMessage>,
    id: MessageId,
) -> Result<(), Error> {
    let (chat_id, deleted_by) = (permit.chat_id(), permit.user_id());
    let mut tx = begin_write(pool, Some(deleted_by)).await?;
    let chat = permit.confirm(&mut tx).await?;
    let present = one(&mut tx, chat_id, id).await?.ok_or(Error::NotFound)?;
    refuse_noted(&present)?;
    if present.sender.id != deleted_by || chat.demand(ChatAction::DeleteOwnMessage).is_err() {
        chat.demand(ChatAction::DeleteOthersMessage)?;
    }
    if present.deleted_at.is_some() {
        return Ok(());
    }
    chat.refuse_archived()?;
    sqlx::query!(
        "update messages
         set content = null, deleted_at = clock_timestamp(), deleted_by = $3, updated_at = clock_timestamp()
         where chat_id = $1 and id = $2 and kind = 'User' and deleted_at is null",
        chat_id.0,
        id.0,
        deleted_by.0,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// What the server noted is nobody's to change.
fn refuse_noted(message: &Message) -> Result<(), Error> {
    match message.kind {
        MessageKind::User => Ok(()),
        MessageKind::System => Err(Error::Forbidden("Nobody changes what the server noted.")),
    }
}

/// A page of what a message said before.
pub(super) async fn edits(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    id: MessageId,
    query: &ListEdits,
) -> Result<EditPage, Error> {
    one(&mut *connection, permit.chat_id(), id).await?.ok_or(Error::NotFound)?;
    let mut edits = sqlx::query_as!(
        Edit,
        r#"
        select version, content, written_at from message_edits
        where chat_id = $1 and message_id = $2 and ($3::integer is null or version < $3)
        order by version desc limit $4
        "#,
        permit.chat_id().0,
        id.0,
        query.before,
        query.limit + 1,
    )
    .fetch_all(connection)
    .await?;
    let has_more = cut(&mut edits, query.limit);
    Ok(EditPage { edits, has_more })
}
