//! Refusals of too many requests are held back: whoever does not wait between requests waits for the answers.
//!
//! A refusal costs the server little, and its client less. Given at once, the next request is there at once as well, and
//! refusing them keeps everybody else waiting.

use std::{ops::Range, sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::{sync::Semaphore, time::sleep};

/// How long a refusal is held back, more or less. A client has no more than a hundred requests open on a connection, and so
/// sends about two hundred a second over it that are refused.
const HELD: Duration = Duration::from_millis(500);
/// How much more or less: those that came at once are not to come back at once.
const SPREAD: Range<f64> = 0.5..1.5;
/// How long it is held back at least.
#[cfg(test)]
pub(super) const HELD_LEAST: Duration = Duration::from_millis(250);
/// How many are held back at the same time, each of them with what is in memory of a request; others are given at once.
const PLACES: usize = 4_096;

/// Holds back the refusals of a listener; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tarpit(Arc<Semaphore>);

impl Default for Tarpit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Tarpit {
    /// Returns when an answer of this status may be given.
    pub(super) async fn hold(&self, status: StatusCode) {
        if status != StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        if let Ok(_place) = self.0.try_acquire() {
            sleep(HELD.mul_f64(rand::random_range(SPREAD))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures::future::join_all;
    use tokio::time::Instant;

    use super::*;

    /// How long it takes to give so many answers at the same time.
    async fn taken(tarpit: &Tarpit, status: StatusCode, answers: usize) -> Duration {
        let begun = Instant::now();
        join_all((0..answers).map(|_| tarpit.hold(status))).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_wait_and_nothing_else_does() {
        let tarpit = Tarpit::default();
        assert!(taken(&tarpit, StatusCode::TOO_MANY_REQUESTS, 1).await >= HELD_LEAST);
        for status in [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE] {
            assert_eq!(taken(&tarpit, status, 1_000).await, Duration::ZERO, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_one_moment_are_given_one_after_the_other() {
        let tarpit = Tarpit::default();
        let begun = Instant::now();
        let hold = async || {
            tarpit.hold(StatusCode::TOO_MANY_REQUESTS).await;
            begun.elapsed().as_millis() / 10
        };
        let given: HashSet<_> = join_all((0..1_000).map(|_| hold())).await.into_iter().collect();
        assert!(given.len() > 25, "in {} hundredths of a second", given.len());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_waits_for_nothing() {
        let tarpit = Tarpit::default();
        let held = join_all((0..PLACES).map(|_| tarpit.hold(StatusCode::TOO_MANY_REQUESTS)));
        let late = async {
            tokio::task::yield_now().await;
            taken(&tarpit, StatusCode::TOO_MANY_REQUESTS, 10).await
        };
        let (_, late) = tokio::join!(held, late);
        assert_eq!(late, Duration::ZERO);
        assert!(
            taken(&tarpit, StatusCode::TOO_MANY_REQUESTS, 1).await >= HELD_LEAST,
            "places are given back"
        );
    }
}
