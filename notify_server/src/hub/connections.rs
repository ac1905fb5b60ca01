//! The open streams, by person.

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use chat_core::{event::Position, ids::UserId, token::KeyMark};
use chrono::{DateTime, Utc};
use tokio::{task::yield_now, time::Instant};

use super::{
    connection::{Connection, Ping},
    queue::Pushed,
    wheel::Wheel,
};
use crate::{
    directory::Ending,
    frame::{Chunk, Frame},
    metrics::STREAMS,
    reason::{Bye, Reset},
};

/// Sockets written to before the runtime's other tasks get their turn.
const WRITES: usize = 64;

/// All connections of the hub. When they go, for whatever reason, the streams end.
#[derive(Debug)]
pub(super) struct Connections {
    people: HashMap<UserId, Vec<Arc<Connection>>>,
    /// How many one person may have; 0 for no limit.
    per_person: usize,
    wheel: Wheel,
    /// Those with something new, to be seen to after the batch.
    fresh: Vec<Arc<Connection>>,
    /// People of whom a connection was unsubscribed in this batch.
    unsubscribed: Vec<UserId>,
    /// Frames put into queues in this batch.
    delivered: u64,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub(super) fn new(per_person: u32) -> Self {
        Self {
            people: HashMap::new(),
            per_person: usize::try_from(per_person).unwrap_or(usize::MAX),
            wheel: Wheel::default(),
            fresh: Vec::new(),
            unsubscribed: Vec::new(),
            delivered: 0,
        }
    }

    /// Whether there is a place for a connection among those of its person; the place that it has already counts.
    ///
    /// Who has too many is refused another one, and keeps those that run. To end the oldest in its place would let
    /// the windows of somebody with many of them throw each other out for ever, each with a replay of what it missed;
    /// and an ended stream whose client reads nothing still takes memory, so that it would be no bound. A connection
    /// whose client has vanished without a word holds its place until its token ends, within minutes.
    #[must_use]
    pub(super) fn has_place(&self, connection: &Arc<Connection>) -> bool {
        let own = self.people.get(&connection.subscriber.user_id()).map_or(&[][..], Vec::as_slice);
        self.per_person == 0
            || own.len() < self.per_person
            || own.iter().any(|known| Arc::ptr_eq(known, connection))
            // The wheel has not come to those whose clients are gone.
            || own.iter().filter(|known| !known.queue.has_left()).count() < self.per_person
    }

    /// Takes in a connection, unless it is there already.
    pub(super) fn attach(&mut self, connection: Arc<Connection>) {
        let connections = self.people.entry(connection.subscriber.user_id()).or_default();
        if connections.iter().any(|known| Arc::ptr_eq(known, &connection)) {
            return;
        }
        // One stream a person is the most frequent case by far.
        connections.reserve_exact(1);
        connections.push(Arc::clone(&connection));
        self.wheel.add(connection, Duration::MAX);
    }

    /// Puts a frame into the queues of a person's subscribed connections.
    pub(super) fn deliver(&mut self, user: UserId, id: i64, frame: &Frame, now: Instant) {
        for connection in self.people.get(&user).into_iter().flatten() {
            match connection.push(id, frame, now) {
                Pushed::First => {
                    self.delivered += 1;
                    self.fresh.push(Arc::clone(connection));
                }
                Pushed::Next => self.delivered += 1,
                Pushed::Overflow => {
                    STREAMS.overflows.increment(1);
                    tracing::debug!(connection = %connection.id, "a stream is behind");
                    connection.queue.wake();
                    self.unsubscribed.push(user);
                }
                Pushed::Full | Pushed::Refused => {}
            }
        }
    }

    /// Puts something ephemeral into the queues of a person's subscribed connections, where there is room.
    pub(super) fn deliver_ephemeral(&mut self, user: UserId, position: i64, chunk: &Chunk) {
        for connection in self.people.get(&user).into_iter().flatten() {
            if connection.push_ephemeral(position, chunk) == Pushed::First {
                self.fresh.push(Arc::clone(connection));
            }
        }
    }

