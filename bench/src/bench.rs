//! Everything that a run needs, started.

use std::net::SocketAddr;

use anyhow::Context;
use tempfile::TempDir;

use crate::{
    bare::{self, Addresses},
    cluster::Cluster,
    http::Connection,
    load::{Done, Load},
    pgbench::Pgbench,
    plan::Plan,
    process::Process,
    requests,
    site::Site,
    usage,
};

/// Messages in each chat of a site that has just come into use: what is called none.
pub(crate) const FEW: u32 = 20;

/// A run. Ends in the order of its fields: servers before the database, the folder last.
pub(crate) struct Bench {
    pub(crate) plan: &'static Plan,
    pub(crate) site: Site,
    pub(crate) bare: Bare,
    /// None where pgbench is not installed; then some figures have no limit.
    pub(crate) pgbench: Option<Pgbench>,
    pub(crate) cluster: Cluster,
    pub(crate) folder: TempDir,
}

/// The bare server.
pub(crate) struct Bare {
    process: Process,
    pub(crate) addresses: Addresses,
}

impl Bench {
    pub(crate) async fn start(plan: &'static Plan) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("fechatter-bench-").tempdir()?;
        let cluster = Cluster::start(folder.path()).await?;
        let site = Site::start(&cluster, "fechatter", folder.path().to_owned(), FEW).await?;
        let bare = Bare::start(folder.path()).await?;
        let pgbench = Pgbench::find(cluster.programs(), &site.database_url, folder.path()).await;
        if pgbench.is_none() {
            eprintln!(
                "pgbench is not there, so that some figures have no limit (Debian: postgresql-contrib)"
            );
        }
        Ok(Self { plan, site, bare, pgbench, cluster, folder })
    }
}

impl Bare {
    async fn start(folder: &std::path::Path) -> anyhow::Result<Self> {
        let name = std::env::current_exe()?;
        let name = name.file_name().and_then(|name| name.to_str()).context("a program without a name")?;
        let process = Process::start(name, &[bare::COMMAND], &[], folder).await?;
        let mut connection = Connection::open(process.address).await?;
        connection.expect(&requests::get("/addresses", ""), 200).await?;
        let addresses = serde_json::from_slice(connection.body())?;
        Ok(Self { process, addresses })
    }

    /// Where axum answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Lets so many clients ask the same again and again; also answers what part of a core they took.
    pub(crate) async fn load(
        &self,
        address: SocketAddr,
        request: &[u8],
        clients: usize,
        plan: &Plan,
    ) -> anyhow::Result<(Done, f64)> {
        let requests = (0..clients).map(|_| requests::Same(request.into()));
        let mut load = Load::start(address, requests).await?;
        load.run_for(plan.warm_up).await?;
        let before = usage::cpu(std::process::id())?;
        let done = load.run_for(plan.window).await?;
        let own = usage::cpu(std::process::id())?.saturating_sub(before);
        load.stop().await?;
        Ok((done, own.as_secs_f64() / done.elapsed.as_secs_f64()))
    }

    /// Forgets the raw sockets.
    pub(crate) async fn forget_streams(&self) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.process.address).await?;
        connection.expect(b"DELETE /streams HTTP/1.1\r\nhost: bench\r\n\r\n", 204).await
    }
}
