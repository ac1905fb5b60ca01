//! What this server shows of itself, a metric each.

use std::sync::LazyLock;

use chat_core::{
    event::Position,
    feed::{FeedProgress, LagGauges},
    telemetry::{
        metrics::{counter, gauge, histogram, note_program},
        pools::PoolGauges,
    },
};
use metrics::{Counter, Gauge, Histogram};

use crate::reason::{Bye, Reset};

/// Those of the streams.
pub(crate) struct Streams {
    /// Open ones.
    open: Gauge,
    /// Events to streams, counted batch by batch.
    pub(crate) deliveries: Counter,
    /// From an event's being written to its being with the streams.
    pub(crate) delay: Histogram,
    /// Queues that were too short.
    pub(crate) overflows: Counter,
    /// Pages of recent events that streams were served from memory, and from the table.
    pub(crate) pages_of_ring: Counter,
    pub(crate) pages_of_table: Counter,
    resets: [Counter; Reset::ALL.len()],
    byes: [Counter; Bye::ALL.len()],
}

pub(crate) static STREAMS: LazyLock<Streams> = LazyLock::new(|| {
    let pages = |source| {
        let help = "Pages of the log that streams were given of what they had missed.";
        counter("fechatter_replay_pages_total", &[("source", source)], help)
    };
    let reset = |reason: Reset| {
        let help = "Streams that were told to reload, by the reason they were given.";
        counter("fechatter_stream_resets_total", &[("reason", reason.as_str())], help)
    };
    let bye = |reason: Bye| {
        let help = "Streams that the server ended, by the reason they were given.";
        counter("fechatter_stream_byes_total", &[("reason", reason.as_str())], help)
    };
    Streams {
        open: gauge("fechatter_streams_open", &[], "Open event streams."),
        deliveries: counter(
            "fechatter_deliveries_total",
            &[],
            "Events that were put into the queue of a live stream; each stream counts.",
        ),
        delay: histogram(
            "fechatter_delivery_delay_seconds",
            &[],
            "Time from the writing of a batch's first event, by PostgreSQL's clock, until the batch is with the \
             streams, by this server's clock.",
        ),
        overflows: counter(
            "fechatter_stream_overflows_total",
            &[],
            "Streams whose queue was full, so that they fetch what they lack by themselves.",
        ),
        pages_of_ring: pages("memory"),
        pages_of_table: pages("table"),
        resets: Reset::ALL.map(reset),
        byes: Bye::ALL.map(bye),
    }
});

impl Streams {
    /// A stream was told to reload.
    pub(crate) fn reset(&self, reason: Reset) {
        self.resets[reason as usize].increment(1);
    }

    /// A stream was told that it ends.
    pub(crate) fn bye(&self, reason: Bye) {
        self.byes[reason as usize].increment(1);
    }
}

/// Counts as an open stream, while it lives.
#[derive(Debug)]
pub(crate) struct OpenStream(());

impl OpenStream {
    pub(crate) fn new() -> Self {
        STREAMS.open.increment(1.0);
        Self(())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        STREAMS.open.decrement(1.0);
    }
}

/// What is only looked at when somebody asks.
pub(crate) struct Gauges {
    pools: [PoolGauges; 2],
    feed: LagGauges,
    progress: FeedProgress,
}

impl Gauges {
    /// For these pools, and the feed whose progress this is.
    pub(crate) fn new(pools: [PoolGauges; 2], progress: FeedProgress) -> Self {
        note_program("notify_server", env!("CARGO_PKG_VERSION"));
        LazyLock::force(&STREAMS);
        Self { pools, feed: LagGauges::new("notify_server"), progress }
    }

    /// Shows the present; the hub has seen to everything up to `position`.
    pub(crate) fn observe(&self, position: Option<Position>) {
        self.pools.iter().for_each(PoolGauges::observe);
        let events = position
            .map_or(self.progress.events_behind(), |position| self.progress.events_after(position.id));
        self.feed.observe(&self.progress, events);
    }
}
