//! Statements that show chats.

use chat_core::{
    caller::Caller,
    chat::{ChatType, NotifyLevel, Role},
    http::page::cut,
    ids::{ChatId, MessageId, UserId, WorkspaceId},
    user::Person,
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    access::{ChatPermit, ChatRight, ReadWorkspace, WorkspacePermit},
    chats::types::{Channel, ChannelPage, ChatView, LastMessage, ListChannels},
    error::Error,
};

struct Row {
    id: ChatId,
    name: String,
    description: Option<String>,
    chat_type: ChatType,
    workspace_id: WorkspaceId,
    role: Option<Role>,
    last_read_seq: Option<i64>,
    joined_seq: Option<i64>,
    notify_level: Option<NotifyLevel>,
    hidden: bool,
    unread_count: i64,
    mention_count: i64,
    last_seq: i64,
    created_by: UserId,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    archived_at: Option<DateTime<Utc>>,
    peer_id: Option<UserId>,
    peer_name: Option<String>,
    peer_username: Option<String>,
    peer_avatar_url: Option<String>,
    message_id: Option<MessageId>,
    message_content: Option<String>,
    message_sender_id: Option<UserId>,
    message_sender_name: Option<String>,
    message_created_at: Option<DateTime<Utc>>,
}

impl Row {
    fn peer(&mut self) -> Option<Person> {
        Some(Person {
            id: self.peer_id?,
            name: self.peer_name.take()?,
            username: self.peer_username.take()?,
            avatar_url: self.peer_avatar_url.take(),
        })
    }

    fn last_message(&mut self) -> Option<LastMessage> {
        Some(LastMessage {
            id: self.message_id?,
            content: self.message_content.take()?,
            sender_id: self.message_sender_id?,
            sender_name: self.message_sender_name.take()?,
            created_at: self.message_created_at?,
        })
    }
}

impl From<Row> for ChatView {
    fn from(mut row: Row) -> Self {
        Self {
            peer: row.peer(),
            last_message: row.last_message(),
            id: row.id,
            name: row.name,
            description: row.description,
            chat_type: row.chat_type,
            workspace_id: row.workspace_id,
            role: row.role,
            unread_count: row.unread_count,
            mention_count: row.mention_count,
            last_read_seq: row.last_read_seq,
            joined_seq: row.joined_seq,
            notify_level: row.notify_level,
            hidden: row.hidden,
            last_seq: row.last_seq,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            archived_at: row.archived_at,
        }
    }
}

/// `query_as!` for chats as the person of parameter $1 sees them.
macro_rules! chats {
    ($from:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"
            select c.id as "id: ChatId", c.description, c.chat_type as "chat_type: ChatType",
                c.workspace_id as "workspace_id: WorkspaceId", cm.role as "role?: Role",
                cm.last_read_seq as "last_read_seq?", cm.joined_seq as "joined_seq?",
                cm.notify_level as "notify_level?: NotifyLevel",
                case when cm.hidden_seq is null then false else is_hidden(c.id, cm.hidden_seq) end as "hidden!", c.last_seq,
                c.created_by as "created_by: UserId",
                c.created_at, c.updated_at, c.archived_at,
                coalesce(c.name, peer.full_name, (
                    select string_agg(p.full_name, ', ' order by p.full_name) from (
                        select u.full_name from chat_members o join users u on u.id = o.user_id
                        where o.chat_id = c.id and o.user_id <> $1 order by o.joined_at, o.user_id limit 5
                    ) p
                ), '') as "name!",
                case when c.last_seq > cm.last_read_seq then count_unread(c.id, $1, cm.last_read_seq)
                    else 0 end as "unread_count!",
                case when c.last_seq > cm.last_read_seq and (
                    exists (
                        select from mentions k where k.user_id = $1 and k.chat_id = c.id
                            and k.seq > cm.last_read_seq and k.present and k.in_chat
                    ) or exists (
                        select from mentions k where k.user_id is null and k.chat_id = c.id
                            and k.seq > cm.last_read_seq and k.present and k.in_chat
                    )
                ) then count_mentions(c.id, $1, cm.last_read_seq, cm.joined_seq) else 0 end as "mention_count!",
                peer.id as "peer_id?: UserId", peer.full_name as "peer_name?",
                peer.username as "peer_username?", peer.avatar_url as "peer_avatar_url?",
                lm.id as "message_id?: MessageId", lm.content as "message_content?",
                lm.sender_id as "message_sender_id?: UserId", lm.full_name as "message_sender_name?",
                lm.created_at as "message_created_at?"
            from chats c
            left join chat_members cm on cm.chat_id = c.id and cm.user_id = $1
            left join lateral (
                select u.id, u.full_name, u.username, u.avatar_url from users u
                where u.id = case when split_part(c.dm_key, ':', 1) = $1::uuid::text then split_part(c.dm_key, ':', 2)
                    else split_part(c.dm_key, ':', 1) end::uuid
                limit 1
            ) peer on c.chat_type = 'Single'
            left join lateral (
                select m.id, m.content, m.sender_id, m.created_at, s.full_name
                from messages m join users s on s.id = m.sender_id
                where m.chat_id = c.id and m.kind = 'User' and m.deleted_at is null and m.in_chat
                order by m.seq desc limit 1
            ) lm on true
            where c.deleted_at is null "# + $from,
            $($argument),+
        )
    };
}

