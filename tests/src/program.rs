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

/// A line, and whether it stood on the standard output.
struct Line(String, bool);

/// How long a program may take to start or end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that runs until it is told to end, or dropped.
pub struct Program {
    child: Child,
    lines: Receiver<Line>,
    /// What it has said so far.
    pub said: String,
    /// What of that stood on its standard output, without the logs between.
    pub printed: String,
}

impl Program {
    /// Starts one of the workspace's programs in a folder, with these variables and no others of ours.
    pub fn start(name: &str, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::run(command_of(name, folder, arguments, variables))
    }

    /// Starts whatever it is.
    pub fn run(command: Command) -> Self {
        Self::spawn(command, Stdio::null())
    }

    fn spawn(mut command: Command, input: Stdio) -> Self {
        command.env_remove("DATABASE_URL").stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; `make test` builds the programs first"));
        let (send, lines) = channel();
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let to_stdout = send.clone();
        thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|l| to_stdout.send(Line(l, true)))
        });
        thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|l| send.send(Line(l, false)))
        });
        Self { child, lines, said: String::new(), printed: String::new() }
    }

    fn note(&mut self, Line(line, printed): &Line) {
        for kept in [Some(&mut self.said), printed.then_some(&mut self.printed)].into_iter().flatten() {
            *kept += line;
            kept.push('\n');
        }
    }

    /// The same, and gives it `input` to read.
    pub fn start_with_input(
        name: &str,
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: &str,
    ) -> Self {
        let mut started = Self::spawn(command_of(name, folder, arguments, variables), Stdio::piped());
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
            self.note(&line);
            if line.0.contains(mark) {
                return line.0;
            }
        }
    }

    /// What it has said so far, without waiting for more.
    pub fn said_by_now(&mut self) -> &str {
        let lines: Vec<_> = self.lines.try_iter().collect();
        for line in &lines {
            self.note(line);
        }
        &self.said
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own process").is_none()
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
                let lines: Vec<_> = self.lines.iter().collect();
                for line in &lines {
                    self.note(line);
                }
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
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.ancestors().nth(2).expect("a target folder").join(name)
}

fn command_of(name: &str, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(path(name));
    command.args(arguments).current_dir(folder).envs(variables.iter().copied());
    command
}

/// The address in a line that says `http://localhost:6688` or the like.
pub fn address_in(line: &str) -> SocketAddr {
    let address = line.split("http://").nth(1).expect("a URL").split(['/', ' ']).next().expect("an address");
    address.replace("localhost", "127.0.0.1").parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}
