//! The accept loop, from the first connection to the end of the last one.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::{self, CROWD, Host, Patience},
    connection_limit::ConnectionLimiter,
    tarpit::Tarpit,
    tls::{self, Tls},
};

/// How long to wait when no more connections can be taken, until some have ended.
const PAUSE: Duration = Duration::from_millis(500);

/// Who comes in to a listener, and how.
pub(super) struct Door {
    /// None for clear text.
    pub tls: Option<Tls>,
    /// How many there may be.
    pub limiter: Arc<ConnectionLimiter>,
    /// How many of them may be new at the same time.
    pub crowd: usize,
    /// How long they may take.
    pub patience: Patience,
    /// How long what is open in the end may take to finish.
    pub drain: Duration,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            tls: None,
            limiter: Arc::default(),
            crowd: CROWD,
            patience: Patience::default(),
            drain: Duration::ZERO,
        }
    }
}

/// Serves `router` until `shutdown`, then gives what is open some time to finish.
///
/// Streams must end by the same token: an open answer holds the server until that is over.
pub(super) async fn serve(listener: TcpListener, router: Router, door: Door, shutdown: CancellationToken) {
    let Door { tls, limiter, crowd, patience, drain } = door;
    let (open, crowd) = (TaskTracker::new(), Arc::new(Semaphore::new(crowd)));
    // Ends what is left when this function does.
    let cut = CancellationToken::new();
    let _cutting = cut.clone().drop_guard();
    let acceptor = tls.as_ref().map(Tls::acceptor);
    if let Some(tls) = tls {
        tokio::spawn(cut.clone().run_until_cancelled_owned(tls.follow(tls::LOOK)));
    }
    let shared = shutdown.clone();
    let tarpit = Tarpit::default();
    let host = Arc::new(Host { router, tls: acceptor, patience, shutdown: shared, open, crowd, tarpit });
    while let Some((socket, address)) = shutdown.run_until_cancelled(accept(&listener)).await {
        // Whoever is too many is closed at once: telling them so would take what there is not.
        let Some(place) = limiter.admit(address.ip()) else { continue };
        let serving = connection::serve(socket, address, place, Arc::clone(&host));
        host.open.spawn(cut.clone().run_until_cancelled_owned(serving));
    }
    // Whoever comes now is refused, and goes elsewhere.
    drop(listener);
    host.open.close();
    if timeout(drain, host.open.wait()).await.is_err() {
        tracing::warn!(connections = host.open.len(), "ended with requests still open");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Whether it was only that the client did not wait (Linux manual, accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests;
