//! What comes out is what went in, or an error.

use std::{error::Error, fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::LazyLock};

use chat_core::clock::Clock;
use chrono::TimeDelta;
use futures::{FutureExt, StreamExt, TryStreamExt};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    ring::{make_file_keys, remove, rotate},
    seal::{CHUNK, Layout, SEALED},
    settings::S3Settings,
    *,
};
use crate::config::{DEFAULTS, Settings};

type Outcome = Result<(), Box<dyn Error>>;

/// Sizes around which chunks and parts begin and end.
const SIZES: [usize; 11] = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    3 * CHUNK - 1,
    16 * CHUNK - 1,
    16 * CHUNK,
    16 * CHUNK + 1,
    40 * CHUNK + 7,
];

/// A vault in a folder that goes away with it.
struct Strongroom {
    vault: Vault,
    settings: FileSettings,
    clock: Clock,
    folder: TempDir,
}

impl Strongroom {
    fn open() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let settings = FileSettings {
            folder: folder.path().join("files"),
            key_file: folder.path().join("keys").join("files.pem"),
            ..defaults()?
        };
        make_file_keys(&settings.key_file)?;
        let clock = Clock::system();
        Ok(Self { vault: Vault::open(&settings, &clock)?, settings, clock, folder })
    }

    async fn store(&self, bytes: &[u8], piece: usize) -> Result<StoredFile, VaultError> {
        let mut upload = self.vault.begin(FileId::new()).await?;
        for piece in bytes.chunks(piece.max(1)) {
            upload.write(Bytes::copy_from_slice(piece)).await?;
        }
        upload.finish().await
    }

    async fn read(&self, stored: &StoredFile, range: Range<u64>) -> Result<Vec<u8>, VaultError> {
        let pieces: Vec<_> = self.vault.read(stored, range).await?.try_collect().await?;
        Ok(pieces.concat())
    }

    async fn whole(&self, stored: &StoredFile) -> Result<Vec<u8>, VaultError> {
        self.read(stored, 0..stored.size).await
    }

    fn object(&self, stored: &StoredFile) -> PathBuf {
        self.settings.folder.join(&stored.location)
    }

    /// Every file below the folder, whatever it is.
    fn on_disk(&self) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        let (mut found, mut folders) = (Vec::new(), vec![self.settings.folder.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        Ok(found)
    }
}

/// What `app.yml` says: a folder, and a delay of a minute.
fn defaults() -> Result<FileSettings, Box<dyn Error>> {
    let settings: Settings = chat_core::settings::read(DEFAULTS, None, "FECHATTER_TEST_OF_THE_VAULT")?;
    Ok(settings.files)
}

/// Bytes of which no two places look alike.
fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn damaged<T>(result: Result<T, VaultError>) -> bool {
    matches!(result, Err(VaultError::Damaged(_)))
}

#[tokio::test]
async fn every_size_comes_back_with_its_hash() -> Outcome {
    let room = Strongroom::open()?;
    for size in SIZES {
        let given = bytes(size);
        for piece in [1_000, CHUNK, 1 << 22] {
            let stored = room.store(&given, piece).await?;
            assert_eq!((stored.size, stored.format), (size as u64, 1));
            assert_eq!(stored.sha256.as_slice(), Sha256::digest(&given).as_slice());
            assert!(room.whole(&stored).await? == given, "{size} in pieces of {piece}");
            let object = fs::read(room.object(&stored))?;
            assert_eq!(Layout::of(stored.size).sealed_size(), Some(object.len() as u64));
            let (object, given) = (&object[..object.len().min(2_000)], &given[..given.len().min(40)]);
            let shown = object.windows(8).any(|part| given.windows(8).any(|plain| plain == part));
            assert!(!shown, "nothing of the file can be seen in its object");
        }
    }
    Ok(())
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"));

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_range_is_that_part_of_the_file(
        size in prop_oneof![prop::sample::select(&SIZES[..]), 0..5 * CHUNK],
        piece in 1..3 * CHUNK,
        ranges in prop::collection::vec((0..=1_000_usize, 0..=1_000_usize, -2..=2_isize, -2..=2_isize), 12),
    ) {
        RUNTIME.block_on(async {
            let room = Strongroom::open().expect("a vault");
            let given = bytes(size);
            let stored = room.store(&given, piece).await.expect("a file");
            for (from, to, a, b) in ranges {
                // Near the ends of chunks as often as anywhere.
                let near = |part: usize, by: isize| {
                    let at = size * part / 1_000;
                    let at = if by == 0 { at } else { (at / CHUNK * CHUNK).saturating_add_signed(by) };
                    at.min(size)
                };
                let (from, to) = (near(from, a), near(to, b));
                let (from, to) = (from.min(to), from.max(to));
                let read = room.read(&stored, from as u64..to as u64).await.expect("a part");
                assert!(read == given[from..to], "{from}..{to} of {size}");
            }
        });
    }
}

