//! How much is measured.

use std::time::Duration;

/// The lengths of a run.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// Rounds of limits and ours in turn.
    pub(crate) rounds: usize,
    /// Rounds of what is only there to show how cost grows.
    pub(crate) growth_rounds: usize,
    /// Before a window counts.
    pub(crate) warm_up: Duration,
    /// What counts, of each closed loop.
    pub(crate) window: Duration,
    /// Single messages to each audience, a round.
    pub(crate) single_messages: usize,
    /// Deliveries that a burst makes, about.
    pub(crate) burst_deliveries: u64,
    /// How long an open loop sends.
    pub(crate) open_loop: Duration,
    /// Messages in each of the chats of the database that has many.
    pub(crate) stored_each: u32,
    /// Messages that are searched.
    pub(crate) searched: u32,
}

/// Some minutes, to see where one stands.
pub(crate) const QUICK: Plan = Plan {
    name: "quick",
    rounds: 3,
    growth_rounds: 1,
    warm_up: Duration::from_millis(500),
    window: Duration::from_secs(2),
    single_messages: 5,
    burst_deliveries: 160_000,
    open_loop: Duration::from_secs(4),
    stored_each: 5_000,
    searched: 200_000,
};

/// For the record.
pub(crate) const FULL: Plan = Plan {
    name: "full",
    rounds: 5,
    growth_rounds: 3,
    warm_up: Duration::from_secs(1),
    window: Duration::from_secs(5),
    single_messages: 10,
    burst_deliveries: 480_000,
    open_loop: Duration::from_secs(10),
    stored_each: 50_000,
    searched: 1_000_000,
};
