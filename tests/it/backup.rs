//! `fechatter backup` and `fechatter restore`.

mod files;
mod load;
mod story;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::ExitStatus,
    time::Duration,
};

use fechatter_tests::{Actor, Site, Stream, cluster, fleet::Doors, program::Program, workload::Workload};
use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};

const PATIENCE: Duration = Duration::from_mins(1);

/// Whether this machine has PostgreSQL's client programs: a server that was fetched comes without.
fn has_clients() -> bool {
    let found = local_postgres::find_client("pg_dump", 0).is_ok();
    if !found {
        eprintln!(
            "SKIPPED: backups; install PostgreSQL's client programs (Debian: apt install postgresql-client)"
        );
    }
    found
}

/// Runs `fechatter` on a database; answers how it ended, and what it said.
fn fechatter(url: &str, arguments: &[&str]) -> (ExitStatus, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut program =
        Program::start("fechatter", folder.path(), arguments, &[("FECHATTER_DATABASE__URL", url)]);
    let status = block_in_place(|| program.end());
    (status, program.said.clone())
}

#[track_caller]
fn succeeds(url: &str, arguments: &[&str]) -> String {
    let (status, said) = fechatter(url, arguments);
    assert!(status.success(), "{arguments:?}: {said}");
    said
}

#[track_caller]
fn fails(url: &str, arguments: &[&str], mark: &str) {
    let (status, said) = fechatter(url, arguments);
    assert!(!status.success(), "{arguments:?}: {said}");
    assert!(said.contains(mark), "{arguments:?} does not say {mark:?}: {said}");
}

async fn sign_in(site: &Site, name: &str) -> Actor {
    let body = json!({ "email": format!("{name}@example.com"), "password": "a long enough phrase" });
    Actor::from_session(site, &site.anonymous().post("/api/auth/signin", body).await.expect(200))
}