#[tokio::test]
async fn a_range_reads_only_its_chunks() -> Outcome {
    let room = Strongroom::open()?;
    let given = bytes(10 * CHUNK);
    let stored = room.store(&given, CHUNK).await?;
    let mut object = fs::read(room.object(&stored))?;
    for byte in &mut object[..4 * SEALED] {
        *byte ^= 1;
    }
    let end = object.len();
    for byte in &mut object[6 * SEALED..end] {
        *byte ^= 1;
    }
    fs::write(room.object(&stored), object)?;
    let (from, to) = (4 * CHUNK, 6 * CHUNK);
    assert!(room.read(&stored, from as u64..to as u64).await? == given[from..to]);
    let (before, beyond) = (from as u64 - 1, to as u64 + 1);
    assert!(damaged(room.read(&stored, before..to as u64).await));
    assert!(damaged(room.read(&stored, from as u64..beyond).await));
    Ok(())
}

#[tokio::test]
async fn ranges_beyond_the_file_are_refused() -> Outcome {
    let room = Strongroom::open()?;
    let stored = room.store(b"ten bytes.", 4).await?;
    for range in [0..11, 11..11, 10..11, 0..u64::MAX, u64::MAX..u64::MAX] {
        let read = room.read(&stored, range.clone()).await;
        assert!(matches!(read, Err(VaultError::Range { size: 10, .. })), "{range:?}");
    }
    let backwards = Range { start: 5, end: 4 };
    assert!(matches!(room.read(&stored, backwards).await, Err(VaultError::Range { .. })));
    for range in [0..0, 10..10, 5..5] {
        assert!(room.read(&stored, range).await?.is_empty());
    }
    let absurd = StoredFile { size: u64::MAX, ..stored };
    assert!(room.read(&absurd, 0..1).await.is_err());
    Ok(())
}

