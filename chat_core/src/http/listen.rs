//! Listening and serving until the end.

use std::{io, net::ToSocketAddrs, time::Duration};

use axum::Router;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use super::{
    accept,
    connection::Patience,
    layers::around,
    tls::{Tls, TlsSettings},
};

/// Connections that may wait to be accepted; with tokio's 128, thousands at once take many seconds.
const BACKLOG: u32 = 4096;

/// Where to listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenSettings {
    /// An address or a host name.
    pub host: String,
    /// A port; 0 takes a free one.
    pub port: u16,
    /// The port of the operators' endpoints; 0 takes a free one.
    pub admin_port: u16,
    /// How long open requests may take once the server is to end, in seconds.
    pub drain_s: u64,
    /// The certificate for clients; operators are served in clear text.
    pub tls: TlsSettings,
}

fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {host}:{port}: {error}"));
    let address = (host, port).to_socket_addrs().map_err(explain)?.next();
    let address = address.ok_or_else(|| explain(io::ErrorKind::AddrNotAvailable.into()))?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).map_err(explain)?;
    socket.listen(BACKLOG).map_err(explain)
}

/// The two sockets of a server, bound.
pub struct Listeners {
    /// For clients.
    pub clients: TcpListener,
    /// For operators.
    pub operators: TcpListener,
    tls: Option<Tls>,
    drain: Duration,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// An address that does not exist or is taken, or a certificate that cannot be used.
    pub fn bind(settings: &ListenSettings) -> io::Result<Self> {
        Ok(Self {
            tls: Tls::read(&settings.tls)?,
            clients: bind(&settings.host, settings.port)?,
            operators: bind(&settings.host, settings.admin_port)?,
            drain: Duration::from_secs(settings.drain_s),
        })
    }

    /// Serves both until `shutdown`; the operators' endpoints as long as there are clients.
    ///
    /// # Errors
    /// None in practice.
    pub async fn serve(self, router: Router, admin: Router, shutdown: CancellationToken) -> io::Result<()> {
        let drained = CancellationToken::new();
        let patience = Patience::default();
        let (router, admin) = (around(router), around(admin));
        let soon = Duration::from_secs(1);
        let operators =
            tokio::spawn(accept::serve(self.operators, admin, None, patience, drained.clone(), soon));
        accept::serve(self.clients, router, self.tls, patience, shutdown, self.drain).await;
        drained.cancel();
        operators.await.map_err(io::Error::other)
    }
}

/// Waits for Ctrl-C or SIGTERM, then cancels `shutdown`; a second signal ends the program at once.
pub async fn shutdown_on_signal(shutdown: CancellationToken) {
    signal().await;
    tracing::info!("ending; a second signal ends at once");
    shutdown.cancel();
    signal().await;
    std::process::exit(130);
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}

/// Raises the limit of open files to what the system allows: each stream is one.
pub fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
