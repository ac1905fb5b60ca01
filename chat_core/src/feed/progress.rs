//! How far a feed has come, for whoever looks after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The progress of one feed; a clone shows the same.
#[derive(Clone, Debug)]
pub struct FeedProgress(Arc<Marks>);

#[derive(Debug)]
struct Marks {
    began: Instant,
    /// Microseconds from `began` to the last look, and one more; 0 before the first.
    looked: AtomicU64,
    /// Microseconds from `began` to the last look that found everything.
    whole: AtomicU64,
    /// The last event that was read, or the position that was started from.
    id: AtomicI64,
    /// The log's end, as far as it is known.
    end: AtomicI64,
}

impl Default for FeedProgress {
    fn default() -> Self {
        Self(Arc::new(Marks {
            began: Instant::now(),
            looked: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            id: AtomicI64::new(0),
            end: AtomicI64::new(0),
        }))
    }
}

impl FeedProgress {
    /// Everything that there was at `at` has been read, up to `id`.
    pub(super) fn whole(&self, id: i64, at: Instant) {
        self.0.whole.store(self.0.micros(at), Ordering::Relaxed);
        self.looked(id, id, at);
    }

    /// It was read up to `id`, and the log goes on up to `end`.
    pub(super) fn behind(&self, id: i64, end: i64, at: Instant) {
        self.looked(id, end, at);
    }

    fn looked(&self, id: i64, end: i64, at: Instant) {
        self.0.id.store(id, Ordering::Relaxed);
        self.0.end.store(end, Ordering::Relaxed);
        self.0.looked.store(self.0.micros(at) + 1, Ordering::Release);
    }

    /// For how long the log was not looked at; none before the first look.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        let looked = self.0.looked.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.0.since(looked))
    }

    /// Up to where the log was read; none before the first look.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        self.silence().map(|_| self.0.id.load(Ordering::Relaxed))
    }

    /// Events between what was read and the log's end, at the last look.
    #[must_use]
    pub fn events_behind(&self) -> u64 {
        self.events_after(self.0.id.load(Ordering::Relaxed))
    }

    /// Events between `position` and the log's end, at the last look.
    #[must_use]
    pub fn events_after(&self, position: i64) -> u64 {
        let end = self.0.end.load(Ordering::Relaxed);
        u64::try_from(end.saturating_sub(position)).unwrap_or_default()
    }

    /// How long ago everything had been read; about a second at most while all is well. It goes on growing while the
    /// log cannot be read, or nobody takes what was read.
    #[must_use]
    pub fn behind_for(&self) -> Duration {
        self.0.since(self.0.whole.load(Ordering::Relaxed))
    }
}

impl Marks {
    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX - 1)
    }

    fn since(&self, micros: u64) -> Duration {
        Duration::from_micros(self.micros(Instant::now()).saturating_sub(micros))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_last_time_that_everything_was_read() {
        let progress = FeedProgress::default();
        assert_eq!((progress.silence(), progress.id()), (None, None));
        progress.whole(5, Instant::now());
        assert_eq!((progress.id(), progress.events_behind()), (Some(5), 0));
        assert_eq!((progress.events_after(3), progress.events_after(9)), (2, 0));
        advance(Duration::from_secs(2)).await;
        progress.behind(1005, 5000, Instant::now());
        assert_eq!((progress.events_behind(), progress.events_after(5)), (3995, 4995));
        advance(Duration::from_secs(1)).await;
        assert_eq!(progress.silence(), Some(Duration::from_secs(1)));
        assert_eq!(progress.behind_for(), Duration::from_secs(3));
        progress.whole(5000, Instant::now());
        assert_eq!((progress.behind_for(), progress.events_behind()), (Duration::ZERO, 0));
    }
}
