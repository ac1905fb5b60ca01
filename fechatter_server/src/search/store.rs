//! Statements that search. Each asks by itself what its reader may read.

use chat_core::{
    chat::ChatType,
    ids::{ChatId, UserId, WorkspaceId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{finding::Within, types::ChatFacts};

/// A chat that may be read.
pub(super) struct Readable {
    pub(super) id: Uuid,
    /// Messages that it ever had.
    pub(super) last_seq: i64,
}

/// A message that may be what is looked for.
pub(super) struct Candidate {
    pub(super) id: Uuid,
    pub(super) chat_id: Uuid,
    pub(super) content: String,
}

/// A message that the index proposes.
pub(super) struct Proposal {
    pub(super) id: Uuid,
    pub(super) chat_id: Uuid,
}

/// How many messages match, as far as PostgreSQL can tell without looking.
pub(super) struct Expected {
    pub(super) matches: f64,
    /// Messages in all.
    pub(super) messages: f64,
}

/// The chats that somebody may read.
pub(super) async fn readable(
    connection: &mut PgConnection,
    reader: UserId,
    workspace: Option<WorkspaceId>,
) -> sqlx::Result<Vec<Readable>> {
    sqlx::query_as!(
        Readable,
        r#"
        select id as "id!", last_seq as "last_seq!" from readable_chats($1)
        where $2::uuid is null or workspace_id = $2
        "#,
        reader.0,
        workspace.map(|id| id.0),
    )
    .fetch_all(connection)
    .await
}

/// What a chat is called, and by which handle its other person goes in a Single one.
pub(super) struct Called {
    pub(super) id: ChatId,
    pub(super) chat_type: ChatType,
    pub(super) name: String,
    pub(super) peer: Option<String>,
}

impl From<Called> for ChatFacts {
    fn from(chat: Called) -> Self {
        Self { id: chat.id, name: chat.name, chat_type: chat.chat_type }
    }
}

/// What these chats, as far as they may be read, are called for their reader: as `chats::views` calls them.
pub(super) async fn called(
    connection: &mut PgConnection,
    reader: UserId,
    chats: &[Uuid],
) -> sqlx::Result<Vec<Called>> {
    sqlx::query_as!(
        Called,
        r#"
        select c.id as "id: ChatId", c.chat_type as "chat_type: ChatType", peer.username as "peer?",
            coalesce(c.name, peer.full_name, (
                select string_agg(p.full_name, ', ' order by p.full_name) from (
                    select u.full_name from chat_members o join users u on u.id = o.user_id
                    where o.chat_id = c.id and o.user_id <> $1 order by o.joined_at, o.user_id limit 5
                ) p
            ), '') as "name!"
        from readable_chats($1) r join chats c on c.id = r.id
        left join lateral (
            select u.full_name, u.username from users u
            where u.id = case when split_part(c.dm_key, ':', 1) = $1::uuid::text then split_part(c.dm_key, ':', 2)
                else split_part(c.dm_key, ':', 1) end::uuid
            limit 1
        ) peer on c.chat_type = 'Single'
        where r.id = any ($2)
        "#,
        reader.0,
        chats,
    )
    .fetch_all(connection)
    .await
}

/// The people with these handles.
pub(super) async fn people(connection: &mut PgConnection, handles: &[String]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("select id from users where username = any ($1)", handles).fetch_all(connection).await
}

/// How many messages are expected to match.
pub(super) async fn expected(connection: &mut PgConnection, terms: &str) -> sqlx::Result<Expected> {
    sqlx::query_as!(
        Expected,
        r#"select matches as "matches!", coalesce(messages, 0) as "messages!" from expected_matches($1::text::tsquery)"#,
        terms,
    )
    .fetch_one(connection)
    .await
}

/// The newest messages between two ids, chat by chat along their keys.
pub(super) async fn newest(
    connection: &mut PgConnection,
    within: &Within,
    (from, below): (Uuid, Uuid),
    limit: i64,
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as!(
        Candidate,
        r#"
        select m.id, m.chat_id, m.content as "content!"
        from unnest($2::uuid[]) c (id)
        cross join lateral (select id, joined_seq from readable_chats($1) where id = c.id limit 1) r
        cross join lateral (
            select m.id, m.chat_id, m.content from messages m
            where m.chat_id = r.id and m.id >= $3 and m.id < $4 and m.content is not null
                and ($6::uuid[] is null or m.sender_id = any ($6))
                and ($7::timestamptz is null or m.created_at >= $7)
                and ($8::timestamptz is null or m.created_at < $8)
                and (not $9::boolean or m.files is not null)
                and (not $10::boolean or exists (
                    select from (
                        select * from mentions where chat_id = m.chat_id and message_id = m.id and present offset 0
                    ) k
                    where k.user_id = $1 or k.user_id is null and k.sender_id <> $1 and k.seq > r.joined_seq
                ))
            order by m.id desc limit $5
        ) m
        order by m.id desc limit $5
        "#,
        within.reader.0,
        &within.chats,
        from,
        below,
        limit,
        within.senders.as_deref(),
        within.since,
        within.before,
        within.has_file,
        within.mentions_me,
    )
    .fetch_all(connection)
    .await
}

/// The newest messages between two ids that the index proposes. The inner query stands for itself (`offset 0`), so that
/// it is planned along the index of terms and no other; the chats are looked up in a table of hashes (`is true` keeps
/// them from being joined).
pub(super) async fn proposed(
    connection: &mut PgConnection,
    within: &Within,
    terms: &str,
    (from, below): (Uuid, Uuid),
    limit: i64,
) -> sqlx::Result<Vec<Proposal>> {
    sqlx::query_as!(
        Proposal,
        r#"
        select m.id as "id!", m.chat_id as "chat_id!"
        from (
            select m.id, m.chat_id from messages m
            where message_terms(m.content) @@ $11::text::tsquery
                and m.id >= $3 and m.id < $4
                and ($6::uuid[] is null or m.sender_id = any ($6))
                and ($7::timestamptz is null or m.created_at >= $7)
                and ($8::timestamptz is null or m.created_at < $8)
                and (not $9::boolean or m.files is not null)
            offset 0
        ) m
        where (m.chat_id in (select id from readable_chats($1) where id = any ($2))) is true
            and (not $10::boolean or exists (
                select from (
                    select * from mentions where chat_id = m.chat_id and message_id = m.id and present offset 0
                ) k
                left join chat_members cm on cm.chat_id = k.chat_id and cm.user_id = $1
                where k.user_id = $1 or k.user_id is null and k.sender_id <> $1 and k.seq > cm.joined_seq
            ))
        order by m.id desc limit $5
        "#,
        within.reader.0,
        &within.chats,
        from,
        below,
        limit,
        within.senders.as_deref(),
        within.since,
        within.before,
        within.has_file,
        within.mentions_me,
        terms,
    )
    .fetch_all(connection)
    .await
}

/// What these messages say, in this order.
pub(super) async fn texts(
    connection: &mut PgConnection,
    reader: UserId,
    proposed: &[Proposal],
) -> sqlx::Result<Vec<Candidate>> {
    let (chats, ids): (Vec<Uuid>, Vec<Uuid>) = proposed.iter().map(|one| (one.chat_id, one.id)).unzip();
    sqlx::query_as!(
        Candidate,
        r#"
        select m.id, m.chat_id, m.content as "content!"
        from unnest($2::uuid[], $3::uuid[]) with ordinality p (chat_id, id, place)
        cross join lateral (select * from messages where chat_id = p.chat_id and id = p.id limit 1) m
        where m.content is not null and (m.chat_id in (select id from readable_chats($1) where id = any ($2))) is true
        order by p.place
        "#,
        reader.0,
        &chats,
        &ids,
    )
    .fetch_all(connection)
    .await
}
