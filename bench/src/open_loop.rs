//! Latency from the moment when a message was to be sent until it stands on a stream.
//!
//! An open loop: messages are due at fixed times, whether or not the ones before have been answered. The time is
//! counted from when a message was due, not from when a busy client got to send it; so what a slow moment does to the
//! messages behind it is in the figures (coordinated omission).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use hdrhistogram::Histogram;
use tokio::{
    sync::{
        Mutex,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    task::JoinSet,
    time::timeout,
};

use crate::{
    audience,
    frames::Lines,
    http::Connection,
    requests::{self, Sends},
};

/// In microseconds; what takes longer counts as this.
const LONGEST: u64 = 120_000_000;
/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Messages at a steady rate.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    begin: Instant,
    interval: Duration,
    pub(crate) messages: u64,
}

impl Schedule {
    /// So many a second for so long, from a moment after now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of messages is small and not negative"
    )]
    pub(crate) fn new(rate: f64, time: Duration) -> Self {
        Self {
            begin: Instant::now() + Duration::from_millis(50),
            interval: Duration::from_secs_f64(1.0 / rate),
            messages: (rate * time.as_secs_f64()).max(1.0) as u64,
        }
    }

    /// When a message is to be sent.
    fn due(&self, number: u64) -> Instant {
        self.begin
            + Duration::from_nanos(u64::try_from(self.interval.as_nanos()).unwrap_or_default() * number)
    }
}

/// Latencies in microseconds, of every message of the schedule.
pub(crate) type Latencies = Histogram<u64>;

/// Sends by the schedule, as soon as one of the senders is free, and hears on the stream of one person, who must be in
/// all chats that are sent to.
pub(crate) async fn latencies(
    rest: SocketAddr,
    notify: SocketAddr,
    listener: &str,
    senders: Vec<Sends>,
    rate: f64,
    time: Duration,
) -> anyhow::Result<Latencies> {
    let mut connected = Vec::new();
    for sends in senders {
        connected.push((Connection::open(rest).await?, sends));
    }
    let mut stream = audience::open(notify, requests::stream(listener)).await?;
    audience::greeted(&mut stream).await?;

    let schedule = Schedule::new(rate, time);
    let (all_heard, heard) = oneshot::channel();
    let mut work = JoinSet::new();
    work.spawn(async move { hear(stream, schedule, all_heard).await });
    let (due, queue) = unbounded_channel();
    thread::spawn(move || keep_time(schedule, &due));
    let queue = Arc::new(Mutex::new(queue));
    let sent = Arc::<AtomicU64>::default();
    for (connection, sends) in connected {
        work.spawn(send(connection, sends, queue.clone(), sent.clone()));
    }
    let ending = async {
        while let Some(ended) = work.join_next().await {
            ended??;
        }
        // The listener reads on for ever, and the senders go when all is sent.
        Err::<(), _>(anyhow!("the stream has ended"))
    };
    tokio::select! {
        latencies = timeout(time + PATIENCE, heard) => {
            latencies.map_err(|_| anyhow!("{} were sent, and not all came", sent.load(Relaxed)))?
                .context("the stream has ended")
        }
        ended = ending => Err(ended.err().unwrap_or_else(|| anyhow!("nobody is left"))),
    }
}

/// Hands out each message when it is due. A thread: the runtime's timers are only good to a millisecond.
fn keep_time(schedule: Schedule, due: &UnboundedSender<u64>) {
    for number in 0..schedule.messages {
        thread::sleep(schedule.due(number).saturating_duration_since(Instant::now()));
        if due.send(number).is_err() {
            return;
        }
    }
}

async fn send(
    mut connection: Connection,
    mut sends: Sends,
    queue: Arc<Mutex<UnboundedReceiver<u64>>>,
    sent: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    loop {
        let Some(number) = queue.lock().await.recv().await else { return Ok(()) };
        connection.expect(sends.numbered(number), 201).await?;
        sent.fetch_add(1, Relaxed);
    }
}

/// Notes when each message comes; all of them must, once each.
async fn hear(
    stream: tokio::net::TcpStream,
    schedule: Schedule,
    all_heard: oneshot::Sender<Latencies>,
) -> anyhow::Result<()> {
    let mut lines = Lines::default();
    let mut latencies = Latencies::new_with_bounds(1, LONGEST, 3)?;
    let mut seen = vec![false; usize::try_from(schedule.messages)?];
    let mut all_heard = Some(all_heard);
    let mut twice = false;
    audience::read(stream, |bytes| {
        let now = Instant::now();
        lines.feed(bytes, |line| {
            let Some(number) = line.strip_prefix(b"data: ").and_then(requests::number_in) else { return };
            let Some(seen) = usize::try_from(number).ok().and_then(|number| seen.get_mut(number)) else {
                return;
            };
            twice |= std::mem::replace(seen, true);
            let latency = now.saturating_duration_since(schedule.due(number)).as_micros();
            latencies.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        });
        if latencies.len() >= schedule.messages
            && !twice
            && let Some(all_heard) = all_heard.take()
        {
            drop(all_heard.send(latencies.clone()));
        }
    })
    .await?;
    ensure!(!twice, "a message came twice");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_distances() {
        let schedule = Schedule::new(200.0, Duration::from_secs(2));
        assert_eq!(schedule.messages, 400);
        assert_eq!(schedule.due(399) - schedule.due(0), Duration::from_millis(5) * 399);
    }
}
