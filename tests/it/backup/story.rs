//! A whole story: many people write, a backup is taken meanwhile, and another machine goes on from it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use chat_core::event::Position;
use fechatter_tests::{
    Actor, Site, Stream,
    program::{Program, address_in},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{
    has_clients,
    load::{Kept, Load, STAYS},
    succeeds, text,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_restored_whole_and_goes_on() {
    if !has_clients() {
        return;
    }
    let site = Site::start().await;
    let elsewhere = Elsewhere::new();
    let backup = elsewhere.folder.path().join("backup");
    let mut load = Load::start(&site).await;
    let early = load.owner.get("/api/chats").await.event_id();
    load.until(0, 150).await;
    let before = load.acknowledged();
    let said = succeeds(&site.database_url, &["backup", text(&backup)]);
    assert!(said.contains("13 accounts"), "{said}");
    load.until(load.acknowledged().len(), 20).await;
    load.finish().await;
    let after = load.acknowledged();
    let late = load.owner.get("/api/chats").await.event_id();
    assert_in_the_middle(&backup, &early, &late);

    elsewhere.bring_keys_and_objects(&site);
    let said = elsewhere.run(&["restore", "--verify", text(&backup)]);
    assert!(said.contains("Files: all "), "{said}");
    let mut up = elsewhere.up();
    elsewhere.is_well(&[]);
    elsewhere.is_well(&["--files"]);

    let people = sign_in_anew(&site, &up, &load).await;
    for (kept, last) in before.iter().zip(&after) {
        is_there(&people[kept.sender], kept, last).await;
    }
    let owner = people.last().expect("the owner");
    for position in [&early, &late] {
        is_reset_once(owner, position, &load.chats[0]).await;
    }
    up.program.signal(Signal::SIGTERM);
    assert!(block_in_place(|| up.program.end()).success(), "{}", up.program.said);
}

/// The backup holds a part of what was written, so it was taken under load.
fn assert_in_the_middle(backup: &Path, early: &str, late: &str) {
    let manifest = fs::read_to_string(backup.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let taken = manifest["log_position"].as_i64().expect("a number");
    let id = |position| Position::parse(position).expect("a position").id;
    assert!(id(early) < taken && taken < id(late), "{early}, {taken}, {late}");
}

/// The machine that everything is restored on: a folder, with a PostgreSQL of its own.
struct Elsewhere {
    folder: TempDir,
}

/// `fechatter up` there.
struct Up {
    program: Program,
    anonymous: Actor,
}

impl Elsewhere {
    fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("fechatter-story-").tempdir_in("/tmp").expect("a folder");
        // PostgreSQL may run as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("permissions");
        Self { folder }
    }

    /// What `fechatter backup` leaves to other programs: the same signing keys too, so that a token is not refused for
    /// want of its key.
    fn bring_keys_and_objects(&self, site: &Site) {
        let data = self.folder.path().join(".fechatter");
        let keys = data.join("keys");
        fs::create_dir_all(&keys).expect("a folder");
        for (file, name) in [
            (site.private_key_file(), "signing.pem"),
            (site.public_key_file(), "verifying.pem"),
            (&site.file_settings().key_file, "files.pem"),
        ] {
            fs::copy(file, keys.join(name)).expect("a key");
        }
        let copied = Command::new("cp").arg("-a").args([site.files_folder(), &data.join("files")]).status();
        assert!(copied.expect("cp").success());
    }

    /// Runs `fechatter` there, without any settings.
    fn run(&self, arguments: &[&str]) -> String {
        let mut program = Program::start("fechatter", self.folder.path(), arguments, &[]);
        let status = block_in_place(|| program.end());
        assert!(status.success(), "{arguments:?}: {}", program.said);
        program.said.clone()
    }

    fn up(&self) -> Up {
        let variables = [
            ("FECHATTER_SERVER__PORT", "0"),
            ("FECHATTER_SERVER__ADMIN_PORT", "0"),
            // Everybody signs in from one address, with the cheap hashes of the first site.
            ("FECHATTER_LIMITS__ENABLED", "false"),
            ("FECHATTER_AUTH__ARGON2_MEMORY_KIB", "64"),
            ("FECHATTER_AUTH__ARGON2_PASSES", "1"),
        ];
        let mut program = Program::start("fechatter", self.folder.path(), &["up"], &variables);
        let address = address_in(&block_in_place(|| program.until("Fechatter is ready")));
        Up { program, anonymous: Actor::anonymous_at(address, address) }
    }

    /// The doctor finds nothing.
    fn is_well(&self, more: &[&str]) {
        let arguments = [&["doctor", "--json"], more].concat();
        let mut doctor = Program::start("fechatter", self.folder.path(), &arguments, &[]);
        block_in_place(|| doctor.end());
        let findings: Vec<Value> = serde_json::from_str(&doctor.printed).expect("JSON");
        assert_eq!(findings.len(), 10, "{findings:?}");
        for finding in findings {
            // How full this machine's disk is, is its own affair.
            assert!(finding["verdict"] == "ok" || finding["check"] == "disk", "{finding}");
        }
    }
}

/// Nobody is signed in, and everybody can sign in; answers with the people, and the owner after them.
async fn sign_in_anew(site: &Site, up: &Up, load: &Load) -> Vec<Actor> {
    let mut signed_in = Vec::new();
    for person in load.people.iter().chain([&load.owner]) {
        let there = person.at(up.anonymous.rest, up.anonymous.notify);
        there.get("/api/users/me").await.expect(401);
        there.get("/api/notifications/events").await.expect(401);
        let refresh = json!({ "refresh_token": person.refresh_token });
        up.anonymous.post("/api/auth/refresh", refresh).await.expect(401);
        let body =
            json!({ "email": format!("{}@example.com", person.name), "password": "a long enough phrase" });
        let session = up.anonymous.post("/api/auth/signin", body).await.expect(200);
        assert_eq!(session["id"], person.id.as_str());
        let token = session["token"].as_str().expect("a token");
        let head = |token: &str| token.split('.').next().map(str::to_owned);
        assert_eq!(head(token), head(&person.token), "the same key, so it was the session that was refused");
        signed_in.push(there.with_token(token));
    }
    // They were not refused because anything was wrong with them.
    load.owner.get("/api/users/me").await.expect(200);
    let refresh = json!({ "refresh_token": load.owner.refresh_token });
    site.anonymous().post("/api/auth/refresh", refresh).await.expect(200);
    signed_in
}

/// The message is as its sender was last answered before the backup began, or as it became until the end.
async fn is_there(sender: &Actor, kept: &Kept, last: &Kept) {
    let message = sender.get(&kept.path).await.expect(200);
    assert_eq!((&message["seq"], &message["id"]), (&kept.message["seq"], &kept.message["id"]));
    if !message["deleted_at"].is_null() {
        assert!(last.deleted, "{message}");
        return;
    }
    assert!(!kept.deleted, "{message}");
    let version = |message: &Value| message["version"].as_i64().expect("a number");
    let versions = version(&kept.message)..=version(&last.message);
    assert!(versions.contains(&version(&message)), "{message}, not {kept:?} to {last:?}");
    for known in [kept, last].iter().filter(|known| version(&known.message) == version(&message)) {
        for field in [
            "content",
            "mentions",
            "mentions_all",
            "edited_at",
            "created_at",
            "client_id",
            "thread_root",
            "in_chat",
            "files",
        ] {
            assert_eq!(message[field], known.message[field], "{field} of {message}");
        }
    }
    let reaction = json!({ "emoji": STAYS, "count": 1, "me": true });
    let reactions = message["reactions"].as_array().expect("reactions");
    assert!(!kept.reacted || reactions.contains(&reaction), "{message}");
    for (file, bytes) in message["files"].as_array().into_iter().flatten().zip(&kept.bytes) {
        let id = file["id"].as_str().expect("an id");
        let read = sender.fetch(&format!("/api/files/{id}"), &[]).await;
        assert!(read.status == 200 && read.bytes == *bytes, "{file}");
    }
}

/// A stream that comes with a position of the first log is told so, once.
async fn is_reset_once(person: &Actor, position: &str, chat: &str) {
    let (mut stream, _) = Stream::try_open(person, position).await.expect("a stream");
    let sent = person.send(chat, "after the restore").await;
    let mut resets = Vec::new();
    loop {
        let event = stream.any().await;
        if event.event == "message" && event.data["id"] == sent["id"] {
            break;
        }
        if event.event == "reset" {
            resets.push(event);
        }
    }
    let reasons: Vec<_> = resets.iter().map(|reset| reset.data["reason"].clone()).collect();
    assert_eq!(reasons, [json!("epoch")], "{position}");
    let epoch = |position: &str| Position::parse(position).expect("a position").epoch;
    assert_ne!(epoch(&resets[0].id), epoch(position));
}
