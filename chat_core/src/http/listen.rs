//! Listening and serving until the end.

use std::{io, net::ToSocketAddrs, sync::Arc, time::Duration};

use axum::Router;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use super::{
    accept::{self, Door},
    client_address::{ForwardedHeader, Networks},
    connection::{BODY_RATE, Patience},
    connection_limit::{ConnectionLimiter, ConnectionLimits},
    cors::Origin,
    layers::around,
    leeway::Leeway,
    tls::{Tls, TlsSettings},
};
use crate::settings::{self, Problems};

/// Connections that may wait to be accepted; with tokio's 128, thousands at once take many seconds.
const BACKLOG: u32 = 4096;

/// Bytes of answers that the system takes for a connection before they can be sent. Without a bound it takes megabytes for
/// a client that reads nothing, and copying them for a thousand of these keeps everybody else waiting.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

/// Where to listen.
#[derive(Clone, Debug, Deserialize, Serialize)]
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
    /// Reverse proxies whose word on a client's address counts.
    pub trusted_proxies: Networks,
    /// The header in which they give it.
    pub forwarded_header: ForwardedHeader,
    /// The certificate for clients; operators are served in clear text.
    pub tls: TlsSettings,
    /// The origins whose pages may call.
    #[serde(deserialize_with = "settings::list")]
    pub cors_origins: Vec<Origin>,
}

impl ListenSettings {
    /// Notes what is wrong with these settings.
    pub fn check(&self, problems: &mut Problems) {
        problems.unless(!self.host.is_empty(), "server.host is not set");
        let apart = self.port == 0 || self.port != self.admin_port;
        problems.unless(apart, "server.admin_port must be another port than server.port");
        problems.unless(self.drain_s <= 3600, "server.drain_s must be at most 3600");
    }
}

/// What each client is allowed.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// Seconds until the first byte of a connection.
    pub first_byte_s: u64,
    /// Seconds for the head of a request.
    pub head_s: u64,
    /// Seconds without any more of the body of a request.
    pub body_idle_s: u64,
    /// Seconds between two requests of a connection.
    pub keep_alive_s: u64,
}

impl ClientLimits {
    /// Notes what is wrong with these limits.
    pub fn check(&self, problems: &mut Problems) {
        for (name, seconds) in [
            ("first_byte_s", self.first_byte_s),
            ("head_s", self.head_s),
            ("body_idle_s", self.body_idle_s),
            ("keep_alive_s", self.keep_alive_s),
        ] {
            let line = format!("limits.{name} must be from 1 to 3600");
            problems.unless((1..=3600).contains(&seconds), &line);
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            first_bytes: Duration::from_secs(self.first_byte_s),
            head: Duration::from_secs(self.head_s),
            body: Leeway { most: Duration::from_secs(self.body_idle_s), rate: BODY_RATE },
            idle: Duration::from_secs(self.keep_alive_s),
            ..Patience::default()
        }
    }
}

fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {host}:{port}: {error}"));
    let address = (host, port).to_socket_addrs().map_err(explain)?.next();
    let address = address.ok_or_else(|| explain(io::ErrorKind::AddrNotAvailable.into()))?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // The connections of a listener inherit it (Linux manual, tcp(7), TCP_NOTSENT_LOWAT).
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT)?;
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
    limiter: Arc<ConnectionLimiter>,
    patience: Patience,
    origins: Vec<Origin>,
    drain: Duration,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// An address that does not exist or is taken, or a certificate that cannot be used.
    pub fn bind(settings: &ListenSettings, limits: ClientLimits) -> io::Result<Self> {
        let proxies = settings.trusted_proxies.clone();
        Ok(Self {
            tls: Tls::read(&settings.tls)?,
            limiter: ConnectionLimiter::new(
                within_files(limits.connections),
                Box::new(move |address| proxies.contain(address)),
            ),
            patience: limits.patience(),
            origins: settings.cors_origins.clone(),
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
        let Self { clients, operators, tls, limiter, patience, origins, drain } = self;
        let drained = CancellationToken::new();
        let (router, admin) = (around(router, &origins), around(admin, &[]));
        let private = Door { drain: Duration::from_secs(1), ..Door::default() };
        let operators = tokio::spawn(accept::serve(operators, admin, private, drained.clone()));
        let public = Door { tls, limiter, patience, drain, ..Door::default() };
        accept::serve(clients, router, public, shutdown).await;
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

/// Open files that are not clients' connections: the database's, the log, whatever is read.
const OTHER_FILES: u64 = 256;

/// As many connections as there can be files, at most.
fn within_files(limits: ConnectionLimits) -> ConnectionLimits {
    let Ok((files, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return limits };
    let room = u32::try_from(files.saturating_sub(OTHER_FILES).max(1)).unwrap_or(u32::MAX);
    if limits.connections != 0 && limits.connections <= room {
        return limits;
    }
    if limits.connections != 0 {
        tracing::info!(connections = room, files, "the limit of open files allows fewer connections");
    }
    ConnectionLimits { connections: room, ..limits }
}

/// Raises the limit of open files to what the system allows: each stream is one.
pub fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn connections_inherit_how_much_the_system_takes_for_them() -> io::Result<()> {
        let listener = bind("127.0.0.1", 0)?;
        let _client = TcpStream::connect(listener.local_addr()?).await?;
        let (accepted, _) = listener.accept().await?;
        assert_eq!(socket2::SockRef::from(&accepted).tcp_notsent_lowat()?, UNSENT);
        Ok(())
    }
}
