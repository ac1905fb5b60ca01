//! Statements about what depends on the reader of messages. Most pages hold nothing of it, and need none of them.

use chat_core::{ids::UserId, message::Message, user::Person};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::messages::reactions::store::mark_own;

/// Whether any of the messages shows something that depends on its reader.
pub(crate) fn depend_on_reader(messages: &[Message]) -> bool {
    messages.iter().any(|message| !message.reactions.is_empty() || threads_unseen(message))
}

/// Whether the thread under a message was not looked up yet for its reader.
fn threads_unseen(message: &Message) -> bool {
    message.thread.as_ref().is_some_and(|thread| thread.following.is_none())
}

/// Fills in what depends on the reader of messages of one or more chats.
pub(crate) async fn complete(
    connection: &mut PgConnection,
    reader: UserId,
    messages: &mut [Message],
) -> sqlx::Result<()> {
    if !depend_on_reader(messages) {
        return Ok(());
    }
    mark_own(&mut *connection, reader, messages).await?;
    complete_threads(connection, reader, messages).await
}

async fn complete_threads(
    connection: &mut PgConnection,
    reader: UserId,
    messages: &mut [Message],
) -> sqlx::Result<()> {
    let mut roots: Vec<_> = messages.iter_mut().filter(|message| threads_unseen(message)).collect();
    if roots.is_empty() {
        return Ok(());
    }
    let chats: Vec<Uuid> = roots.iter().map(|root| root.chat_id.0).collect();
    let ids: Vec<Uuid> = roots.iter().map(|root| root.id.0).collect();
    let seen = sqlx::query!(
        r#"
        select t.following as "following!", t.last_read_seq as "last_read_seq!", t.unread_count as "unread_count!",
            t.participants as "participants!: Json<Vec<Person>>"
        from unnest($1::uuid[], $2::uuid[]) with ordinality r (chat_id, id, place)
        join messages m on m.chat_id = r.chat_id and m.id = r.id
        cross join lateral thread_seen_by(m.chat_id, m.id, m.thread_people, $3) t
        order by r.place
        "#,
        &chats,
        &ids,
        reader.0,
    )
    .fetch_all(connection)
    .await?;
    for (root, seen) in roots.iter_mut().zip(seen) {
        if let Some(thread) = &mut root.thread {
            thread.participants = Some(seen.participants.0);
            thread.following = Some(seen.following);
            thread.last_read_seq = Some(seen.last_read_seq);
            thread.unread_count = Some(seen.unread_count);
        }
    }
    Ok(())
}
