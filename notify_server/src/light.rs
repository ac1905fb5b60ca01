//! Streams on a socket of their own: plain HTTP/1.1, without hyper.
//!
//! A stream that has something to say for which it must wait is a task here. Once it is live and its socket has
//! taken everything, it is parked: the hub writes to the socket, and there is no task.

use std::{convert::Infallible, io};

use bytes::Bytes;
use chat_core::http::{
    handover::{PlainConnection, Takeover},
    stall::{StallGuard, TAKING},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, runtime::Handle};

use crate::{
    frame::{Form, LAST_CHUNK},
    hub::{Guard, Parked},
    stream::Stream,
};

/// Bytes of one look at what a client has sent, which is of no interest.
const UNREAD: usize = 512;

/// A stream with its socket.
struct Light {
    stream: Stream,
    connection: PlainConnection,
}

impl Takeover for Stream {
    fn take_over(self: Box<Self>, connection: PlainConnection) {
        let light = Light { stream: self.in_form(Form::Chunked), connection };
        if let Err(light) = light.park() {
            tokio::spawn(light.run(Bytes::new()));
        }
    }
}

/// Goes on with a parked stream as a task; first with what its socket did not take.
pub(crate) fn resume(guard: Guard, parked: Parked, unwritten: Bytes) {
    let (stream, connection) = Stream::unpark(guard, parked);
    // Without a runtime the process is ending, and the sockets with it.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(Light { stream, connection }.run(unwritten));
    }
}

impl Light {
    /// Leaves the stream to the hub if there is nothing to wait for; else answers it back.
    fn park(self) -> Result<(), Box<Self>> {
        let Self { stream, connection } = self;
        stream.park(connection).map_err(|(stream, connection)| Box::new(Self { stream, connection }))
    }

    async fn run(self, unwritten: Bytes) {
        let id = self.stream.id();
        if let Err(error) = self.write_on(unwritten).await {
            tracing::debug!(connection = %id, %error, "a stream broke");
        }
    }

    /// Writes until the stream is parked or over.
    async fn write_on(mut self, unwritten: Bytes) -> io::Result<()> {
        self.write(&unwritten).await?;
        loop {
            self = match self.park() {
                Ok(()) => return Ok(()),
                Err(light) => *light,
            };
            let chunk = tokio::select! {
                chunk = self.stream.next() => chunk,
                Err(error) = hung_up(&self.connection.socket) => return Err(error),
            };
            let Some(chunk) = chunk else {
                self.write(LAST_CHUNK).await?;
                return self.connection.socket.shutdown().await;
            };
            self.write(&chunk).await?;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        StallGuard::new(&mut self.connection.socket, TAKING).write_all(bytes).await
    }
}

/// Waits for the client's end.
async fn hung_up(socket: &TcpStream) -> io::Result<Infallible> {
    let mut unread = [0; UNREAD];
    loop {
        socket.readable().await?;
        match socket.try_read(&mut unread) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
