//! Many event streams, and when what has reached them.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, ready},
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpSocket, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::timeout,
};

use crate::frames::{Arrival, Frames};

/// How long anything may take to reach all streams; what takes longer is lost.
const PATIENCE: Duration = Duration::from_mins(2);

thread_local! {
    /// Streams are read one at a time on a thread, so that they share a buffer.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// Streams, open until it is dropped.
pub(crate) struct Audience {
    tally: Arc<Tally>,
    /// Aborted on drop.
    streams: JoinSet<()>,
    /// From the first connection to the last `hello`.
    pub(crate) opening: Duration,
    /// Streams that the server did not open.
    pub(crate) refused: usize,
}

/// What has come, over all streams.
struct Tally {
    streams: u64,
    opened: AtomicU64,
    failed: AtomicU64,
    first_failure: OnceLock<String>,
    messages: AtomicU64,
    /// Of each stream.
    each: Vec<AtomicU32>,
    goal: Mutex<Goal>,
    /// Something that may be waited for has happened.
    progress: Notify,
    /// Messages that may be sent now, in a burst.
    turns: Arc<Semaphore>,
}

/// A number of messages, and when it was reached.
#[derive(Default)]
struct Goal {
    messages: u64,
    reached: Option<Instant>,
}

impl Tally {
    /// An error ends the stream.
    fn note(&self, stream: usize, arrival: Arrival) -> anyhow::Result<()> {
        match arrival {
            Arrival::Hello => {
                self.opened.fetch_add(1, Relaxed);
                if self.all_tried() {
                    self.progress.notify_one();
                }
            }
            Arrival::Message => {
                self.each[stream].fetch_add(1, Relaxed);
                let messages = self.messages.fetch_add(1, Relaxed) + 1;
                // About the moment when another message has reached everybody.
                if messages.is_multiple_of(self.streams) {
                    self.advance(messages);
                }
            }
            Arrival::Status(200) => {}
            Arrival::Status(status) => bail!("it was answered {status}"),
            Arrival::Broken => bail!("the server sent `bye` or `reset`"),
        }
        Ok(())
    }

    /// Whether each stream has been opened, or has failed.
    fn all_tried(&self) -> bool {
        self.opened.load(Relaxed) + self.failed.load(Relaxed) >= self.streams
    }

    fn advance(&self, messages: u64) {
        let mut goal = self.goal();
        if messages >= goal.messages && goal.reached.is_none() {
            goal.reached = Some(Instant::now());
        }
        self.turns.add_permits(1);
        self.progress.notify_one();
    }

    fn goal(&self) -> MutexGuard<'_, Goal> {
        self.goal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: &anyhow::Error) {
        self.failed.fetch_add(1, Relaxed);
        // Who comes second fails for the same reason, or because of the first.
        self.first_failure.get_or_init(|| format!("{error:#}"));
        self.progress.notify_one();
    }
}

impl Audience {
    /// Opens a stream with each of the requests, so many at once.
    pub(crate) async fn open(
        address: SocketAddr,
        requests: Vec<Vec<u8>>,
        at_once: usize,
    ) -> anyhow::Result<Self> {
        let tally = Arc::new(Tally {
            streams: u64::try_from(requests.len())?,
            opened: AtomicU64::default(),
            failed: AtomicU64::default(),
            first_failure: OnceLock::new(),
            messages: AtomicU64::default(),
            each: requests.iter().map(|_| AtomicU32::default()).collect(),
            goal: Mutex::default(),
            progress: Notify::new(),
            turns: Arc::new(Semaphore::new(0)),
        });
        let begin = Instant::now();
        let doors = Arc::new(Semaphore::new(at_once));
        let mut streams = JoinSet::new();
        for (stream, request) in requests.into_iter().enumerate() {
            let (tally, doors) = (tally.clone(), doors.clone());
            streams.spawn(async move {
                let mut door = doors.acquire_owned().await.ok();
                let arrived = |arrival| {
                    door = None;
                    tally.note(stream, arrival)
                };
                if let Err(error) = follow(address, request, arrived).await {
                    tally.fail(&error);
                }
            });
        }
        wait_until(&tally, || tally.all_tried()).await;
        let opened = usize::try_from(tally.opened.load(Relaxed))?;
        let refused = tally.each.len() - opened;
        Ok(Self { opening: begin.elapsed(), refused, tally, streams })
    }

