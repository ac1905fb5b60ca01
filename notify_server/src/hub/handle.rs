//! The way to the hub, for everything that runs beside it.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use chat_core::event::Position;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::connection::Connection;
use crate::{directory::Memberships, error::Error, ring::Ring};

/// How long a new stream waits for the feed to reach its snapshot.
const PATIENCE: Duration = Duration::from_secs(3);

/// The way to the hub, cheap to clone.
#[derive(Clone)]
pub struct HubHandle {
    pub(super) ring: Arc<RwLock<Ring>>,
    pub(super) position: watch::Receiver<Option<Position>>,
    pub(super) registrations: mpsc::Sender<Registration>,
}

/// A connection that wants every event after `position`.
pub(super) struct Registration {
    pub(super) connection: Arc<Connection>,
    pub(super) position: Position,
    /// Where its person is at `position`.
    pub(super) memberships: Memberships,
    pub(super) answer: oneshot::Sender<Registered>,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Every event after the position gets into the queue, once.
    Live,
    /// The position is not recent enough: take another snapshot.
    Stale,
    /// The person has as many streams as one may have.
    TooMany,
}

impl HubHandle {
    /// Up to where all events have been put into the queues; none before the feed has started.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position.borrow().clone()
    }

    /// The recent events. Not to be held over an await.
    pub fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the hub has seen everything up to `target`.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes too long.
    pub async fn reached(&self, target: &Position) -> Result<(), Error> {
        let reached = |at: &Option<Position>| {
            at.as_ref().is_some_and(|at| at.epoch == target.epoch && at.id >= target.id)
        };
        if reached(&self.position.borrow()) {
            return Ok(());
        }
        let mut position = self.position.clone();
        match timeout(PATIENCE, position.wait_for(reached)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Error::Ending),
            Err(_) => Err(Error::Behind),
        }
    }

    /// Subscribes a connection to every event after `position`, where its person is in `memberships`.
    ///
    /// # Errors
    /// [`Error::Ending`] when the server is to end.
    pub async fn register(
        &self,
        connection: Arc<Connection>,
        position: Position,
        memberships: Memberships,
    ) -> Result<Registered, Error> {
        let (answer, answered) = oneshot::channel();
        let registration = Registration { connection, position, memberships, answer };
        self.registrations.send(registration).await.map_err(|_| Error::Ending)?;
        answered.await.map_err(|_| Error::Ending)
    }
}
