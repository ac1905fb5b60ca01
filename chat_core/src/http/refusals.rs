//! Refusals of too many requests are held back: whoever does not wait between requests waits for the answers.
//!
//! A refusal costs the server little, and its client less. Given at once, the next request is there at once as well, and
//! refusing them keeps everybody else waiting.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::{sync::Semaphore, time::sleep};

/// How long a refusal is held back. A client has no more than a hundred requests open on a connection, and so sends no
/// more than two hundred a second over it that are refused.
pub(super) const HELD: Duration = Duration::from_millis(500);
/// How many are held back at the same time, each of them with what is in memory of a request; others are given at once.
const PLACES: usize = 4_096;

/// Holds back the refusals of a listener; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    places: Arc<Semaphore>,
    held: Duration,
}

impl Refusals {
    /// Holds each back for `held`.
    pub(super) fn new(held: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), held }
    }

    /// Returns when an answer of this status may be given.
    pub(super) async fn hold(&self, status: StatusCode) {
        if status != StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        if let Ok(_place) = self.places.try_acquire() {
            sleep(self.held).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::time::Instant;

    use super::*;

    /// How long it takes to give so many answers at the same time.
    async fn taken(refusals: &Refusals, status: StatusCode, answers: usize) -> Duration {
        let begun = Instant::now();
        join_all((0..answers).map(|_| refusals.hold(status))).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_wait_and_nothing_else_does() {
        let refusals = Refusals::new(HELD);
        assert!(taken(&refusals, StatusCode::TOO_MANY_REQUESTS, 1_000).await >= HELD);
        for status in [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE] {
            assert_eq!(taken(&refusals, status, 1_000).await, Duration::ZERO, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_waits_for_nothing() {
        let refusals = Refusals::new(HELD);
        let held = join_all((0..PLACES).map(|_| refusals.hold(StatusCode::TOO_MANY_REQUESTS)));
        let late = async {
            tokio::task::yield_now().await;
            taken(&refusals, StatusCode::TOO_MANY_REQUESTS, 10).await
        };
        let (_, late) = tokio::join!(held, late);
        assert_eq!(late, Duration::ZERO);
        assert!(taken(&refusals, StatusCode::TOO_MANY_REQUESTS, 1).await >= HELD, "places are given back");
    }
}
