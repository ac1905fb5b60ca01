use std::path::{Path, PathBuf};

use crate::programs::{Looked, MINIMUM_MAJOR};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server programs that can be used.
    #[error(
        "found no PostgreSQL server programs (`initdb` and `postgres`, version {MINIMUM_MAJOR} or newer).\n\
         Install them (Debian, Ubuntu: `apt install postgresql`; Fedora: `dnf install postgresql-server`; \
         macOS: `brew install postgresql@17`), fetch them with `scripts/get-postgres.sh`, \
         or name their folder in FECHATTER_PG_BIN.\nLooked in:{looked}"
    )]
    ProgramsMissing {
        /// Every place and what was wrong with it.
        looked: Looked,
    },
    /// No client program of this name that can speak with the server.
    #[error(
        "found no `{name}` of PostgreSQL {major} or newer.\n\
         Install it (Debian, Ubuntu: `apt install postgresql-client`), or name its folder in FECHATTER_PG_BIN.\n\
         Looked in:{looked}"
    )]
    ClientMissing {
        /// The program.
        name: &'static str,
        /// The major version of the server.
        major: u32,
        /// Every place and what was wrong with it.
        looked: Looked,
    },
    /// The cluster was made by a major version whose programs are not there.
    #[error(
        "the database was made by PostgreSQL {major}, and no server programs of that version were found.\n\
         Install PostgreSQL {major}, name the folder of its programs in FECHATTER_PG_BIN, \
         or move the database away to begin with an empty one.\nLooked in:{looked}"
    )]
    VersionMismatch {
        /// The major version that made the cluster.
        major: u32,
        /// Every place and what was wrong with it.
        looked: Looked,
    },
    /// Another program uses the folder.
    #[error(
        "the database in {} is already in use by {}; stop that program first, or choose another folder",
        dir.display(),
        process.map_or_else(|| "another program".to_owned(), |id| format!("process {id}"))
    )]
    AlreadyRunning {
        /// The folder.
        dir: PathBuf,
        /// The process that uses it, when known.
        process: Option<u32>,
    },
    /// The server of an ended program takes too long to stop.
    #[error("the database server of an earlier run in {} is still stopping; try again in a minute", dir.display())]
    StillStopping {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no user to run the server as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor a user `nobody`; \
         make one of them, or start this program as an ordinary user"
    )]
    NoAccount,
    /// The server's user can reach neither the folder nor the one in its stead.
    #[error("user `{user}`, who runs the database server for root, cannot reach {}; choose another folder", dir.display())]
    OutOfReach {
        /// The user.
        user: String,
        /// The folder in its stead.
        dir: PathBuf,
    },
    /// The cluster is there and its password is not.
    #[error(
        "the database in {} is there, but the file `password` is missing beside it; \
         put it back, or move the folder away to begin with an empty database",
        dir.display()
    )]
    PasswordMissing {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder `data` holds something else.
    #[error("{} is not a PostgreSQL database (its file PG_VERSION is missing or odd); move it away", data.display())]
    NotACluster {
        /// The folder that should be a cluster.
        data: PathBuf,
    },
    /// Another user owns the place of the socket.
    #[error(
        "{} belongs to another user, so the database's socket cannot be put there; remove it, \
         or choose a database folder with a shorter path",
        dir.display()
    )]
    SocketDirTaken {
        /// The folder of the socket.
        dir: PathBuf,
    },
    /// `initdb` failed.
    #[error("`initdb` could not make the database:\n{output}")]
    InitFailed {
        /// What it printed.
        output: String,
    },
    /// The server ended while starting.
    #[error("the database server ended while starting; the end of {}:\n{tail}", log.display())]
    StartFailed {
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server does not get ready.
    #[error("the database server was not ready after {seconds} seconds; the end of {}:\n{tail}", log.display())]
    NotReady {
        /// How long it was given.
        seconds: u64,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server does not stop.
    #[error("the database server (process {process}) did not stop; end it by hand")]
    DidNotStop {
        /// Its process id.
        process: i32,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: says what was being done to which path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}
