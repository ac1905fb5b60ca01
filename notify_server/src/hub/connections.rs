//! The open streams, by person.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use chat_core::{
    event::Position,
    ids::{SessionId, UserId},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    directory::Ending,
    frame::Frame,
    hub::queue::{Pushed, Queue},
    reason::{Bye, Reset},
};

/// One open stream.
#[derive(Debug)]
pub struct Connection {
    /// Its name in `hello` and in the logs.
    pub id: Uuid,
    /// Whose.
    pub user: UserId,
    /// By which session.
    pub session: SessionId,
    /// When it must end, because its token does.
    pub ends_at: DateTime<Utc>,
    /// What waits for it.
    pub queue: Queue,
}

/// The stream's side of a connection: once dropped, the hub forgets the connection.
#[derive(Debug)]
pub struct Guard(Arc<Connection>);

impl Guard {
    /// Guards a connection that the hub does not know yet.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self(Arc::new(connection))
    }

    /// The connection, for the hub.
    #[must_use]
    pub fn share(&self) -> Arc<Connection> {
        Arc::clone(&self.0)
    }
}

impl Deref for Guard {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.queue.leave();
    }
}

/// All connections of the hub. When they go, for whatever reason, the streams end.
#[derive(Debug, Default)]
pub(super) struct Connections {
    people: HashMap<UserId, Vec<Arc<Connection>>>,
    /// Those with something new, to be woken after the batch.
    fresh: Vec<Arc<Connection>>,
    /// People of whom a connection overflowed in this batch.
    overflowed: Vec<UserId>,
}

impl Connections {
    /// Takes in a connection, unless it is there already.
    pub(super) fn attach(&mut self, connection: Arc<Connection>) {
        let connections = self.people.entry(connection.user).or_default();
        if !connections.iter().any(|known| Arc::ptr_eq(known, &connection)) {
            connections.push(connection);
        }
    }

    /// Puts a frame into the queues of a person's subscribed connections.
    pub(super) fn deliver(&mut self, user: UserId, id: i64, frame: &Frame) {
        for connection in self.people.get(&user).into_iter().flatten() {
            match connection.queue.push(id, frame) {
                Pushed::First => self.fresh.push(Arc::clone(connection)),
                Pushed::Overflow => {
                    tracing::debug!(connection = %connection.id, "a stream is behind");
                    connection.queue.wake();
                    self.overflowed.push(user);
                }
                Pushed::Next | Pushed::Refused => {}
            }
        }
    }

    /// Wakes the connections that have something new; answers who has no subscribed connection any more.
    pub(super) fn flush(&mut self) -> Vec<UserId> {
        for connection in self.fresh.drain(..) {
            connection.queue.wake();
        }
        let overflowed = std::mem::take(&mut self.overflowed);
        overflowed.into_iter().filter(|user| !self.is_subscribed(*user)).collect()
    }

    fn is_subscribed(&self, user: UserId) -> bool {
        self.people.get(&user).into_iter().flatten().any(|connection| connection.queue.is_live())
    }

    /// Ends the streams that an event ends.
    pub(super) fn end(&mut self, ending: &Ending) {
        let (Ending::Session(user, _) | Ending::Person(user)) = ending;
        for connection in self.people.get(user).into_iter().flatten() {
            if ending.ends(connection) {
                connection.queue.end(ending.bye());
            }
        }
    }

    /// Tells every connection of a break in the log.
    pub(super) fn cut(&self, reason: Reset, position: &Position) {
        for connection in self.people.values().flatten() {
            connection.queue.cut(reason, position.clone());
        }
    }

    /// Ends the streams whose token ends and forgets those whose client is gone; answers who has no
    /// subscribed connection any more.
    pub(super) fn sweep(&mut self, now: DateTime<Utc>) -> Vec<UserId> {
        let mut unsubscribed = Vec::new();
        self.people.retain(|user, connections| {
            connections.retain(|connection| !connection.queue.has_left());
            for connection in connections.iter().filter(|connection| connection.ends_at <= now) {
                connection.queue.end(Bye::TokenExpired);
            }
            if !connections.iter().any(|connection| connection.queue.is_live()) {
                unsubscribed.push(*user);
            }
            !connections.is_empty()
        });
        unsubscribed
    }

    /// All connections, in no order.
    #[must_use]
    pub(super) fn drain(&mut self) -> Vec<Arc<Connection>> {
        std::mem::take(&mut self.people).into_values().flatten().collect()
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        for connection in self.drain() {
            connection.queue.end(Bye::Shutdown);
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
        match *self {
            Self::Session(user, session) => connection.user == user && connection.session == session,
            Self::Person(user) => connection.user == user,
        }
    }
}
