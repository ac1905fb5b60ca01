//! `fechatter migrate`.

use fechatter_tests::{cluster, program::Program};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

fn start(folder: &TempDir, url: &str, arguments: &[&str]) -> Program {
    Program::start("fechatter", folder.path(), arguments, &[("FECHATTER_DATABASE__URL", url)])
}

fn end(mut program: Program) -> (bool, String) {
    let status = tokio::task::block_in_place(|| program.end());
    (status.success(), program.said.clone())
}

async fn newest(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(&mut connection)
        .await
        .expect("one")
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_migrate_once() {
    let url = cluster::empty_database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let programs: Vec<_> = (0..4).map(|_| start(&folder, &url, &["migrate", "--json"])).collect();
    let mut applied = Vec::new();
    for program in programs {
        let mut program = program;
        assert!(tokio::task::block_in_place(|| program.end()).success(), "{}", program.said);
        let done = serde_json::from_str(&program.printed);
        let done: Value = done.unwrap_or_else(|error| panic!("{error}: {}", program.said));
        let versions = done["applied"].as_array().expect("a list").iter();
        applied.extend(versions.map(|migration| migration["version"].as_i64().expect("a number")));
        assert_eq!(done["version"].as_i64(), Some(newest(&url).await));
    }
    let all: Vec<_> = (1..=newest(&url).await).collect();
    assert_eq!(applied, all, "each by one of them, and in order");
    let (success, said) = end(start(&folder, &url, &["migrate"]));
    assert!(success && said.contains("up to date") && !said.contains("Applied"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_did_is_said_and_a_newer_schema_is_refused() {
    let url = cluster::empty_database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (success, said) = end(start(&folder, &url, &["migrate"]));
    assert!(success && said.contains("Applied 0001 identity.") && said.contains("up to date"), "{said}");

    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (9999, 'from the future', true, '', 0)";
    sqlx::raw_sql(newer).execute(&mut connection).await.expect("a superuser");
    for arguments in [&["migrate"][..], &["up"]] {
        let (success, said) = end(start(&folder, &url, arguments));
        let line = said.lines().find(|line| line.starts_with("fechatter: ")).unwrap_or_default();
        assert!(!success && line.contains("migration 9999") && line.contains("newer"), "{said}");
    }

    let changed = "delete from _sqlx_migrations where version = 9999;
        update _sqlx_migrations set checksum = 'x' where version = 3";
    sqlx::raw_sql(changed).execute(&mut connection).await.expect("a superuser");
    let (success, said) = end(start(&folder, &url, &["migrate"]));
    assert!(!success && said.contains("migration 3 of the database is another"), "{said}");
}
