//! A connection as hyper reads and writes it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{flood::Frames, handover::Slot, pace::Turns};

/// A transport with what was read of it already.
pub(super) struct Wire<T> {
    transport: T,
    /// Read before the protocol was known.
    first: Bytes,
    /// Told of every read.
    turns: Turns,
    /// Sees what comes and goes.
    frames: Option<Frames>,
    /// Told of every flush.
    slot: Option<Arc<Slot>>,
}

impl<T> Wire<T> {
    /// `transport`, of which `first` was read.
    pub(super) fn new(transport: T, first: Bytes) -> Self {
        Self { transport, first, turns: Turns::default(), frames: None, slot: None }
    }

    /// Tells `turns` when something comes.
    pub(super) fn counted(self, turns: Turns) -> Self {
        Self { turns, ..self }
    }

    /// Ends with an error when `frames` does.
    pub(super) fn metered(self, frames: Frames) -> Self {
        Self { frames: Some(frames), ..self }
    }

    /// Ready to be handed over by way of `slot`.
    pub(super) fn offered(self, slot: Arc<Slot>) -> Self {
        Self { slot: Some(slot), ..self }
    }

    fn wrote(&mut self, wrote: &Poll<io::Result<usize>>) {
        if let (Some(frames), Poll::Ready(Ok(bytes))) = (&mut self.frames, wrote) {
            frames.wrote(*bytes);
        }
    }

    /// The transport alone.
    pub(super) fn into_inner(self) -> T {
        self.transport
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = if self.first.is_empty() {
            Pin::new(&mut self.transport).poll_read(cx, buffer)
        } else {
            let some = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(some));
            Poll::Ready(Ok(()))
        };
        if read.is_ready() {
            self.turns.read();
        }
        if let Some(frames) = &mut self.frames {
            frames.read(&buffer.filled()[before..])?;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.wrote(&wrote);
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.transport).poll_write_vectored(cx, slices);
        self.wrote(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
        if let Some(slot) = &self.slot {
            slot.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
