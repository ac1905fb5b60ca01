//! The time, as a parameter.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time; a test can move it forward.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Milliseconds ahead of the machine's clock.
    ahead: Arc<AtomicI64>,
    began: Instant,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { ahead: Arc::default(), began: Instant::now() }
    }

    /// Now, to the microsecond, which is what PostgreSQL stores.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        let now = DateTime::<Utc>::from(SystemTime::now());
        let micros = now.timestamp_micros() + self.ahead.load(Ordering::Relaxed) * 1_000;
        DateTime::from_timestamp_micros(micros).unwrap_or(now)
    }

    /// How long this clock has run: it never goes back, whatever is done to the machine's clock.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let ahead = u64::try_from(self.ahead.load(Ordering::Relaxed)).unwrap_or_default();
        self.began.elapsed() + Duration::from_millis(ahead)
    }

    /// Moves this clock, and every clone of it, forward.
    pub fn advance(&self, by: TimeDelta) {
        self.ahead.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
    }
}
