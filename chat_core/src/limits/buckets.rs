//! The buckets of any number of keys, in memory of a fixed size.

use std::{iter::repeat_with, sync::Arc, time::Duration};

use governor::{
    clock,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};

use crate::clock::Clock;

/// Buckets in each of the two rows: a power of two.
const ROW: usize = 1 << 16;

/// Two rows of buckets, of which every key has one in each, by its hash (a count-min sketch).
///
/// A token is taken from both. A key is refused only when both are empty: so whoever empties a bucket of somebody
/// else refuses them nothing, unless both are hit, which takes the square of the share of the buckets that are empty.
/// Nothing is ever removed, so nobody can get rid of what counts against them, and no number of keys takes memory.
#[derive(Clone)]
pub(super) struct Buckets(Arc<[InMemoryState]>);

impl Default for Buckets {
    fn default() -> Self {
        Self(repeat_with(InMemoryState::default).take(2 * ROW).collect())
    }
}

impl Buckets {
    fn of(&self, hash: u64) -> [&InMemoryState; 2] {
        let place = |bits: u64| usize::try_from(bits).unwrap_or_default() & (ROW - 1);
        [&self.0[place(hash & 0xffff_ffff)], &self.0[ROW + place(hash >> 32)]]
    }

    /// Puts a token of `period` back into both buckets. One that was found empty when it was taken gets one too many:
    /// that is as rare as to be hit by somebody else, and as little.
    pub(super) fn give_back(&self, hash: u64, period: Duration) {
        for bucket in self.of(hash) {
            // Without a number the bucket is full.
            let _: Result<(), ()> = bucket.measure_and_replace(&NotKeyed::NonKey, |full_at| {
                full_at.map(|full_at| ((), full_at.saturating_sub(period.into()))).ok_or(())
            });
        }
    }
}

impl StateStore for Buckets {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, hash: &u64, take: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let [first, second] =
            self.of(*hash).map(|bucket| bucket.measure_and_replace(&NotKeyed::NonKey, &take));
        first.or(second)
    }
}

/// The time, as governor asks for it.
pub(super) struct Ticks(Clock);

impl Ticks {
    pub(super) fn of(clock: &Clock) -> Self {
        Self(clock.clone())
    }
}

impl clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}
