//! The time, as a parameter.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time; a test can move it forward.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds ahead of the machine's clock.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Now, to the microsecond, which is what PostgreSQL stores.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        let now = DateTime::<Utc>::from(SystemTime::now());
        let micros = now.timestamp_micros() + self.ahead.load(Ordering::Relaxed) * 1_000;
        DateTime::from_timestamp_micros(micros).unwrap_or(now)
    }

    /// Moves this clock, and every clone of it, forward.
    pub fn advance(&self, by: TimeDelta) {
        self.ahead.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
    }
}
