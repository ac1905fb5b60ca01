//! What answers take in memory until their clients have taken them.
//!
//! Whoever asks for large answers and takes none has each kept for as long as the limits on slow clients allow, and can
//! ask for many. So the bytes are counted, of each person and in all.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};

use crate::ids::UserId;

/// Answers up to this size are not counted: so many of them as there can be connections are no burden.
const SMALL: u64 = 16 * 1024;
/// Which part of all one person may have.
const SHARE: u64 = 8;

/// Bytes of large answers that are not sent yet, up to a number.
#[derive(Debug)]
pub(super) struct Unsent {
    most: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    by_person: HashMap<UserId, u64>,
}

impl Unsent {
    /// At most so many bytes in all, and an eighth of it for each person.
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// The same answer, which counts until it is sent or given up; or none when that would be too much. What a person
    /// has at first may be larger than their part, or they could never have it.
    ///
    /// An answer that tells what has been done is never too much: who asked would believe that it was not. What is sent
    /// as it is made, and what is nobody's own, takes no memory for each who asks, and counts for nothing.
    pub(super) fn hold(
        self: &Arc<Self>,
        person: Option<UserId>,
        done: bool,
        response: Response,
    ) -> Option<Response> {
        let large = response.body().size_hint().exact().filter(|bytes| *bytes > SMALL);
        let (Some(person), Some(bytes)) = (person, large) else { return Some(response) };
        {
            let mut held = self.lock();
            let own = held.by_person.get(&person).copied().unwrap_or_default();
            let fits = held.bytes.saturating_add(bytes) <= self.most || held.bytes == 0;
            let fits_share = own.saturating_add(bytes) <= self.most / SHARE || own == 0;
            if !(done || fits && fits_share) {
                return None;
            }
            held.bytes += bytes;
            held.by_person.insert(person, own + bytes);
        }
        let place = Arc::new(Place { unsent: Arc::clone(self), person, bytes });
        Some(response.map(|body| Body::new(Counted { body, place })))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one answer counts for.
struct Place {
    unsent: Arc<Unsent>,
    person: UserId,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.unsent.lock();
        held.bytes = held.bytes.saturating_sub(self.bytes);
        let own = held.by_person.get(&self.person).map_or(0, |own| own.saturating_sub(self.bytes));
        if own == 0 {
            held.by_person.remove(&self.person);
        } else {
            held.by_person.insert(self.person, own);
        }
    }
}

/// A body that gives its place back when all of its bytes have been written: hyper takes them out of it, and keeps them
/// until then.
struct Counted {
    body: Body,
    place: Arc<Place>,
}

/// Some of its bytes.
struct Piece {
    bytes: Bytes,
    _place: Arc<Place>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let counted = |bytes| Bytes::from_owner(Piece { bytes, _place: Arc::clone(&self.place) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(counted))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1024 * 1024;

    fn answer(bytes: u64) -> Response {
        Response::new(Body::from(vec![0; usize::try_from(bytes).unwrap_or_default()]))
    }

    #[test]
    fn one_person_has_a_part_of_it_until_it_is_sent() {
        let (unsent, ann, bob) = (Unsent::new(MOST), Some(UserId::new()), Some(UserId::new()));
        let first = unsent.hold(ann, false, answer(MOST / SHARE));
        assert!(first.is_some());
        assert!(unsent.hold(ann, false, answer(SMALL + 1)).is_none(), "more than a part");
        assert!(unsent.hold(ann, false, answer(SMALL)).is_some(), "small ones are not counted");
        assert!(unsent.hold(ann, true, answer(MOST)).is_some(), "what has been done is told");
        assert!(unsent.hold(None, false, answer(MOST)).is_some(), "nor what is nobody's");
        let other = unsent.hold(bob, false, answer(MOST / SHARE));
        assert!(other.is_some());
        drop(first);
        assert!(unsent.hold(ann, false, answer(MOST / SHARE)).is_some());
        drop(other);
        let held = unsent.lock();
        assert_eq!((held.bytes, held.by_person.len()), (0, 0));
    }

    #[test]
    fn all_together_have_so_much_and_a_single_answer_may_be_larger() {
        let unsent = Unsent::new(MOST);
        let people: Vec<_> = (0..SHARE).map(|_| UserId::new()).collect();
        let whole = unsent.hold(people.first().copied(), false, answer(2 * MOST));
        assert!(whole.is_some());
        assert!(unsent.hold(people.last().copied(), false, answer(SMALL + 1)).is_none());
        drop(whole);
        let parts: Vec<_> =
            people.iter().map(|person| unsent.hold(Some(*person), false, answer(MOST / SHARE))).collect();
        assert!(parts.iter().all(Option::is_some));
        assert!(unsent.hold(Some(UserId::new()), false, answer(SMALL + 1)).is_none());
    }
}
