//! Each server has a role of its own in PostgreSQL, which can do what it needs and no more.

use std::str::FromStr;

use fechatter_tests::{Room, Site, cluster, program::Program};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, error::DatabaseError, postgres::PgConnectOptions,
};

/// `insufficient_privilege` (PostgreSQL manual, appendix A).
const REFUSED: &str = "42501";

async fn as_role(role: &str, url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(&cluster::as_role(role, url)).expect("a URL");
    options.connect().await.expect("a connection")
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), String> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    done.map(drop).map_err(|error| {
        let code = error.as_database_error().and_then(DatabaseError::code);
        code.map_or_else(|| error.to_string(), Into::into)
    })
}

/// Runs them all: those that are allowed prove that the others fail for want of rights alone.
async fn holds(connection: &mut PgConnection, allowed: &[&str], refused: &[&str]) {
    for statement in allowed {
        assert_eq!(run(connection, statement).await, Ok(()), "{statement}");
    }
    for statement in refused {
        assert_eq!(run(connection, statement).await, Err(REFUSED.into()), "{statement}");
    }
}

const NOBODYS: [&str; 16] = [
    "drop table chats",
    "alter table chats add column more text",
    "truncate stream_tickets",
    "create table more (id int)",
    "create function more() returns int language sql as 'select 1'",
    "alter function rotate_epoch(text) security invoker",
    "drop function append_event",
    "drop trigger messages_inserted on messages",
    "alter table messages disable trigger all",
    "insert into events (id, kind) values (1000000, 'message')",
    "update events set kind = 'message'",
    "delete from events",
    "select append_event('message', null, null, null, null)",
    "select nextval('events_id_seq')",
    "update stream_epoch set epoch = 'x'",
    "select rolpassword from pg_authid",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_server_cannot_change_the_schema_or_the_log() {
    let Room { site, ann, chat, .. } = Room::of_two("Group").await;
    ann.send(&chat, "hello").await;
    let mut server = as_role("fechatter_server", &site.database_url).await;
    let allowed = [
        "select * from users",
        "select * from events",
        "select version from _sqlx_migrations",
        "begin; select begin_write(null); update chats set name = 'another'; rollback",
        "select make_room_for_events(), drop_expired_events(interval '72 hours')",
        "select rotate_epoch('another')",
    ];
    let refused = [
        "delete from users",
        "select make_event_partition(90000000)",
        "select * from stream_tickets",
        "delete from message_edits",
        "delete from thread_followers",
        "update mentions set present = false",
        "insert into mentions select * from mentions",
        "select open_event_log()",
        "drop table events_0",
        "select * from events_0",
        "insert into _sqlx_migrations select * from _sqlx_migrations",
    ];
    holds(&mut server, &allowed, &[&NOBODYS[..], &refused[..]].concat()).await;
    // What it may write does append, by the triggers.
    let logged =
        "select count(*) from events where kind = 'chat_update' and data ->> 'type' = 'name_changed'";
    assert_eq!(run(&mut server, "update chats set name = 'another'").await, Ok(()));
    let count: i64 = sqlx::query_scalar(logged).fetch_one(&mut server).await.expect("events");
    assert_eq!(count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_server_reads_what_it_shows_and_takes_tickets() {
    let Room { site, ann, chat, .. } = Room::of_two("Group").await;
    ann.send(&chat, "hello").await;
    let mut server = as_role("notify_server", &site.database_url).await;
    let allowed = [
        "select * from events",
        "select * from messages",
        "select id, full_name, username, avatar_url, status from users",
        "select id, user_id, expires_at, revoked_at from sessions",
        "insert into stream_tickets select 'x', gen_random_uuid(), gen_random_uuid(), now(), now()",
        "delete from stream_tickets where hash = 'x'",
        "select rotate_epoch('another')",
    ];
    let refused = [
        "select password_hash from users",
        "select email from users",
        "select * from users",
        "select count(*) from users where password_hash = 'x'",
        "select refresh_hash from sessions",
        "select family_hash, rotation_nonce, ip, user_agent from sessions",
        "select * from workspace_invites",
        "select * from idempotency_keys",
        "select * from message_edits",
        "select * from thread_followers",
        "select * from mentions",
        "select name from chats",
        "insert into messages select * from messages",
        "update messages set content = 'x'",
        "delete from messages",
        "update chat_members set last_read_seq = 0",
        "delete from chat_members",
        "update sessions set revoked_at = null",
        "update users set status = 'Active'",
        "update stream_tickets set user_id = gen_random_uuid()",
        "select begin_write(null)",
        "select take_event_lock()",
        "select send_messages('{}', '{}', '{}', '{}', '{}', '{}')",
        "select drop_expired_events(interval '0')",
        "select make_room_for_events()",
    ];
    holds(&mut server, &allowed, &[&NOBODYS[..], &refused[..]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_else_has_nothing() {
    let site = Site::start().await;
    let name = format!("nobody_{}", uuid::Uuid::new_v4().simple());
    let make = AssertSqlSafe(format!("create role {name} login password 'test'"));
    sqlx::raw_sql(make).execute(&site.pool).await.expect("a superuser");
    let mut nobody = as_role(&name, &site.database_url).await;
    let refused = [
        "select id from public.users",
        "select * from public.events",
        "select * from public._sqlx_migrations",
        "insert into public.stream_tickets select from public.stream_tickets",
        "create table public.more (id int)",
        "select public.take_event_lock()",
        "select public.rotate_epoch('x')",
        "select public.drop_expired_events(interval '0')",
    ];
    holds(&mut nobody, &["select 1"], &refused).await;
    // Nor by what its functions are left with, once the schema is opened to it by mistake.
    let open = AssertSqlSafe(format!("grant usage on schema public to {name}"));
    sqlx::raw_sql(open).execute(&site.pool).await.expect("a superuser");
    holds(&mut nobody, &["select 1"], &[&NOBODYS[..], &refused[..]].concat()).await;
    let close = AssertSqlSafe(format!("revoke usage on schema public from {name}"));
    sqlx::raw_sql(close).execute(&site.pool).await.expect("a superuser");
    nobody.close().await.expect("an end");
    let unmake = AssertSqlSafe(format!("drop role {name}"));
    sqlx::raw_sql(unmake).execute(&site.pool).await.expect("a superuser");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_partition_is_followed_by_others_under_the_servers_role() {
    let Room { site, ann, chat, .. } = Room::of_two("Group").await;
    // Near the end of the last partition that is there, so that the next message makes more.
    sqlx::raw_sql("select setval('events_id_seq', 2000000)").execute(&site.pool).await.expect("a superuser");
    ann.send(&chat, "makes room").await;
    let made: bool = sqlx::query_scalar("select to_regclass('events_3') is not null")
        .fetch_one(&site.pool)
        .await
        .expect("an answer");
    assert!(made, "the trigger made partitions as their owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_follow_every_migration_and_what_was_given_by_hand_goes() {
    let url = cluster::owned_database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [("FECHATTER_DATABASE__URL", url.as_str())];
    let migrate = |arguments: &[&str]| {
        let mut program = Program::start("fechatter", folder.path(), arguments, &variables);
        assert!(tokio::task::block_in_place(|| program.end()).success(), "{}", program.said);
        program.said.clone()
    };
    let said = migrate(&["migrate", "--roles"]);
    assert!(said.contains("fechatter_server, notify_server"), "{said}");
    let mut owner = PgConnection::connect(&url).await.expect("a connection");
    let by_hand = "grant all on users to notify_server; grant select on users to public";
    sqlx::raw_sql(by_hand).execute(&mut owner).await.expect("the owner");
    let mut server = as_role("notify_server", &url).await;
    assert_eq!(run(&mut server, "select email from users").await, Ok(()));
    migrate(&["migrate"]);
    holds(
        &mut server,
        &["select id from users"],
        &["select email from users", "create temp table t (i int)"],
    )
    .await;
}
