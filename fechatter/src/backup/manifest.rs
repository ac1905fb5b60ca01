//! What is in a backup.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of the dump in the folder.
pub(super) const DUMP: &str = "database.dump";
const MANIFEST: &str = "manifest.json";
/// The version of the manifest's own form.
pub(super) const FORMAT: u32 = 1;

/// Everything that a restore is checked against.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// When its snapshot was taken, or shortly after.
    pub(super) made_at: DateTime<Utc>,
    /// The version of the program that made it.
    pub(super) program: String,
    /// The version of the newest migration in it.
    pub(super) schema: i64,
    /// The major version of the PostgreSQL that it was made on.
    pub(super) postgresql: u32,
    /// The id of the log's last event.
    pub(super) log_position: i64,
    /// Up to which id events had been dropped.
    pub(super) dropped_through: i64,
    /// Rows of each table.
    pub(super) tables: BTreeMap<String, i64>,
    /// SHA-256 of the dump, in hexadecimal digits.
    pub(super) sha256: String,
    /// Bytes of the dump.
    pub(super) bytes: u64,
}

impl Manifest {
    /// Of a backup that is whole.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(MANIFEST);
        let text = fs::read_to_string(&file).with_context(|| {
            format!("{} cannot be read: this is not a backup, or not a whole one", file.display())
        })?;
        let manifest: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is not a manifest", file.display()))?;
        ensure!(manifest.format == FORMAT, "{} is of another form than this program knows", file.display());
        Ok(manifest)
    }

    /// Written beside and renamed, so that there is none or a whole one.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let (part, file) = (folder.join("manifest.json.part"), folder.join(MANIFEST));
        let write = || {
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            serde_json::to_writer_pretty(&mut out, self)?;
            out.write_all(b"\n")?;
            out.sync_all()?;
            fs::rename(&part, &file)?;
            File::open(folder)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    /// Whether a database holds what the backup held.
    pub(super) fn compare(&self, tables: &BTreeMap<String, i64>, log_position: i64) -> anyhow::Result<()> {
        let names: std::collections::BTreeSet<_> = self.tables.keys().chain(tables.keys()).collect();
        let count = |tables: &BTreeMap<String, i64>, name| {
            tables.get(name).map_or("none".into(), ToString::to_string)
        };
        let wrong: Vec<_> = names
            .into_iter()
            .filter(|name| self.tables.get(*name) != tables.get(*name))
            .map(|name| {
                format!(
                    "{name} has {} rows and should have {}",
                    count(tables, name),
                    count(&self.tables, name)
                )
            })
            .collect();
        ensure!(wrong.is_empty(), "not everything is there: {}", wrong.join("; "));
        ensure!(
            log_position == self.log_position,
            "the event log ends at {log_position} and should end at {}",
            self.log_position
        );
        Ok(())
    }
}

impl Manifest {
    /// Files and small pictures, whose bytes lie elsewhere.
    pub(super) fn files(&self) -> i64 {
        self.tables.get("files").copied().unwrap_or_default()
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |table| self.tables.get(table).copied().unwrap_or_default();
        write!(
            f,
            "{} accounts, {} chats and {} messages of {}, {} bytes",
            rows("users"),
            rows("chats"),
            rows("messages"),
            self.made_at.format("%Y-%m-%d %H:%M:%S UTC"),
            self.bytes
        )
    }
}

/// The SHA-256 of a file, in hexadecimal digits, and its size.
pub(super) fn sha256_of(file: &Path) -> anyhow::Result<(String, u64)> {
    let hash = || {
        let (mut open, mut hash, mut bytes) = (File::open(file)?, Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = open.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            bytes += read as u64;
        }
        io::Result::Ok((hexadecimal(&hash.finalize()), bytes))
    };
    hash().with_context(|| format!("cannot read {}", file.display()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            made_at: DateTime::UNIX_EPOCH,
            program: "0.1.0".into(),
            schema: 9,
            postgresql: 15,
            log_position: 7,
            dropped_through: 0,
            tables: [("chats".to_owned(), 2), ("users".to_owned(), 3)].into(),
            sha256: String::new(),
            bytes: 0,
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let manifest = manifest();
        let mut tables = manifest.tables.clone();
        assert!(manifest.compare(&tables, 7).is_ok());
        assert!(manifest.compare(&tables, 6).is_err());
        tables.insert("users".into(), 2);
        tables.remove("chats");
        let said = manifest.compare(&tables, 7).map_err(|error| error.to_string());
        let wrong = "not everything is there: chats has none rows and should have 2; users has 2 rows and should have 3";
        assert_eq!(said, Err(wrong.into()));
    }

    #[test]
    fn it_survives_being_written() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        manifest().write(folder.path())?;
        assert_eq!(Manifest::read(folder.path())?.tables, manifest().tables);
        fs::write(folder.path().join("abc"), "abc")?;
        let (sha256, bytes) = sha256_of(&folder.path().join("abc"))?;
        // FIPS 180-4's example.
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(bytes, 3);
        Ok(())
    }
}
