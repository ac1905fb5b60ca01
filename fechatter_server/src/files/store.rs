//! Statements about files.

use chat_core::{
    database::Pool,
    http::page::cut,
    ids::{ChatId, FileId, MessageId, UserId},
    message::FileFacts,
    store::begin_write,
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    limits::FileLimits,
    types::{FilePage, ListFiles, SentFile},
};
use crate::{
    access::{ChatPermit, FilePermit, ReadChat, UploadFiles, WorkspacePermit},
    error::{Conflict, Error},
    vault::StoredFile,
};

/// A stored file, and what it is.
#[derive(Clone, Debug)]
pub struct Readable {
    /// Where it is, and its key.
    pub stored: StoredFile,
    /// What it is.
    pub content_type: String,
    /// What its uploader called it.
    pub name: String,
}

/// `query!` for one stored object: the rows `f` that the condition picks.
macro_rules! readable {
    ($pool:expr, $condition:literal, $($argument:expr),+ $(,)?) => {{
        let row = sqlx::query!(
            r#"
            select f.id as "id: FileId", f.location, f.size, f.sha256, f.key_id, f.wrapped_key, f.format, f.content_type,
                o.facts->>'name' as "name!"
            from files f join files o on o.id = coalesce(f.thumbnail_of, f.id)
            where "# + $condition,
            $($argument),+
        )
        .fetch_optional($pool)
        .await?;
        Ok(row.map(|row| Readable {
            stored: StoredFile::of_row(
                row.id, row.location, row.size, row.sha256, row.key_id, row.wrapped_key, row.format,
            ),
            content_type: row.content_type,
            name: row.name,
        }))
    }};
}

/// The file of the proof.
pub(super) async fn file(pool: &Pool, permit: &FilePermit) -> sqlx::Result<Option<Readable>> {
    readable!(pool, "f.id = $1", permit.file_id().0)
}

/// The small picture of the file of the proof.
pub(super) async fn thumbnail(pool: &Pool, permit: &FilePermit) -> sqlx::Result<Option<Readable>> {
    readable!(pool, "f.thumbnail_of = $1", permit.file_id().0)
}

/// Bytes that are left for the person of the proof, in their workspace.
pub(super) async fn room(
    pool: &Pool,
    permit: &WorkspacePermit<UploadFiles>,
    limits: &FileLimits,
) -> sqlx::Result<u64> {
    let used = sqlx::query!(
        r#"
        select coalesce((select bytes from file_usage where owner_id = $1), 0) as "person!",
            coalesce((select bytes from file_usage where owner_id = $2), 0) as "workspace!"
        "#,
        permit.user_id().0,
        permit.workspace_id().0,
    )
    .fetch_one(pool)
    .await?;
    let left = |quota: u64, used: i64| quota.saturating_sub(used.unsigned_abs());
    Ok(left(limits.person(), used.person).min(left(limits.workspace(), used.workspace)))
}

/// A file that has come in, to be written down.
pub(super) struct Arrived {
    pub(super) stored: StoredFile,
    pub(super) facts: FileFacts,
    pub(super) thumbnail: Option<(StoredFile, &'static str)>,
}

/// Writes down a file of the person of the proof, if there is room for it.
pub(super) async fn add(
    pool: &Pool,
    permit: &WorkspacePermit<UploadFiles>,
    limits: &FileLimits,
    arrived: &Arrived,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    take_room(&mut tx, permit, limits, &arrived.stored).await?;
    insert(&mut tx, permit, &arrived.stored, Role::File(&arrived.facts), now).await?;
    if let Some((stored, content_type)) = &arrived.thumbnail {
        let role = Role::Thumbnail(arrived.stored.id, content_type);
        insert(&mut tx, permit, stored, role, now).await?;
    }
    Ok(tx.commit().await?)
}

/// What a stored object is.
enum Role<'a> {
    File(&'a FileFacts),
    /// The small picture of a file, of this type.
    Thumbnail(FileId, &'a str),
}

async fn insert(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<UploadFiles>,
    stored: &StoredFile,
    role: Role<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (facts, of, content_type) = match role {
        Role::File(facts) => (Some(facts), None, facts.content_type.as_str()),
        Role::Thumbnail(of, content_type) => (None, Some(of), content_type),
    };
    sqlx::query!(
        "insert into files (id, workspace_id, uploader_id, thumbnail_of, facts, content_type, size, sha256, location,
            key_id, wrapped_key, format, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        stored.id.0,
        permit.workspace_id().0,
        facts.map(|_| permit.user_id().0),
        of.map(|id| id.0),
        facts.map(Json) as _,
        content_type,
        signed(stored.size),
        stored.sha256.as_slice(),
        stored.location,
        stored.key_id,
        stored.wrapped_key,
        stored.format,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts a file against both quotas, or refuses it. Both rows are raised by one statement, or the transaction ends.
async fn take_room(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<UploadFiles>,
    limits: &FileLimits,
    stored: &StoredFile,
) -> Result<(), Error> {
    let (person, workspace) = (permit.user_id().0, permit.workspace_id().0);
    let raised = sqlx::query!(
        "insert into file_usage as u (owner_id, bytes)
         select quota.owner_id, $5 from (values ($1::uuid, $3::bigint), ($2::uuid, $4::bigint)) quota (owner_id, most)
         where $5 <= quota.most
         on conflict (owner_id) do update set bytes = u.bytes + excluded.bytes
         where u.bytes + excluded.bytes <= case when u.owner_id = $1 then $3::bigint else $4::bigint end",
        person,
        workspace,
        signed(limits.person()),
        signed(limits.workspace()),
        signed(stored.size),
    )
    .execute(connection)
    .await?;
    if raised.rows_affected() == 2 { Ok(()) } else { Err(Error::Conflict(Conflict::QuotaExceeded)) }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A page of the chat's files.
pub(super) async fn list(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    query: &ListFiles,
) -> Result<FilePage, Error> {
    let chat_id = permit.chat_id();
    let (message_id, id) = match query.before {
        None => (Uuid::max(), Uuid::max()),
        Some(id) => (holder(&mut *connection, chat_id, id).await?.0, id.0),
    };
    let mut files = sqlx::query!(
        r#"
        select f.facts as "facts!: Json<FileFacts>", f.message_id as "message_id!: MessageId",
            f.uploader_id as "sender_id!: UserId",
            (select m.created_at from messages m where m.chat_id = f.chat_id and m.id = f.message_id) as "sent_at!"
        from files f
        where f.chat_id = $1 and f.message_id is not null
            and (f.message_id, f.id) < ($2, $3)
        order by f.message_id desc, f.id desc limit $4
        "#,
        chat_id.0,
        message_id,
        id,
        query.limit + 1,
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| SentFile {
        file: row.facts.0,
        message_id: row.message_id,
        sender_id: row.sender_id,
        sent_at: row.sent_at,
    })
    .collect();
    let has_more = cut(&mut files, query.limit);
    Ok(FilePage { files, has_more })
}

/// The message of the chat that holds a file.
async fn holder(connection: &mut PgConnection, chat_id: ChatId, id: FileId) -> Result<MessageId, Error> {
    let message_id = sqlx::query_scalar!(
        r#"select message_id as "message_id!: MessageId" from files where id = $1 and chat_id = $2"#,
        id.0,
        chat_id.0,
    )
    .fetch_optional(connection)
    .await?;
    message_id.ok_or(Error::Invalid { field: "before", message: "is not a file of this chat" })
}
