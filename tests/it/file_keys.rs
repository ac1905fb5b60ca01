//! `fechatter keys files`, and what the doctor says of files.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use chat_core::ids::FileId;
use fechatter_server::vault::{StoredFile, Vault, VaultError, settings::FileSettings};
use fechatter_tests::{Room, Site, program::Program};
use futures::TryStreamExt;
use serde_json::{Value, json};
use sqlx::Row;
use tokio::task::block_in_place;
use uuid::Uuid;

/// Runs `fechatter` on the site's files, to its end; answers whether it did what it was to do.
fn run(site: &Site, settings: &FileSettings, arguments: &[&str]) -> (bool, Program) {
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (keys, files) = (text(&settings.key_file), text(&settings.folder));
    let delay = settings.new_key_delay_s.to_string();
    let variables = [
        ("FECHATTER_DATABASE__URL", site.database_url.as_str()),
        ("FECHATTER_FILES__KEY_FILE", &keys),
        ("FECHATTER_FILES__FOLDER", &files),
        ("FECHATTER_FILES__NEW_KEY_DELAY_S", &delay),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::start("fechatter", folder.path(), arguments, &variables);
    let done = block_in_place(|| program.end()).success();
    (done, program)
}

/// The same, and what it said.
fn fechatter(site: &Site, settings: &FileSettings, arguments: &[&str]) -> (bool, String) {
    let (done, program) = run(site, settings, arguments);
    (done, program.said.clone())
}

/// What the doctor says of files, and how bad it is.
fn doctor(site: &Site, settings: &FileSettings, arguments: &[&str]) -> (String, String) {
    let (_, program) = run(site, settings, &[&["doctor", "--json"], arguments].concat());
    let findings: Vec<Value> = serde_json::from_str(&program.printed).expect("a list");
    let files = findings.iter().find(|finding| finding["check"] == "files").expect("a finding");
    let text = |field: &str| files[field].as_str().expect("text").to_owned();
    (text("verdict"), text("says"))
}

/// Puts a file into the vault and its row into the database.
async fn store(room: &Room, vault: &Vault, content: &str) -> StoredFile {
    let mut upload = vault.begin(FileId::new()).await.expect("an upload");
    upload.write(content.to_owned().into()).await.expect("room for it");
    let stored = upload.finish().await.expect("a file");
    sqlx::query(
        "insert into files (id, workspace_id, uploader_id, facts, content_type, size, sha256, location, key_id,
            wrapped_key, format)
        values ($1, $2, $3, $4, 'text/plain', $5, $6, $7, $8, $9, $10)",
    )
    .bind(stored.id.0)
    .bind(room.workspace.parse::<Uuid>().expect("an id"))
    .bind(room.ann.id.parse::<Uuid>().expect("an id"))
    .bind(json!({}))
    .bind(i64::try_from(stored.size).expect("a size"))
    .bind(&stored.sha256[..])
    .bind(&stored.location)
    .bind(&stored.key_id)
    .bind(&stored.wrapped_key)
    .bind(stored.format)
    .execute(&room.site.pool)
    .await
    .expect("a row");
    stored
}

/// The file, by what its row says now.
async fn read(site: &Site, vault: &Vault, stored: &StoredFile) -> Result<Vec<u8>, VaultError> {
    let row = sqlx::query("select key_id, wrapped_key from files where id = $1").bind(stored.id.0);
    let row = row.fetch_one(&site.pool).await.expect("a row");
    let stored = StoredFile { key_id: row.get(0), wrapped_key: row.get(1), ..stored.clone() };
    let pieces: Vec<_> = vault.read(&stored, 0..stored.size).await?.try_collect().await?;
    Ok(pieces.concat())
}

/// As if the file had been changed long ago.
fn age(path: &Path) {
    #[expect(clippy::disallowed_methods, reason = "files have the machine's time")]
    let then = SystemTime::now() - Duration::from_hours(72);
    File::options().write(true).open(path).expect("a file").set_modified(then).expect("a time");
}

