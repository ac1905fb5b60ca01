//! The real programs, as processes.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a program may take to start or end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that runs until it is told to end, or dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    pub said: String,
}

impl Program {
    /// Starts one of the workspace's programs in a folder, with these variables and no others of ours.
    pub fn start(name: &str, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(name, folder, arguments, variables, Stdio::null())
    }

    fn spawn(
        name: &str,
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: Stdio,
    ) -> Self {
        let program = program(name);
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(folder);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("DATABASE_URL").envs(variables.iter().copied());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; `make test` builds the programs first", program.display())
        });
        let (send, lines) = channel();
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let to_stdout = send.clone();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| to_stdout.send(l))
        });
        thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|l| send.send(l))
        });
        Self { child, lines, said: String::new() }
    }

    /// The same, and gives it `input` to read.
    pub fn start_with_input(
        name: &str,
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: &str,
    ) -> Self {
        let mut started = Self::spawn(name, folder, arguments, variables, Stdio::piped());
        let mut stdin = started.child.stdin.take().expect("a pipe");
        // A program that has ended already reads nothing.
        let _ = stdin.write_all(input.as_bytes());
        started
    }

    /// Reads on until a line holds `mark`; answers the line.
    #[track_caller]
    pub fn until(&mut self, mark: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the program never said {mark:?}, but:\n{}", self.said)
            };
            self.said += &line;
            self.said.push('\n');
            if line.contains(mark) {
                return line;
            }
        }
    }

    /// What it has said so far, without waiting for more.
    pub fn said_by_now(&mut self) -> &str {
        self.said.extend(self.lines.try_iter().map(|line| line + "\n"));
        &self.said
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("our own process");
    }

    /// Waits for the end, and reads what is left to be said.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("our own process") {
                self.said.extend(self.lines.iter().map(|line| line + "\n"));
                return status;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the program did not end; it said:\n{}", self.said);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program beside the test binary: `target/<profile>/deps/it-…` and `target/<profile>/<name>`.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.ancestors().nth(2).expect("a target folder").join(name)
}

/// The address in a line that says `http://localhost:6688` or the like.
pub fn address_in(line: &str) -> SocketAddr {
    let address = line.split("http://").nth(1).expect("a URL").split(['/', ' ']).next().expect("an address");
    address.replace("localhost", "127.0.0.1").parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}
