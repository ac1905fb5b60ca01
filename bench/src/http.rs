//! A light HTTP/1.1 client: prepared requests, one at a time on a connection that stays open.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Bytes of a reply that are kept.
const BUFFER: usize = 1024 * 1024;
/// Headers in a reply.
const HEADERS: usize = 32;

/// A connection to a server.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// The part of the last reply's body that is in the buffer.
    body: std::ops::Range<usize>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER].into_boxed_slice(), body: 0..0 })
    }

    /// Sends a request and reads the whole reply; answers its status.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the server closed the connection before its reply was whole");
            filled += read;
            if let Some(head) = Head::parse(&self.buffer[..filled])? {
                self.body = head.size..filled.min(head.size + head.content_length);
                self.skip((head.size + head.content_length).saturating_sub(filled)).await?;
                return Ok(head.status);
            }
        }
    }

    /// Reads the rest of a body; once the buffer is full, over what it holds.
    async fn skip(&mut self, mut rest: usize) -> anyhow::Result<()> {
        while rest > 0 {
            if self.body.end == self.buffer.len() {
                self.body.end = self.body.start;
            }
            let room = rest.min(self.buffer.len() - self.body.end);
            let read = self.stream.read(&mut self.buffer[self.body.end..][..room]).await?;
            ensure!(read > 0, "the server closed the connection before its reply was whole");
            self.body.end += read;
            rest -= read;
        }
        Ok(())
    }

    /// The last reply's body; of one that the buffer does not hold, some part.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// Sends a request that has to be answered with `expected`.
    pub(crate) async fn expect(&mut self, request: &[u8], expected: u16) -> anyhow::Result<()> {
        let status = self.call(request).await?;
        ensure!(
            status == expected,
            "answered {status} instead of {expected}: {}",
            String::from_utf8_lossy(self.body())
        );
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Of the head itself.
    size: usize,
    content_length: usize,
}

impl Head {
    /// The head, once it is whole.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut reply = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(size) = reply.parse(bytes)? else {
            ensure!(bytes.len() < BUFFER, "the head of a reply is too long");
            return Ok(None);
        };
        let status = reply.code.unwrap_or_default();
        let length = reply.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let content_length = match length {
            Some(length) => std::str::from_utf8(length.value)?.trim().parse()?,
            None if status == 204 => 0,
            None => bail!("a reply does not say its length"),
        };
        Ok(Some(Self { status, size, content_length }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_head_counts_once_it_is_whole() -> anyhow::Result<()> {
        let reply = b"HTTP/1.1 201 Created\r\nx: y\r\nContent-Length: 12\r\n\r\n{";
        let expected = Head { status: 201, size: reply.len() - 1, content_length: 12 };
        assert_eq!(Head::parse(reply)?, Some(expected));
        assert_eq!(Head::parse(&reply[..reply.len() - 2])?, None);
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        Ok(())
    }

    #[tokio::test]
    async fn replies_longer_than_the_buffer_are_read_to_their_end() -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            for size in [3 * BUFFER, 2] {
                let mut request = [0; 4];
                stream.read_exact(&mut request).await?;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&vec![b'x'; size]).await?;
            }
            anyhow::Ok(())
        });
        let mut connection = Connection::open(address).await?;
        connection.expect(b"one\n", 200).await?;
        connection.expect(b"two\n", 200).await?;
        assert_eq!(connection.body(), b"xx");
        server.await?
    }
}