/// All that a person sees: their chats, and everything in them.
async fn seen_by(actor: &Actor) -> Value {
    let chats = actor.get("/api/chats").await.expect(200);
    let mut histories = Vec::new();
    for chat in chats["chats"].as_array().expect("chats") {
        let id = chat["id"].as_str().expect("an id");
        let mut before = String::new();
        loop {
            let path = format!("/api/chats/{id}/messages?limit=100{before}");
            let page = actor.get(&path).await.expect(200);
            before =
                page["messages"].as_array().and_then(|all| all.last()).map_or_else(String::new, |oldest| {
                    format!("&before={}", oldest["id"].as_str().expect("an id"))
                });
            let more = page["has_more"] == true;
            histories.push(page);
            if !more {
                break;
            }
        }
    }
    json!({ "chats": chats, "histories": histories })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restores_everything_but_sessions() {
    if !has_clients() {
        return;
    }
    // A witness of the workload sees by a ping that it has come to the end.
    let site = Site::start_with(|_, notify| notify.stream.heartbeat_s = 1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (busy, quiet) = (folder.path().join("busy"), folder.path().join("quiet"));
    let doors = Doors::to(site.rest.address, site.notify.address);
    let workload = Workload::start(doors, 11).await;
    sleep(Duration::from_millis(700)).await;
    // While people write: of one moment all the same.
    succeeds(&site.database_url, &["backup", text(&busy)]);
    sleep(Duration::from_millis(300)).await;
    let history = workload.finish(PATIENCE).await;
    history.assert_kept();
    let ann = sign_in(&site, "ann").await;
    let chat = history.chats[0].id.as_str();
    let message = ann.send(chat, "first").await["id"].as_str().expect("an id").to_owned();
    ann.patch(&format!("/api/chats/{chat}/messages/{message}"), json!({ "content": "edited" }))
        .await
        .expect(200);
    let gone = ann.send(chat, "to be deleted").await["id"].as_str().expect("an id").to_owned();
    ann.delete(&format!("/api/chats/{chat}/messages/{gone}")).await.expect(204);
    let bob = sign_in(&site, "bob").await;
    let (anns, bobs) = (seen_by(&ann).await, seen_by(&bob).await);
    let position = ann.get("/api/chats").await.event_id();
    let said = succeeds(&site.database_url, &["backup", text(&quiet)]);
    assert!(said.contains("7 accounts, 2 chats"), "{said}");
    let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o777;
    assert_eq!((mode(&quiet), mode(&quiet.join("manifest.json"))), (0o700, 0o600));
    fails(&site.database_url, &["backup", text(&quiet)], "is not empty");
    fails(&site.database_url, &["restore", text(&quiet)], "the database is not empty");

    let first = cluster::empty_database().await;
    succeeds(&first, &["restore", "--verify", text(&busy)]);
    let url = cluster::empty_database().await;
    succeeds(&url, &["restore", "--verify", text(&quiet)]);
    let restored = Site::start_on(url, |_, _| {}).await;
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from sessions").fetch_one(&restored.pool).await.expect("a count");
    assert_eq!(sessions, 0);
    let refresh = json!({ "refresh_token": ann.refresh_token });
    restored.anonymous().post("/api/auth/refresh", refresh.clone()).await.expect(401);
    // Not refused because it is wrong: the first site takes it.
    site.anonymous().post("/api/auth/refresh", refresh).await.expect(200);

    let (ann, bob) = (sign_in(&restored, "ann").await, sign_in(&restored, "bob").await);
    assert_eq!((seen_by(&ann).await, seen_by(&bob).await), (anns, bobs));
    // A client that comes with a position of the first log is told, and then misses nothing.
    let (mut stream, _) = Stream::try_open(&bob, &position).await.expect("a stream");
    let reset = stream.until("reset").await;
    assert_eq!(reset.data["reason"], "epoch");
    ann.send(chat, "after the restore").await;
    stream.expect_message("after the restore").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_whole_is_refused() {
    if !has_clients() {
        return;
    }
    let url = cluster::fresh_database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    succeeds(&url, &["backup", text(&backup)]);
    let empty = cluster::empty_database().await;
    let (manifest, dump) = (backup.join("manifest.json"), backup.join("database.dump"));
    let written = fs::read_to_string(&manifest).expect("a manifest");

    let newer = |name: &str, value: Value| {
        let mut changed: Value = serde_json::from_str(&written).expect("JSON");
        changed[name] = value;
        fs::write(&manifest, changed.to_string()).expect("a file");
    };
    newer("schema", json!(9999));
    fails(&empty, &["restore", text(&backup)], "newer Fechatter");
    newer("log_position", json!(5));
    fails(&empty, &["restore", "--verify", text(&backup)], "the event log ends at");
    fs::write(&manifest, &written).expect("a file");

    let another = cluster::empty_database().await;
    let mut bytes = fs::read(&dump).expect("a dump");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&dump, &bytes).expect("a file");
    fails(&another, &["restore", text(&backup)], "is not the file");
    fs::remove_file(&manifest).expect("a file");
    fails(&another, &["restore", text(&backup)], "not a whole one");
    bytes[middle] ^= 1;
    fs::write(&dump, &bytes).expect("a file");
    fs::write(&manifest, &written).expect("a file");
    succeeds(&another, &["restore", "--verify", text(&backup)]);
}

/// From a database that somebody runs elsewhere into a folder that `fechatter up` starts on.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restores_into_a_private_postgresql() {
    if !has_clients() {
        return;
    }
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    ann.send(&chat, "kept").await;
    let folder = tempfile::Builder::new().prefix("fechatter-backup-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    let backup = folder.path().join("backup");
    succeeds(&site.database_url, &["backup", text(&backup)]);

    let restore = || {
        let mut program =
            Program::start("fechatter", folder.path(), &["restore", "--verify", text(&backup)], &[]);
        let status = block_in_place(|| program.end());
        (status.success(), program.said.clone())
    };
    let (restored, said) = restore();
    assert!(restored, "{said}");
    let (again, said) = restore();
    assert!(!again && said.contains("the database is not empty"), "{said}");
    let variables = [("FECHATTER_SERVER__PORT", "0"), ("FECHATTER_SERVER__ADMIN_PORT", "0")];
    let mut up = Program::start("fechatter", folder.path(), &["up"], &variables);
    let address = fechatter_tests::program::address_in(&block_in_place(|| up.until("Fechatter is ready")));
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase" });
    let session = Actor::anonymous_at(address, address).post("/api/auth/signin", body).await.expect(200);
    let ann = Actor { token: session["token"].as_str().expect("a token").into(), ..ann.at(address, address) };
    let page = ann.get(&format!("/api/chats/{chat}/messages")).await.expect(200);
    assert_eq!(page["messages"][0]["content"], "kept");
    up.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(block_in_place(|| up.end()).success(), "{}", up.said);
}
