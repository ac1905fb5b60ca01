//! How much a bucket holds, and how fast it fills.

use std::{num::NonZeroU32, time::Duration};

use governor::Quota;
use serde::{Deserialize, Serialize};

/// How long an empty bucket may take to be full.
const LONGEST: Duration = Duration::from_hours(24);
/// The fastest that a bucket may fill.
const FASTEST: f64 = 1e6;

/// So many a second in the long run, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Allowance {
    period: Duration,
    burst: NonZeroU32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Form {
    per_second: f64,
    burst: u32,
}

impl TryFrom<Form> for Allowance {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        Self::new(form.per_second, form.burst)
    }
}

impl From<Allowance> for Form {
    fn from(allowance: Allowance) -> Self {
        // Rounded, because a period is whole nanoseconds.
        let per_second = (1e6 / allowance.period.as_secs_f64()).round() / 1e6;
        Self { per_second, burst: allowance.burst() }
    }
}

impl Allowance {
    /// `per_second` in the long run, and `burst` at once.
    ///
    /// # Errors
    /// Numbers out of range.
    pub fn new(per_second: f64, burst: u32) -> Result<Self, &'static str> {
        let burst = NonZeroU32::new(burst).ok_or("a rate limit's burst must be at least 1")?;
        // Not a number is neither.
        if !(per_second > 0.0 && per_second <= FASTEST) {
            return Err("a rate limit's per_second must be above 0, and at most a million");
        }
        let full = f64::from(burst.get()) / per_second;
        if full > LONGEST.as_secs_f64() {
            return Err("a rate limit's burst must fill within a day by its per_second");
        }
        Ok(Self { period: Duration::from_secs_f64(1.0 / per_second), burst })
    }

    /// How many at once.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst.get()
    }

    /// How long until there is one more.
    pub(super) fn period(self) -> Duration {
        self.period
    }

    /// How long until an empty bucket is full.
    pub(super) fn window(self) -> Duration {
        self.period * self.burst.get()
    }

    pub(super) fn quota(self) -> Quota {
        let one_by_one = Quota::with_period(self.period).unwrap_or(Quota::per_second(self.burst));
        one_by_one.allow_burst(self.burst)
    }
}
