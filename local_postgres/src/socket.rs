//! Where the Unix socket lies.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::Error;
use crate::account::Account;
use crate::folder::fnv1a;
use crate::settings::PORT;

/// The longest path of a socket, in bytes: 103 on macOS, 107 on Linux (`sun_path` less its end mark).
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The folder for the socket: inside the server's folder, unless the path would be too long or hard to write in an
/// address; then one below `/tmp` that is always the same for that folder and user.
pub(crate) fn dir_for(home: &Path, account: &Account) -> PathBuf {
    let inside = home.join("socket");
    let length = inside.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len();
    // libpq splits a list of hosts at commas.
    let writable = inside.to_str().is_some_and(|path| !path.contains([',', '"']));
    if length <= LONGEST && writable {
        return inside;
    }
    let hash = fnv1a(home.as_os_str().as_bytes());
    PathBuf::from(format!("/tmp/fechatter-socket-{}-{hash:016x}", account.uid()))
}

/// Makes the folder for the socket, closed to everybody but the server's user, and clears it.
///
/// Only call it when no server runs: a socket's lock file whose process id was given to another program would keep the
/// server from starting.
pub(crate) fn prepare(dir: &Path, account: &Account) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io("make", dir)(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(dir).map_err(Error::io("read", dir))?;
    let ours = found.uid() == account.uid() || found.uid() == geteuid().as_raw();
    if !found.is_dir() || !ours {
        return Err(Error::SocketDirTaken { dir: dir.to_owned() });
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700))
        .map_err(Error::io("change the permissions of", dir))?;
    account.own(dir)?;
    for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_long_or_odd_paths_lie_below_tmp() {
        let account = Account::for_cluster(Path::new("/nonexistent")).expect("a user to run as");
        let dir_for = |home: &str| dir_for(Path::new(home), &account);
        assert_eq!(dir_for("/srv/chat"), Path::new("/srv/chat/socket"));
        let fits = "x".repeat(LONGEST - "/".len() - "/socket/.s.PGSQL.5432".len());
        assert_eq!(dir_for(&format!("/{fits}")), PathBuf::from(format!("/{fits}/socket")));

        let long = dir_for(&format!("/{fits}x"));
        assert!(long.starts_with("/tmp") && long == dir_for(&format!("/{fits}x")));
        assert_ne!(long, dir_for(&format!("/{fits}y")));
        assert!(dir_for("/srv/a,b").starts_with("/tmp"));
    }

    #[test]
    fn a_link_in_the_place_of_the_socket_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let account = Account::for_cluster(Path::new("/nonexistent")).expect("a user to run as");
        let link = folder.path().join("socket");
        std::os::unix::fs::symlink(folder.path(), &link).expect("a link");
        assert!(matches!(
            prepare(&link, &account),
            Err(Error::SocketDirTaken { dir }) if dir == link
        ));
    }
}