/// The caller's chats that are not hidden, latest activity first.
pub(in crate::chats) async fn of_caller(
    connection: &mut PgConnection,
    caller: Caller,
    workspace_id: Option<WorkspaceId>,
) -> sqlx::Result<Vec<ChatView>> {
    let rows = chats!(
        "and cm.user_id is not null and (cm.hidden_seq is null or not is_hidden(c.id, cm.hidden_seq))
         and ($2::uuid is null or c.workspace_id = $2)
         order by coalesce(lm.created_at, c.created_at) desc, c.id desc",
        caller.user_id().0,
        workspace_id.map(|id| id.0) as Option<uuid::Uuid>,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(ChatView::from).collect())
}

/// All chats that the caller is in, hidden and deleted ones too.
pub(in crate::chats) async fn ids_of_caller(
    connection: &mut PgConnection,
    caller: Caller,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("select chat_id from chat_members where user_id = $1", caller.user_id().0)
        .fetch_all(connection)
        .await
}

/// The chat of a proof, as the person of the proof sees it.
pub(crate) async fn view<R: ChatRight>(
    connection: &mut PgConnection,
    permit: &ChatPermit<R>,
) -> Result<ChatView, Error> {
    one(connection, permit.chat_id(), permit.user_id()).await
}

/// Chats of which the caller knows already, as they see them.
pub(crate) async fn known(
    connection: &mut PgConnection,
    caller: Caller,
    chats: &[ChatId],
) -> sqlx::Result<Vec<ChatView>> {
    let ids: Vec<Uuid> = chats.iter().map(|id| id.0).collect();
    let rows = chats!("and c.id = any ($2)", caller.user_id().0, &ids).fetch_all(connection).await?;
    Ok(rows.into_iter().map(ChatView::from).collect())
}

/// A chat, as this person sees it.
pub(in crate::chats) async fn one(
    connection: &mut PgConnection,
    chat_id: ChatId,
    user_id: UserId,
) -> Result<ChatView, Error> {
    let row = chats!("and c.id = $2", user_id.0, chat_id.0);
    row.fetch_optional(connection).await?.map(ChatView::from).ok_or(Error::NotFound)
}

/// A page of a workspace's public channels.
pub(in crate::chats) async fn channels(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<ReadWorkspace>,
    query: &ListChannels,
) -> sqlx::Result<ChannelPage> {
    let mut channels = sqlx::query_as!(
        Channel,
        r#"
        select c.id as "id: ChatId", coalesce(c.name, '') as "name!", c.description, c.created_at, c.archived_at,
            exists (select from chat_members cm where cm.chat_id = c.id and cm.user_id = $2) as "joined!"
        from chats c
        where c.workspace_id = $1 and c.chat_type = 'PublicChannel' and c.deleted_at is null
            and ($3::uuid is null or c.id > $3)
        order by c.id
        limit $4
        "#,
        permit.workspace_id().0,
        permit.user_id().0,
        query.after.map(|id| id.0),
        query.limit + 1,
    )
    .fetch_all(connection)
    .await?;
    let has_more = cut(&mut channels, query.limit);
    Ok(ChannelPage { channels, has_more })
}
