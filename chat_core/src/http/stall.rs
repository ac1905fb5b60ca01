//! Connections whose client takes what is written too slowly, or not at all, are closed.
//!
//! While a socket takes no more bytes, hyper does not ask a body for any, so that nothing above the socket
//! could notice.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::leeway::{Leeway, Waiting};

/// How slowly a client may take an answer, or a stream, before its connection is closed.
///
/// Half the rate that bodies of requests must come at: the slowest mobile lines carry some thousand bytes a second, and
/// may be shared by several answers.
pub const TAKING: Leeway = Leeway { most: Duration::from_secs(30), rate: 512 };

/// A connection whose writes fail once they have waited too long. An idle one waits for nothing, nor does one whose
/// socket has room: a stream that has little to say is never judged, however slowly that is read.
pub struct StallGuard<T> {
    inner: T,
    waiting: Waiting,
}

impl<T> StallGuard<T> {
    /// Guards `inner`.
    pub fn new(inner: T, leeway: Leeway) -> Self {
        Self { inner, waiting: Waiting::new(leeway) }
    }

    /// What is guarded.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What was guarded.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn judge(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &wrote {
            self.waiting.end(result.as_ref().map_or(0, |bytes| *bytes));
            return wrote;
        }
        ready!(self.waiting.poll_over(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too little")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallGuard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.judge(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.judge(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::sleep,
    };

    use super::*;

    /// A byte a second.
    const LEEWAY: Leeway = Leeway { most: Duration::from_secs(30), rate: 1 };

    /// How the writing of 600 bytes ends, of which the client takes so many every 20 seconds.
    async fn write(bytes: usize) -> Result<(), io::ErrorKind> {
        let (server, mut client) = duplex(64);
        let mut server = StallGuard::new(server, LEEWAY);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            while client.read_exact(&mut buffer).await.is_ok() {
                sleep(Duration::from_secs(20)).await;
            }
        });
        let written = server.write_all(&[0; 600]).await;
        reading.abort();
        written.map_err(|error| error.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_fails_when_too_little_is_taken_and_may_take_long_otherwise() {
        for bytes in [1, 10] {
            assert_eq!(write(bytes).await, Err(io::ErrorKind::TimedOut), "{bytes} bytes at a time");
        }
        for bytes in [20, 40] {
            assert_eq!(write(bytes).await, Ok(()), "{bytes} bytes at a time");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_has_nothing_to_write_is_not_held_against_the_client() -> io::Result<()> {
        let (server, mut client) = duplex(16);
        let mut server = StallGuard::new(server, LEEWAY);
        let mut buffer = [0; 16];
        for _ in 0..100 {
            server.write_all(&buffer).await?;
            sleep(Duration::from_mins(1)).await;
            client.read_exact(&mut buffer).await?;
        }
        Ok(())
    }
}
