//! Statements that write messages.

use std::slice;

use chat_core::{
    database::Pool,
    ids::{ChatId, MessageId, UserId},
    message::{FileFacts, Message, MessageKind, Quote, SystemNote},
    user::Person,
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    access::{ChatClaim, ChatPermit, ChatRight, SendTo},
    error::{Conflict, Error},
    mentions::{self, Mentioned, mentioned},
    messages::{
        store::{one, sent_as},
        types::SendMessage,
        views::store as views,
    },
};

/// A message to be written, by whoever claims to be in the chat.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) id: MessageId,
    pub(super) chat_id: ChatId,
    pub(super) sender_id: UserId,
    pub(super) body: SendMessage,
    pub(super) mentioned: Mentioned,
}

/// What became of a message with the commit.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) seq: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) sender: Person,
    pub(super) quote: Option<Quote>,
    pub(super) mentions: Vec<UserId>,
    pub(super) mentions_all: bool,
    pub(super) files: Vec<FileFacts>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct WrittenBatch {
    /// What became of each draft, in their order.
    pub(super) written: Vec<Option<Written>>,
    /// How long the batch waited for the ordering lock, in seconds; none when nothing was written.
    pub(super) waited: Option<f64>,
}

/// Writes a batch: durable when this returns, in one transaction and one round trip. A draft has none when its sender
/// may not send it, its `client_id` was used, or what it names is not there or not the sender's to name.
///
/// The function takes the ordering lock before it asks whether the senders are in the chats. That the lock is taken
/// once more, before the function, only tells how long it took: the function's statements see what was committed until
/// then. Its first argument makes the function wait for that.
pub(super) async fn write(pool: &Pool, drafts: &[Draft]) -> sqlx::Result<WrittenBatch> {
    let ids: Vec<Uuid> = drafts.iter().map(|draft| draft.id.0).collect();
    let chats: Vec<Uuid> = drafts.iter().map(|draft| draft.chat_id.0).collect();
    let senders: Vec<Uuid> = drafts.iter().map(|draft| draft.sender_id.0).collect();
    let client_ids: Vec<Option<&str>> = drafts.iter().map(|draft| draft.body.client_id.as_deref()).collect();
    let contents: Vec<&str> = drafts.iter().map(|draft| draft.body.content.as_str()).collect();
    let replies: Vec<Option<Uuid>> = drafts.iter().map(|draft| draft.body.reply_to.map(|id| id.0)).collect();
    let threads: Vec<Option<Uuid>> =
        drafts.iter().map(|draft| draft.body.thread_root.map(|id| id.0)).collect();
    let in_chats: Vec<bool> = drafts.iter().map(|draft| draft.body.in_chat()).collect();
    let handles: Vec<Option<String>> = drafts.iter().map(|draft| draft.mentioned.listed()).collect();
    let everybody: Vec<bool> = drafts.iter().map(|draft| draft.mentioned.all).collect();
    let files: Vec<Option<String>> = drafts.iter().map(|draft| listed(&draft.body.file_ids)).collect();
    let rows = sqlx::query!(
        r#"
        with turn as materialized (
            select clock_timestamp() as asked, take_event_lock() as taken, clock_timestamp() as got
        )
        select place as "place!", seq as "seq!", created_at as "created_at!", full_name as "full_name!",
            username as "username!", avatar_url, mentions as "mentions: Vec<UserId>",
            files as "files: Json<Vec<FileFacts>>",
            case when ($6::uuid[])[place] is not null then quote_of(($2::uuid[])[place], ($6::uuid[])[place])
            end as "quote: Json<Quote>",
            extract(epoch from got - asked)::float8 as "waited!"
        from turn, send_messages(case when got is not null then $1::uuid[] end, $2, $3, $4, $5, $6,
            $7, $8, $9, $10, $11)
        "#,
        &ids,
        &chats,
        &senders,
        &client_ids as &[Option<&str>],
        &contents as &[&str],
        &replies as &[Option<Uuid>],
        &threads as &[Option<Uuid>],
        &in_chats,
        &handles as &[Option<String>],
        &everybody,
        &files as &[Option<String>],
    )
    .fetch_all(pool)
    .await?;
    let (mut written, mut waited) = (vec![None; drafts.len()], None);
    for row in rows {
        waited = Some(row.waited);
        let place = usize::try_from(row.place - 1).ok().filter(|place| *place < drafts.len());
        let place = place.ok_or(sqlx::Error::RowNotFound)?;
        written[place] = Some(Written {
            seq: row.seq,
            created_at: row.created_at,
            sender: Person {
                id: drafts[place].sender_id,
                name: row.full_name,
                username: row.username,
                avatar_url: row.avatar_url,
            },
            quote: row.quote.map(|Json(quote)| quote),
            mentions: row.mentions.unwrap_or_default(),
            mentions_all: drafts[place].mentioned.all,
            files: row.files.map(|Json(files)| files).unwrap_or_default(),
        });
    }
    Ok(WrittenBatch { written, waited })
}

