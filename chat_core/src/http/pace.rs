//! How long a client may take with the head of a request, and say nothing between two requests.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Where a connection is between its requests; shared by what reads, what answers and what judges. With HTTP/1.1 all of
/// them are on one task, and one request follows the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Beginnings and ends, so that an answer that took no time is noticed as well.
    turns: AtomicU32,
    /// Requests that are being answered.
    open: AtomicU32,
    /// Whether something has come since the last of them.
    read: AtomicBool,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Turns);

impl Turns {
    /// A request begins to be answered.
    pub(super) fn begin(&self) -> Turn {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.turn();
        Turn(self.clone())
    }

    /// Something of the head of a request has been read.
    pub(super) fn read(&self) {
        self.0.read.store(true, Ordering::Relaxed);
    }

    fn turn(&self) {
        self.0.read.store(false, Ordering::Relaxed);
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        let turns = self.0.turns.load(Ordering::Relaxed);
        let answering = self.0.open.load(Ordering::Relaxed) > 0;
        Phase { turns, answering, heading: !answering && self.0.read.load(Ordering::Relaxed) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.turn();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phase {
    turns: u32,
    answering: bool,
    /// Whether some of a head has come.
    heading: bool,
}

/// Judges how long a client takes.
#[derive(Debug)]
pub(super) struct Pace {
    turns: Turns,
    head: Duration,
    idle: Duration,
    phase: Phase,
    since: Instant,
    /// Set once for many requests: what it means is looked at when it goes off.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Gives `head` for the head of a request, from its first byte, and `idle` for that byte.
    pub(super) fn new(turns: Turns, head: Duration, idle: Duration) -> Self {
        let phase = turns.phase();
        Self { turns, head, idle, phase, since: Instant::now(), timer: None }
    }

    /// Ready once the client has taken too long. To be asked after whatever happens on the connection.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let phase = self.turns.phase();
        if phase != self.phase {
            (self.phase, self.since) = (phase, Instant::now());
        }
        if phase.answering {
            return Poll::Pending;
        }
        let deadline = self.since + if phase.heading { self.head } else { self.idle };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
