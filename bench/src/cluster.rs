//! The private PostgreSQL of a run.

use std::{fs, path::Path};

use anyhow::Context;
use local_postgres::{LocalPostgres, Options};
use tokio::task::spawn_blocking;

/// Connections: two pairs of servers at once, or one and 64 clients of pgbench.
const MAX_CONNECTIONS: u16 = 200;

/// A PostgreSQL as `fechatter up` starts it, with everything made durable.
pub(crate) struct Cluster {
    postgres: LocalPostgres,
    /// The process whose children serve the connections.
    pub(crate) postmaster: u32,
}

impl Cluster {
    /// Starts one in a folder that it is to make, and that goes away with it.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let options = Options {
            max_connections: MAX_CONNECTIONS,
            remove_on_exit: true,
            ..Options::durable(folder.join("postgres"))
        };
        let postgres = spawn_blocking(move || LocalPostgres::start(&options)).await??;
        let pid_file = postgres.dir().join("data/postmaster.pid");
        let text =
            fs::read_to_string(&pid_file).with_context(|| format!("cannot read {}", pid_file.display()))?;
        let postmaster = text.lines().next().unwrap_or_default().parse()?;
        Ok(Self { postgres, postmaster })
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        self.postgres.url(database)
    }

    /// The version of PostgreSQL.
    pub(crate) fn version(&self) -> &str {
        self.postgres.server_version()
    }

    /// Where its programs are.
    pub(crate) fn programs(&self) -> &Path {
        self.postgres.programs_dir()
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.postgres.dir()
    }
}
