//! A file on its way out.

use std::{io, ops::Range};

use axum::{body::Body, http::HeaderValue};
use bytes::Bytes;
use chat_core::http::content::{Content, Portion, Wish, disposition};
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::{pictures::Format, places::Place, store::Readable};
use crate::{access::FilePermit, error::Error, state::AppState, vault::VaultError};

/// Chunks that wait for the client.
const AHEAD: usize = 2;

/// What is answered of a file.
pub(super) async fn answer(
    state: &AppState,
    permit: &FilePermit,
    file: Readable,
    wish: &Wish,
) -> Result<Content, Error> {
    let etag = etag(&file.stored.sha256);
    let size = file.stored.size;
    let portion = wish.portion(&etag, size);
    let range = match &portion {
        Portion::Whole => Some(0..size),
        Portion::Part(range) => Some(range.clone()),
        Portion::NotModified | Portion::OutOfRange => None,
    };
    let body = match range.filter(|_| !wish.head_only()) {
        None => Body::empty(),
        Some(range) => body(state, permit, &file, range).await?,
    };
    // Only what is a picture to everybody is shown in place.
    let kind = if Format::of(&file.content_type).is_some() { "inline" } else { "attachment" };
    let internal = |_| Error::Internal("a media type that is none".into());
    Ok(Content {
        portion,
        body,
        size,
        etag: HeaderValue::from_str(&etag).map_err(internal)?,
        content_type: HeaderValue::from_str(&file.content_type).map_err(internal)?,
        disposition: disposition(kind, &file.name),
    })
}

fn etag(sha256: &[u8; 32]) -> String {
    use std::fmt::Write;
    let mut etag = String::from("\"");
    for byte in sha256 {
        // Writing to a string does not fail.
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    etag
}

async fn body(
    state: &AppState,
    permit: &FilePermit,
    file: &Readable,
    range: Range<u64>,
) -> Result<Body, Error> {
    let Some(place) = state.transfers.downloads.take(permit.user_id()) else {
        return Err(Error::Busy("Too many files are being downloaded at the moment."));
    };
    let bytes = state.vault.read(&file.stored, range).await?;
    let (send, receive) = mpsc::channel(AHEAD);
    tokio::spawn(carry(bytes, send, place));
    Ok(Body::from_stream(stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|bytes| (bytes, receive))
    })))
}

/// Carries a file to whoever takes it, until the answer ends.
async fn carry(
    bytes: impl Stream<Item = Result<Bytes, VaultError>> + Send,
    send: mpsc::Sender<io::Result<Bytes>>,
    place: Place,
) {
    let _place = place;
    let mut bytes = std::pin::pin!(bytes);
    while let Some(next) = bytes.next().await {
        let next = next.map_err(|error| {
            tracing::error!(%error, "a file could not be read to its end");
            io::Error::other("the file could not be read to its end")
        });
        let broken = next.is_err();
        if send.send(next).await.is_err() || broken {
            return;
        }
    }
}
