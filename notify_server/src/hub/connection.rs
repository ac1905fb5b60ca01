//! One open stream, as the hub knows it.

use std::{
    ops::Deref,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use chat_core::event::Position;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    parked::{Parked, Written},
    queue::{Pushed, Queue, State},
};
use crate::{
    frame::{Chunk, Form, Frame},
    light,
    reason::{Bye, Reset},
    stream::CHUNK,
    subscriber::Subscriber,
};

/// One open stream.
#[derive(Debug)]
pub struct Connection {
    /// Its name in `hello` and in the logs.
    pub id: Uuid,
    /// Whose.
    pub subscriber: Subscriber,
    /// When it must end, because its token does.
    pub ends_at: DateTime<Utc>,
    /// What waits for it.
    pub queue: Queue,
}

/// The stream's side of a connection: once dropped, the hub forgets the connection.
#[derive(Debug)]
pub struct Guard {
    connection: Arc<Connection>,
    /// Whether the stream lives on without this.
    released: bool,
}

impl Guard {
    /// Guards a connection that the hub does not know yet.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self::of(Arc::new(connection))
    }

    fn of(connection: Arc<Connection>) -> Self {
        Self { connection, released: false }
    }

    /// The connection, for the hub.
    #[must_use]
    pub fn share(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    /// Leaves the stream to the hub, if it is live and nothing waits for it; else answers everything back.
    pub fn park(mut self, parked: Parked) -> Result<(), (Self, Parked)> {
        match self.connection.queue.park(parked) {
            Ok(()) => {
                self.released = true;
                Ok(())
            }
            Err(parked) => Err((self, parked)),
        }
    }
}

impl Deref for Guard {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.released {
            self.connection.queue.leave();
        }
    }
}

impl Connection {
    /// Puts a frame into the queue; answers whether it is to be seen to after the batch.
    pub(super) fn push(self: &Arc<Self>, id: i64, frame: &Frame, now: Instant) -> Pushed {
        match self.queue.push(id, frame) {
            Pushed::Full => {
                self.flush(now);
                // Empty now, whether the socket took it or a task has it in hand.
                self.queue.push(id, frame)
            }
            pushed => pushed,
        }
    }

    /// Puts something ephemeral into the queue, or drops it; answers whether the connection is to be seen to.
    pub(super) fn push_ephemeral(&self, position: i64, chunk: &Chunk) -> Pushed {
        self.queue.push_ephemeral(position, chunk)
    }

    /// Sees to what waits: writes it to the socket of a parked stream, or wakes the task.
    pub(super) fn flush(self: &Arc<Self>, now: Instant) {
        let mut state = self.queue.lock();
        if state.parked().is_none() {
            return self.queue.wake();
        }
        while let Some((bytes, last)) = state.take(CHUNK, Form::Chunked) {
            let Some(parked) = state.parked() else { return };
            parked.cursor = last;
            match parked.write(&bytes, now) {
                Written::Whole => {}
                Written::Part(written) => return self.unpark(state, bytes.slice(written..)),
                Written::Gone => return state.leave(),
            }
        }
        state.shrink();
    }

    /// Tells the client to reload, and to go on from `position`.
    pub(super) fn cut(self: &Arc<Self>, reason: Reset, position: Position) {
        self.queue.cut(reason, position);
        self.unpark(self.queue.lock(), Bytes::new());
    }

    /// Ends the stream.
    pub(super) fn end(self: &Arc<Self>, bye: Bye) {
        self.queue.end(bye);
        self.unpark(self.queue.lock(), Bytes::new());
    }

    /// Looks after a parked stream: whether its client is there, and wants a sign of life, for which everything
    /// up to `ping`'s position must have been delivered. Answers how long nothing is due.
    pub(super) fn look_after(self: &Arc<Self>, now: Instant, ping: &Ping) -> Option<Duration> {
        let mut state = self.queue.lock();
        let parked = state.parked()?;
        if parked.is_gone() {
            state.leave();
            return None;
        }
        let left = parked.until_ping(now);
        if !left.is_zero() {
            return Some(left);
        }
        let chunk = ping.after(parked.cursor);
        parked.cursor = parked.cursor.max(ping.position.id);
        parked.pinged();
        match parked.write(chunk.bytes(Form::Chunked), now) {
            Written::Whole => return Some(parked.until_ping(now)),
            Written::Part(written) => self.unpark(state, chunk.share(Form::Chunked).slice(written..)),
            Written::Gone => state.leave(),
        }
        None
    }

    /// Goes on as a task, if the stream is parked; first with what the socket did not take.
    fn unpark(self: &Arc<Self>, mut state: MutexGuard<'_, State>, unwritten: Bytes) {
        let parked = state.unpark();
        // A runtime that ends drops the task at once, and the task's guard locks the queue.
        drop(state);
        if let Some(parked) = parked {
            light::resume(Guard::of(Arc::clone(self)), parked, unwritten);
        }
    }
}

/// The sign of life of a moment, encoded once.
pub(super) struct Ping {
    position: Position,
    chunk: Chunk,
}

impl Ping {
    /// Says that everything up to `position` is behind.
    pub(super) fn new(position: Position) -> Self {
        let chunk = crate::frame::ping(&position);
        Self { position, chunk }
    }

    /// The one for a stream that is at `cursor`, which may be further.
    fn after(&self, cursor: i64) -> Chunk {
        if cursor <= self.position.id {
            return self.chunk.clone();
        }
        crate::frame::ping(&Position { id: cursor, ..self.position.clone() })
    }
}
