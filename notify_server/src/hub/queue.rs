//! What waits for one connection: bounded, so that a slow reader costs nobody else anything.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use chat_core::event::Position;
use tokio::sync::Notify;

use super::parked::Parked;
use crate::{
    frame::{Chunk, Form, Frame},
    metrics::OpenStream,
    reason::{Bye, Reset},
};

/// How much may wait for a connection.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Events.
    pub events: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Frames in the order of the log.
pub type Frames = VecDeque<Waiting>;

/// A frame that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Everything up to here is behind who has read it.
    pub id: i64,
    /// What goes out.
    pub chunk: Chunk,
    /// Whether it may be dropped.
    pub ephemeral: bool,
}

/// Frames on their way from the hub to one connection.
#[derive(Debug)]
pub struct Queue {
    limits: QueueLimits,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    frames: Frames,
    bytes: usize,
    /// How many of the frames may be dropped.
    ephemeral: usize,
    status: Status,
    /// The stream's socket, while the stream has no task.
    parked: Option<Parked>,
    /// Until the client is gone.
    open: Option<OpenStream>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    /// Not subscribed: the connection is to fetch what it lacks, from its own cursor.
    Behind,
    /// Every event for the connection is put in.
    Live,
    /// Something is missing before `position`, which the client must be told.
    Cut(Reset, Position),
    /// The stream is to end.
    Ended(Bye),
    /// The client is gone.
    Left,
}

/// What became of a frame that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is the only one: the connection rests, and is to be seen to after the batch.
    First,
    /// It waits behind others.
    Next,
    /// There is no room until the socket of the parked stream has been written to; nothing was changed.
    Full,
    /// There was no room, and nothing waits any more: the connection is behind now.
    Overflow,
    /// The connection is not subscribed.
    Refused,
}

/// What a connection finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Some frames in one piece, and the id of the last one.
    Frames(Bytes, i64),
    /// Nothing waits.
    Nothing,
    /// The queue overflowed: subscribe again from the cursor.
    Behind,
    /// See [`Queue::interruption`].
    Interrupted,
}

/// What goes before all frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Tell the client of a break, and subscribe again from the position.
    Cut(Reset, Position),
    /// Say goodbye.
    Ended(Bye),
}

