//! One open stream: hello, what the client lacks, then what happens, until goodbye.

use std::time::Duration;

use bytes::Bytes;
use chat_core::{event::Position, http::handover::PlainConnection};
use chrono::TimeDelta;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::{
    error::Error,
    frame::{self, Form},
    hub::{Connection, Guard, Interruption, Parked, Queue, Taken, coalesce},
    metrics::STREAMS,
    reason::{Bye, Reset},
    replay::{Progress, Replay},
    state::AppState,
    subscriber::Subscriber,
    subscription::{Cursor, Opening, subscribe},
};

/// Bytes of text in a chunk: many events in one write, and a bound on what a slow socket has taken over.
pub const CHUNK: usize = 64 * 1024;
/// How long the database may take before the stream tries once more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Waits between attempts to go on after a failure.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// A stream, to be asked for one chunk after the other.
pub struct Stream {
    state: AppState,
    connection: Guard,
    form: Form,
    /// The client has everything for it up to here.
    cursor: Position,
    /// What goes out first.
    first: Option<Bytes>,
    phase: Phase,
    failures: usize,
    /// Not before this is something tried that has failed.
    retry_at: Option<Instant>,
    /// A ping is due if nothing goes out until then.
    idle_until: Instant,
}

enum Phase {
    /// To be subscribed again.
    Behind,
    /// Subscribed, and fetching what came before that.
    Replaying(Box<Replay>),
    /// Fed from the queue.
    Live,
    /// Over.
    Ended,
}

impl Stream {
    /// Opens a stream.
    ///
    /// # Errors
    /// Those of [`subscribe`].
    pub async fn open(state: AppState, subscriber: Subscriber, cursor: Cursor) -> Result<Self, Error> {
        let connection = Guard::new(connection(&state, subscriber));
        let subscription = subscribe(&state, &connection.share(), &cursor).await?;
        let position = subscription.position;
        // A client may be cut off between the hello and a reset: until that is told it is where it was, or nowhere.
        let start = match (&subscription.opening, cursor) {
            (Opening::Live, _) => position.clone(),
            (_, Cursor::Last(last)) => last,
            (_, Cursor::Now | Cursor::Nonsense) => Position { epoch: position.epoch.clone(), id: 0 },
        };
        let heartbeat_s = state.settings.stream.heartbeat_s;
        // A crash says no goodbye; random, so that not all come back at once.
        let retry_ms = rand::random_range(1_000..=3_000);
        let hello = frame::hello(&start, connection.id, heartbeat_s, state.clock.now(), retry_ms);
        tracing::debug!(connection = %connection.id, %start, "a stream begins");
        let mut stream = Self::begun(state, connection, start);
        let reset = stream.begin(subscription.opening, &position);
        stream.first = Some([hello.text(), &reset.unwrap_or_default()].concat().into());
        Ok(stream)
    }

    fn begun(state: AppState, connection: Guard, cursor: Position) -> Self {
        Self {
            idle_until: Instant::now() + next_ping(state.settings.stream.heartbeat_s),
            state,
            connection,
            form: Form::Text,
            cursor,
            first: None,
            phase: Phase::Live,
            failures: 0,
            retry_at: None,
        }
    }

