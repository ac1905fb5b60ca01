//! How the connections to PostgreSQL are used.

use std::sync::LazyLock;

use metrics::{Counter, Gauge};

use super::metrics::{counter, gauge};
use crate::database::Pool;

/// What a pool shows of itself.
pub struct PoolGauges {
    pool: Pool,
    used: Gauge,
    idle: Gauge,
    most: Gauge,
}

impl PoolGauges {
    /// Those of a pool, by the name that PostgreSQL knows it by (`application_name`).
    #[must_use]
    pub fn new(name: &'static str, pool: &Pool) -> Self {
        LazyLock::force(&FAILURES);
        LazyLock::force(&BEGINNING);
        let of = |state| {
            let help = "Connections of a pool to PostgreSQL: in use, idle, and the most that there may be.";
            gauge("fechatter_database_connections", &[("pool", name), ("state", state)], help)
        };
        Self { pool: pool.clone(), used: of("used"), idle: of("idle"), most: of("most") }
    }

    /// Shows the present.
    pub fn observe(&self) {
        let (all, idle, most) = self.pool.counts();
        self.used.set(all.saturating_sub(idle));
        self.idle.set(idle);
        self.most.set(most);
    }
}

/// Transactions that have not begun yet.
static BEGINNING: LazyLock<Gauge> = LazyLock::new(|| {
    let help = "Transactions that wait for a connection to PostgreSQL, or for it to begin them.";
    gauge("fechatter_database_transactions_waiting", &[], help)
});

/// A transaction that has not begun yet, while it lives.
pub(crate) struct Beginning;

impl Beginning {
    pub(crate) fn new() -> Self {
        BEGINNING.increment(1.0);
        Self
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        BEGINNING.decrement(1.0);
    }
}

struct Failures {
    no_connection: Counter,
    unavailable: Counter,
    failed: Counter,
}

static FAILURES: LazyLock<Failures> = LazyLock::new(|| {
    let of = |kind| {
        let help = "Requests that failed at PostgreSQL: no connection of the pool in time, PostgreSQL not available \
                    or not in time, a statement that failed.";
        counter("fechatter_database_failures_total", &[("kind", kind)], help)
    };
    Failures { no_connection: of("no_connection"), unavailable: of("unavailable"), failed: of("failed") }
});

/// Counts a request that failed at PostgreSQL.
pub(crate) fn failed(error: &sqlx::Error) {
    let failures = &*FAILURES;
    let counter = match error {
        sqlx::Error::PoolTimedOut => &failures.no_connection,
        error if crate::database::is_unavailable(error) => &failures.unavailable,
        _ => &failures.failed,
    };
    counter.increment(1);
}
