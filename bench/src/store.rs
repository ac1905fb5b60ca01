//! Statements that set the scene. They go past the triggers, which would write an event for each row.

use anyhow::Context;
use chat_core::{
    database::MIGRATOR,
    ids::{ChatId, UserId, WorkspaceId},
};
use chrono::{DateTime, Utc};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Postgres, Transaction, postgres::PgPoolOptions,
};
use uuid::Uuid;

use crate::{cluster::Cluster, requests::CONTENT_BYTES, scene::Person};

/// Messages that are inserted by one statement.
const BATCH: usize = 500_000;

/// Makes a database with the schema; answers its URL and a pool.
pub(crate) async fn make_database(cluster: &Cluster, name: &str) -> anyhow::Result<(String, PgPool)> {
    let mut maintenance = PgConnection::connect(&cluster.url("postgres")).await?;
    maintenance.execute(AssertSqlSafe(format!("create database {name}"))).await?;
    maintenance.close().await?;
    let url = cluster.url(name);
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await?;
    MIGRATOR.run(&pool).await.context("the schema could not be made")?;
    Ok((url, pool))
}

/// A transaction whose rows are taken as they are (PostgreSQL manual, section 20.11.1).
async fn past_triggers(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = pool.begin().await?;
    tx.execute("set local session_replication_role = replica").await?;
    Ok(tx)
}

/// People with a session each, in one workspace.
pub(crate) async fn insert_people(
    pool: &PgPool,
    workspace: WorkspaceId,
    people: &[&Person],
    session_end: DateTime<Utc>,
) -> sqlx::Result<()> {
    let users: Vec<Uuid> = people.iter().map(|person| person.id.0).collect();
    let sessions: Vec<Uuid> = people.iter().map(|person| person.session.0).collect();
    let mut tx = past_triggers(pool).await?;
    sqlx::query("insert into workspaces (id, name) values ($1, 'Bench')")
        .bind(workspace.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into users (id, email, username, password_hash, full_name)
         select id, 'p' || n || '@example.com', 'person-' || n, 'none', 'Person ' || n
         from unnest($1::uuid[]) with ordinality as u (id, n)",
    )
    .bind(&users)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into sessions (id, user_id, family_hash, refresh_hash, last_used_at, expires_at)
         select s.id, s.user_id, sha256(uuid_send(s.id)), ''::bytea, now(), $3
         from unnest($1::uuid[], $2::uuid[]) as s (id, user_id)",
    )
    .bind(&sessions)
    .bind(&users)
    .bind(session_end)
    .execute(&mut *tx)
    .await?;
    sqlx::query("insert into workspace_members (workspace_id, user_id) select $1, unnest($2::uuid[])")
        .bind(workspace.0)
        .bind(&users)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Group chats that hold all of these people.
pub(crate) async fn insert_chats(
    pool: &PgPool,
    workspace: WorkspaceId,
    count: usize,
    members: &[UserId],
) -> sqlx::Result<Vec<ChatId>> {
    let chats: Vec<ChatId> = (0..count).map(|_| ChatId::new()).collect();
    let chat_ids: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
    let members: Vec<Uuid> = members.iter().map(|member| member.0).collect();
    let mut tx = past_triggers(pool).await?;
    sqlx::query(
        "insert into chats (id, workspace_id, chat_type, name, created_by)
         select id, $2, 'Group', 'Chat ' || n, $3 from unnest($1::uuid[]) with ordinality as c (id, n)",
    )
    .bind(&chat_ids)
    .bind(workspace.0)
    .bind(members.first())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into chat_members (chat_id, user_id, workspace_id, joined_seq, last_read_seq)
         select c, m, $3, 0, 0 from unnest($1::uuid[]) c cross join unnest($2::uuid[]) m",
    )
    .bind(&chat_ids)
    .bind(&members)
    .bind(workspace.0)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(chats)
}

