//! The writer: one task that commits what has queued up while the commit before was under way.
//!
//! Commits follow one another, because each holds the ordering lock to its end; so the messages of many senders share
//! one. There is no timer: a message that comes alone is written alone, at once.

use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_core::{
    database::{Pool, is_unavailable},
    essential,
    ids::{ChatId, FileId, MessageId, UserId},
    telemetry::{
        metrics::{Refusal, refused},
        traces,
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug_span};

use super::store::{self, Draft, Written, WrittenBatch};
use crate::{
    access::{ChatClaim, SendTo},
    error::Error,
    mentions::mentioned,
    messages::types::SendMessage,
    metrics::SENDS,
};

/// The most messages of a batch.
const BATCH: usize = 256;
/// The most bytes of a batch, except for a single message.
const BATCH_BYTES: usize = 512 * 1024;
/// The most bytes that may wait.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// What a message counts for at least: so no more than 4,096 wait.
const LEAST_BYTES: usize = 4 * 1024;
/// How often a batch is written that PostgreSQL chose as the victim of a conflict.
const ATTEMPTS: usize = 3;

/// The way to the writer, cheap to clone. When the last one is dropped, the task ends after what is queued.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Job>,
    room: Arc<Semaphore>,
}

struct Job {
    draft: Draft,
    answer: oneshot::Sender<Result<Option<Written>, Error>>,
    /// Of its request, when traces are sent.
    span: Span,
    _room: OwnedSemaphorePermit,
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Client(ChatId, UserId, String),
    File(FileId),
}

impl Job {
    /// What no two messages of a batch may have in common.
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let Draft { chat_id, sender_id, body, .. } = &self.draft;
        let client_id = body.client_id.clone().map(|client_id| Key::Client(*chat_id, *sender_id, client_id));
        client_id.into_iter().chain(body.file_ids.iter().map(|id| Key::File(*id)))
    }
}