/// A list as the function takes it: with blanks between, none when it is empty.
fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> Option<String> {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    (!items.is_empty()).then(|| items.join(" "))
}

/// Why a draft was not written: it was sent before, which is answered with what was sent; or the refusal. None when
/// nothing stands against it any more.
pub(super) async fn why_not_written(
    pool: &Pool,
    claim: &ChatClaim<SendTo>,
    draft: &SendMessage,
) -> Result<Option<Message>, Error> {
    let mut connection = pool.acquire().await?;
    let chat = claim.confirm(&mut connection).await?;
    if let Some(client_id) = &draft.client_id
        && let Some(mut earlier) =
            sent_as(&mut connection, claim.chat_id(), claim.user_id(), client_id).await?
    {
        if !repeats(&mut connection, &earlier, draft).await? {
            return Err(Error::Conflict(Conflict::ClientIdReused));
        }
        views::complete(&mut connection, claim.user_id(), slice::from_mut(&mut earlier)).await?;
        return Ok(Some(earlier));
    }
    chat.refuse_archived()?;
    if let Some(reply_to) = draft.reply_to {
        let there = one(&mut connection, claim.chat_id(), reply_to).await?;
        there.ok_or(Error::Invalid { field: "reply_to", message: "is not a message of this chat" })?;
    }
    if let Some(thread_root) = draft.thread_root {
        let root = one(&mut connection, claim.chat_id(), thread_root).await?;
        refuse_as_root(root.as_ref())?;
    }
    if mentioned(&draft.content).all {
        mentions::store::demand_all(&mut connection, claim.chat_id(), claim.user_id()).await?;
    }
    if !draft.file_ids.is_empty() && !files_fit(&mut connection, claim, draft).await? {
        return Err(Error::Invalid {
            field: "file_ids",
            message: "names what is not a file of yours in this workspace, or is in a message already",
        });
    }
    Ok(None)
}

/// A thread has one level, and nobody replies to what is gone or what the server noted.
fn refuse_as_root(message: Option<&Message>) -> Result<(), Error> {
    let refuse = |message| Err(Error::Invalid { field: "thread_root", message });
    match message {
        None => refuse("is not a message of this chat"),
        Some(root) if root.kind == MessageKind::System => refuse("is a note of the server"),
        Some(root) if root.thread_root.is_some() => refuse("stands in a thread itself"),
        Some(root) if root.deleted_at.is_some() => Err(Error::Conflict(Conflict::MessageDeleted)),
        Some(_) => Ok(()),
    }
}

/// Whether the draft's files are its sender's to send to the chat.
async fn files_fit(
    connection: &mut PgConnection,
    claim: &ChatClaim<SendTo>,
    draft: &SendMessage,
) -> sqlx::Result<bool> {
    let ids: Vec<Uuid> = draft.file_ids.iter().map(|id| id.0).collect();
    let fit = sqlx::query_scalar!(
        r#"
        select count(*) as "fit!" from files f join chats c on c.workspace_id = f.workspace_id
        where c.id = $1 and f.uploader_id = $2 and f.id = any ($3) and f.message_id is null
        "#,
        claim.chat_id().0,
        claim.user_id().0,
        &ids,
    )
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(fit) == Ok(ids.len()))
}

/// Whether the draft is what the earlier message said at first; of a deleted one nobody knows any more.
async fn repeats(
    connection: &mut PgConnection,
    earlier: &Message,
    draft: &SendMessage,
) -> sqlx::Result<bool> {
    let first = sqlx::query_scalar!(
        "select content from message_edits where chat_id = $1 and message_id = $2 and version = 1",
        earlier.chat_id.0,
        earlier.id.0,
    )
    .fetch_optional(connection)
    .await?;
    let first = first.as_ref().or(earlier.content.as_ref());
    let same_place = (earlier.reply_to, earlier.thread_root, earlier.in_chat)
        == (draft.reply_to, draft.thread_root, draft.in_chat());
    let same_files = earlier.files.iter().map(|file| file.id).eq(draft.file_ids.iter().copied());
    Ok(same_place && first.is_none_or(|first| *first == draft.content && same_files))
}

/// Notes what the person of the proof did to the chat, in the transaction that does it. Nobody's unread count
/// grows by it; a chat that is deleted notes nothing.
pub(crate) async fn note<R: ChatRight>(
    connection: &mut PgConnection,
    permit: &ChatPermit<R>,
    note: &SystemNote,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with target as (
            update chats set last_seq = last_seq + 1 where id = $1 and deleted_at is null returning last_seq
         )
         insert into messages (id, chat_id, seq, sender_id, kind, system, created_at, updated_at)
         select $3, $1, target.last_seq, $2, 'System', $4, clock_timestamp(), clock_timestamp() from target",
        permit.chat_id().0,
        permit.user_id().0,
        MessageId::new().0,
        Json(note) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}
