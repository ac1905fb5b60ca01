//! The machine's limits, as a program: axum with nothing behind it, replies without even that, and raw sockets.
//!
//! Runs as a process of its own, like the servers that it is compared with.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use chat_core::http::listen::raise_file_limit;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::spawn_blocking,
};

/// The argument that makes this program a bare server.
pub(crate) const COMMAND: &str = "bare";
/// Bytes of a frame, its end included.
const FRAME: usize = 190;
/// Before the data of a frame.
const FRAME_HEAD: &str = "id: 0a1b2c3d-1\nevent: message\ndata: ";
/// As many as our servers let wait to be accepted.
const BACKLOG: u32 = 4096;
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: hello\ndata: {}\n\n";
const FIXED_REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Where the other listeners are.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// Sockets that get frames.
    pub(crate) streams: SocketAddr,
    /// Sockets on which every request gets the same bytes.
    pub(crate) fixed: SocketAddr,
}

type Sockets = Arc<Mutex<Vec<TcpStream>>>;

#[derive(Clone)]
struct Bare {
    sockets: Sockets,
    addresses: Addresses,
}

/// What a client sends.
#[derive(Serialize, Deserialize)]
struct Draft {
    content: String,
}

/// About what a message looks like to clients.
#[derive(Serialize)]
struct Message {
    id: uuid::Uuid,
    chat_id: uuid::Uuid,
    seq: i64,
    kind: &'static str,
    content: String,
}

/// Serves until the process is ended.
pub(crate) async fn serve() -> anyhow::Result<()> {
    raise_file_limit();
    let (streams, fixed, clients) = (listen()?, listen()?, listen()?);
    let addresses = Addresses { streams: streams.local_addr()?, fixed: fixed.local_addr()? };
    let bare = Bare { sockets: Sockets::default(), addresses };
    tokio::spawn(accept_streams(streams, bare.sockets.clone()));
    tokio::spawn(accept_fixed(fixed));
    let router = Router::new()
        .route("/addresses", get(async |State(bare): State<Bare>| Json(bare.addresses)))
        .route("/message", post(echo).get(async || Json(message(String::new()))))
        .route("/bytes/{size}", get(async |Path(size): Path<usize>| vec![b'x'; size]))
        .route("/streams", axum::routing::delete(forget_streams))
        .route("/streams/{frames}", post(one_by_one))
        .route("/streams/{frames}/together", post(together))
        .with_state(bare);
    eprintln!("{}", serde_json::json!({ "clients": clients.local_addr()? }));
    axum::serve(clients, router).await?;
    Ok(())
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(BACKLOG)
}

async fn echo(Json(draft): Json<Draft>) -> (StatusCode, Json<Message>) {
    (StatusCode::CREATED, Json(message(draft.content)))
}

fn message(content: String) -> Message {
    Message { id: uuid::Uuid::now_v7(), chat_id: uuid::Uuid::nil(), seq: 1, kind: "User", content }
}

/// Writes so many frames to each socket, frame by frame.
async fn one_by_one(Path(frames): Path<usize>, State(bare): State<Bare>) -> StatusCode {
    write(bare.sockets, frame(), frames).await
}

/// Writes so many frames to each socket, in one write for each.
async fn together(Path(frames): Path<usize>, State(bare): State<Bare>) -> StatusCode {
    write(bare.sockets, frame().repeat(frames), 1).await
}

async fn write(sockets: Sockets, bytes: Vec<u8>, times: usize) -> StatusCode {
    let write = move || {
        let sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..times {
            for mut socket in sockets.iter() {
                // Whoever misses it sees that something is missing.
                drop(socket.write_all(&bytes));
            }
        }
    };
    match spawn_blocking(write).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn forget_streams(State(bare): State<Bare>) -> StatusCode {
    bare.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    StatusCode::NO_CONTENT
}

fn frame() -> Vec<u8> {
    let data = "x".repeat(FRAME - FRAME_HEAD.len() - 2);
    format!("{FRAME_HEAD}{data}\n\n").into_bytes()
}

async fn accept_streams(listener: TcpListener, sockets: Sockets) {
    while let Ok((stream, _)) = listener.accept().await {
        let sockets = sockets.clone();
        tokio::spawn(async move {
            let opened = async {
                // What is asked does not matter, only that something is.
                stream.readable().await?;
                stream.set_nodelay(true)?;
                // Written to from a thread.
                let mut stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                // Whoever has been greeted is among those who get frames.
                let mut sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
                stream.write_all(STREAM_HEAD)?;
                sockets.push(stream);
                std::io::Result::Ok(())
            };
            // The client sees by itself that it was not opened.
            drop(opened.await);
        });
    }
}

async fn accept_fixed(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 2048];
            while stream.read(&mut request).await? > 0 {
                stream.write_all(FIXED_REPLY).await?;
            }
            std::io::Result::Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{Arrival, Frames};

    #[test]
    fn a_frame_is_a_message_of_its_size() {
        let mut found = Vec::new();
        Frames::default().feed(&frame(), |arrival| found.push(arrival));
        assert_eq!((frame().len(), found), (FRAME, vec![Arrival::Message]));
    }
}
