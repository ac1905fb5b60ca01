//! Files on a real S3 server.

use std::{ops::Range, time::Duration};

use chat_core::{clock::Clock, ids::FileId};
use chrono::TimeDelta;
use fechatter_server::{
    config::Settings,
    vault::{
        StoredFile, Vault, VaultError,
        ring::make_file_keys,
        settings::{FileSettings, S3Settings},
    },
};
use fechatter_tests::{
    certificate::Certificate,
    cluster,
    measurements::Measurements,
    program::Program,
    s3::{BUCKET, S3},
};
use futures::TryStreamExt;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::{
    task::block_in_place,
    time::{sleep, timeout},
};

/// A chunk of a file, and the part of an object that S3 takes at a time.
const CHUNK: usize = 64 * 1024;
const PART: usize = 80 * CHUNK;

/// A vault on S3, and its keys.
struct Strongroom {
    vault: Vault,
    _keys: TempDir,
}

fn open(s3: S3Settings) -> Strongroom {
    fechatter_tests::actor::install_cryptography();
    let keys = tempfile::tempdir().expect("a folder");
    let key_file = keys.path().join("files.pem");
    make_file_keys(&key_file).expect("keys");
    let defaults = Settings::read(None).expect("defaults").files;
    let settings = FileSettings { folder: "".into(), s3, key_file, ..defaults };
    Strongroom { vault: Vault::open(&settings, &Clock::system()).expect("a vault"), _keys: keys }
}

impl Strongroom {
    async fn store(&self, bytes: &[u8]) -> Result<StoredFile, VaultError> {
        let mut upload = self.vault.begin(FileId::new()).await?;
        for piece in bytes.chunks(1_000_003) {
            upload.write(piece.to_vec().into()).await?;
        }
        upload.finish().await
    }

    async fn read(&self, stored: &StoredFile, range: Range<usize>) -> Result<Vec<u8>, VaultError> {
        let pieces = self.vault.read(stored, range.start as u64..range.end as u64).await?;
        let pieces: Vec<_> = pieces.try_collect().await?;
        Ok(pieces.concat())
    }

    async fn locations(&self) -> Vec<String> {
        let listed: Vec<_> = self.vault.list().try_collect().await.expect("a list");
        listed.into_iter().map(|(location, _)| location).collect()
    }
}

