//! kill -9 in the middle of whatever it does: nothing that was acknowledged is lost, and nothing else stays.

use std::{
    collections::HashMap,
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use chat_core::clock::Clock;
use fechatter_server::{auth::issuer::make_key_files, vault::ring::make_file_keys};
use fechatter_tests::{Actor, actor::id_of, cluster, files::objects, program::Program};
use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::time::sleep;

use super::some_bytes;

const ROUNDS: usize = 12;

/// The REST server as a program, on a database and folder of its own.
pub(super) struct Machine {
    folder: TempDir,
    variables: Vec<(String, String)>,
    pub(super) pool: PgPool,
}

impl Machine {
    pub(super) async fn make(more: &[(&str, &str)]) -> Self {
        let url = cluster::owned_database().await;
        let folder = tempfile::tempdir().expect("a folder");
        let (private, _) = make_key_files(&folder.path().join("keys")).expect("keys");
        let file_keys = folder.path().join("keys").join("files.pem");
        make_file_keys(&file_keys).expect("keys");
        let as_owner = [("FECHATTER_DATABASE__URL", url.as_str())];
        let mut migrate = Program::start("fechatter", folder.path(), &["migrate"], &as_owner);
        assert!(tokio::task::block_in_place(|| migrate.end()).success(), "{}", migrate.said);
        let role = cluster::as_role("fechatter_server", &url);
        let text = |path: PathBuf| path.to_str().expect("text").to_owned();
        let (key, file_keys) = (text(private), text(file_keys));
        let files = text(folder.path().join("files"));
        let variables = [
            ("FECHATTER_SERVER__PORT", "0"),
            ("FECHATTER_SERVER__ADMIN_PORT", "0"),
            ("FECHATTER_LIMITS__ENABLED", "false"),
            ("FECHATTER_DATABASE__URL", role.as_str()),
            ("FECHATTER_AUTH__PRIVATE_KEY_FILE", key.as_str()),
            ("FECHATTER_FILES__KEY_FILE", file_keys.as_str()),
            ("FECHATTER_FILES__FOLDER", files.as_str()),
        ];
        let variables =
            variables.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(2)
            .connect(&url)
            .await
            .expect("a connection");
        Self { variables: variables.collect(), pool, folder }
    }

    pub(super) fn start(&self) -> (Program, SocketAddr) {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut program = Program::start("fechatter_server", self.folder.path(), &[], &variables);
        let line = tokio::task::block_in_place(|| program.until("listening"));
        let log: serde_json::Value = serde_json::from_str(&line).expect("JSON logs when not at a terminal");
        let address = log["clients"].as_str().expect("an address").parse().expect("an address");
        (program, address)
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// The next one comes two days later, as far as files are concerned.
    async fn two_days_later(&self) {
        for statement in [
            "update files set created_at = created_at - interval '2 days'",
            "update removed_files set removed_at = removed_at - interval '2 days'",
        ] {
            sqlx::query(statement).execute(&self.pool).await.expect("an update");
        }
        let then = SystemTime::from(Clock::system().now()) - Duration::from_hours(48);
        for file in objects(&self.files()) {
            File::open(self.files().join(file)).and_then(|file| file.set_modified(then)).expect("a time");
        }
    }
}

/// What people were told.
#[derive(Default)]
struct Told {
    /// Files in messages that were acknowledged, by what they hold.
    sent: HashMap<String, usize>,
    /// Of messages whose deletion was asked for.
    deleted: Vec<String>,
}

/// Uploads, sends and deletes until the server is gone.
async fn busy(ann: Actor, workspace: String, chat: String, told: Arc<Mutex<Told>>) {
    loop {
        let length = rand::random_range(1..150_000);
        let Ok(answer) = ann.upload_request(&workspace, "a", some_bytes(length)).send().await else { return };
        let Ok(file) = answer.json::<serde_json::Value>().await else { return };
        if rand::random_bool(0.3) || !file["id"].is_string() {
            continue;
        }
        let body = json!({ "content": "", "file_ids": [file["id"]] });
        let path = format!("/api/chats/{chat}/messages");
        let Ok(answer) = ann.try_request(reqwest::Method::POST, &path, Some(body)).await else { return };
        if answer.status != 201 {
            continue;
        }
        told.lock().expect("no panic").sent.insert(id_of(&file), length);
        if rand::random_bool(0.3) {
            told.lock().expect("no panic").deleted.push(id_of(&file));
            let path = format!("{path}/{}", id_of(&answer.body));
            if ann.try_request(reqwest::Method::DELETE, &path, None).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_else_stays() {
    let machine = Machine::make(&[]).await;
    let (program, address) = machine.start();
    let anonymous = Actor::anonymous_at(address, address);
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "ann" });
    let session = anonymous.post("/api/auth/signup", body).await.expect(201);
    let ann = anonymous.with_token(session["token"].as_str().expect("a token"));
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let told = Arc::new(Mutex::new(Told::default()));

    for length in 1..=5 {
        let message = ann.send_file(&workspace, &chat, "a", some_bytes(length * 30_000)).await;
        told.lock().expect("no panic").sent.insert(id_of(&message["files"][0]), length * 30_000);
    }
    let mut running = Some((program, address));
    for _ in 0..ROUNDS {
        // It collects from its first moment on, while people write.
        let (mut program, address) = running.take().unwrap_or_else(|| machine.start());
        let people: Vec<_> = (0..4)
            .map(|_| {
                let ann = ann.at(address, address);
                tokio::spawn(busy(ann, workspace.clone(), chat.clone(), Arc::clone(&told)))
            })
            .collect();
        sleep(Duration::from_millis(rand::random_range(0..1500))).await;
        program.signal(Signal::SIGKILL);
        tokio::task::block_in_place(|| program.end());
        for person in people {
            person.await.expect("no panic");
        }
        machine.two_days_later().await;
    }

    // Twice, because what the first round gives up waits for the second.
    for _ in 0..2 {
        let (mut program, _) = machine.start();
        sleep(Duration::from_secs(3)).await;
        program.signal(Signal::SIGTERM);
        tokio::task::block_in_place(|| program.end());
        assert!(!program.said.contains("permission denied"), "{}", program.said);
        machine.two_days_later().await;
    }
    let (mut program, address) = machine.start();
    sleep(Duration::from_secs(3)).await;
    let ann = ann.at(address, address);
    let told = std::mem::take(&mut *told.lock().expect("no panic"));
    let mut read = 0;
    for (file, length) in &told.sent {
        if told.deleted.contains(file) {
            continue;
        }
        let answer = ann.fetch(&format!("/api/files/{file}"), &[]).await;
        assert_eq!(answer.status, 200, "{file} was acknowledged, and is gone");
        assert!(answer.bytes == some_bytes(*length), "{file} holds something else");
        read += 1;
    }
    assert!(read >= 5, "{read} files");
    program.signal(Signal::SIGTERM);
    tokio::task::block_in_place(|| program.end());
    let mut named: Vec<String> =
        sqlx::query_scalar("select location from files").fetch_all(&machine.pool).await.expect("names");
    named.sort_unstable();
    let unclaimed: i64 = sqlx::query_scalar("select count(*) from files where message_id is null")
        .fetch_one(&machine.pool)
        .await
        .expect("a count");
    assert_eq!(unclaimed, 0);
    let there = objects(&machine.files());
    assert_eq!(there, named, "what lies there is what rows name");
    let counted: Vec<i64> =
        sqlx::query_scalar("select bytes from file_usage").fetch_all(&machine.pool).await.expect("numbers");
    let held: i64 = sqlx::query_scalar("select sum(size)::bigint from files")
        .fetch_one(&machine.pool)
        .await
        .expect("a sum");
    assert_eq!(counted, [held; 2], "what counts is what is there");
}
