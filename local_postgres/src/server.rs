//! Starts and stops the server process.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::folder::Folder;
use crate::pid_file::{self, PidFile};
use crate::programs::Programs;
use crate::watcher::Watcher;
use crate::{Error, settings, socket};

/// How long a server may take to get ready; recovery after a crash is a part of it.
const START_PATIENCE: Duration = Duration::from_mins(2);
/// How long the last processes of a killed server may take to end.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(15);
/// How long the log may get before it is put aside, in bytes.
const LOG_LIMIT: u64 = 10_000_000;

/// A running server.
pub(crate) struct Server {
    process: Process,
    data: PathBuf,
    socket_dir: PathBuf,
    port: u16,
}

enum Process {
    /// Started by this program.
    Own(Child),
    /// Found running; its process id.
    Joined(i32),
}

impl Server {
    /// Joins the server that runs on the cluster, or starts one; returns when it accepts connections.
    pub(crate) fn start(
        folder: &Folder,
        programs: &Programs,
        settings: &[(String, String)],
        watcher: &mut Watcher,
    ) -> Result<Self, Error> {
        if let Some(server) = Self::join(folder, watcher)? {
            return Ok(server);
        }
        let begin = Instant::now();
        loop {
            match Self::start_once(folder, programs, settings, watcher) {
                // Processes of a killed server notice within moments that it is gone.
                Err(Error::StartFailed { tail, .. })
                    if tail.contains("is still in use") && begin.elapsed() < LEFTOVER_PATIENCE =>
                {
                    sleep(Duration::from_millis(100));
                }
                result => return result,
            }
        }
    }

    /// Waits for a server that is on its way up or down; `None` when none is there in the end.
    fn join(folder: &Folder, watcher: &mut Watcher) -> Result<Option<Self>, Error> {
        let data = folder.data();
        let deadline = Instant::now() + START_PATIENCE;
        while let Some(found) = PidFile::of_running_server(&data) {
            if let PidFile { process, port: Some(port), socket_dir: Some(socket_dir), ready: true } = found {
                watcher.watch_joined(process);
                return Ok(Some(Self { process: Process::Joined(process), data, socket_dir, port }));
            }
            if Instant::now() > deadline {
                return Err(not_ready(folder, 0));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(None)
    }

    fn start_once(
        folder: &Folder,
        programs: &Programs,
        settings: &[(String, String)],
        watcher: &mut Watcher,
    ) -> Result<Self, Error> {
        let data = folder.data();
        pid_file::remove_stale(&data)?;
        socket::prepare(folder.socket(), folder.account())?;
        let (log, log_begin) = open_log(&folder.log())?;
        let log_too = log.try_clone().map_err(Error::io("open", &folder.log()))?;
        let mut postgres = folder.account().command(&programs.postgres());
        postgres
            .arg("-D")
            .arg(&data)
            .args(settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]))
            // A locale of the environment that does not exist would keep it from starting on macOS.
            .env("LC_ALL", "C")
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C goes to the terminal's process group; the database has to outlive those who use it.
            .process_group(0);
        let child = postgres.spawn().map_err(Error::io("run", &programs.postgres()))?;
        watcher.watch_child(child.id());
        let mut server = Self {
            process: Process::Own(child),
            data,
            socket_dir: folder.socket().to_owned(),
            port: settings::port(settings),
        };
        let result = server.wait_until_ready(folder, log_begin);
        if result.is_err() {
            drop(server.stop());
            watcher.watch_nothing();
        }
        result.map(|()| server)
    }

    fn wait_until_ready(&mut self, folder: &Folder, log_begin: u64) -> Result<(), Error> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if !self.is_running() {
                return Err(Error::StartFailed { log: folder.log(), tail: tail(&folder.log(), log_begin) });
            }
            let id = self.id();
            if PidFile::read(&self.data).is_some_and(|found| found.ready && found.process == id) {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
        }
        Err(not_ready(folder, log_begin))
    }

    pub(crate) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn id(&self) -> i32 {
        match &self.process {
            Process::Own(child) => child.id().cast_signed(),
            Process::Joined(process) => *process,
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        match &mut self.process {
            Process::Own(child) => matches!(child.try_wait(), Ok(None)),
            Process::Joined(process) => pid_file::is_server_on(*process, &self.data),
        }
    }

    /// Stops it: first by a fast shutdown, then by an immediate one, then by force (PostgreSQL documentation,
    /// section 18.5).
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        let steps = [(Signal::SIGINT, 60), (Signal::SIGQUIT, 10), (Signal::SIGKILL, 10)];
        for (signal, seconds) in steps {
            if self.ended_after(signal, Duration::from_secs(seconds))? {
                return Ok(());
            }
        }
        Err(Error::DidNotStop { process: self.id() })
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        if self.ended_after(Signal::SIGKILL, Duration::from_secs(10))? {
            Ok(())
        } else {
            Err(Error::DidNotStop { process: self.id() })
        }
    }

    fn ended_after(&mut self, signal: Signal, patience: Duration) -> Result<bool, Error> {
        if !self.is_running() {
            return Ok(true);
        }
        match kill(Pid::from_raw(self.id()), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(Error::io("stop the server of", &self.data)(errno.into())),
        }
        let deadline = Instant::now() + patience;
        while self.is_running() {
            if Instant::now() > deadline {
                return Ok(false);
            }
            sleep(Duration::from_millis(5));
        }
        Ok(true)
    }
}

/// Opens the log for appending; also gives the place where new lines begin.
fn open_log(path: &Path) -> Result<(File, u64), Error> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("log.1")).map_err(Error::io("rename", path))?;
    }
    let file =
        File::options().append(true).create(true).mode(0o600).open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    Ok((file, length))
}

fn not_ready(folder: &Folder, log_begin: u64) -> Error {
    Error::NotReady {
        seconds: START_PATIENCE.as_secs(),
        log: folder.log(),
        tail: tail(&folder.log(), log_begin),
    }
}

/// The last lines of a log, none of them before `begin`.
fn tail(path: &Path, begin: u64) -> String {
    const LINES: usize = 15;
    const BYTES: u64 = 8_000;
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(begin.max(length.saturating_sub(BYTES))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
