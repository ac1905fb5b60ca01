//! `fechatter doctor`: what is broken is found, and nothing else is.

use std::{collections::BTreeMap, fs, path::Path};

use fechatter_tests::{Room, Site, cluster, program::Program};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

type Findings = BTreeMap<String, (String, String)>;

fn examine(folder: &Path, variables: &[(&str, &str)]) -> (bool, Findings) {
    let mut program = Program::start("fechatter", folder, &["doctor", "--json"], variables);
    let success = tokio::task::block_in_place(|| program.end()).success();
    let findings = serde_json::from_str(&program.printed);
    let findings: Vec<Value> = findings.unwrap_or_else(|error| panic!("{error}: {}", program.said));
    let text = |finding: &Value, field: &str| finding[field].as_str().expect("text").to_owned();
    let by_check = findings
        .iter()
        .map(|finding| (text(finding, "check"), (text(finding, "verdict"), text(finding, "says"))));
    (success, by_check.collect())
}

/// A site in which some things have happened.
async fn lived_in() -> (Site, TempDir) {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let first = ann.send(&chat, "one").await;
    let reaction =
        format!("/api/chats/{chat}/messages/{}/reactions/👍", first["id"].as_str().expect("an id"));
    bob.request(reqwest::Method::PUT, &reaction, None).await.expect(200);
    let message = bob.send(&chat, "two").await;
    let path = format!("/api/chats/{chat}/messages/{}", message["id"].as_str().expect("an id"));
    bob.patch(&path, serde_json::json!({ "content": "three" })).await.expect(200);
    bob.delete(&path).await.expect(204);
    (site, tempfile::tempdir().expect("a folder"))
}

/// Runs the statement as a restore that goes around triggers and keys would.
async fn break_by(site: &Site, statement: &str) {
    let statement = AssertSqlSafe(format!("set session_replication_role = replica; {statement}; reset all"));
    sqlx::raw_sql(statement).execute(&site.pool).await.expect("a superuser");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_broken_is_found_alone() {
    let cases = [
        ("schema", "delete from _sqlx_migrations where version = 3", "migration 3 is missing"),
        ("schema", "update _sqlx_migrations set checksum = 'x' where version = 4", "migration 4 is another"),
        (
            "schema",
            "insert into _sqlx_migrations select 9999, description, installed_on, true, checksum, 0
             from _sqlx_migrations limit 1",
            "migration 9999 is of a newer program",
        ),
        ("objects", "drop index chats_deleted_at_idx", "index chats_deleted_at_idx is missing"),
        ("objects", "alter table messages disable trigger messages_inserted", "messages.messages_inserted"),
        ("objects", "drop trigger user_suspended on users", "trigger users.user_suspended"),
        ("objects", "alter table users drop constraint users_username_check", "users.users_username_check"),
        (
            "objects",
            "update pg_index set indisvalid = false where indexrelid = 'chats_public_idx'::regclass",
            "invalid",
        ),
        ("log", "select setval('events_id_seq', 1)", "beyond the last id"),
        ("log", "drop table events_1", "partition events_1 is missing"),
        ("rows", "delete from users where email like 'bob%'", "rows belong to nothing"),
        ("rows", "update chats set last_seq = last_seq + 1", "1 chats whose messages"),
        ("rows", "delete from messages where seq = 1", "1 chats whose messages"),
        ("rows", "update messages set reply_count = 1 where seq = 1", "1 threads whose replies"),
        ("rows", "update chat_members set last_read_seq = 100", "beyond the last message"),
        ("rows", "update chat_members set role = 'Member'", "without an owner"),
        (
            "rows",
            "update messages set reactions = '[{\"emoji\": \"👍\", \"count\": 2}]' where seq = 1",
            "miscounted",
        ),
        ("rows", "update workspaces set deleted_at = now()", "outlived their workspace"),
        ("rows", "update users set status = 'Suspended' where email like 'bob%'", "sessions in force"),
    ];
    for (check, statement, mark) in cases {
        let (site, folder) = lived_in().await;
        let variables = [("FECHATTER_DATABASE__URL", site.database_url.as_str())];
        let well = |findings: &Findings, but: &str| {
            for (check, (verdict, says)) in findings {
                // The tests' PostgreSQL does not wait for the disk.
                let expected = if check == "database" { "failure" } else { "ok" };
                assert!(verdict == expected || check == but, "{statement}: {check} {verdict}: {says}");
            }
        };
        let (_, findings) = examine(folder.path(), &variables);
        assert_eq!(findings.len(), 10, "{findings:?}");
        well(&findings, "");
        break_by(&site, statement).await;
        let (success, findings) = examine(folder.path(), &variables);
        assert!(!success);
        let (verdict, says) = &findings[check];
        assert!(verdict == "failure" && says.contains(mark), "{statement}: {verdict} {says}");
        well(&findings, check);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_keys_and_a_missing_database_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (success, findings) = examine(folder.path(), &[("FECHATTER_LIMITS__REQUEST_S", "0")]);
    assert!(!success && findings["settings"].1.contains("limits.request_s"), "{findings:?}");
    let (success, findings) = examine(folder.path(), &[]);
    assert!(!success && findings["database"].1.contains("no database is named"), "{findings:?}");
    let keys = ("FECHATTER_AUTH__PRIVATE_KEY_FILE", "/nowhere/key");
    let nobody = ("FECHATTER_DATABASE__URL", "postgres://127.0.0.1:1/x");
    let (success, findings) = examine(folder.path(), &[keys, nobody]);
    assert!(!success && findings["keys"].1.contains("/nowhere/key"), "{findings:?}");
    assert!(findings["database"].1.contains("does not answer"), "{findings:?}");
    let url = cluster::empty_database().await;
    let (success, findings) = examine(folder.path(), &[("FECHATTER_DATABASE__URL", &url)]);
    assert!(!success && findings["schema"].1.contains("run `fechatter migrate`"), "{findings:?}");
    // Also that commits would not last.
    assert!(findings["database"].1.contains("fsync is off"), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_site_is_well() {
    let folder = tempfile::Builder::new().prefix("fechatter-doctor-").tempdir_in("/tmp").expect("a folder");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), permissions).expect("permissions");
    let variables = [("FECHATTER_SERVER__PORT", "0"), ("FECHATTER_SERVER__ADMIN_PORT", "0")];
    let mut up = Program::start("fechatter", folder.path(), &["up"], &variables);
    tokio::task::block_in_place(|| up.until("Fechatter is ready"));
    let (success, findings) = examine(folder.path(), &[]);
    assert_eq!(success, findings["disk"].0 != "failure", "{findings:?}");
    for (check, (verdict, says)) in &findings {
        // How full this machine's disk is, is its own affair.
        assert!(verdict == "ok" || check == "disk", "{check} {verdict}: {says}");
    }
    assert_eq!(findings.len(), 10, "{findings:?}");
    up.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| up.end()).success(), "{}", up.said);
}

/// When this fails, a migration has changed what there is: the file gets these lines.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_objects_is_that_of_the_migrations() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fechatter/src/doctor/objects.txt");
    let site = Site::start().await;
    let mut connection = site.pool.acquire().await.expect("a connection");
    let there = fechatter::doctor::objects_of(&mut connection).await.expect("objects");
    let listed = fs::read_to_string(&file).expect("the list");
    assert_eq!(listed.lines().collect::<Vec<_>>(), there, "{}", file.display());
}
