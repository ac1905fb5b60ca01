//! How long a client is waited for while bytes of it, or for it, are to move.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// What a client is allowed: waiting uses `most` up, and every `rate` bytes that move give a second of it back.
///
/// Whoever moves nothing is waited for `most`, and whoever moves `rate` bytes a second for ever. No more than `most` is
/// ever saved up, so that haste at first buys no dawdling later.
#[derive(Clone, Copy, Debug)]
pub struct Leeway {
    /// How long a client may move nothing.
    pub most: Duration,
    /// Bytes a second, not none.
    pub rate: u32,
}

/// What is left of a [`Leeway`]. Only the time counts in which somebody waits.
#[derive(Debug)]
pub(super) struct Waiting {
    leeway: Leeway,
    left: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    /// All of it.
    pub(super) fn new(leeway: Leeway) -> Self {
        Self { leeway, left: leeway.most, since: None, timer: None }
    }

    /// Nobody waits any more: so many bytes have moved, or none are to.
    pub(super) fn end(&mut self, bytes: usize) {
        let Leeway { most, rate } = self.leeway;
        let waited = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        let earned = Duration::from_secs(1).saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX)) / rate;
        self.left = self.left.saturating_sub(waited).saturating_add(earned).min(most);
        self.timer = None;
    }

    /// Somebody waits; ready once nothing is left.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.since.get_or_insert_with(Instant::now) + self.left;
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline))).as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const LEEWAY: Leeway = Leeway { most: Duration::from_secs(30), rate: 100 };

    /// How often `bytes` can be waited for so many seconds, up to a thousand times.
    async fn times(waiting: &mut Waiting, seconds: u64, bytes: usize) -> usize {
        for done in 0..1_000 {
            let over = poll_fn(|cx| waiting.poll_over(cx));
            if timeout(Duration::from_secs(seconds), over).await.is_ok() {
                return done;
            }
            waiting.end(bytes);
        }
        1_000
    }

    #[tokio::test(start_paused = true)]
    async fn who_moves_nothing_or_too_little_is_waited_for_so_long() {
        assert_eq!(times(&mut Waiting::new(LEEWAY), 31, 0).await, 0);
        // Each time uses up 29 seconds and gives little back.
        assert_eq!(times(&mut Waiting::new(LEEWAY), 29, 1).await, 1);
        assert_eq!(times(&mut Waiting::new(LEEWAY), 1, 40).await, 49);
    }

    #[tokio::test(start_paused = true)]
    async fn who_moves_enough_is_waited_for_for_ever() {
        assert_eq!(times(&mut Waiting::new(LEEWAY), 1, 100).await, 1_000);
        assert_eq!(times(&mut Waiting::new(LEEWAY), 29, 2_900).await, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_saved_up_is_bounded() {
        let mut waiting = Waiting::new(LEEWAY);
        waiting.end(usize::MAX);
        assert_eq!(times(&mut waiting, 31, 0).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_counts() {
        let mut waiting = Waiting::new(LEEWAY);
        for _ in 0..10 {
            assert_eq!(times(&mut waiting, 2, 0).await, 14);
            waiting.end(100_000);
            advance(Duration::from_hours(1)).await;
        }
    }
}
