//! How far a feed is behind, as a metric.

use metrics::Gauge;

use super::progress::FeedProgress;
use crate::telemetry::metrics::gauge;

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
    pub fn observe(&self, progress: &FeedProgress, events: u64) {
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 events nobody counts single ones")]
        self.events.set(events as f64);
        self.seconds.set(progress.behind_for().as_secs_f64());
    }
}