    /// Its name in `hello` and in the logs.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.connection.id
    }

    /// What goes out first, as text.
    pub fn take_first(&mut self) -> Bytes {
        self.first.take().unwrap_or_default()
    }

    /// With chunks of this form from now on.
    #[must_use]
    pub fn in_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// Leaves the stream to the hub if there is nothing to do but to wait for events; else answers everything back.
    pub fn park(self, connection: PlainConnection) -> Result<(), (Self, PlainConnection)> {
        if !matches!(self.phase, Phase::Live) || self.first.is_some() {
            return Err((self, connection));
        }
        let parked = Parked::new(connection, self.cursor.id, self.state.clone());
        self.connection
            .park(parked)
            .map_err(|(guard, parked)| (Self { connection: guard, ..self }, parked.connection))
    }

    /// Goes on with a stream that was left to the hub.
    #[must_use]
    pub fn unpark(guard: Guard, parked: Parked) -> (Self, PlainConnection) {
        let cursor = parked.position();
        let stream = Self::begun(parked.state, guard, cursor).in_form(Form::Chunked);
        (stream, parked.connection)
    }

    /// Turns to what comes before the live events.
    fn begin(&mut self, opening: Opening, position: &Position) -> Option<Bytes> {
        match opening {
            Opening::Live => {
                self.phase = Phase::Live;
                None
            }
            Opening::Reset(reason) => {
                self.phase = Phase::Live;
                Some(self.reset(reason, position.clone()))
            }
            Opening::Replay(replay) => {
                self.phase = Phase::Replaying(replay);
                None
            }
        }
    }

    /// The next chunk; none at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let chunk = match self.first.take() {
                Some(first) => Some(first),
                None => match self.connection.queue.interruption() {
                    _ if matches!(self.phase, Phase::Ended) => return None,
                    Some(interruption) => Some(self.interrupt(interruption)),
                    None => self.step().await,
                },
            };
            if chunk.is_some() {
                self.idle_until = Instant::now() + next_ping(self.state.settings.stream.heartbeat_s);
                return chunk;
            }
        }
    }

    fn interrupt(&mut self, interruption: Interruption) -> Bytes {
        match interruption {
            Interruption::Cut(reason, position) => {
                self.phase = Phase::Behind;
                self.reset(reason, position)
            }
            Interruption::Ended(bye) => self.end(bye),
        }
    }

    fn reset(&mut self, reason: Reset, position: Position) -> Bytes {
        STREAMS.reset(reason);
        self.cursor = position;
        frame::reset(&self.cursor, reason.as_str()).share(self.form)
    }

    fn end(&mut self, bye: Bye) -> Bytes {
        tracing::debug!(connection = %self.connection.id, reason = bye.as_str(), "a stream ends");
        STREAMS.bye(bye);
        self.phase = Phase::Ended;
        frame::bye(bye.as_str(), bye.reconnect_ms()).share(self.form)
    }

    async fn step(&mut self) -> Option<Bytes> {
        if let Some(retry_at) = self.retry_at {
            if Instant::now() >= self.idle_until {
                return Some(frame::ping(&self.cursor).share(self.form));
            }
            if Instant::now() < retry_at {
                rest(&self.connection.queue, retry_at.min(self.idle_until)).await;
                return None;
            }
            self.retry_at = None;
        }
        // Whatever the database does, the client hears something now and then. Given up, each can be asked for again.
        let done = match self.phase {
            Phase::Behind => timeout(PATIENCE, self.catch_up()).await,
            Phase::Replaying(_) => timeout(PATIENCE, self.replay()).await,
            Phase::Live => Ok(Ok(self.live().await)),
            Phase::Ended => return None,
        };
        done.unwrap_or(Err(Error::Behind)).unwrap_or_else(|error| self.fail(error))
    }

    /// Keeps the stream open over a failure; only a session that has ended ends it.
    fn fail(&mut self, error: Error) -> Option<Bytes> {
        if matches!(error, Error::Unauthorized) {
            return Some(self.end(Bye::SessionRevoked));
        }
        tracing::debug!(connection = %self.connection.id, %error, "a stream waits to go on");
        self.retry_at = Some(Instant::now() + BACKOFF[self.failures.min(BACKOFF.len() - 1)]);
        self.failures += 1;
        None
    }

    /// The socket has drained, or the log has changed: subscribes again, from the stream's own cursor.
    async fn catch_up(&mut self) -> Result<Option<Bytes>, Error> {
        let cursor = Cursor::Last(self.cursor.clone());
        let subscription = subscribe(&self.state, &self.connection.share(), &cursor).await?;
        self.failures = 0;
        Ok(self.begin(subscription.opening, &subscription.position))
    }

    async fn replay(&mut self) -> Result<Option<Bytes>, Error> {
        let Phase::Replaying(replay) = &mut self.phase else {
            return Ok(None);
        };
        let end = replay.end();
        match replay.advance(&self.state).await? {
            Progress::Ready => {
                self.failures = 0;
                let Some(taken) = coalesce(replay.ready(), CHUNK, self.form) else {
                    return Ok(None);
                };
                self.cursor.id = taken.last;
                Ok(Some(taken.bytes))
            }
            Progress::Done => {
                self.cursor = end;
                self.phase = Phase::Live;
                Ok(None)
            }
            Progress::Lost(reason) => {
                self.phase = Phase::Live;
                Ok(Some(self.reset(reason, end)))
            }
        }
    }

    async fn live(&mut self) -> Option<Bytes> {
        // Read before the queue is: whatever is behind this position then stood in the queue already.
        let position = self.state.hub.position();
        match self.connection.queue.take(CHUNK, self.form) {
            Taken::Frames(chunk, last) => {
                self.cursor.id = last;
                Some(chunk)
            }
            Taken::Behind => {
                self.phase = Phase::Behind;
                None
            }
            Taken::Interrupted => None,
            Taken::Nothing if Instant::now() >= self.idle_until => {
                if let Some(position) = position.filter(|position| position.id > self.cursor.id) {
                    self.cursor = position;
                }
                Some(frame::ping(&self.cursor).share(self.form))
            }
            Taken::Nothing => {
                rest(&self.connection.queue, self.idle_until).await;
                None
            }
        }
    }
}

async fn rest(queue: &Queue, until: Instant) {
    tokio::select! {
        () = queue.woken() => {}
        () = sleep_until(until) => {}
    }
}

fn connection(state: &AppState, subscriber: Subscriber) -> Connection {
    // Early by up to a tenth of what is left, and 30 s at most, so that not all end at once.
    let left = subscriber.token_expires_at() - state.clock.now();
    let early = (left / 10).clamp(TimeDelta::zero(), TimeDelta::seconds(30));
    let jitter = TimeDelta::milliseconds(rand::random_range(0..=early.num_milliseconds()));
    Connection {
        id: Uuid::now_v7(),
        ends_at: subscriber.token_expires_at() - jitter,
        subscriber,
        queue: Queue::new(state.settings.stream.queue_limits()),
    }
}

/// The heartbeat, give or take a fifth.
#[must_use]
pub fn next_ping(heartbeat_s: u64) -> Duration {
    Duration::from_secs(heartbeat_s).mul_f64(rand::random_range(0.8..=1.2))
}
