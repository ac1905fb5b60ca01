//! Statements about mentions. Triggers keep their rows, beside the messages that say them.

use std::collections::BTreeSet;

use chat_core::{
    caller::Caller,
    http::page::cut,
    ids::{ChatId, MessageId, UserId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::types::{ListMentions, MentionPage};
use crate::{
    chats,
    error::Error,
    messages::{store::readable_at, views},
};

/// Refuses who may not mention everybody in the chat.
pub(crate) async fn demand_all(
    connection: &mut PgConnection,
    chat_id: ChatId,
    person: UserId,
) -> Result<(), Error> {
    let may = sqlx::query_scalar!(r#"select may_mention_all($1, $2) as "may!""#, chat_id.0, person.0);
    if may.fetch_one(connection).await? { Ok(()) } else { Err(Error::MentionAllForbidden) }
}

/// Forgets who was mentioned: what messages say of a deleted account stays, and names nobody.
pub(crate) async fn forget(connection: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("delete from mentions where user_id = $1", user.0).execute(connection).await.map(drop)
}

/// A page of the messages that mention the caller. Whoever left a chat still sees where it is public; everybody was
/// meant only of those who were there, and are.
pub(super) async fn of_caller(
    connection: &mut PgConnection,
    caller: Caller,
    query: &ListMentions,
) -> sqlx::Result<MentionPage> {
    let mut found = places(connection, caller, query).await?;
    let has_more = cut(&mut found, query.limit);
    let mut messages = readable_at(connection, caller.user_id(), &found).await?;
    views::store::complete(connection, caller.user_id(), &mut messages).await?;
    let chats: BTreeSet<ChatId> = messages.iter().map(|message| message.chat_id).collect();
    let chats = chats::views::store::known(connection, caller, &Vec::from_iter(chats)).await?;
    Ok(MentionPage { messages, chats, has_more })
}

/// Where the page's messages are, and one more.
async fn places(
    connection: &mut PgConnection,
    caller: Caller,
    query: &ListMentions,
) -> sqlx::Result<Vec<(ChatId, MessageId)>> {
    let rows = sqlx::query!(
        r#"
        select chat_id as "chat_id!: ChatId", message_id as "message_id!: MessageId" from (
            (
                select k.chat_id, k.message_id
                from mentions k
                where k.user_id = $1 and k.present and k.message_id < $2
                    and exists (select from readable_chats($1) r where r.id = k.chat_id offset 0)
                order by k.message_id desc limit $3
            ) union (
                select k.chat_id, k.message_id
                from chat_members cm
                join chats c on c.id = cm.chat_id and c.deleted_at is null
                cross join lateral (
                    select e.chat_id, e.message_id from mentions e
                    where e.chat_id = cm.chat_id and e.user_id is null and e.present and e.sender_id <> $1
                        and e.seq > cm.joined_seq and e.message_id < $2
                    order by e.message_id desc limit $3
                ) k
                where cm.user_id = $1
                order by k.message_id desc limit $3
            )
        ) place
        order by message_id desc limit $3
        "#,
        caller.user_id().0,
        query.before.map_or(Uuid::max(), |id| id.0),
        query.limit + 1,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.chat_id, row.message_id)).collect())
}
