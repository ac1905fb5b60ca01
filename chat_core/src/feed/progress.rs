//! How far a feed has come, for whoever wants to know whether it goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The progress of one feed; a clone shows the same.
#[derive(Clone, Debug)]
pub struct FeedProgress(Arc<Marks>);

#[derive(Debug)]
struct Marks {
    began: Instant,
    /// Milliseconds from `began` to the end of the last look, and one more; 0 before the first.
    looked: AtomicU64,
    /// The last event that was read, or the position that was started from.
    id: AtomicI64,
}

impl Default for FeedProgress {
    fn default() -> Self {
        Self(Arc::new(Marks { began: Instant::now(), looked: AtomicU64::new(0), id: AtomicI64::new(0) }))
    }
}

impl FeedProgress {
    /// The log was looked at, and has been read up to `id`.
    pub(super) fn looked(&self, id: i64) {
        let since = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.id.store(id, Ordering::Relaxed);
        self.0.looked.store(since + 1, Ordering::Release);
    }

    /// For how long the log was not looked at; none before the first look.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        let looked = self.0.looked.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.0.began.elapsed().saturating_sub(Duration::from_millis(looked)))
    }

    /// Up to where the log was read; none before the first look.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        self.silence().map(|_| self.0.id.load(Ordering::Relaxed))
    }
}
