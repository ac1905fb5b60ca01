//! A wire to PostgreSQL that can fall silent: nothing comes through any more, and neither end is told.

use std::{
    mem,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex},
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The wire; it is cut when dropped.
pub struct Wire {
    port: u16,
    carried: Arc<Mutex<Vec<Carried>>>,
    accepting: JoinHandle<()>,
    _end: DropGuard,
}

/// A connection.
#[derive(Clone, Default)]
struct Carried {
    /// It is to fall silent.
    silence: CancellationToken,
    /// It has, or is over.
    silent: CancellationToken,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    /// A wire to the PostgreSQL of this URL, which must name the folder of its socket.
    pub async fn to(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).expect("a URL");
        let folder = options.get_socket().expect("a socket");
        let socket = folder.join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (carried, end) = (Arc::default(), CancellationToken::new());
        let accepting = tokio::spawn(accept(listener, socket, Arc::clone(&carried), end.clone()));
        Self { port, carried, accepting, _end: end.drop_guard() }
    }

    /// The way to the same database by this wire.
    pub fn url(&self, url: &str) -> String {
        let (way, _) = url.split_once('?').expect("the socket's folder");
        let (who, place) = way.split_once('@').expect("a user");
        let (_, database) = place.split_once('/').expect("a database");
        format!("{who}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The connections of now fall silent for good; those that are made from now on are answered.
    pub async fn fall_silent(&self) {
        let carried = mem::take(&mut *self.carried.lock().expect("no panic"));
        for connection in &carried {
            connection.silence.cancel();
        }
        for connection in carried {
            connection.silent.cancelled().await;
        }
    }
}

async fn accept(
    listener: TcpListener,
    socket: PathBuf,
    carried: Arc<Mutex<Vec<Carried>>>,
    end: CancellationToken,
) {
    while let Ok((client, _)) = listener.accept().await {
        let connection = Carried::default();
        carried.lock().expect("no panic").push(connection.clone());
        tokio::spawn(carry(client, socket.clone(), connection, end.clone()));
    }
}

async fn carry(mut client: TcpStream, socket: PathBuf, connection: Carried, end: CancellationToken) {
    let silent = connection.silent.drop_guard();
    let Ok(mut postgres) = UnixStream::connect(socket).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut postgres) => {}
        () = connection.silence.cancelled() => {
            drop(silent);
            // Both sockets stay open until the wire is gone.
            end.cancelled().await;
        }
    }
}
