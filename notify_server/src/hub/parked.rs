//! Live streams without a task: what a stream is while its socket takes everything at once.
//!
//! The hub writes to the socket itself. As soon as the socket does not take all of it, or anything else than
//! events is to be said, the stream goes on as a task.

use std::{io, time::Duration};

use chat_core::{
    event::{Epoch, Position},
    http::handover::PlainConnection,
};
use tokio::time::Instant;

use crate::{state::AppState, stream::next_ping};

/// Bytes of one look at what a client has sent, which is of no interest.
const UNREAD: usize = 4 * 1024;
/// Looks in a row: who sends more waits for the next time.
const LOOKS: usize = 16;

/// A parked stream.
pub struct Parked {
    /// Its socket, which took all that was written so far.
    pub connection: PlainConnection,
    /// The client has everything for it up to here.
    pub cursor: i64,
    /// What the stream goes on with.
    pub state: AppState,
    /// When it was last written to.
    since: Instant,
    /// How long after that it is given a sign of life.
    ping_after: Duration,
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parked").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it is written.
    Whole,
    /// As many bytes as this.
    Part(usize),
    /// The client is gone.
    Gone,
}

impl Parked {
    /// A stream whose socket has taken everything up to `cursor`.
    #[must_use]
    pub fn new(connection: PlainConnection, cursor: i64, state: AppState) -> Self {
        let ping_after = next_ping(state.settings.stream.heartbeat_s);
        Self { connection, cursor, state, since: Instant::now(), ping_after }
    }

    /// Writes without waiting.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) -> Written {
        match self.connection.socket.try_write(bytes) {
            Ok(written) if written == bytes.len() => {
                self.since = now;
                Written::Whole
            }
            Ok(written) => Written::Part(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Part(0),
            Err(_) => Written::Gone,
        }
    }

    /// Whether the client has hung up. Costs no system call while nothing comes from it.
    pub(super) fn is_gone(&self) -> bool {
        let mut unread = [0; UNREAD];
        for _ in 0..LOOKS {
            match self.connection.socket.try_read(&mut unread) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// How long until a sign of life is due.
    pub(super) fn until_ping(&self, now: Instant) -> Duration {
        (self.since + self.ping_after).saturating_duration_since(now)
    }

    /// A sign of life has been given: another time until the next one.
    pub(super) fn pinged(&mut self) {
        self.ping_after = next_ping(self.state.settings.stream.heartbeat_s);
    }

    /// Where the stream goes on. A live stream is always in the log that the hub is in.
    #[must_use]
    pub fn position(&self) -> Position {
        let epoch = self.state.hub.position().map_or_else(|| Epoch(String::new()), |position| position.epoch);
        Position { epoch, id: self.cursor }
    }
}
