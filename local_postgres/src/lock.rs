//! Locks that say who uses a folder.
//!
//! They are `flock` locks: they go with the process that holds them, however it ends. Files are opened close-on-exec,
//! so the server does not inherit them.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Error;

/// How long the watcher of an earlier run may take to stop its server.
const WATCHER_PATIENCE: Duration = Duration::from_secs(90);

/// The locks of a folder, held.
pub(crate) struct Locks {
    /// Held by the program that uses the folder.
    program: File,
    /// To be held by the watcher of that program.
    watcher: Option<File>,
}

impl Locks {
    /// Locks a folder and waits for the watcher of a program that was killed.
    ///
    /// `None` when that watcher removed the folder meanwhile.
    pub(crate) fn take(home: &Path) -> Result<Option<Self>, Error> {
        let program = open(&home.join("lock"))?;
        if !try_lock(&program, home)? {
            return Err(Error::AlreadyRunning { dir: home.to_owned(), process: read_id(&program) });
        }
        let mut locks = Self { program, watcher: None };
        write_id(&locks.program).map_err(Error::io("write", &home.join("lock")))?;
        let watcher = open(&home.join("watcher.lock"))?;
        let deadline = Instant::now() + WATCHER_PATIENCE;
        while !try_lock(&watcher, home)? {
            if Instant::now() > deadline {
                return Err(Error::StillStopping { dir: home.to_owned() });
            }
            sleep(Duration::from_millis(20));
        }
        if !is_at(&locks.program, &home.join("lock")) || !is_at(&watcher, &home.join("watcher.lock")) {
            return Ok(None);
        }
        locks.watcher = Some(watcher);
        Ok(Some(locks))
    }

    /// The watcher's lock, to be handed to it.
    pub(crate) fn watcher(&mut self) -> Option<File> {
        self.watcher.take()
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // Closing is not enough while another thread is between fork and exec, which holds the file for a moment.
        drop(self.program.unlock());
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("open", path))
}

fn try_lock(file: &File, home: &Path) -> Result<bool, Error> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", home)(source)),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn write_id(mut file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_id(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
