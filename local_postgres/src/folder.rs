//! The folder that holds a server's files.

use std::env;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::lock::Locks;
use crate::{Error, socket};

/// Where folders go that the server's user could not reach.
const ELSEWHERE: &str = "/var/lib/fechatter";

/// A locked folder.
pub(crate) struct Folder {
    asked: PathBuf,
    home: PathBuf,
    socket: PathBuf,
    account: Account,
    locks: Locks,
}

impl Folder {
    /// Makes the folder when it is missing, chooses who runs the server, and locks it.
    pub(crate) fn open(asked: &Path) -> Result<Self, Error> {
        loop {
            let asked = made(asked, 0o700)?;
            let (home, account) = reachable(&asked)?;
            if let Some(locks) = Locks::take(&home)? {
                return Ok(Self { asked, socket: socket::dir_for(&home, &account), home, account, locks });
            }
        }
    }

    /// The folder that was asked for, absolute.
    pub(crate) fn asked(&self) -> &Path {
        &self.asked
    }

    /// The folder that is used.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn watcher_lock(&mut self) -> Option<File> {
        self.locks.watcher()
    }
}

/// A name of its own below the system's temporary folder, or `/tmp` when the server's user cannot reach that.
pub(crate) fn fresh_temporary() -> Result<PathBuf, Error> {
    let account = Account::for_cluster(Path::new("/nonexistent"))?;
    let parent = [env::temp_dir(), PathBuf::from("/tmp")]
        .into_iter()
        .find(|folder| account.can_reach(folder))
        .unwrap_or_else(env::temp_dir);
    Ok(parent.join(format!("fechatter-{:016x}", rand::random::<u64>())))
}

/// The folder, or the one in its stead when the server's user cannot reach it.
fn reachable(asked: &Path) -> Result<(PathBuf, Account), Error> {
    let account = Account::for_cluster(&asked.join("data"))?;
    if opened_to(&account, asked)? {
        return Ok((asked.to_owned(), account));
    }
    let name = asked.file_name().unwrap_or_default().to_string_lossy();
    let hash = fnv1a(asked.as_os_str().as_bytes());
    let parent = made(Path::new(ELSEWHERE), 0o755)?;
    let home = made(&parent.join(format!("{name}-{hash:016x}")), 0o711)?;
    let account = Account::for_cluster(&home.join("data"))?;
    if opened_to(&account, &parent)? && opened_to(&account, &home)? {
        return Ok((home, account));
    }
    Err(Error::OutOfReach { user: account.name().to_owned(), dir: home })
}

/// Lets the server's user pass through a folder of ours; says whether it gets there.
fn opened_to(account: &Account, folder: &Path) -> Result<bool, Error> {
    if account.can_reach(folder) {
        return Ok(true);
    }
    let found = fs::metadata(folder).map_err(Error::io("read", folder))?;
    if found.uid() == nix::unistd::geteuid().as_raw() {
        let mode = found.permissions().mode() | 0o011;
        fs::set_permissions(folder, Permissions::from_mode(mode))
            .map_err(Error::io("change the permissions of", folder))?;
    }
    Ok(account.can_reach(folder))
}

/// Makes a folder, with a mode when it is new, and resolves its path.
fn made(folder: &Path, mode: u32) -> Result<PathBuf, Error> {
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
    }
    match DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::io("make", folder)(error));
        }
        _ => {}
    }
    folder.canonicalize().map_err(Error::io("open", folder))
}

/// The 64-bit FNV-1a hash (RFC 9923), which gives the same name in every build of this program.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn hashes_are_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
