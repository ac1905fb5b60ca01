//! Many event streams, and when what has reached them.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::ready,
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
    fn note(&self, stream: usize, arrival: Arrival) {
        match arrival {
            Arrival::Hello => {
                if self.opened.fetch_add(1, Relaxed) + 1 + self.failed.load(Relaxed) == self.streams {
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
            Arrival::Status(_) | Arrival::Broken => self.fail(),
        }
    }

    fn advance(&self, messages: u64) {
        let mut goal = self.goal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if messages >= goal.messages && goal.reached.is_none() {
            goal.reached = Some(Instant::now());
        }
        self.turns.add_permits(1);
        self.progress.notify_one();
    }

    fn fail(&self) {
        self.failed.fetch_add(1, Relaxed);
        self.progress.notify_one();
    }
}

impl Audience {
    /// Opens a stream with each of the requests, all at once.
    pub(crate) async fn open(address: SocketAddr, requests: Vec<Vec<u8>>) -> anyhow::Result<Self> {
        let tally = Arc::new(Tally {
            streams: u64::try_from(requests.len())?,
            opened: AtomicU64::default(),
            failed: AtomicU64::default(),
            messages: AtomicU64::default(),
            each: requests.iter().map(|_| AtomicU32::default()).collect(),
            goal: Mutex::default(),
            progress: Notify::new(),
            turns: Arc::new(Semaphore::new(0)),
        });
        let begin = Instant::now();
        let mut streams = JoinSet::new();
        for (stream, request) in requests.into_iter().enumerate() {
            let tally = tally.clone();
            streams.spawn(async move {
                if follow(address, request, |arrival| tally.note(stream, arrival)).await.is_err() {
                    tally.fail();
                }
            });
        }
        let all_there = || tally.opened.load(Relaxed) + tally.failed.load(Relaxed) >= tally.streams;
        wait_until(&tally, all_there).await;
        let opened = usize::try_from(tally.opened.load(Relaxed))?;
        let refused = tally.each.len() - opened;
        Ok(Self { opening: begin.elapsed(), refused, tally, streams })
    }

    /// How many streams are to be reached.
    pub(crate) fn size(&self) -> u64 {
        self.tally.streams
    }

    /// Sets the goal: `messages` more on each stream.
    pub(crate) fn expect(&self, messages: u64) {
        let mut goal = self.tally.goal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let so_far = self.tally.messages.load(Relaxed);
        *goal = Goal { messages: so_far + messages * self.tally.streams, reached: None };
    }

    /// When the goal was reached: everything expected has come to everybody.
    pub(crate) async fn reached(&self) -> anyhow::Result<Instant> {
        let goal = || self.tally.goal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wait_until(&self.tally, || goal().reached.is_some() || self.tally.failed.load(Relaxed) > 0).await;
        let (wanted, reached) = (goal().messages, goal().reached);
        let Some(reached) = reached else {
            bail!(
                "{} of {wanted} deliveries came; {} streams broke",
                self.tally.messages.load(Relaxed),
                self.tally.failed.load(Relaxed)
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

/// Reads a stream to its end.
pub(crate) async fn follow(
    address: SocketAddr,
    request: Vec<u8>,
    arrived: impl FnMut(Arrival),
) -> anyhow::Result<()> {
    let mut frames = Frames::default();
    let mut arrived = arrived;
    read(open(address, request).await?, |bytes| frames.feed(bytes, &mut arrived)).await
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

/// Reads to the end, which is an error: streams go on.
pub(crate) async fn read(mut stream: TcpStream, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
    loop {
        let read = poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut stream).poll_read(cx, &mut buffer))?;
                take(buffer.filled());
                std::task::Poll::Ready(std::io::Result::Ok(buffer.filled().len()))
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