impl Writer {
    /// Starts the task on a pool of its own.
    #[must_use]
    pub fn start(pool: Pool, shutdown: &CancellationToken) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        let task = Task { jobs, waiting: VecDeque::new(), pool };
        essential::spawn_to_the_end("writer", shutdown, task.run());
        Self { queue, room: Arc::new(Semaphore::new(QUEUE_BYTES)) }
    }

    /// Writes a message, whether or not the caller waits for it; none when something stands against it.
    ///
    /// # Errors
    /// [`Error::Busy`] when too much waits or the database does not answer; it may have been written then.
    #[tracing::instrument(level = "debug", name = "send", skip_all)]
    pub(super) async fn write(
        &self,
        claim: &ChatClaim<SendTo>,
        body: SendMessage,
    ) -> Result<Option<(MessageId, Written)>, Error> {
        let bytes = u32::try_from(body.content.len().max(LEAST_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let room = room.map_err(|_| {
            refused(Refusal::Sends);
            Error::Busy("Too many messages are being sent at the moment.")
        })?;
        let id = MessageId::new();
        let mentioned = mentioned(&body.content);
        let draft = Draft { id, chat_id: claim.chat_id(), sender_id: claim.user_id(), body, mentioned };
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { draft, answer, span: traces::current(), _room: room }).map_err(|_| ended())?;
        let written = answered.await.map_err(|_| ended())??;
        Ok(written.map(|written| (id, written)))
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued_bytes(&self) -> usize {
        QUEUE_BYTES.saturating_sub(self.room.available_permits())
    }
}

fn ended() -> Error {
    Error::Internal("the writer has ended".to_owned())
}

struct Task {
    jobs: mpsc::UnboundedReceiver<Job>,
    /// Taken out of the queue, and not written yet.
    waiting: VecDeque<Job>,
    pool: Pool,
}

/// What became of a message, and who is to be told.
type Outcome = (oneshot::Sender<Result<Option<Written>, Error>>, Result<Option<Written>, Error>);

impl Task {
    async fn run(mut self) {
        let mut outcomes = Vec::new();
        loop {
            while self.waiting.len() < BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                self.waiting.push_back(job);
            }
            if self.waiting.is_empty() {
                tell(mem::take(&mut outcomes));
                match self.jobs.recv().await {
                    Some(job) => self.waiting.push_back(job),
                    None => return,
                }
                continue;
            }
            let batch = next_batch(&mut self.waiting);
            let told = mem::take(&mut outcomes);
            // PostgreSQL has the next batch before anybody goes on whose message was in the last one.
            (outcomes, ()) = tokio::join!(biased; self.write(batch), async { tell(told) });
        }
    }

    /// Writes a batch; when a statement fails for another reason than the database's state, its halves, down to the
    /// message that it fails for.
    async fn write(&self, batch: Vec<Job>) -> Vec<Outcome> {
        let (mut batches, mut outcomes) = (vec![batch], Vec::new());
        while let Some(mut batch) = batches.pop() {
            let span = debug_span!("write_messages", messages = batch.len());
            for job in &batch {
                span.follows_from(&job.span);
            }
            match self.try_write(&batch).instrument(span).await {
                Ok(written) => {
                    let told = batch.into_iter().zip(written);
                    outcomes.extend(told.map(|(job, written)| (job.answer, Ok(written))));
                }
                Err(error) if is_unavailable(&error) => {
                    tracing::warn!(%error, messages = batch.len(), "messages could not be written");
                    let busy = || Error::Busy("The database is not available at the moment.");
                    outcomes.extend(batch.into_iter().map(|job| (job.answer, Err(busy()))));
                }
                Err(error) if batch.len() > 1 => {
                    tracing::warn!(%error, messages = batch.len(), "a batch failed; it is written in halves");
                    let second = batch.split_off(batch.len() / 2);
                    batches.push(second);
                    batches.push(batch);
                }
                Err(error) => {
                    outcomes.extend(batch.pop().map(|job| (job.answer, Err(Error::Database(error)))));
                }
            }
        }
        outcomes
    }

    async fn try_write(&self, batch: &[Job]) -> sqlx::Result<Vec<Option<Written>>> {
        let drafts: Vec<Draft> = batch.iter().map(|job| job.draft.clone()).collect();
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            match store::write(&self.pool, &drafts).await {
                Err(error) if attempt < ATTEMPTS && is_conflict(&error) => attempt += 1,
                Err(error) => return Err(error),
                Ok(batch) => {
                    count(&batch, begun.elapsed());
                    return Ok(batch.written);
                }
            }
        }
    }
}

fn tell(outcomes: Vec<Outcome>) {
    for (answer, outcome) in outcomes {
        // The caller may have gone: the message is written all the same.
        let _ = answer.send(outcome);
    }
}

fn count(batch: &WrittenBatch, took: Duration) {
    let messages = batch.written.iter().flatten().count();
    let Ok(messages) = u32::try_from(messages) else { return };
    SENDS.sent.increment(messages.into());
    SENDS.batch.record(messages);
    SENDS.commit.record(took);
    if let Some(waited) = batch.waited {
        SENDS.lock.record(waited);
    }
}

/// The oldest messages, as many as go together; one whose key is in the batch already waits for the next.
fn next_batch(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let (mut batch, mut later, mut bytes) = (Vec::new(), VecDeque::new(), 0);
    let mut held: HashSet<Key> = HashSet::new();
    while batch.len() < BATCH
        && let Some(job) = waiting
            .pop_front_if(|job| batch.is_empty() || bytes + job.draft.body.content.len() <= BATCH_BYTES)
    {
        if job.keys().any(|key| held.contains(&key)) {
            later.push_back(job);
        } else {
            held.extend(job.keys());
            bytes += job.draft.body.content.len();
            batch.push(job);
        }
    }
    later.append(waiting);
    *waiting = later;
    batch
}

/// Whether PostgreSQL undid the transaction for the sake of another (manual, section 13.5): nothing has happened.
fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["40001", "40P01"].contains(&&*code))
}
