//! Files of private keys: in PEM, for their owner alone, and replaced whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use pem::Pem;
use uuid::Uuid;

/// The permissions of everybody but a file's owner.
const OTHERS: u32 = 0o077;

/// The blocks of a file that its owner alone can read, and when it was changed; `what` names it in errors.
pub(crate) fn read_private(path: &Path, what: &str) -> anyhow::Result<(Vec<Pem>, DateTime<Utc>)> {
    let shown = path.display();
    let unreadable = || format!("cannot read the {what} {shown}");
    let found = fs::metadata(path).with_context(unreadable)?;
    let mode = found.permissions().mode();
    ensure!(
        mode & OTHERS == 0,
        "the {what} {shown} is open to others than its owner (mode {:o}): chmod 600 it",
        mode & 0o777
    );
    let text = fs::read_to_string(path).with_context(unreadable)?;
    let blocks = pem::parse_many(text).unwrap_or_default();
    Ok((blocks, found.modified().with_context(unreadable)?.into()))
}

/// Makes the folder of `file`, unless it is there; a new one gets `mode`.
pub(crate) fn make_folder_of(file: &Path, mode: u32) -> anyhow::Result<()> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let make = || {
        if !folder.try_exists()? {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
        }
        Ok::<_, std::io::Error>(())
    };
    make().with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Keeps other commands away from the keys beside `path` while it lives; `what` names it in errors.
pub(crate) fn lock(path: &Path, what: &str) -> anyhow::Result<File> {
    let path = path.canonicalize().with_context(|| format!("cannot read the {what} {}", path.display()))?;
    lock_folder(path.parent().unwrap_or(Path::new("/")))
}

/// Keeps other commands away from the keys in a folder while it lives.
pub(crate) fn lock_folder(folder: &Path) -> anyhow::Result<File> {
    let lock = File::open(folder).with_context(|| format!("cannot open the folder {}", folder.display()))?;
    lock.lock().with_context(|| format!("cannot lock the folder {}", folder.display()))?;
    Ok(lock)
}

/// Writes a file that is either there whole or not at all. Owner and mode stay as they are; a new file gets `mode`.
pub(crate) fn write_whole(path: &Path, blocks: &[Pem], mode: u32) -> anyhow::Result<()> {
    // The file itself, where there is a link to it.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let draft = path.with_extension(format!("{}.tmp", Uuid::now_v7()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let mut mode = mode;
        if let Ok(present) = fs::metadata(&path) {
            mode = present.permissions().mode() & 0o777;
            let draft = file.metadata()?;
            if (draft.uid(), draft.gid()) != (present.uid(), present.gid()) {
                fchown(&file, Some(present.uid()), Some(present.gid()))?;
            }
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(pem::encode_many(blocks).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display())).inspect_err(|_| {
        // Nothing to tell when it was never made.
        let _ = fs::remove_file(&draft);
    })
}
