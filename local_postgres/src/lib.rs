//! A private PostgreSQL server for one program.
//!
//! [`LocalPostgres::start`] finds the server programs of this machine, makes a cluster in a folder when there is none,
//! starts the server and waits until it answers. The server listens on a Unix socket only, so no port is taken and
//! nobody else can reach it. It stops with the value, and also when the program ends without a word: a small watcher
//! process notices and stops it (see `watcher.rs`).
//!
//! In the folder:
//!
//! | Entry | What it is |
//! |---|---|
//! | `data/` | the cluster, owned by the user who runs the server |
//! | `socket/` | the Unix socket, in a folder of mode 0700 |
//! | `password` | the password of the role `fechatter`, mode 0600 |
//! | `postgres.log` | what the server said; beyond 10 MB it becomes `postgres.log.1` at the next start |
//! | `lock`, `watcher.lock` | who uses the folder |
//!
//! PostgreSQL refuses to run as root. When the program runs as root, the server runs as the owner of an existing
//! cluster, or else as `postgres` or `nobody`. When that user cannot reach the folder, everything goes to
//! `/var/lib/fechatter` instead; [`LocalPostgres::moved_from`] tells.
//!
//! All calls block. In async code, call them through `spawn_blocking`.

mod account;
mod cluster;
mod database;
mod error;
mod folder;
mod lock;
mod pid_file;
mod programs;
mod server;
mod settings;
mod socket;
mod watcher;

use std::fmt;
use std::path::{Path, PathBuf};

pub use error::Error;
pub use programs::{Looked, find_client};

use folder::Folder;
use programs::Programs;
use server::Server;
use watcher::Watcher;

/// The role that owns everything in the cluster.
const ROLE: &str = "fechatter";

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds everything: cluster, password, log. Absolute or relative; made when missing.
    pub dir: PathBuf,
    /// Whether committed data survives a crash of the machine.
    ///
    /// `false` is for tests: it turns `fsync`, `synchronous_commit` and `full_page_writes` off.
    pub durable: bool,
    /// Whether the folder is deleted once the server has stopped, also when this program was killed.
    pub remove_on_exit: bool,
    /// The most connections at a time (`max_connections`).
    pub max_connections: u16,
    /// Further settings as name and value, which win over the ones made here
    /// (PostgreSQL documentation, chapter 19).
    pub extra_settings: Vec<(String, String)>,
}

impl Options {
    /// A durable database in a folder that stays.
    pub fn durable(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durable: true,
            remove_on_exit: false,
            max_connections: 100,
            extra_settings: Vec::new(),
        }
    }

    /// A fast database in a fresh folder below the system's temporary folder, deleted on exit.
    pub fn temporary() -> Result<Self, Error> {
        Ok(Self {
            dir: folder::fresh_temporary()?,
            durable: false,
            remove_on_exit: true,
            max_connections: 300,
            extra_settings: Vec::new(),
        })
    }
}

/// A running server, stopped on drop.
///
/// The folder is locked for as long as this value lives, also while the server is stopped.
pub struct LocalPostgres {
    // Dropped in this order: the server stops, the watcher removes what is to be removed, the lock goes.
    server: Option<Server>,
    watcher: Watcher,
    folder: Folder,
    programs: Programs,
    options: Options,
    password: String,
    socket_dir: PathBuf,
    port: u16,
}

impl LocalPostgres {
    /// Starts the server of a folder, making the cluster first when there is none.
    ///
    /// A server that already runs on this cluster, left over by a killed program or started by hand, is joined; it
    /// keeps its own settings and is stopped with this value like any other. Returns once the server accepts
    /// connections; crash recovery is given two minutes.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let mut folder = Folder::open(&options.dir)?;
        let watcher = Watcher::start(&mut folder, options.remove_on_exit)?;
        let made_by = cluster::major(&folder.data())?;
        let programs = programs::find(&programs::places(folder.asked()), folder.account(), made_by)?;
        let password = cluster::password(&folder)?;
        let mut postgres = Self {
            server: None,
            watcher,
            socket_dir: folder.socket().to_owned(),
            folder,
            programs,
            options: options.clone(),
            password,
            port: settings::PORT,
        };
        if made_by.is_none() {
            cluster::make(
                &postgres.folder,
                &postgres.programs,
                &mut postgres.watcher,
                &postgres.password,
                options.durable,
            )?;
        }
        postgres.start_again()?;
        Ok(postgres)
    }

    /// Starts a fast server in a fresh folder that is deleted on exit, for tests.
    pub fn temporary() -> Result<Self, Error> {
        Self::start(&Options::temporary()?)
    }

    /// The address of a database of this server, for sqlx and libpq alike, with the password.
    ///
    /// It stays the same when the server is stopped and started again.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{ROLE}:{password}@localhost:{port}/{database}?host={socket}&sslmode=disable",
            password = self.password,
            port = self.port,
            database = percent_encoded(database.as_bytes()),
            socket = percent_encoded(self.socket_dir.as_os_str().as_encoded_bytes()),
        )
    }

    /// Makes the database `fechatter` unless it is there; answers its URL.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn ensure_database(&self) -> sqlx::Result<String> {
        database::ensure(self).await
    }

    /// The version of the server programs, for example `17.6`.
    #[must_use]
    pub fn server_version(&self) -> &str {
        self.programs.version()
    }

    /// The folder of the server programs.
    #[must_use]
    pub fn programs_dir(&self) -> &Path {
        self.programs.bin()
    }

    /// The folder that holds everything, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.home()
    }

    /// The folder that was asked for, when the server's user could not reach it.
    ///
    /// `None` when [`dir`](Self::dir) is that folder.
    #[must_use]
    pub fn moved_from(&self) -> Option<&Path> {
        (self.folder.asked() != self.folder.home()).then(|| self.folder.asked())
    }

    /// The name of the operating system's user who runs the server.
    #[must_use]
    pub fn server_user(&self) -> &str {
        self.folder.account().name()
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The file that the server writes its log to.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.log()
    }

    /// Whether the server process is there.
    pub fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::is_running)
    }

    /// Stops the server: open transactions are rolled back, what is committed stays.
    ///
    /// Does nothing when it is stopped. When the server does not stop within a minute, it is stopped harder; committed
    /// data stays all the same.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.end(Server::stop)
    }

    /// Kills the server as a crash would (SIGKILL), for tests of what happens then.
    ///
    /// Does nothing when it is stopped.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.end(Server::kill)
    }

    fn end(&mut self, how: impl FnOnce(&mut Server) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(server) = &mut self.server {
            how(server)?;
            self.server = None;
            self.watcher.watch_nothing();
        }
        Ok(())
    }

    /// Starts the server after [`stop`](Self::stop), [`kill`](Self::kill) or a crash, on the same folder and socket.
    ///
    /// Does nothing when it runs.
    pub fn start_again(&mut self) -> Result<(), Error> {
        if self.is_running() {
            return Ok(());
        }
        let settings = settings::all(&self.options, self.folder.socket());
        let server = Server::start(&self.folder, &self.programs, &settings, &mut self.watcher)?;
        server.socket_dir().clone_into(&mut self.socket_dir);
        self.port = server.port();
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server and starts it again.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        self.start_again()
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        // Nobody is left to be told; the watcher tries again.
        drop(self.stop());
    }
}

impl fmt::Debug for LocalPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPostgres")
            .field("dir", &self.dir())
            .field("version", &self.server_version())
            .field("running", &self.server.is_some())
            .finish_non_exhaustive()
    }
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn percent_encoded(bytes: &[u8]) -> String {
    use fmt::Write as _;

    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    text
}
