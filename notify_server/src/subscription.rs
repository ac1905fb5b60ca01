//! Opening a stream, and opening it again after it fell behind: snapshot, cursor, registration.

use std::{sync::Arc, time::Duration};

use chat_core::event::Position;
use tokio::time::timeout;

use crate::{
    error::Error,
    hub::{Connection, Registered},
    reason::Reset,
    replay::Replay,
    state::AppState,
    store::Snapshot,
};

/// How long the database may take, with everybody who asks at the same time.
const PATIENCE: Duration = Duration::from_secs(8);
/// Snapshots taken before giving up; the next one is nearly always recent enough.
const ATTEMPTS: usize = 3;

/// From where a client wants to read.
#[derive(Clone, Debug)]
pub enum Cursor {
    /// From now.
    Now,
    /// From what it calls its last position.
    Last(Position),
    /// From what never was a position.
    Nonsense,
}

/// A registered connection.
#[derive(Debug)]
pub struct Subscription {
    /// Everything after this gets into the connection's queue.
    pub position: Position,
    /// What comes before that.
    pub opening: Opening,
}

/// What comes before the live events.
#[derive(Debug)]
pub enum Opening {
    /// Nothing.
    Live,
    /// The client is told to reload.
    Reset(Reset),
    /// What the client lacks.
    Replay(Box<Replay>),
}

/// Registers a connection for every event after a fresh snapshot, and finds what it lacks before that.
///
/// # Errors
/// [`Error::Unauthorized`] when the session has ended, [`Error::TooManyStreams`] when its person has as many as one
/// may have; the others are worth another attempt.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn subscribe(
    state: &AppState,
    connection: &Arc<Connection>,
    cursor: &Cursor,
) -> Result<Subscription, Error> {
    let subscriber = &connection.subscriber;
    for _ in 0..ATTEMPTS {
        let id = cursor.position().map(|position| position.id);
        let snapshot = state.snapshots.take(*subscriber, id);
        let snapshot = timeout(PATIENCE, snapshot).await.map_err(|_| Error::Behind)??;
        // Of the same moment as the memberships: a revocation after it is an event to come.
        if !snapshot.session_active {
            return Err(Error::Unauthorized);
        }
        state.hub.reached(&snapshot.position).await?;
        let opening = match judge(cursor, &snapshot, state.settings.stream.replay_max) {
            Judgement::Live => Opening::Live,
            Judgement::Reset(reason) => Opening::Reset(reason),
            Judgement::Resume(after) => {
                let replay = Replay::prepare(state, subscriber.user_id(), &snapshot, after);
                Opening::Replay(Box::new(timeout(PATIENCE, replay).await.map_err(|_| Error::Behind)??))
            }
        };
        let Snapshot { position, memberships, .. } = snapshot;
        match state.hub.register(Arc::clone(connection), position.clone(), memberships).await? {
            Registered::Live => return Ok(Subscription { position, opening }),
            Registered::TooMany => {
                return Err(Error::TooManyStreams { most: state.settings.limits.streams_per_person });
            }
            Registered::Stale => tracing::debug!("the snapshot was too old"),
        }
    }
    Err(Error::Behind)
}

impl Cursor {
    fn position(&self) -> Option<&Position> {
        match self {
            Self::Last(position) => Some(position),
            Self::Now | Self::Nonsense => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Live,
    Reset(Reset),
    Resume(i64),
}

fn judge(cursor: &Cursor, snapshot: &Snapshot, replay_max: i64) -> Judgement {
    let last = match cursor {
        Cursor::Now => return Judgement::Live,
        Cursor::Nonsense => return Judgement::Reset(Reset::Unknown),
        Cursor::Last(last) => last,
    };
    let head = &snapshot.position;
    if last.epoch != head.epoch {
        return Judgement::Reset(Reset::Epoch);
    }
    if last.id == head.id {
        return Judgement::Live;
    }
    if last.id < snapshot.dropped_through {
        return Judgement::Reset(Reset::Expired);
    }
    // The log's beginning, and the end of what was dropped, are positions without an event.
    if last.id > head.id || !(snapshot.holds_cursor || last.id == snapshot.dropped_through) {
        return Judgement::Reset(Reset::Unknown);
    }
    if head.id - last.id > replay_max {
        return Judgement::Reset(Reset::TooFar);
    }
    Judgement::Resume(last.id)
}

#[cfg(test)]
mod tests;
