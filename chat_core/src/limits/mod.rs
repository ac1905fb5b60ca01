//! Rate limits: how often a person, an address or an account may do something.
//!
//! A [`Limit`] is a token bucket for each of any number of keys, in memory of a fixed size. Each instance counts for
//! itself.

mod allowance;
mod buckets;
mod gate;

use std::{
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

use axum::http::HeaderValue;
use governor::{RateLimiter, middleware::NoOpMiddleware, nanos::Nanos};
use metrics::Counter;

use self::buckets::{Buckets, Ticks};
pub use self::{allowance::Allowance, gate::Gate};
use crate::{clock::Clock, telemetry::metrics::counter};

/// What happens too often is refused.
pub struct Limit {
    name: &'static str,
    allowance: Allowance,
    /// None when limits are off.
    counting: Option<Counting>,
    refusals: Counter,
}

struct Counting {
    limiter: RateLimiter<u64, Buckets, Ticks, NoOpMiddleware<Nanos>>,
    buckets: Buckets,
    /// With a secret of this process, so that nobody can choose whose bucket they share.
    hasher: RandomState,
}

impl Limit {
    /// The limit that answers call `name`.
    #[must_use]
    pub fn new(name: &'static str, allowance: Allowance, clock: &Clock) -> Self {
        let buckets = Buckets::default();
        let limiter = RateLimiter::new(allowance.quota(), buckets.clone(), Ticks::of(clock));
        let counting = Counting { limiter, buckets, hasher: RandomState::new() };
        Self { counting: Some(counting), ..Self::off(name, allowance) }
    }

    /// A limit that refuses nothing.
    #[must_use]
    pub fn off(name: &'static str, allowance: Allowance) -> Self {
        let help = "Requests that were answered 429, by the rate limit that they ran into.";
        let refusals = counter("fechatter_rate_limited_total", &[("limit", name)], help);
        Self { name, allowance, counting: None, refusals }
    }

    /// Takes a token from the bucket of `key`.
    ///
    /// # Errors
    /// The bucket is empty.
    pub fn admit(&self, key: &impl Hash) -> Result<(), LimitExceeded> {
        let Some(counting) = &self.counting else { return Ok(()) };
        counting.limiter.check_key(&counting.hasher.hash_one(key)).map_err(|until| {
            let wait = until.wait_time_from(governor::clock::Clock::now(counting.limiter.clock()));
            tracing::debug!(limit = self.name, "refused");
            self.refusals.increment(1);
            let (at_once, window) = (self.allowance.burst(), Some(self.allowance.window()));
            LimitExceeded { name: self.name, at_once, window, wait }
        })
    }

    /// Puts back a token that was taken before.
    pub fn give_back(&self, key: &impl Hash) {
        if let Some(counting) = &self.counting {
            counting.buckets.give_back(counting.hasher.hash_one(key), self.allowance.period());
        }
    }
}

/// Why and until when a request is refused.
#[derive(Clone, Copy, Debug)]
pub struct LimitExceeded {
    name: &'static str,
    at_once: u32,
    /// None when time alone brings nothing back.
    window: Option<Duration>,
    wait: Duration,
}

impl LimitExceeded {
    /// All of so many places are taken; it is worth asking again after `wait`.
    #[must_use]
    pub fn of_places(name: &'static str, places: u32, wait: Duration) -> Self {
        Self { name, at_once: places, window: None, wait }
    }

    /// Whole seconds until there is a token again, at least one.
    #[must_use]
    pub fn seconds(&self) -> u32 {
        let seconds = self.wait.as_millis().div_ceil(1000).max(1);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): so many in so many seconds, or so many
    /// places.
    #[must_use]
    pub fn policy(&self) -> Option<HeaderValue> {
        let Self { name, at_once, .. } = self;
        let window = self.window.map(|window| format!(";w={}", window.as_secs_f64().ceil()));
        text(format!("\"{name}\";q={at_once}{}", window.unwrap_or_default()))
    }

    /// The value of `RateLimit`: nothing remains, until so many seconds have passed.
    #[must_use]
    pub fn state(&self) -> Option<HeaderValue> {
        text(format!("\"{}\";r=0;t={}", self.name, self.seconds()))
    }
}

fn text(value: String) -> Option<HeaderValue> {
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests;