impl Queue {
    /// An empty queue of a connection that is not subscribed yet.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        let (frames, open) = (Frames::new(), Some(OpenStream::new()));
        let state = State { frames, bytes: 0, ephemeral: 0, status: Status::Behind, parked: None, open };
        Self { limits, state: Mutex::new(state), wake: Notify::new() }
    }

    /// From now on every event for the connection is put in.
    pub fn subscribe(&self) {
        let mut state = self.lock();
        if matches!(state.status, Status::Behind | Status::Live | Status::Cut(..)) {
            state.turn(Status::Live);
        }
    }

    /// Puts a frame in. Wakes nobody: a whole batch is put in first.
    pub fn push(&self, id: i64, frame: &Frame) -> Pushed {
        let mut state = self.lock();
        if state.status != Status::Live {
            return Pushed::Refused;
        }
        let first = state.frames.is_empty();
        if state.ephemeral > 0 && self.is_half_full(&state) {
            state.drop_ephemeral();
        }
        let bytes = state.bytes + frame.chunk().text().len();
        // One frame always fits, or it would never get through.
        if !state.frames.is_empty() && (state.frames.len() >= self.limits.events || bytes > self.limits.bytes)
        {
            if state.parked.is_some() {
                return Pushed::Full;
            }
            state.turn(Status::Behind);
            return Pushed::Overflow;
        }
        state.frames.push_back(Waiting { id, chunk: frame.chunk().clone(), ephemeral: false });
        state.bytes = bytes;
        if first { Pushed::First } else { Pushed::Next }
    }

    /// Puts something ephemeral in, behind everything up to `position`; refused when half of the room is taken.
    pub fn push_ephemeral(&self, position: i64, chunk: &Chunk) -> Pushed {
        let mut state = self.lock();
        if state.status != Status::Live || self.is_half_full(&state) {
            return Pushed::Refused;
        }
        let first = state.frames.is_empty();
        state.frames.push_back(Waiting { id: position, chunk: chunk.clone(), ephemeral: true });
        state.bytes += chunk.text().len();
        state.ephemeral += 1;
        if first { Pushed::First } else { Pushed::Next }
    }

    fn is_half_full(&self, state: &State) -> bool {
        state.frames.len() >= self.limits.events / 2 || state.bytes >= self.limits.bytes / 2
    }

    /// Wakes the stream's task, if it waits.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Tells the connection that something is missing before `position`.
    pub(super) fn cut(&self, reason: Reset, position: Position) {
        self.interrupt(Status::Cut(reason, position));
    }

    /// Ends the stream.
    pub(super) fn end(&self, bye: Bye) {
        self.interrupt(Status::Ended(bye));
    }

    fn interrupt(&self, status: Status) {
        let mut state = self.lock();
        if !matches!(state.status, Status::Ended(_) | Status::Left) {
            state.turn(status);
            self.wake.notify_one();
        }
    }

    /// The client is gone.
    pub fn leave(&self) {
        self.lock().leave();
    }

    /// Whether the client is gone.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.lock().status == Status::Left
    }

    /// Whether every event for the connection is put in.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.lock().status == Status::Live
    }

    /// What goes before all frames, if there is something; a cut is told once.
    #[must_use]
    pub fn interruption(&self) -> Option<Interruption> {
        let mut state = self.lock();
        match state.status.clone() {
            Status::Cut(reason, position) => {
                state.turn(Status::Behind);
                Some(Interruption::Cut(reason, position))
            }
            Status::Ended(bye) => Some(Interruption::Ended(bye)),
            Status::Behind | Status::Live | Status::Left => None,
        }
    }

    /// Takes frames of at most `most` bytes together, but at least one.
    #[must_use]
    pub fn take(&self, most: usize, form: Form) -> Taken {
        let mut state = self.lock();
        match state.status {
            Status::Behind => Taken::Behind,
            Status::Cut(..) | Status::Ended(_) | Status::Left => Taken::Interrupted,
            Status::Live => match state.take(most, form) {
                Some((bytes, last)) => Taken::Frames(bytes, last),
                None => Taken::Nothing,
            },
        }
    }

    /// Waits until there may be something.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Leaves the stream's socket here, if it is live and nothing waits for it; else answers it back.
    pub(super) fn park(&self, parked: Parked) -> Result<(), Parked> {
        let mut state = self.lock();
        if state.status != Status::Live || !state.frames.is_empty() {
            return Err(parked);
        }
        // Memory for an idle stream would be kept for its whole life.
        state.frames = Frames::new();
        state.parked = Some(parked);
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn turn(&mut self, status: Status) {
        self.status = status;
        self.frames = Frames::new();
        self.bytes = 0;
        self.ephemeral = 0;
    }

    fn drop_ephemeral(&mut self) {
        self.frames.retain(|frame| !frame.ephemeral);
        self.bytes = self.frames.iter().map(|frame| frame.chunk.text().len()).sum();
        self.ephemeral = 0;
    }

    /// The client is gone; its socket, if it is here, is closed.
    pub(super) fn leave(&mut self) {
        self.turn(Status::Left);
        self.parked = None;
        self.open = None;
    }

    /// Takes frames of at most `most` bytes together, but at least one.
    pub(super) fn take(&mut self, most: usize, form: Form) -> Option<(Bytes, i64)> {
        let taken = coalesce(&mut self.frames, most, form)?;
        self.bytes -= taken.texts;
        self.ephemeral -= taken.ephemeral;
        Some((taken.bytes, taken.last))
    }

    /// The parked stream's socket.
    pub(super) fn parked(&mut self) -> Option<&mut Parked> {
        self.parked.as_mut()
    }

    /// Takes the parked stream's socket out.
    pub(super) fn unpark(&mut self) -> Option<Parked> {
        self.parked.take()
    }

    /// Gives the memory of an empty queue back.
    pub(super) fn shrink(&mut self) {
        if self.frames.is_empty() {
            mem::take(&mut self.frames);
        }
    }
}

/// Frames in one piece.
#[derive(Debug)]
pub struct Coalesced {
    /// What goes out.
    pub bytes: Bytes,
    /// The id of the last frame.
    pub last: i64,
    /// The length of the frames' texts.
    texts: usize,
    /// How many of them were ephemeral.
    ephemeral: usize,
}

/// Takes frames whose texts are at most `most` bytes together, but at least one: one write costs much less than
/// several.
#[must_use]
pub fn coalesce(frames: &mut Frames, most: usize, form: Form) -> Option<Coalesced> {
    let first = frames.pop_front()?;
    let (mut last, mut texts) = (first.id, first.chunk.text().len());
    let mut ephemeral = usize::from(first.ephemeral);
    let mut together = Vec::new();
    while let Some(next) = frames.pop_front_if(|next| texts + next.chunk.text().len() <= most) {
        if together.is_empty() {
            together.extend_from_slice(first.chunk.bytes(form));
        }
        together.extend_from_slice(next.chunk.bytes(form));
        texts += next.chunk.text().len();
        ephemeral += usize::from(next.ephemeral);
        last = next.id;
    }
    let bytes = if together.is_empty() { first.chunk.share(form) } else { together.into() };
    Some(Coalesced { bytes, last, texts, ephemeral })
}
