//! A small process that outlives this one, to stop the server when this one ends.
//!
//! It reads a pipe whose other end is open in this process alone, so that the pipe ends with this process, however
//! that happens. Through the pipe it is told which process to stop. It holds the folder's watcher lock until it is
//! done; the next start waits for that.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::folder::Folder;

/// What the watcher does. Arguments: the folder, the socket's folder, and `remove` or `keep`.
///
/// A `child` of the program keeps its process id until the program has waited for it, so the id means that process. A
/// `joined` server may have gone long ago, so its file must still name it. A zombie has ended, whether or not anybody
/// waits for it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
kind=nothing process=0
while read -r new_kind new_process; do kind=$new_kind process=$new_process; done
home=$1 socket=$2 after=$3
runs() {
    case $kind in
        child) ;;
        joined) [ "$(head -n 1 "$home/data/postmaster.pid" 2>/dev/null)" = "$process" ] || return 1 ;;
        *) return 1 ;;
    esac
    case $(cat "/proc/$process/stat" 2>/dev/null) in *') Z '*) return 1 ;; esac
    kill -0 "$process" 2>/dev/null
}
for signal in INT QUIT KILL; do
    runs || break
    kill -s "$signal" "$process" 2>/dev/null
    tries=300
    while runs && [ "$tries" -gt 0 ]; do
        sleep 0.1 2>/dev/null || sleep 1
        tries=$((tries - 1))
    done
done
if [ "$after" = remove ]; then
    rm -rf "$home/data" "$home"/init-* "$socket"
    rm -f "$home/password" "$home/password.new" "$home/postgres.log" "$home/postgres.log.1"
    rm -f "$home/lock" "$home/watcher.lock"
    rmdir "$home"
else
    rmdir "$socket"
fi
"#;

/// The watcher of a folder; it does its work when this is dropped or this program ends.
pub(crate) struct Watcher {
    process: Child,
}

impl Watcher {
    pub(crate) fn start(folder: &mut Folder, remove_on_exit: bool) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "fechatter-postgres-watcher"])
            .arg(folder.home())
            .arg(folder.socket())
            .arg(if remove_on_exit { "remove" } else { "keep" })
            .current_dir("/")
            .stdin(Stdio::piped())
            // Nothing is written there: it is how the watcher comes to hold the lock.
            .stdout(folder.watcher_lock().map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::null())
            // Ctrl-C goes to the terminal's process group.
            .process_group(0);
        let process = command.spawn().map_err(Error::io("start the watcher of", folder.home()))?;
        Ok(Self { process })
    }

    /// Have a child process of this program stopped.
    pub(crate) fn watch_child(&mut self, process: u32) {
        self.tell(&format!("child {process}\n"));
    }

    /// Have a server stopped that this program did not start.
    pub(crate) fn watch_joined(&mut self, process: i32) {
        self.tell(&format!("joined {process}\n"));
    }

    /// Nothing is to be stopped any more.
    pub(crate) fn watch_nothing(&mut self) {
        self.tell("nothing 0\n");
    }

    fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.process.stdin {
            // When somebody killed the watcher, the server still stops with this program's own end.
            drop(pipe.write_all(line.as_bytes()));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Waiting closes the pipe first.
        drop(self.process.wait());
    }
}