#[tokio::test]
async fn every_flipped_bit_is_found() -> Outcome {
    let room = Strongroom::open()?;
    for size in [0, 1, 100, CHUNK + 5] {
        let stored = room.store(&bytes(size), CHUNK).await?;
        let object = fs::read(room.object(&stored))?;
        let step = (object.len() / 97).max(1);
        for at in (0..object.len()).step_by(step).chain([object.len() - 1]) {
            let mut changed = object.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(room.object(&stored), changed)?;
            assert!(damaged(room.whole(&stored).await), "byte {at} of {size}");
        }
        fs::write(room.object(&stored), &object)?;
        assert!(room.whole(&stored).await? == bytes(size));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_cut_off_added_moved_or_doubled_is_found() -> Outcome {
    let room = Strongroom::open()?;
    let size = 3 * CHUNK + 10;
    let stored = room.store(&bytes(size), CHUNK).await?;
    let object = fs::read(room.object(&stored))?;
    let chunk = |index: usize| &object[index * SEALED..object.len().min((index + 1) * SEALED)];
    let cases: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("the last byte is gone", object[..object.len() - 1].to_vec()),
        ("the last chunk is gone", object[..3 * SEALED].to_vec()),
        ("the first chunk is gone", object[SEALED..].to_vec()),
        ("a byte more", [&object[..], &[0]].concat()),
        ("two chunks changed places", [chunk(1), chunk(0), chunk(2), chunk(3)].concat()),
        ("a chunk came twice", [chunk(0), chunk(0), chunk(2), chunk(3)].concat()),
        ("a chunk more", [chunk(0), chunk(1), chunk(2), chunk(2), chunk(3)].concat()),
    ];
    for (case, changed) in cases {
        fs::write(room.object(&stored), &changed)?;
        assert!(damaged(room.whole(&stored).await), "{case}");
        // Not even when the row says another size: a chunk that is not the last does not open as the last.
        for size in [0, changed.len(), 2 * CHUNK, 3 * CHUNK, 3 * CHUNK + 9, 4 * CHUNK] {
            let lying = StoredFile { size: size as u64, ..stored.clone() };
            assert!(room.whole(&lying).await.is_err(), "{case}, and {size} bytes");
        }
    }
    Ok(())
}

#[tokio::test]
async fn files_cannot_be_swapped() -> Outcome {
    let room = Strongroom::open()?;
    let (one, other) = (room.store(b"one", 9).await?, room.store(b"two", 9).await?);
    let object = fs::read(room.object(&other))?;
    // The object of another file; the key as well; and the whole row under another id.
    fs::copy(room.object(&other), room.object(&one))?;
    assert!(damaged(room.whole(&one).await));
    let key = other.wrapped_key.clone();
    assert!(damaged(room.whole(&StoredFile { wrapped_key: key, ..one.clone() }).await));
    assert!(damaged(room.whole(&StoredFile { id: one.id, ..other.clone() }).await));
    assert!(damaged(room.whole(&StoredFile { format: 2, ..other.clone() }).await));
    for at in 0..other.wrapped_key.len() {
        let mut wrapped_key = other.wrapped_key.clone();
        wrapped_key[at] ^= 1;
        assert!(damaged(room.whole(&StoredFile { wrapped_key, ..other.clone() }).await), "byte {at}");
    }
    for length in [0, 12, 59] {
        let wrapped_key = other.wrapped_key[..length].to_vec();
        assert!(damaged(room.whole(&StoredFile { wrapped_key, ..other.clone() }).await), "{length} bytes");
    }
    assert_eq!(fs::read(room.object(&other))?, object);
    assert_eq!(room.whole(&other).await?, b"two");
    Ok(())
}

#[tokio::test]
async fn an_upload_is_seen_when_it_is_whole_and_leaves_nothing_before() -> Outcome {
    let room = Strongroom::open()?;
    for size in [0, 10, CHUNK * 20] {
        let mut upload = room.vault.begin(FileId::new()).await?;
        upload.write(bytes(size).into()).await?;
        assert_eq!(room.vault.list().count().await, 0, "it is not whole yet");
        drop(upload);
    }
    // A file is removed by a task of its own.
    for _ in 0..500 {
        if room.on_disk()?.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(room.on_disk()?.is_empty(), "{:?}", room.on_disk());
    let stored = room.store(&bytes(CHUNK * 20), CHUNK).await?;
    let listed: Vec<_> = room.vault.list().try_collect().await?;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].0, stored.location);
    assert!((room.clock.now() - listed[0].1).abs() < TimeDelta::minutes(1));
    Ok(())
}

#[tokio::test]
async fn an_upload_whose_write_was_given_up_or_failed_never_becomes_a_file() -> Outcome {
    let room = Strongroom::open()?;
    let mut upload = room.vault.begin(FileId::new()).await?;
    let given_up = upload.write(bytes(100 * CHUNK).into()).now_or_never();
    assert!(given_up.is_none(), "it waits for the folder");
    assert!(damaged(upload.write(Bytes::new()).await));
    assert!(damaged(upload.finish().await));

    let mut upload = room.vault.begin(FileId::new()).await?;
    fs::remove_dir_all(&room.settings.folder)?;
    fs::write(&room.settings.folder, "in its place")?;
    assert!(matches!(upload.write(bytes(100 * CHUNK).into()).await, Err(VaultError::Place(_))));
    assert!(damaged(upload.finish().await));
    Ok(())
}

