//! What this server shows of itself, a metric each.

use std::sync::LazyLock;

use chat_core::{
    feed::{FeedProgress, LagGauges},
    telemetry::{
        metrics::{counter, gauge, histogram, note_program},
        pools::PoolGauges,
    },
};
use metrics::{Counter, Gauge, Histogram};

use crate::{auth::passwords::Passwords, messages::sending::Writer};

/// The writer's, counted batch by batch.
pub(crate) struct Sends {
    /// Messages.
    pub(crate) sent: Counter,
    /// Messages of a batch.
    pub(crate) batch: Histogram,
    /// Until a batch is durable, with its wait for the lock.
    pub(crate) commit: Histogram,
    /// Until a batch has the ordering lock.
    pub(crate) lock: Histogram,
}

pub(crate) static SENDS: LazyLock<Sends> = LazyLock::new(|| Sends {
    sent: counter("fechatter_messages_sent_total", &[], "Messages that became durable."),
    batch: histogram("fechatter_send_batch_messages", &[], "Messages that were committed together."),
    commit: histogram(
        "fechatter_send_commit_seconds",
        &[],
        "Time of a batch at PostgreSQL: the wait for the ordering lock, the statement and the commit.",
    ),
    lock: histogram(
        "fechatter_send_lock_wait_seconds",
        &[],
        "Time for which a batch waited for the ordering lock, which all writers of the database share.",
    ),
});

/// Passwords on which argon2 was run, whatever for: who is refused costs as much as who is let in.
pub(crate) static PASSWORDS_HASHED: LazyLock<Counter> = LazyLock::new(|| {
    let help = "Passwords that were hashed, to be kept or to be compared.";
    counter("fechatter_passwords_hashed_total", &[], help)
});

/// What is only looked at when somebody asks.
pub(crate) struct Gauges {
    pools: Vec<PoolGauges>,
    feed: LagGauges,
    progress: FeedProgress,
    queue: Gauge,
    hashing: Gauge,
    hashing_waiting: Gauge,
}

impl Gauges {
    /// For these pools, by their names, and the feed whose progress this is.
    pub(crate) fn new(pools: Vec<PoolGauges>, progress: FeedProgress) -> Self {
        note_program("fechatter_server", env!("CARGO_PKG_VERSION"));
        LazyLock::force(&SENDS);
        LazyLock::force(&PASSWORDS_HASHED);
        let hashing = |state| {
            let help = "Passwords that are being hashed, each on a core, and those that wait for one.";
            gauge("fechatter_password_hashings", &[("state", state)], help)
        };
        Self {
            pools,
            feed: LagGauges::new("fechatter_server"),
            progress,
            queue: gauge(
                "fechatter_send_queue_bytes",
                &[],
                "Messages that wait to be written; 4 KiB each at least.",
            ),
            hashing: hashing("running"),
            hashing_waiting: hashing("waiting"),
        }
    }

    /// Shows the present.
    pub(crate) fn observe(&self, writer: &Writer, passwords: &Passwords) {
        self.pools.iter().for_each(PoolGauges::observe);
        self.feed.observe(&self.progress, self.progress.events_behind());
        self.queue.set(exact(writer.queued_bytes()));
        let (running, waiting) = passwords.at_work();
        self.hashing.set(exact(running));
        self.hashing_waiting.set(exact(waiting));
    }
}

fn exact(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