/// Bytes of which no two places look alike.
fn some_bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_size_come_back_in_ranges_too() {
    let Some(s3) = S3::start().await else { return };
    let room = open(s3.settings());
    room.vault.probe().await.expect("a bucket that can be written");
    let all = some_bytes(2 * PART + 12_345);
    let mut locations = Vec::new();
    for size in [0, 1, CHUNK, CHUNK + 1, PART - 1, PART, PART + 1, 2 * PART, all.len()] {
        let given = &all[..size];
        let stored = room.store(given).await.expect("a file");
        assert!(room.read(&stored, 0..size).await.expect("the file") == given, "{size}");
        let middle = size / 2;
        for range in [0..size.min(1), middle..size, size..size, size.saturating_sub(1)..size, middle..middle]
        {
            let part = room.read(&stored, range.clone()).await.expect("a part");
            assert!(part == given[range.clone()], "{range:?} of {size}");
        }
        let object = room.vault.size_of_object(&stored.location).await.expect("a size");
        assert_eq!(object, Some((size + size.div_ceil(CHUNK).max(1) * 16) as u64));
        locations.push(stored.location);
    }
    // That the last one came in parts, its ETag says.
    let listed = s3.get(&format!("{BUCKET}?list-type=2")).await;
    assert!(listed.contains("-3&quot;") || listed.contains("-3\""), "{listed}");
    let mut listed = room.locations().await;
    locations.sort();
    listed.sort();
    assert_eq!(listed, locations);
    assert_eq!(s3.uploads().await, (0, 0));
    for location in &locations {
        room.vault.remove(location).await.expect("gone");
        room.vault.remove(location).await.expect("still gone");
    }
    assert!(room.locations().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_ends_early_leaves_nothing() {
    let Some(s3) = S3::start().await else { return };
    let room = open(s3.settings());
    for size in [10, PART + 2 * CHUNK, 3 * PART] {
        let mut upload = room.vault.begin(FileId::new()).await.expect("an upload");
        upload.write(some_bytes(size).into()).await.expect("room for it");
        assert!(room.locations().await.is_empty(), "it is not whole yet");
    }
    let nothing = async {
        while s3.uploads().await != (0, 0) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), nothing).await.expect("the parts are gone");
    assert!(room.locations().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_program_began_is_swept() {
    let Some(s3) = S3::start().await else { return };
    let room = open(s3.settings());
    let kept = room.store(&some_bytes(2 * PART)).await.expect("a file");
    let mut upload = room.vault.begin(FileId::new()).await.expect("an upload");
    upload.write(some_bytes(2 * PART).into()).await.expect("room for it");
    // As nothing is done any more when a program is killed.
    std::mem::forget(upload);
    assert_eq!(s3.uploads().await, (1, 1));
    let now = Clock::system().now();
    assert_eq!(room.vault.sweep(now - TimeDelta::hours(1)).await.expect("a sweep"), 0, "it may go on");
    assert_eq!(room.vault.sweep(now + TimeDelta::hours(1)).await.expect("a sweep"), 1);
    assert_eq!(s3.uploads().await, (0, 0));
    assert_eq!(room.locations().await, [kept.location]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_there_is_found() {
    let Some(s3) = S3::start().await else { return };
    let room = open(s3.settings());
    let size = 3 * CHUNK + 5;
    let stored = room.store(&some_bytes(size)).await.expect("a file");
    let other = room.store(&some_bytes(size)).await.expect("a file");
    let object = s3.object(&stored.location).await;
    let mut flipped = object.clone();
    flipped[CHUNK + 100] ^= 1;
    for changed in [flipped, object[..CHUNK].to_vec(), Vec::new(), [&object[..], b"more"].concat()] {
        s3.put(&stored.location, changed).await;
        let read = room.read(&stored, 0..size).await;
        assert!(matches!(read, Err(VaultError::Damaged(_))), "{:?}", read.err());
        // A part beyond what is left.
        let last = room.read(&stored, size - 1..size).await;
        assert!(last.is_err() || last.expect("bytes") == some_bytes(size)[size - 1..]);
    }
    s3.put(&stored.location, s3.object(&other.location).await).await;
    assert!(matches!(room.read(&stored, 0..size).await, Err(VaultError::Damaged(_))));
    s3.put(&stored.location, object).await;
    assert!(room.read(&stored, 0..size).await.is_ok());
    room.vault.remove(&stored.location).await.expect("gone");
    assert!(matches!(room.read(&stored, 0..size).await, Err(VaultError::Missing(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_or_not_ours_is_an_error_and_no_missing_file() {
    let Some(s3) = S3::start().await else { return };
    let right = open(s3.settings());
    let stored = right.store(b"there").await.expect("a file");
    let nowhere = S3Settings { bucket: "nowhere".into(), ..s3.settings() };
    let stranger = S3Settings { access_key_id: "stranger".into(), ..s3.settings() };
    let wrong = S3Settings { secret_access_key: "a wrong secret".to_owned().into(), ..s3.settings() };
    for settings in [nowhere, stranger, wrong] {
        let secret = settings.secret_access_key.expose_secret().to_owned();
        let vault = open(settings).vault;
        let failures = [
            vault.probe().await.err(),
            vault.list().try_next().await.err(),
            vault.remove(&stored.location).await.err(),
            vault.begin(FileId::new()).await.expect("an upload").finish().await.err(),
            vault.sweep(Clock::system().now()).await.err(),
        ];
        for failure in failures {
            let Some(VaultError::Place(error)) = failure else { panic!("{failure:?}") };
            assert!(!error.to_string().contains(&secret));
        }
    }
    assert_eq!(right.read(&stored, 0..5).await.expect("the file"), b"there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_in_the_middle_is_an_error_and_never_the_end_of_a_file() {
    let Some(mut s3) = S3::start().await else { return };
    let room = open(s3.settings());
    // More than sockets hold on their way.
    let size = 48 << 20;
    let stored = room.store(&some_bytes(size)).await.expect("a file");
    let mut pieces = Box::pin(room.vault.read(&stored, 0..size as u64).await.expect("a stream"));
    let mut upload = room.vault.begin(FileId::new()).await.expect("an upload");
    upload.write(some_bytes(PART + 2 * CHUNK).into()).await.expect("room for it");
    let mut read = pieces.try_next().await.expect("bytes").expect("a chunk").len();
    s3.kill();
    let ended = async {
        while let Some(piece) = pieces.try_next().await? {
            read += piece.len();
        }
        Ok::<_, VaultError>(())
    };
    let ended = timeout(Duration::from_secs(90), ended).await.expect("an end");
    assert!(ended.is_err() && read < size, "{read} of {size}");
    let uploaded = async {
        upload.write(some_bytes(2 * PART).into()).await?;
        upload.finish().await
    };
    assert!(timeout(Duration::from_secs(90), uploaded).await.expect("an end").is_err());
    assert!(room.vault.probe().await.is_err());

    s3.start_again().await;
    let room = open(s3.settings());
    room.vault.probe().await.expect("a bucket that can be written");
    assert!(room.locations().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_ones_own_is_reached_by_tls() {
    let Some(s3) = S3::start_with(Certificate::make()).await else { return };
    let settings = s3.settings();
    assert!(settings.endpoint.starts_with("https://"));
    let room = open(settings.clone());
    let stored = room.store(b"by TLS").await.expect("a file");
    assert_eq!(room.read(&stored, 0..6).await.expect("the file"), b"by TLS");
    let trusting_nobody = open(S3Settings { ca_file: "".into(), ..settings });
    assert!(trusting_nobody.vault.probe().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_without_its_store_and_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (private, _) = fechatter_server::auth::issuer::make_key_files(folder.path()).expect("keys");
    let (private, file_keys) = (private.to_str().expect("text").to_owned(), text("files.pem"));
    make_file_keys(file_keys.as_ref()).expect("keys");
    let url = cluster::fresh_database().await;
    let variables = [
        ("FECHATTER_SERVER__PORT", "0"),
        ("FECHATTER_SERVER__ADMIN_PORT", "0"),
        ("FECHATTER_DATABASE__URL", url.as_str()),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", &private),
        ("FECHATTER_FILES__KEY_FILE", &file_keys),
        ("FECHATTER_FILES__S3__BUCKET", BUCKET),
        ("FECHATTER_FILES__S3__ENDPOINT", "http://127.0.0.1:1"),
        ("FECHATTER_FILES__S3__ACCESS_KEY_ID", "somebody"),
        ("FECHATTER_FILES__S3__SECRET_ACCESS_KEY", "a secret that is not told"),
    ];
    let mut program = Program::start("fechatter_server", folder.path(), &[], &variables);
    let line = block_in_place(|| program.until("listening"));
    let log: serde_json::Value = serde_json::from_str(&line).expect("JSON logs when not at a terminal");
    let operators = log["operators"].as_str().expect("an address").parse().expect("an address");
    block_in_place(|| program.until("the place of files cannot be written"));
    let seen = Measurements::of(operators).await;
    assert!(seen.text.contains("fechatter_files_writable 0"), "{}", seen.text);
    assert!(seen.text.contains("fechatter_files_errors_total{operation=\"probe\"} 1"), "{}", seen.text);
    assert!(!program.said_by_now().contains("a secret that is not told"));
}
