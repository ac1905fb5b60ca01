//! A bad network: a proxy before a server, whose connections are cut, stalled and emptied on demand.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Bytes that the proxy takes over from a server before it has passed them on: few, so that a stall is soon felt.
const BUFFER: u32 = 4096;

/// What happens to the bytes that servers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They are passed on.
    Open,
    /// They wait: the client reads nothing.
    Stalled,
    /// The connection is cut by the first of them: the request was served, and its answer is lost.
    Lost,
}

/// The proxy; it ends when dropped.
pub struct Proxy {
    /// Where clients reach it.
    pub address: SocketAddr,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

struct Control {
    server: Mutex<Option<SocketAddr>>,
    flow: watch::Sender<Flow>,
    /// The share of the connections that the newest cut hits.
    cut: watch::Sender<f64>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut(1.0);
    }
}

impl Proxy {
    /// A proxy on a free port, with no server behind it yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let control = Arc::new(Control {
            server: Mutex::new(None),
            flow: watch::Sender::new(Flow::Open),
            cut: watch::Sender::new(0.0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&control)));
        Self { address, control, accepting }
    }

    /// Leads new connections to this server; without one they end at once.
    pub fn lead_to(&self, server: Option<SocketAddr>) {
        *self.control.server.lock().expect("no panic") = server;
    }

    /// Cuts a share of the connections, each by chance.
    pub fn cut(&self, share: f64) {
        self.control.cut.send_replace(share);
    }

    /// Changes what happens to the bytes that servers send.
    pub fn set(&self, flow: Flow) {
        self.control.flow.send_replace(flow);
    }
}

async fn accept(listener: TcpListener, control: Arc<Control>) {
    while let Ok((client, _)) = listener.accept().await {
        let control = Arc::clone(&control);
        // A connection that fails is a connection that ends.
        tokio::spawn(async move { drop(connect(client, &control).await) });
    }
}

async fn connect(client: TcpStream, control: &Control) -> io::Result<()> {
    let mut cut = control.cut.subscribe();
    let flow = control.flow.subscribe();
    let Some(server) = *control.server.lock().expect("no panic") else { return Ok(()) };
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    let server = socket.connect(server).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (mut requests, to_client) = client.into_split();
    let (answers, mut to_server) = server.into_split();
    let hit = async {
        while cut.changed().await.is_ok() {
            let share = *cut.borrow_and_update();
            if rand::random_bool(share) {
                break;
            }
        }
    };
    tokio::select! {
        () = hit => Ok(()),
        passed = copy(&mut requests, &mut to_server) => passed.map(drop),
        passed = pass_on(answers, to_client, flow) => passed,
    }
}

async fn pass_on(
    mut answers: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    mut flow: watch::Receiver<Flow>,
) -> io::Result<()> {
    let mut bytes = [0; BUFFER as usize];
    loop {
        // An error says that the proxy is gone.
        if flow.wait_for(|flow| *flow != Flow::Stalled).await.is_err() {
            return Ok(());
        }
        let read = answers.read(&mut bytes).await?;
        if read == 0 || *flow.borrow() == Flow::Lost {
            return Ok(());
        }
        to_client.write_all(&bytes[..read]).await?;
    }
}
