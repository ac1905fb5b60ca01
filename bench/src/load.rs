//! Closed loops: each client asks again as soon as it has its answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{anyhow, ensure};
use tokio::{task::JoinSet, time::sleep};

use crate::{http::Connection, requests::Requests};

/// Clients at work, until [`Load::stop`].
pub(crate) struct Load {
    counts: Arc<Counts>,
    clients: JoinSet<anyhow::Result<()>>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// What was done in a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Requests that succeeded.
    pub(crate) answered: u64,
    /// Requests that the server turned away because it was full (429 and 503).
    pub(crate) refused: u64,
    pub(crate) elapsed: Duration,
}

impl Done {
    /// Successes a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// What each success took of `total`, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub(crate) fn micros_each(&self, total: Duration) -> f64 {
        total.as_secs_f64() * 1e6 / self.answered as f64
    }
}

impl Load {
    /// Connects the clients, and starts them.
    pub(crate) async fn start(
        address: SocketAddr,
        requests: impl IntoIterator<Item = impl Requests>,
    ) -> anyhow::Result<Self> {
        let counts = Arc::<Counts>::default();
        let mut connected = Vec::new();
        for requests in requests {
            connected.push((Connection::open(address).await?, requests));
        }
        let mut clients = JoinSet::new();
        for (connection, requests) in connected {
            clients.spawn(ask(connection, requests, counts.clone()));
        }
        Ok(Self { counts, clients })
    }

    /// Lets the clients work for this long, and counts.
    pub(crate) async fn run_for(&mut self, time: Duration) -> anyhow::Result<Done> {
        let before = (self.counts.answered.load(Relaxed), self.counts.refused.load(Relaxed));
        let begin = Instant::now();
        tokio::select! {
            () = sleep(time) => {}
            Some(ended) = self.clients.join_next() => {
                return Err(ended?.err().unwrap_or_else(|| anyhow!("a client ended before it was told to")));
            }
        }
        let done = Done {
            answered: self.counts.answered.load(Relaxed) - before.0,
            refused: self.counts.refused.load(Relaxed) - before.1,
            elapsed: begin.elapsed(),
        };
        ensure!(done.answered > 0, "no request succeeded");
        Ok(done)
    }

    /// Ends it; each client gets the answer that it waits for.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.counts.stop.store(true, Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn ask(
    mut connection: Connection,
    mut requests: impl Requests,
    counts: Arc<Counts>,
) -> anyhow::Result<()> {
    while !counts.stop.load(Relaxed) {
        match connection.call(requests.next()).await? {
            200..300 => counts.answered.fetch_add(1, Relaxed),
            429 | 503 => counts.refused.fetch_add(1, Relaxed),
            status => {
                return Err(anyhow!("answered {status}: {}", String::from_utf8_lossy(connection.body())));
            }
        };
    }
    Ok(())
}
