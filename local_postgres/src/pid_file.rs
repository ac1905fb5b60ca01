//! Reads `postmaster.pid`, by which a server says that it is there.
//!
//! Its lines: process id, data folder, start time, port, socket folder, listen address, shared memory, status
//! (PostgreSQL source, `src/include/utils/pidfile.h`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::Error;

/// What a server says about itself. The later lines are missing while it starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) process: i32,
    pub(crate) port: Option<u16>,
    pub(crate) socket_dir: Option<PathBuf>,
    pub(crate) ready: bool,
}

impl PidFile {
    /// `None` when there is no file, or none that makes sense.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path(data)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let process = lines.next()?.parse().ok().filter(|id| *id > 0)?;
        Some(Self {
            process,
            port: lines.nth(2).and_then(|port| port.parse().ok()),
            socket_dir: lines.next().filter(|dir| dir.starts_with('/')).map(PathBuf::from),
            ready: lines.nth(2) == Some("ready"),
        })
    }

    /// The server that runs on a cluster, if any.
    pub(crate) fn of_running_server(data: &Path) -> Option<Self> {
        Self::read(data).filter(|found| is_server_on(found.process, data))
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

/// Whether a process is the server of a cluster, and not one that was given the id of a server long gone.
pub(crate) fn is_server_on(process: i32, data: &Path) -> bool {
    if !exists(process) {
        return false;
    }
    if Path::new("/proc/self/cwd").exists() {
        // The server's current folder is its cluster. An unreadable one is another user's process.
        return fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|cwd| cwd == data);
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &process.to_string()]).output();
    output.is_ok_and(|output| {
        let command = String::from_utf8_lossy(&output.stdout);
        command.contains("postgres") && command.contains(&*data.to_string_lossy())
    })
}

fn exists(process: i32) -> bool {
    kill(Pid::from_raw(process), None) != Err(Errno::ESRCH)
}

/// Removes a leftover file that would keep the server from starting.
///
/// PostgreSQL replaces the file of a dead process by itself, but not one whose process id now belongs to another
/// program, nor an empty one (`CreateLockFile` in `src/backend/utils/init/miscinit.c`). Only call it when no server
/// runs on the cluster.
pub(crate) fn remove_stale(data: &Path) -> Result<(), Error> {
    let path = path(data);
    if !path.exists() {
        return Ok(());
    }
    if PidFile::read(data).is_none() {
        // A server started by hand this very moment writes it.
        sleep(Duration::from_millis(200));
    }
    match PidFile::read(data) {
        Some(found) if !exists(found.process) || is_server_on(found.process, data) => Ok(()),
        _ => match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_at_every_stage() {
        let starting = "4711\n/srv/data\n1700000000\n5432\n";
        let ready = "4711\n/srv/data\n1700000000\n5432\n/srv/socket\n\n  7 8\nready   \n";
        let file = |socket_dir: Option<&str>, ready| PidFile {
            process: 4711,
            port: Some(5432),
            socket_dir: socket_dir.map(PathBuf::from),
            ready,
        };
        assert_eq!(PidFile::parse(starting), Some(file(None, false)));
        assert_eq!(PidFile::parse(ready), Some(file(Some("/srv/socket"), true)));
        assert_eq!(
            PidFile::parse(&ready.replace("ready   ", "stopping")),
            Some(file(Some("/srv/socket"), false))
        );
        assert_eq!(PidFile::parse(""), None);
        // A standalone backend writes its id with a minus sign.
        assert_eq!(PidFile::parse("-4711\n"), None);
    }
}
