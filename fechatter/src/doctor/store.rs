//! What the doctor reads.

use chat_core::ids::FileId;
use chrono::{DateTime, Utc};
use fechatter_server::vault::StoredFile;
use sqlx::PgConnection;

/// The server, and how it is reached.
pub(super) struct Server {
    pub(super) database: String,
    pub(super) role: String,
    pub(super) version: String,
    pub(super) version_number: i32,
    /// The protocol's version; none in clear text.
    pub(super) tls: Option<String>,
    /// None by a Unix socket.
    pub(super) address: Option<String>,
    /// Settings that are off, and must be on for a commit to last.
    pub(super) unsafe_settings: Vec<String>,
}

pub(super) async fn server(connection: &mut PgConnection) -> sqlx::Result<Server> {
    sqlx::query_as!(
        Server,
        r#"
        select current_database()::text as "database!", current_user::text as "role!",
            current_setting('server_version') as "version!",
            current_setting('server_version_num')::int as "version_number!",
            (select version from pg_stat_ssl where pid = pg_backend_pid() and ssl) as tls,
            host(inet_server_addr()) as address,
            array(
                select name::text from pg_settings
                where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by name
            ) as "unsafe_settings!"
        "#
    )
    .fetch_one(connection)
    .await
}

/// The time there.
pub(super) async fn now(connection: &mut PgConnection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(connection).await
}

/// The indexes, triggers and constraints that are in force, by their names. Those that PostgreSQL makes for each
/// partition follow their table's, and have names of its version's choice.
pub async fn objects(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select o.name as "name!" from (
            select 'index ' || c.relname as name
            from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
            where t.relnamespace = 'public'::regnamespace and not t.relispartition and t.relname <> '_sqlx_migrations'
                and i.indisvalid and i.indisready
            union all
            select 'trigger ' || t.relname || '.' || g.tgname
            from pg_trigger g join pg_class t on t.oid = g.tgrelid
            where t.relnamespace = 'public'::regnamespace and not g.tgisinternal and g.tgparentid = 0
                and g.tgenabled in ('O', 'A')
            union all
            select 'constraint ' || t.relname || '.' || c.conname
            from pg_constraint c join pg_class t on t.oid = c.conrelid
            where t.relnamespace = 'public'::regnamespace and not t.relispartition and t.relname <> '_sqlx_migrations'
                and c.contype in ('p', 'u', 'f', 'c') and c.convalidated and c.conparentid = 0
        ) o
        order by o.name collate "C"
        "#
    )
    .fetch_all(connection)
    .await
}

/// Indexes that a `create index concurrently` or a crash has left of no use.
pub(super) async fn invalid_indexes(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select c.relname::text as "name!" from pg_index i join pg_class c on c.oid = i.indexrelid
        where c.relnamespace = 'public'::regnamespace and not (i.indisvalid and i.indisready) order by 1
        "#
    )
    .fetch_all(connection)
    .await
}

/// The event log.
pub(super) struct Log {
    pub(super) newest: i64,
    pub(super) last_given: i64,
    pub(super) dropped_through: i64,
    pub(super) partition_size: i64,
    pub(super) partitions: Vec<i64>,
}

pub(super) async fn log(connection: &mut PgConnection) -> sqlx::Result<Log> {
    sqlx::query_as!(
        Log,
        r#"
        select coalesce((select max(id) from events), 0) as "newest!", q.last_value as "last_given!",
            s.dropped_through, event_partition_size() as "partition_size!",
            array(
                select substr(c.relname, 8)::bigint from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = 'events'::regclass
            ) as "partitions!"
        from stream_epoch s, events_id_seq q
        "#
    )
    .fetch_one(connection)
    .await
}

/// Rows whose other half is not there. Foreign keys see to that, unless a restore went around them.
pub(super) async fn orphans(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select (select count(*) from messages m left join chats c on c.id = m.chat_id where c.id is null)
            + (select count(*) from messages m left join users u on u.id = m.sender_id where u.id is null)
            + (select count(*) from message_edits e
                left join messages m on m.chat_id = e.chat_id and m.id = e.message_id where m.id is null)
            + (select count(*) from mentions k
                left join messages m on m.chat_id = k.chat_id and m.id = k.message_id where m.id is null)
            + (select count(*) from chats c left join workspaces w on w.id = c.workspace_id where w.id is null)
            + (select count(*) from chat_members m
                left join chats c on c.id = m.chat_id and c.workspace_id = m.workspace_id where c.id is null)
            + (select count(*) from chat_members m
                left join workspace_members w on w.workspace_id = m.workspace_id and w.user_id = m.user_id
                where w.user_id is null)
            + (select count(*) from thread_followers f
                left join chat_members m on m.chat_id = f.chat_id and m.user_id = f.user_id where m.user_id is null)
            + (select count(*) from workspace_members m left join users u on u.id = m.user_id where u.id is null)
            + (select count(*) from sessions s left join users u on u.id = s.user_id where u.id is null)
            as "count!"
        "#
    )
    .fetch_one(connection)
    .await
}

