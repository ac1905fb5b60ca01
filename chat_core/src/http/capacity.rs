//! How much a server takes on at the same time, for how long, and what of its answers may wait for their clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{body::Waits, layers::Asker, unsent::Unsent};
use crate::{
    problem::Problem,
    pulse::{Late, Pulse},
    telemetry::metrics::{Refusal, refused},
};

/// Requests that are being answered, up to a number; the others are told to come back, at once.
#[derive(Debug)]
pub struct Capacity {
    most: usize,
    limit: Duration,
    pulse: Pulse,
    taken: AtomicUsize,
    unsent: Option<Arc<Unsent>>,
}

impl Capacity {
    /// At most so many at a time, each for as long as `limit`.
    #[must_use]
    pub fn new(most: usize, limit: Duration, pulse: Pulse) -> Self {
        Self { most, limit, pulse, taken: AtomicUsize::new(0), unsent: None }
    }

    /// With so many bytes of large answers that their clients have not taken, at most, and an eighth of it for each
    /// person.
    #[must_use]
    pub fn with_unsent(self, bytes: u64) -> Self {
        Self { unsent: Some(Unsent::new(bytes)), ..self }
    }
}

/// Answers a request as far as the capacity goes, or else 503; not for streams.
pub async fn answer_within(State(capacity): State<Arc<Capacity>>, request: Request, next: Next) -> Response {
    let Some(_place) = Place::take(&capacity) else {
        refused(Refusal::Requests);
        return Problem::unavailable("Too much is going on at the moment.").into_response();
    };
    // The time in which the client owes its body has limits of its own.
    let waits = request.extensions().get::<Waits>().cloned();
    let asker = request.extensions().get::<Asker>().cloned();
    let done = !request.method().is_safe();
    let lost = || waits.as_ref().map_or(Duration::ZERO, Waits::so_far);
    match capacity.pulse.within(capacity.limit, lost, next.run(request)).await {
        Ok(response) => {
            let Some(unsent) = &capacity.unsent else { return response };
            let held = unsent.hold(asker.and_then(|asker| asker.person()), done, response);
            held.unwrap_or_else(|| {
                refused(Refusal::Answers);
                Problem::unavailable("Earlier answers have not been taken yet.").into_response()
            })
        }
        Err(late) => {
            if late == Late::TooLong {
                refused(Refusal::TimeLimit);
            }
            Problem::from(late).into_response()
        }
    }
}

/// The place of one request.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(capacity: &'a Capacity) -> Option<Self> {
        let place = Self(&capacity.taken);
        // Given back by the drop, also when there was none left.
        (place.0.fetch_add(1, Ordering::Relaxed) < capacity.most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
