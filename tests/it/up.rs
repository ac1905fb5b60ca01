//! `fechatter up`: everything from one command.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use fechatter_tests::{
    Actor,
    program::{Program, address_in},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder below which the database's own user can reach its files.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("fechatter-up-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

fn start(folder: &Path) -> Program {
    let variables =
        [("FECHATTER_SERVER__PORT", "0"), ("FECHATTER_SERVER__ADMIN_PORT", "0"), ("RUST_LOG", "warn")];
    Program::start("fechatter", folder, &["up"], &variables)
}

fn ready(program: &mut Program) -> Actor {
    let line = tokio::task::block_in_place(|| program.until("Fechatter is ready"));
    let address = address_in(&line);
    Actor::anonymous_at(address, address)
}

fn named(actor: &Actor, session: &Value) -> Actor {
    let text = |field: &str| session[field].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
    Actor { name: text("full_name"), id: text("id"), token: text("token"), ..actor.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_serves_survives_kill_9_and_stops_cleanly() {
    let folder = folder();
    let mut program = start(folder.path());
    let anonymous = ready(&mut program);
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "ann" });
    let ann = named(&anonymous, &anonymous.post("/api/auth/signup", body).await.expect(201));
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut stream = ann.stream(None).await;
    ann.send(&chat, "hello").await;
    let hello = stream.expect_message("hello").await;
    let document = anonymous.get("/api/openapi.json").await.expect(200);
    assert!(document["paths"]["/api/notifications/events"].is_object(), "one document for both");

    // The keys are the owner's alone.
    let keys = folder.path().join(".fechatter/keys");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode(&keys), mode(&keys.join("signing.pem"))), (0o700, 0o600));

    // A second one says so, and does no harm.
    let mut second = start(folder.path());
    let status = tokio::task::block_in_place(|| second.end());
    assert!(!status.success());
    assert!(second.said.contains("already"), "{}", second.said);

    program.signal(Signal::SIGKILL);
    tokio::task::block_in_place(|| program.end());
    let mut program = start(folder.path());
    let again = ready(&mut program);
    let ann = Actor { rest: again.rest, notify: again.notify, ..ann };
    let page = ann.get(&format!("/api/chats/{chat}/messages")).await.expect(200);
    assert_eq!(page["messages"][0]["content"], "hello");
    ann.send(&chat, "again").await;
    // The stream resumes over the kill.
    let mut stream = ann.stream(Some(&hello.id)).await;
    stream.expect_message("again").await;

    program.signal(Signal::SIGINT);
    let bye = stream.until("bye").await;
    assert_eq!(bye.data["reason"], "shutdown");
    let status = tokio::task::block_in_place(|| program.end());
    assert!(status.success(), "{}", program.said);
    assert!(!folder.path().join(".fechatter/postgres/data/postmaster.pid").exists(), "the database stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_is_started_again() {
    let folder = folder();
    let mut program = start(folder.path());
    let anonymous = ready(&mut program);
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "ann" });
    let ann = named(&anonymous, &anonymous.post("/api/auth/signup", body).await.expect(201));
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut stream = ann.stream(None).await;
    let pid_file = folder.path().join(".fechatter/postgres/data/postmaster.pid");
    let pid = fs::read_to_string(pid_file).expect("a running server");
    let pid: i32 = pid.lines().next().and_then(|line| line.parse().ok()).expect("a process id");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("our own server");
    let send = json!({ "content": "after the crash", "client_id": "1" });
    for attempt in 0.. {
        let answer = ann.post(&format!("/api/chats/{chat}/messages"), send.clone()).await;
        if matches!(answer.status, 200 | 201) {
            break;
        }
        answer.expect(503);
        assert!(attempt < 200, "the database did not come back: {}", program.said);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    stream.expect_message("after the crash").await;
    program.signal(Signal::SIGINT);
    assert!(tokio::task::block_in_place(|| program.end()).success(), "{}", program.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgresql_it_says_what_to_install() {
    let folder = folder();
    let variables = [("FECHATTER_SERVER__PORT", "0"), ("FECHATTER_PG_BIN", "/nonexistent")];
    let mut program = Program::start("fechatter", folder.path(), &["up"], &variables);
    let status = tokio::task::block_in_place(|| program.end());
    assert!(!status.success());
    assert!(program.said.contains("apt install postgresql"), "{}", program.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_stop_the_start_and_are_named() {
    let folder = folder();
    for (name, value, mark) in [
        ("FECHATTER_SERVER__PROT", "1", "prot"),
        ("FECHATTER_SERVER__PORT", "many", "FECHATTER_SERVER__PORT"),
        ("FECHATTER_AUTH__PASSWORD_MIN_LENGTH", "4", "auth.password_min_length"),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", "/nonexistent.pem", "/nonexistent.pem"),
        ("FECHATTER_DATABASE__URL", "nonsense", "database.url"),
    ] {
        let variables =
            [("FECHATTER_SERVER__ADMIN_PORT", "0"), ("FECHATTER_DATABASE__URL", "postgres://127.0.0.1:1/x")];
        let mut variables = variables.to_vec();
        variables.push((name, value));
        let program = if name.contains("PRIVATE_KEY") { "fechatter_server" } else { "fechatter" };
        let mut program = Program::start(program, folder.path(), &[], &variables);
        let status = tokio::task::block_in_place(|| program.end());
        assert!(!status.success());
        assert!(program.said.contains(mark), "{name}: {}", program.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_story_works() {
    let folder = folder();
    let mut program = start(folder.path());
    let address = ready(&mut program).rest;
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("a README");
    let script: String = readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| !block.starts_with("make "))
        .map(|block| block.replace("http://localhost:6688", &format!("http://{address}")))
        .collect();
    assert!(script.matches("call ").count() >= 8, "the story is in the README");
    let output = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .output()
        .await
        .expect("bash and curl");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{said}");
    for mark in ["event: hello", "event: message\n", "Hello, Bob", "\"unread_count\":1", "\"unread_count\":0"]
    {
        assert!(said.contains(mark), "{mark} is not in what the story said:\n{said}");
    }
    program.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| program.end()).success());
}