    /// Why the first stream failed, if one did.
    pub(crate) fn first_failure(&self) -> &str {
        self.tally.first_failure.get().map_or("nobody knows", String::as_str)
    }

    /// How many streams are to be reached.
    pub(crate) fn size(&self) -> u64 {
        self.tally.streams
    }

    /// Sets the goal: `messages` more on each stream.
    pub(crate) fn expect(&self, messages: u64) {
        let mut goal = self.tally.goal();
        let so_far = self.tally.messages.load(Relaxed);
        *goal = Goal { messages: so_far + messages * self.tally.streams, reached: None };
    }

    /// When the goal was reached: everything expected has come to everybody.
    pub(crate) async fn reached(&self) -> anyhow::Result<Instant> {
        let failed = || self.tally.failed.load(Relaxed) > 0;
        wait_until(&self.tally, || self.tally.goal().reached.is_some() || failed()).await;
        let Goal { messages: wanted, reached } = *self.tally.goal();
        let Some(reached) = reached else {
            bail!(
                "{} of {wanted} deliveries came; {} streams broke, the first because: {}",
                self.tally.messages.load(Relaxed),
                self.tally.failed.load(Relaxed),
                self.first_failure()
            );
        };
        let each = u32::try_from(wanted / self.tally.streams)?;
        let uneven = self.tally.each.iter().filter(|count| count.load(Relaxed) != each).count();
        ensure!(uneven == 0, "{uneven} streams did not get {each} messages each");
        Ok(reached)
    }

    /// Begins a burst: a turn is there for each message that may be under way, and another one each time that a
    /// message has reached everybody.
    pub(crate) fn turns(&self, under_way: usize) -> Arc<Semaphore> {
        // Those of the messages before.
        self.tally.turns.forget_permits(Semaphore::MAX_PERMITS);
        self.tally.turns.add_permits(under_way);
        self.tally.turns.clone()
    }

    /// Closes all streams.
    pub(crate) async fn close(mut self) {
        self.streams.shutdown().await;
    }
}

async fn wait_until(tally: &Tally, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tally.progress.notified().await;
        }
    };
    // Who called sees by itself that it is not done.
    drop(timeout(PATIENCE, waiting).await);
}

/// Reads a stream until its end, or an error of `arrived`.
async fn follow(
    address: SocketAddr,
    request: Vec<u8>,
    mut arrived: impl FnMut(Arrival) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut frames = Frames::default();
    let stream = open(address, request).await?;
    read(stream, |bytes| {
        let mut result = Ok(());
        frames.feed(bytes, |arrival| {
            if result.is_ok() {
                result = arrived(arrival);
            }
        });
        result
    })
    .await
}

/// Connects, and asks.
pub(crate) async fn open(address: SocketAddr, request: Vec<u8>) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Ten thousand closed connections would otherwise keep their ports for a minute.
    socket.set_zero_linger()?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(&request).await?;
    Ok(stream)
}

/// Reads until an error of `take`, or the end, which is one too: streams go on.
pub(crate) async fn read(
    mut stream: TcpStream,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    loop {
        let read = poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(take(buffer.filled()).map(|()| buffer.filled().len()))
            })
        })
        .await?;
        ensure!(read > 0, "a stream has ended");
    }
}

/// Reads a stream up to its `hello`, before which nothing is sent to it.
pub(crate) async fn greeted(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut frames = Frames::default();
    let mut greeted = false;
    while !greeted {
        let mut bytes = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut bytes)).await??;
        ensure!(read > 0, "a stream was not opened");
        frames.feed(&bytes[..read], |arrival| greeted |= arrival == Arrival::Hello);
    }
    Ok(())
}