async fn room_with_files() -> (Room, FileSettings, Vault, Vec<StoredFile>) {
    let room = Room::of_two("Group").await;
    let settings = FileSettings { new_key_delay_s: 0, ..room.site.file_settings().clone() };
    let vault = Vault::open(&settings, &room.site.clock).expect("a vault");
    let mut stored = Vec::new();
    for content in ["one", "two", "three"] {
        stored.push(store(&room, &vault, content).await);
    }
    (room, settings, vault, stored)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_files_wrapped_anew_and_only_then_is_a_key_removed() {
    let (room, settings, vault, stored) = room_with_files().await;
    let site = &room.site;
    let run = |arguments: &[&str]| fechatter(site, &settings, &[&["keys", "files"], arguments].concat());
    let list = || -> BTreeMap<String, i64> {
        let (done, said) = run(&["list", "--json"]);
        assert!(done, "{said}");
        let keys: Vec<Value> = serde_json::from_str(&said).expect("a list");
        let line = |key: &Value| {
            (key["id"].as_str().expect("text").to_owned(), key["files"].as_i64().expect("a number"))
        };
        keys.iter().map(line).collect()
    };
    let old = stored[0].key_id.clone();
    assert_eq!(list(), [(old.clone(), 3)].into());
    assert!(run(&["make"]).0 && list().len() == 1, "a key that is there stays");
    assert!(run(&["prune"]).1.contains("one key alone"));

    let (done, said) = run(&["rotate"]);
    assert!(done, "{said}");
    let new = list().into_keys().find(|id| *id != old).expect("a new key");
    assert!(said.contains(&new));
    let (_, said) = run(&["prune"]);
    assert!(said.contains("nothing was removed"), "servers may still use the old one: {said}");
    age(&settings.key_file);
    let (done, said) = run(&["prune"]);
    assert!(!done && said.contains("3 files need older keys"), "{said}");

    let (done, said) = run(&["rewrap"]);
    assert!(done && said.contains(&format!("3 files are wrapped by {new}")), "{said}");
    assert!(run(&["rewrap"]).1.contains("0 files are wrapped"), "once is enough");
    assert_eq!(list(), [(old.clone(), 0), (new.clone(), 3)].into());
    let (done, said) = run(&["prune"]);
    assert!(done && said.contains("Removed 1."), "{said}");
    assert_eq!(list(), [(new, 3)].into());

    vault.reload_keys().expect("keys");
    for (stored, content) in stored.iter().zip(["one", "two", "three"]) {
        assert_eq!(read(site, &vault, stored).await.expect("the file"), content.as_bytes());
        let by_the_old = vault.read(stored, 0..1).await.err();
        assert!(
            matches!(by_the_old, Some(VaultError::UnknownKey(id)) if id == old),
            "the old key opens nothing"
        );
    }
    assert_eq!(doctor(site, &settings, &["--files"]).0, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_files_that_cannot_be_read_and_objects_of_no_file() {
    let (room, settings, vault, stored) = room_with_files().await;
    let site = &room.site;
    let object = |stored: &StoredFile| settings.folder.join(&stored.location);
    for arguments in [&[][..], &["--files"]] {
        let (verdict, says) = doctor(site, &settings, arguments);
        assert!(verdict == "ok" && says.contains("3 can be read"), "{verdict}: {says}");
    }
    // What is on its way into a row belongs to nobody yet.
    let mut upload = vault.begin(FileId::new()).await.expect("an upload");
    upload.write("stray".into()).await.expect("room for it");
    let stray = upload.finish().await.expect("a file");
    assert_eq!(doctor(site, &settings, &["--files"]).0, "ok");
    age(&object(&stray));
    let (verdict, says) = doctor(site, &settings, &["--files"]);
    assert!(verdict == "warning" && says.contains("1 objects belong to no file"), "{verdict}: {says}");
    assert_eq!(doctor(site, &settings, &[]).0, "ok", "it looks at files alone unless it is asked for more");

    fs::remove_file(object(&stored[0])).expect("an object");
    fs::write(object(&stored[1]), "another object").expect("an object");
    let (verdict, says) = doctor(site, &settings, &[]);
    assert!(verdict == "failure" && says.contains("1 files have no object"), "{says}");
    assert!(says.contains("1 files cannot be read"), "{says}");

    let other_keys = settings.folder.join("other.pem");
    fechatter_server::vault::ring::make_file_keys(&other_keys).expect("keys");
    let wrong = FileSettings { key_file: other_keys, ..settings.clone() };
    let (verdict, says) = doctor(site, &wrong, &[]);
    assert!(verdict == "failure" && says.contains("3 files need a key"), "{says}");
    let (_, said) = fechatter(site, &wrong, &["keys", "files", "list"]);
    assert!(said.contains(&format!("{} (missing)  3 files", stored[0].key_id)), "{said}");
    let (done, said) = fechatter(site, &wrong, &["keys", "files", "rewrap"]);
    assert!(!done && said.contains("3 files stay as they were"), "{said}");

    let nowhere = FileSettings { folder: settings.key_file.join("files"), ..settings.clone() };
    let (verdict, says) = doctor(site, &nowhere, &["--files"]);
    assert!(verdict == "failure" && says.contains("files cannot be kept in"), "{says}");
}
