//! The hub: one task that routes the log's events to the open streams.
//!
//! It owns the directory, the ring and the connections, and takes what happens one after the other: so each
//! event meets the memberships exactly as they were at its place in the log.

mod connection;
mod connections;
mod handle;
mod parked;
mod queue;
#[cfg(test)]
mod tests;
mod wheel;

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};

use chat_core::{
    caller::Authenticator,
    clock::Clock,
    event::{Ephemeral, Epoch, Position},
    telemetry::metrics::{Refusal, refused},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    departures::Departures,
    directory::{Audience, Directory, Ending, Memberships, Scope},
    entry::Entry,
    frame,
    intake::Intake,
    metrics::STREAMS,
    reason::Bye,
    ring::Ring,
};

pub use self::{
    connection::{Connection, Guard},
    handle::{HubHandle, Registered},
    parked::Parked,
    queue::{Frames, Interruption, Queue, QueueLimits, Taken, Waiting, coalesce},
};
use self::{connections::Connections, handle::Registration, wheel::TICK};

/// Registrations that may wait for the hub.
const REGISTRATIONS: usize = 1024;
/// Registrations between two looks at what else happens.
const TOGETHER: usize = 256;
/// Ephemeral events that may wait for the events before them.
const EARLY: usize = 1024;
/// How many streams a second end at a shutdown, so that their clients do not come back all at once.
const GOODBYES_PER_S: u32 = 500;
/// How many of them end together.
const GOODBYES: u32 = 16;

/// The hub itself.
pub struct Hub {
    directory: Directory,
    connections: Connections,
    ring: Arc<RwLock<Ring>>,
    position: watch::Sender<Option<Position>>,
    registrations: mpsc::Receiver<Registration>,
    /// What was said after the last event taken in.
    early: Vec<Ephemeral>,
    authenticator: Authenticator,
    clock: Clock,
}

impl Hub {
    /// A hub that knows nothing yet; 0 streams a person is no limit.
    #[must_use]
    pub fn new(
        ring: Ring,
        streams_per_person: u32,
        authenticator: Authenticator,
        clock: Clock,
    ) -> (Self, HubHandle) {
        let ring = Arc::new(RwLock::new(ring));
        let (position, position_seen) = watch::channel(None);
        let (register, registrations) = mpsc::channel(REGISTRATIONS);
        let handle = HubHandle { ring: Arc::clone(&ring), position: position_seen, registrations: register };
        let (directory, connections) = (Directory::default(), Connections::new(streams_per_person));
        let early = Vec::new();
        (Self { directory, connections, ring, position, registrations, early, authenticator, clock }, handle)
    }

