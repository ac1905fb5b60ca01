//! Which user of the operating system runs the server.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, geteuid};

use crate::Error;

/// The user who runs the server: this program's own, unless that is root.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    /// The group to change to; `None` when this program's own user runs the server.
    dropped_to: Option<u32>,
}

impl Account {
    /// The user for a cluster: its owner when it exists already.
    pub(crate) fn for_cluster(data: &Path) -> Result<Self, Error> {
        if !geteuid().is_root() {
            let uid = geteuid();
            return Ok(Self { name: name_of(uid), uid: uid.as_raw(), dropped_to: None });
        }
        if let Ok(owned) = fs::metadata(data)
            && owned.uid() != 0
        {
            return Ok(Self {
                name: name_of(Uid::from_raw(owned.uid())),
                uid: owned.uid(),
                dropped_to: Some(owned.gid()),
            });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self { name: user.name, uid: user.uid.as_raw(), dropped_to: Some(user.gid.as_raw()) })
            .ok_or(Error::NoAccount)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// A command that runs as this user, without input, in the root folder.
    ///
    /// The current folder may be closed to that user, and PostgreSQL's programs want to know where they are.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        if let Some(gid) = self.dropped_to {
            // The standard library drops root's supplementary groups as well.
            command.uid(self.uid).gid(gid);
        }
        command
    }

    /// Makes a fresh file or folder this user's own.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        match self.dropped_to {
            Some(gid) => {
                lchown(path, Some(self.uid), Some(gid)).map_err(Error::io("change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Whether this user can get at what is inside a folder.
    pub(crate) fn can_reach(&self, folder: &Path) -> bool {
        self.command(Path::new("/bin/sh"))
            .args(["-c", "test -x \"$0\""])
            .arg(folder)
            .status()
            .is_ok_and(|status| status.success())
    }
}

fn name_of(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}
