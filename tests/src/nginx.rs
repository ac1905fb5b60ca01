//! nginx before the servers, with the configuration of `deploy/nginx`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{compose::repository, program::Program};

/// A running nginx; it ends when dropped.
pub struct Nginx {
    /// Where clients reach it.
    pub address: SocketAddr,
    program: Program,
    folder: TempDir,
}

/// A request as nginx logged it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What was answered.
    pub status: u16,
    /// How many servers it took.
    pub servers: usize,
}

/// A port that nobody has, at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

impl Nginx {
    /// Starts it before two servers of each kind; none when it is not installed.
    pub fn start(rest: [SocketAddr; 2], notify: [SocketAddr; 2]) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "nginx"]
            .into_iter()
            .find(|name| Command::new(name).arg("-v").output().is_ok())?;
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let site =
            fs::read_to_string(repository().join("deploy/nginx/fechatter.conf")).expect("deploy/nginx");
        let places = [
            ("127.0.0.1:6688", rest[0].to_string()),
            ("127.0.0.1:6698", rest[1].to_string()),
            ("127.0.0.1:6687", notify[0].to_string()),
            ("127.0.0.1:6697", notify[1].to_string()),
            // Without a certificate, and without the way from port 80 to it.
            ("listen 443 ssl http2;", format!("listen {address};")),
            ("listen 80;", format!("listen 127.0.0.1:{};", free_port())),
            ("/var/log/nginx", folder.path().display().to_string()),
        ];
        let mut mapped: String = site
            .lines()
            .filter(|line| !line.trim_start().starts_with("ssl_"))
            .map(|line| line.to_owned() + "\n")
            .collect();
        for (theirs, ours) in places {
            assert!(mapped.contains(theirs), "deploy/nginx has no {theirs}");
            mapped = mapped.replace(theirs, &ours);
        }
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.path().display()))
            .concat();
        let main = format!(
            "daemon off; pid {0}/pid; error_log {0}/error.log;\nevents {{ worker_connections 1024; }}\nhttp {{\n{temporary}{mapped}}}\n",
            folder.path().display()
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, main).expect("a file");
        let mut command = Command::new(program);
        command
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-c")
            .arg(&file)
            .current_dir(folder.path());
        let mut nginx = Self { address, program: Program::run(command), folder };
        nginx.wait();
        Some(nginx)
    }

    fn wait(&mut self) {
        for _ in 0..500 {
            if std::net::TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("nginx does not answer: {}", self.errors());
    }

    /// What it wrote into its log of errors.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Logged> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines()
            .map(|line| logged(line).unwrap_or_else(|| panic!("not a line of the log: {line}")))
            .collect()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("fechatter.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // In order, so that its workers end with it.
        self.program.signal(Signal::SIGTERM);
        self.program.end();
    }
}

/// A line of the format `fechatter`.
fn logged(line: &str) -> Option<Logged> {
    let (_, rest) = line.split_once("] ")?;
    let mut words = rest.split(' ');
    let (method, path, status) = (words.next()?, words.next()?, words.next()?);
    let servers = rest.split('"').nth(1)?.split(", ").count();
    Some(Logged { method: method.into(), path: path.into(), status: status.parse().ok()?, servers })
}