/// Chats whose messages are not numbered from 1 to `last_seq`; a deleted chat is purged from the end.
pub(super) async fn misnumbered_chats(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from chats c
        left join (select chat_id, max(seq) as newest, count(*) as many from messages group by chat_id) m
            on m.chat_id = c.id
        where c.deleted_at is null
            and (c.last_seq <> coalesce(m.newest, 0) or c.last_seq <> coalesce(m.many, 0))
        "#
    )
    .fetch_one(connection)
    .await
}

/// Threads whose root does not say how many replies there are.
pub(super) async fn miscounted_threads(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from messages r
        join chats c on c.id = r.chat_id and c.deleted_at is null
        left join (
            select chat_id, thread_root, count(*) as many from messages
            where thread_root is not null and deleted_at is null
            group by chat_id, thread_root
        ) t on t.chat_id = r.chat_id and t.thread_root = r.id
        where r.reply_count <> coalesce(t.many, 0)
        "#
    )
    .fetch_one(connection)
    .await
}

/// Members whose read cursor, or whose beginning, lies beyond the chat's last message.
pub(super) async fn cursors_ahead(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from chat_members m join chats c on c.id = m.chat_id
        where m.last_read_seq > c.last_seq or m.joined_seq > c.last_seq
        "#
    )
    .fetch_one(connection)
    .await
}

/// Workspaces and chats that have people and no owner among them; a single chat has none.
pub(super) async fn ownerless(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select (
            select count(*) from (
                select from workspace_members m join workspaces w on w.id = m.workspace_id
                where w.deleted_at is null
                group by m.workspace_id having not bool_or(m.role = 'Owner')
            ) w
        ) + (
            select count(*) from (
                select from chat_members m join chats c on c.id = m.chat_id
                where c.deleted_at is null and c.chat_type <> 'Single'
                group by m.chat_id having not bool_or(m.role = 'Owner')
            ) c
        ) as "count!"
        "#
    )
    .fetch_one(connection)
    .await
}

/// Chats that are there while their workspace is deleted.
pub(super) async fn half_deleted(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from chats c join workspaces w on w.id = c.workspace_id
        where w.deleted_at is not null and c.deleted_at is null
        "#
    )
    .fetch_one(connection)
    .await
}

/// Messages whose counts of reactions are not what the reactions come to.
pub(super) async fn miscounted_reactions(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from (
            select m.chat_id, m.id, value ->> 'emoji' as emoji, (value ->> 'count')::bigint as people
            from messages m, jsonb_array_elements(m.reactions)
        ) shown
        full join (
            select chat_id, message_id as id, emoji, count(*) as people from reactions group by 1, 2, 3
        ) there using (chat_id, id, emoji)
        where shown.people is distinct from there.people
        "#
    )
    .fetch_one(connection)
    .await
}

/// Sessions that should have been ended with their person.
pub(super) async fn sessions_of_suspended(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from sessions s join users u on u.id = s.user_id
        where u.status <> 'Active' and s.revoked_at is null
        "#
    )
    .fetch_one(connection)
    .await
}

/// Files and small pictures, the newest first, before this one.
pub(super) async fn files_before(
    connection: &mut PgConnection,
    before: Option<FileId>,
    limit: i64,
) -> sqlx::Result<Vec<StoredFile>> {
    let rows = sqlx::query!(
        r#"
        select id as "id: FileId", location, size, sha256, key_id, wrapped_key, format
        from files where $1::uuid is null or id < $1
        order by id desc limit $2
        "#,
        before.map(|before| before.0),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let stored = rows.into_iter().map(|row| {
        StoredFile::of_row(
            row.id,
            row.location,
            row.size,
            row.sha256,
            row.key_id,
            row.wrapped_key,
            row.format,
        )
    });
    Ok(stored.collect())
}

/// Whether there is a file of this id.
pub(super) async fn file_is_there(connection: &mut PgConnection, id: FileId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(r#"select exists (select from files where id = $1) as "there!""#, id.0);
    found.fetch_one(connection).await
}

/// How many of these objects neither a file names nor a note of a file that is gone.
pub(super) async fn unnamed_objects(
    connection: &mut PgConnection,
    locations: &[String],
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from unnest($1::text[]) o (location)
        where not exists (select from files f where f.location = o.location)
            and not exists (select from removed_files r where r.location = o.location)
        "#,
        locations,
    )
    .fetch_one(connection)
    .await
}
