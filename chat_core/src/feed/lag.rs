//! How far a feed is behind the log, for whoever looks after it.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use metrics::Gauge;
use tokio::time::Instant;

use crate::telemetry::metrics::gauge;

/// When the process began to measure.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How far a feed is behind; shared between the feed and those who ask.
#[derive(Clone, Debug)]
pub struct Lag(Arc<State>);

#[derive(Debug)]
struct State {
    /// The last event that was read.
    cursor: AtomicI64,
    /// The log's end, as far as it is known.
    end: AtomicI64,
    /// When the feed had read everything that there was, in microseconds after [`START`].
    whole_at: AtomicU64,
}

impl Default for Lag {
    fn default() -> Self {
        let (cursor, end) = (AtomicI64::new(0), AtomicI64::new(0));
        Self(Arc::new(State { cursor, end, whole_at: AtomicU64::new(since_start(Instant::now())) }))
    }
}

impl Lag {
    /// Everything that there was at `at` has been read, up to `cursor`.
    pub(super) fn whole(&self, cursor: i64, at: Instant) {
        self.0.cursor.store(cursor, Ordering::Relaxed);
        self.0.end.store(cursor, Ordering::Relaxed);
        self.0.whole_at.store(since_start(at), Ordering::Relaxed);
    }

    /// The feed is at `cursor`, and the log goes on up to `end`.
    pub(super) fn behind(&self, cursor: i64, end: i64) {
        self.0.cursor.store(cursor, Ordering::Relaxed);
        self.0.end.store(end, Ordering::Relaxed);
    }

    /// Events between the feed and the log's end, when it looked last.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events_after(self.0.cursor.load(Ordering::Relaxed))
    }

    /// Events between `position` and the log's end, when the feed looked last.
    #[must_use]
    pub fn events_after(&self, position: i64) -> u64 {
        let end = self.0.end.load(Ordering::Relaxed);
        u64::try_from(end.saturating_sub(position)).unwrap_or_default()
    }

    /// How long ago the feed had read everything; about a second at most while all is well. It goes on growing while
    /// the log cannot be read, or nobody takes what was read.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        let whole_at = self.0.whole_at.load(Ordering::Relaxed);
        let micros = since_start(Instant::now()).saturating_sub(whole_at);
        std::time::Duration::from_micros(micros).as_secs_f64()
    }
}

fn since_start(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*START).as_micros()).unwrap_or(u64::MAX)
}

/// What a feed shows of itself.
pub struct LagGauges {
    events: Gauge,
    seconds: Gauge,
}

impl LagGauges {
    /// Those of the feed of a server.
    #[must_use]
    pub fn new(feed: &'static str) -> Self {
        let labels = [("feed", feed)];
        let events = "Events of the log that the server has not seen to yet.";
        let seconds =
            "Time since the server had read the whole log; about a second at most while all is well.";
        Self {
            events: gauge("fechatter_feed_lag_events", &labels, events),
            seconds: gauge("fechatter_feed_lag_seconds", &labels, seconds),
        }
    }

    /// Shows the present: `events` of the log are not seen to.
    pub fn observe(&self, lag: &Lag, events: u64) {
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 events nobody counts single ones")]
        self.events.set(events as f64);
        self.seconds.set(lag.seconds());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_counts_from_the_last_time_that_everything_was_read() {
        let lag = Lag::default();
        lag.whole(5, Instant::now());
        assert_eq!((lag.events(), lag.events_after(3), lag.events_after(9)), (0, 2, 0));
        lag.behind(1005, 5000);
        assert_eq!((lag.events(), lag.events_after(5)), (3995, 4995));
        assert!(lag.seconds() < 60.0);
        // A test that ran a minute later would only see more.
        lag.whole(5000, *START);
        let before = lag.seconds();
        std::thread::sleep(Duration::from_millis(2));
        assert!(lag.seconds() > before);
        assert_eq!(lag.events(), 0);
    }
}