    /// Routes until `shutdown`; then ends the streams, within `drain`.
    pub async fn run(
        mut self,
        mut intake: mpsc::Receiver<Intake>,
        mut ephemeral: mpsc::Receiver<Ephemeral>,
        shutdown: CancellationToken,
        drain: Duration,
    ) {
        let mut registrations = Vec::new();
        let mut wheel = interval(TICK);
        wheel.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                taken = intake.recv() => {
                    let Some(taken) = taken else {
                        if !shutdown.is_cancelled() {
                            tracing::error!("the event feed has ended, and the streams with it");
                        }
                        break;
                    };
                    self.take_in(taken).await;
                }
                1.. = self.registrations.recv_many(&mut registrations, TOGETHER) => {
                    for registration in registrations.drain(..) {
                        self.register(registration);
                    }
                }
                Some(said) = ephemeral.recv() => {
                    if self.early.len() < EARLY {
                        self.early.push(said);
                    }
                    self.tell_ephemeral().await;
                }
                _ = wheel.tick() => {
                    let position = self.position.borrow().clone();
                    let known = |key| self.authenticator.knows(key);
                    for user in self.connections.look_after(self.clock.now(), position, known) {
                        self.directory.disconnect(user);
                    }
                }
            }
        }
        self.say_goodbye(drain).await;
    }

    #[tracing::instrument(level = "debug", name = "deliver", skip_all)]
    async fn take_in(&mut self, taken: Intake) {
        match taken {
            Intake::Events { entries, departures, written_at, position } => {
                let (now, departures) = (Instant::now(), Arc::new(departures));
                // Before the entries: who reads one of them finds these as well.
                self.ring_mut().expect(Arc::clone(&departures));
                for entry in entries {
                    self.route(entry, &departures, &position.epoch, now);
                }
                for user in self.connections.flush().await {
                    self.directory.disconnect(user);
                }
                // Two clocks: the one may be ahead of the other.
                let delay = (self.clock.now() - written_at).to_std().unwrap_or_default();
                STREAMS.delay.record(delay);
                // Only now: who reads it may rely on what stands in the queues.
                self.position.send_replace(Some(position));
                self.tell_ephemeral().await;
            }
            Intake::Anew { reason, position, ring } => {
                tracing::info!(?reason, %position, "the event log is followed from here");
                self.directory.clear();
                self.early.clear();
                self.authenticator.forget_all();
                self.connections.cut(reason.into(), &position);
                *self.ring_mut() = ring;
                self.position.send_replace(Some(position));
            }
        }
    }

    /// Delivers what was said up to the last event taken in: by then everybody is where they were when it was said.
    async fn tell_ephemeral(&mut self) {
        let Some(at) = self.position.borrow().as_ref().map(|position| position.id) else { return };
        let (now, later): (Vec<_>, Vec<_>) = self.early.drain(..).partition(|said| said.after <= at);
        self.early = later;
        if now.is_empty() {
            return;
        }
        for said in now {
            let chunk = frame::ephemeral(&said);
            let audience = Audience { scope: Scope::Chat(said.chat_id), person: None };
            let connections = &mut self.connections;
            self.directory.for_each(&audience, |user| {
                if user != said.user_id {
                    connections.deliver_ephemeral(user, at, &chunk);
                }
            });
        }
        for user in self.connections.flush().await {
            self.directory.disconnect(user);
        }
    }

    fn route(&mut self, entry: Arc<Entry>, departures: &Departures, epoch: &Epoch, now: Instant) {
        if let Some(frame) = &entry.frame {
            let connections = &mut self.connections;
            let outlives = departures.outliving(&entry);
            self.directory.for_each(&entry.route.audience, |user| {
                if outlives(user) {
                    connections.cut_of(user, &Position { epoch: epoch.clone(), id: entry.id });
                } else {
                    connections.deliver(user, entry.id, frame, now);
                }
            });
        }
        if let Some(change) = &entry.route.change {
            self.directory.apply(change);
        }
        if let Some(ending) = &entry.route.ending {
            if let Ending::Session(_, session) = ending {
                self.authenticator.forget(*session);
            }
            self.connections.end(ending);
        }
        self.ring_mut().push(entry);
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&mut self, registration: Registration) {
        let Registration { connection, position, memberships, answer } = registration;
        if !self.connections.has_place(&connection) {
            refused(Refusal::Streams);
            // Who has given up meanwhile need not be told.
            let _ = answer.send(Registered::TooMany);
            return;
        }
        let current = self.position.borrow().as_ref().is_some_and(|at| at.epoch == position.epoch);
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let memberships = current.then(|| follow(&ring, &connection, position.id, memberships)).flatten();
        drop(ring);
        let registered = match memberships {
            Some(memberships) => {
                if connection.queue.is_live() {
                    self.directory.connect(connection.subscriber.user_id(), memberships);
                }
                connection.queue.wake();
                self.connections.attach(connection);
                Registered::Live
            }
            None => Registered::Stale,
        };
        // The handler may have been dropped with its request; the wheel finds that.
        let _ = answer.send(registered);
    }

    /// Ends the streams one after the other. Their clients come back to another instance, or to the next start.
    async fn say_goodbye(mut self, drain: Duration) {
        self.registrations.close();
        let connections = self.connections.drain();
        let groups = u32::try_from(connections.len()).unwrap_or(u32::MAX).div_ceil(GOODBYES);
        let pause = (Duration::from_secs(1) * GOODBYES / GOODBYES_PER_S).min(drain / 2 / groups.max(1));
        for group in connections.chunks(GOODBYES as usize) {
            for connection in group {
                connection.end(Bye::Shutdown);
            }
            sleep(pause).await;
        }
    }
}

/// Subscribes a connection and leads its memberships from `position` to where the hub is.
///
/// None when what lies between is not known any more, and when the person leaves a chat there: what was said in it before
/// may have been changed after.
fn follow(ring: &Ring, connection: &Connection, position: i64, mut own: Memberships) -> Option<Memberships> {
    let user = connection.subscriber.user_id();
    let between = ring.range(position, ring.head())?;
    if !ring.left_by(user, position)?.is_empty() {
        return None;
    }
    connection.queue.subscribe();
    for entry in between {
        // A queue that has overflowed takes nothing, and costs nothing.
        if own.reached_by(&entry.route.audience, user)
            && connection.queue.is_live()
            && let Some(frame) = ring.recent(entry).frame()
        {
            connection.queue.push(entry.id, &frame);
        }
        if let Some(change) = &entry.route.change {
            own.apply(change, user);
        }
        if let Some(ending) = &entry.route.ending
            && ending.ends(connection)
        {
            connection.queue.end(ending.bye());
        }
    }
    Some(own)
}