#[tokio::test]
async fn what_a_dead_program_left_is_swept_when_it_is_old() -> Outcome {
    let room = Strongroom::open()?;
    let stored = room.store(b"stays", 9).await?;
    let left = room.settings.folder.join(format!("{}#1", Place::path_of(FileId::new())));
    fs::create_dir_all(left.parent().ok_or("a folder")?)?;
    fs::write(&left, "half")?;
    let now = room.clock.now();
    assert_eq!(room.vault.sweep(now - TimeDelta::hours(1)).await?, 0, "it may go on");
    assert_eq!(room.vault.sweep(now + TimeDelta::hours(1)).await?, 1);
    assert_eq!(room.on_disk()?, [room.object(&stored)]);
    assert_eq!(room.whole(&stored).await?, b"stays");
    Ok(())
}

#[tokio::test]
async fn removing_is_final_and_may_be_repeated() -> Outcome {
    let room = Strongroom::open()?;
    let stored = room.store(b"gone", 9).await?;
    assert_eq!(room.vault.size_of_object(&stored.location).await?, Some(20));
    for _ in 0..2 {
        room.vault.remove(&stored.location).await?;
        assert!(matches!(room.whole(&stored).await, Err(VaultError::Missing(_))));
        assert_eq!(room.vault.size_of_object(&stored.location).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_location_leads_nowhere_else() -> Outcome {
    let room = Strongroom::open()?;
    let stored = room.store(b"abc", 9).await?;
    let outside = room.folder.path().join("outside");
    fs::write(&outside, "untouched")?;
    for location in [
        "../outside",
        "objects/../../outside",
        "/etc/passwd",
        "outside",
        "",
        "objects//x",
        "objects/%2e%2e/x",
    ] {
        let elsewhere = StoredFile { location: location.into(), ..stored.clone() };
        assert!(matches!(room.whole(&elsewhere).await, Err(VaultError::Missing(_))), "{location}");
        room.vault.remove(location).await?;
    }
    assert!(outside.exists());
    assert_eq!(room.whole(&stored).await?, b"abc");
    Ok(())
}

#[tokio::test]
async fn keys_rotate_and_files_are_wrapped_anew() -> Outcome {
    let room = Strongroom::open()?;
    let before = room.store(b"before", 9).await?;
    let new = rotate(&room.settings, &room.clock)?;
    assert!(rotate(&room.settings, &room.clock).is_err(), "the last one does not wrap yet");
    room.vault.reload_keys()?;
    let between = room.store(b"between", 9).await?;
    assert_eq!(between.key_id, before.key_id, "other servers may not have read the new key");
    let old = [before.key_id.clone()];
    assert!(remove(&room.settings, &old, &room.clock).is_err(), "the old key still wraps");
    room.clock.advance(TimeDelta::seconds(61));
    let after = room.store(b"after", 9).await?;
    assert_eq!((&after.key_id, room.vault.current_key_id().as_ref()), (&new, Some(&new)));

    let WrappedKey { key_id, wrapped_key } = room.vault.rewrap(&before)?;
    assert_eq!(key_id, new);
    let renewed = StoredFile { key_id, wrapped_key, ..before.clone() };
    assert!(remove(&room.settings, std::slice::from_ref(&new), &room.clock).is_err(), "the newest stays");
    assert!(remove(&room.settings, &old, &room.clock).is_err(), "a file may be on its way into its row");
    room.clock.advance(TimeDelta::minutes(16));
    remove(&room.settings, &old, &room.clock)?;
    room.vault.reload_keys()?;
    assert_eq!(room.whole(&renewed).await?, b"before");
    assert_eq!(room.whole(&after).await?, b"after");
    let lost = room.whole(&between).await;
    assert!(matches!(lost, Err(VaultError::UnknownKey(id)) if id == before.key_id));
    Ok(())
}

#[tokio::test]
async fn a_key_that_arrives_late_wraps_late() -> Outcome {
    let room = Strongroom::open()?;
    let before = room.store(b"before", 9).await?;
    let new = rotate(&room.settings, &room.clock)?;
    // The file was copied with its times: here it is new all the same, and elsewhere nobody may have it yet.
    room.clock.advance(TimeDelta::seconds(61));
    room.vault.reload_keys()?;
    assert_eq!(room.store(b"between", 9).await?.key_id, before.key_id);
    room.vault.reload_keys()?;
    assert_eq!(room.store(b"again", 9).await?.key_id, before.key_id, "reading it again changes nothing");
    room.clock.advance(TimeDelta::seconds(61));
    assert_eq!(room.store(b"after", 9).await?.key_id, new);
    Ok(())
}

#[test]
fn keys_are_made_once_and_for_their_owner_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("new").join("files.pem");
    make_file_keys(&file)?;
    let made = fs::read(&file)?;
    make_file_keys(&file)?;
    assert_eq!(fs::read(&file)?, made);
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let defaults = defaults()?;
    let settings =
        |key_file: &std::path::Path| FileSettings { key_file: key_file.to_owned(), ..defaults.clone() };
    assert_eq!(FileKeys::read(&settings(&file))?.ids().len(), 1);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640))?;
    let error = FileKeys::read(&settings(&file)).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("chmod 600")));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    for nonsense in ["", "-----BEGIN FECHATTER FILE KEY-----\nYWJj\n-----END FECHATTER FILE KEY-----\n"] {
        fs::write(&file, nonsense)?;
        assert!(FileKeys::read(&settings(&file)).is_err(), "{nonsense}");
    }
    assert!(FileKeys::read(&settings(std::path::Path::new(""))).is_err());
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_stops_the_start() -> Outcome {
    let room = Strongroom::open()?;
    let file = room.folder.path().join("a file");
    fs::write(&file, "")?;
    let settings = FileSettings { folder: file.join("files"), ..room.settings.clone() };
    let error = Vault::open(&settings, &room.clock).err().map(|error| format!("{error:#}"));
    assert!(error.is_some_and(|error| error.starts_with("files cannot be kept in")));
    Ok(())
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_told() -> Outcome {
    let room = Strongroom::open()?;
    room.vault.standing().note(room.vault.probe().await);
    assert_eq!(room.vault.standing().problem(), None);
    fs::remove_dir_all(&room.settings.folder)?;
    fs::write(&room.settings.folder, "in its place")?;
    room.vault.standing().note(room.vault.probe().await);
    assert!(room.vault.standing().problem().is_some());
    let stored = room.store(b"abc", 9).await;
    assert!(matches!(stored, Err(VaultError::Place(_))));
    Ok(())
}

#[test]
fn what_leaves_the_machine_goes_by_tls() -> Outcome {
    let defaults = defaults()?;
    let on = |endpoint: &str| {
        let mut problems = chat_core::settings::Problems::default();
        let s3 = S3Settings {
            bucket: "files".into(),
            endpoint: endpoint.into(),
            region: "us-east-1".into(),
            access_key_id: "id".into(),
            secret_access_key: "secret".to_owned().into(),
            ca_file: PathBuf::new(),
        };
        let settings = FileSettings { s3, ..defaults.clone() };
        settings.check(&mut problems);
        problems.none().is_ok()
    };
    for fine in
        ["", "https://s3.example.com", "http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:9000"]
    {
        assert!(on(fine), "{fine}");
    }
    for wrong in [
        "http://s3.example.com",
        "http://10.0.0.1:9000",
        "s3.example.com",
        "ftp://x",
        "http://localhost.example.com",
    ] {
        assert!(!on(wrong), "{wrong}");
    }
    Ok(())
}