    /// Sees to the connections that have something new; answers who has no subscribed connection any more.
    pub(super) async fn flush(&mut self) -> Vec<UserId> {
        STREAMS.deliveries.increment(mem::take(&mut self.delivered));
        let fresh = mem::take(&mut self.fresh);
        for some in fresh.chunks(WRITES) {
            let now = Instant::now();
            for connection in some {
                connection.flush(now);
            }
            if fresh.len() > WRITES {
                yield_now().await;
            }
        }
        let unsubscribed = mem::take(&mut self.unsubscribed);
        unsubscribed.into_iter().filter(|user| !self.is_subscribed(*user)).collect()
    }

    fn is_subscribed(&self, user: UserId) -> bool {
        self.people.get(&user).into_iter().flatten().any(|connection| connection.queue.is_live())
    }

    /// Ends the streams that an event ends.
    pub(super) fn end(&mut self, ending: &Ending) {
        let (Ending::Session(user, _) | Ending::Person(user)) = ending;
        for connection in self.people.get(user).into_iter().flatten() {
            if ending.ends(connection) {
                connection.end(ending.bye());
            }
        }
    }

    /// Tells a person's subscribed connections that what there was up to `position` is not shown to them any more.
    pub(super) fn cut_of(&mut self, user: UserId, position: &Position) {
        for connection in self.people.get(&user).into_iter().flatten() {
            if connection.queue.is_live() {
                tracing::debug!(connection = %connection.id, "a stream is not shown what changed when its person had left");
                connection.cut(Reset::TooFar, position.clone());
                self.unsubscribed.push(user);
            }
        }
    }

    /// Tells every connection of a break in the log.
    pub(super) fn cut(&self, reason: Reset, position: &Position) {
        for connection in self.people.values().flatten() {
            connection.cut(reason, position.clone());
        }
    }

    /// Turns the wheel: ends the streams whose token ends or was signed by a key that is not `known` any more, forgets those whose client is gone, gives signs of
    /// life. Everything up to `position` must have been seen to. Answers who has no subscribed connection any
    /// more.
    pub(super) fn look_after(
        &mut self,
        now: DateTime<Utc>,
        position: Option<Position>,
        known: impl Fn(KeyMark) -> bool,
    ) -> Vec<UserId> {
        let due = self.wheel.turn();
        // Without a position the feed has not begun, and nobody is connected.
        let Some(ping) = position.map(Ping::new) else { return Vec::new() };
        let mut unsubscribed = Vec::new();
        let instant = Instant::now();
        for connection in due {
            let removed = connection.subscriber.key().is_some_and(|key| !known(key));
            if connection.ends_at <= now || removed {
                connection.end(Bye::TokenExpired);
            }
            let after = connection.look_after(instant, &ping).unwrap_or(Duration::MAX);
            if !connection.queue.is_live() {
                unsubscribed.push(connection.subscriber.user_id());
            }
            if connection.queue.has_left() {
                self.forget(&connection);
            } else {
                self.wheel.add(connection, after);
            }
        }
        unsubscribed.retain(|user| !self.is_subscribed(*user));
        unsubscribed
    }

    fn forget(&mut self, connection: &Arc<Connection>) {
        let user = connection.subscriber.user_id();
        if let Some(connections) = self.people.get_mut(&user) {
            connections.retain(|known| !Arc::ptr_eq(known, connection));
            if connections.is_empty() {
                self.people.remove(&user);
            }
        }
    }

    /// All connections, in no order.
    #[must_use]
    pub(super) fn drain(&mut self) -> Vec<Arc<Connection>> {
        self.wheel.clear();
        mem::take(&mut self.people).into_values().flatten().collect()
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        for connection in self.drain() {
            connection.end(Bye::Shutdown);
        }
    }
}

impl Ending {
    /// What its streams are told.
    #[must_use]
    pub fn bye(&self) -> Bye {
        match self {
            Self::Session(..) => Bye::SessionRevoked,
            Self::Person(_) => Bye::Suspended,
        }
    }

    /// Whether this ends `connection`.
    #[must_use]
    pub fn ends(&self, connection: &Connection) -> bool {
        let subscriber = &connection.subscriber;
        match *self {
            Self::Session(user, session) => {
                subscriber.user_id() == user && subscriber.session_id() == session
            }
            Self::Person(user) => subscriber.user_id() == user,
        }
    }
}