/// Gives each of the chats, which have none, so many messages of one sender, as if they had talked in turn; everybody
/// has read those up to `read`.
pub(crate) async fn fill(
    pool: &PgPool,
    chats: &[ChatId],
    sender: UserId,
    messages: u32,
    read: u32,
) -> sqlx::Result<()> {
    let chat_ids: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
    let rows = i64::from(messages);
    let step = i64::try_from(BATCH / chats.len()).unwrap_or(i64::MAX).max(1);
    for first in (1..=rows).step_by(usize::try_from(step).unwrap_or(1)) {
        let mut tx = past_triggers(pool).await?;
        // Ids as UUIDv7 makes them: rising, with the time in front.
        sqlx::query(
            "insert into messages (id, chat_id, seq, sender_id, content)
             select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || lpad(to_hex(c.at), 3, '0')
                     || '8' || lpad('', 15, '0'))::uuid,
                 c.id, n, $2, rpad('Message ' || n, $5, ' and so on')
             from generate_series($3::bigint, $4::bigint) n
             cross join unnest($1::uuid[]) with ordinality as c (id, at)",
        )
        .bind(&chat_ids)
        .bind(sender.0)
        .bind(first)
        .bind(rows.min(first + step - 1))
        .bind(i32::try_from(CONTENT_BYTES).unwrap_or(i32::MAX))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    let mut tx = past_triggers(pool).await?;
    sqlx::query("update chats set last_seq = $2 where id = any($1)")
        .bind(&chat_ids)
        .bind(rows)
        .execute(&mut *tx)
        .await?;
    sqlx::query("update chat_members set last_read_seq = $2 where chat_id = any($1)")
        .bind(&chat_ids)
        .bind(i64::from(read))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// What autovacuum and the checkpointer would otherwise do in the middle of a round.
pub(crate) async fn settle(pool: &PgPool) -> sqlx::Result<()> {
    pool.execute("vacuum (analyze)").await?;
    pool.execute("checkpoint").await?;
    Ok(())
}

/// The table that pgbench fills: the columns, checks and keys of `messages`, and neither partitions, nor foreign
/// keys, nor triggers.
pub(crate) async fn make_plain_table(pool: &PgPool) -> sqlx::Result<()> {
    pool.execute(
        "create table plain_messages (like messages including defaults including constraints including indexes);
         create sequence plain_seq cache 100",
    )
    .await?;
    Ok(())
}

/// How many rows it has, for computing with.
pub(crate) async fn plain_rows(pool: &PgPool) -> sqlx::Result<f64> {
    sqlx::query_scalar("select count(*)::double precision from plain_messages").fetch_one(pool).await
}

/// Empties it.
pub(crate) async fn empty_plain_table(pool: &PgPool) -> sqlx::Result<()> {
    pool.execute("truncate plain_messages").await?;
    Ok(())
}

/// Group chats for searches: the first reader is in all of them, the second in a few.
pub(crate) async fn insert_searched(
    pool: &PgPool,
    readers: &[Person],
    count: usize,
    few: usize,
) -> anyhow::Result<Vec<ChatId>> {
    let workspace: Uuid = sqlx::query_scalar("select id from workspaces").fetch_one(pool).await?;
    let readers: Vec<UserId> = readers.iter().map(|reader| reader.id).collect();
    let mut chats = insert_chats(pool, WorkspaceId(workspace), few, &readers).await?;
    chats.extend(insert_chats(pool, WorkspaceId(workspace), count - few, &readers[..1]).await?);
    Ok(chats)
}

/// Gives each of the chats so many messages over the last 500 days. Words are said as often as in languages: the nth
/// about 1/n as often as the first (Zipf); `the` is in six of ten messages besides, some Chinese in one of ten.
pub(crate) async fn talk(pool: &PgPool, chats: &[ChatId], sender: UserId, messages: u32) -> sqlx::Result<()> {
    let chat_ids: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
    let mut tx = past_triggers(pool).await?;
    sqlx::query(
        "insert into messages (id, chat_id, seq, sender_id, content, created_at)
         select (lpad(to_hex((extract(epoch from at.time) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(c.nth), 3, '0')
                 || '8' || lpad('', 15, '0'))::uuid,
             c.id, n, $2,
             case when random() < 0.6 then 'the ' else '' end
                 || (select string_agg('w' || power(30000, random())::int, ' ') from generate_series(1, 8 + (n + c.nth) % 9))
                 || case when random() < 0.1 then ' ' || (
                     select string_agg(chr(19967 + power(3000, random())::int), '') from generate_series(1, 12 + 0 * (n + c.nth))
                 ) else '' end
                 || case when random() < 0.00001 then ' xylophone' else '' end,
             at.time
         from generate_series(1, $3::bigint) n
         cross join unnest($1::uuid[]) with ordinality as c (id, nth)
         cross join lateral (
             select now() - (($3 - n) * 500.0 / $3) * interval '1 day' - c.nth * interval '7 seconds' as time
         ) at",
    )
    .bind(&chat_ids)
    .bind(sender.0)
    .bind(i64::from(messages))
    .execute(&mut *tx)
    .await?;
    sqlx::query("update chats set last_seq = $2 where id = any ($1)")
        .bind(&chat_ids)
        .bind(i64::from(messages))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Takes the index of words away, for a site that is measured without it.
pub(crate) async fn drop_index_of_words(pool: &PgPool) -> sqlx::Result<()> {
    pool.execute("drop index messages_terms_idx").await?;
    Ok(())
}
