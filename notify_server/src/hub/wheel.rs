//! When to look after which connection: one wheel in place of a timer for each.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use super::connection::Connection;

/// How often the wheel turns.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// How long a connection is not looked at, at most: the end of its token and that of its client are seen by then.
const MOST: Duration = Duration::from_secs(3);

/// Connections by the tick at which they are looked at.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The front one is next.
    slots: VecDeque<Vec<Arc<Connection>>>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: (0..=ticks(MOST)).map(|_| Vec::new()).collect() }
    }
}

impl Wheel {
    /// To be looked at in `after`, or a little later, and in [`MOST`] at the latest.
    pub(super) fn add(&mut self, connection: Arc<Connection>, after: Duration) {
        let slot = ticks(after.min(MOST)).min(self.slots.len() - 1);
        self.slots[slot].push(connection);
    }

    /// Those to be looked at now.
    pub(super) fn turn(&mut self) -> Vec<Arc<Connection>> {
        let due = self.slots.front_mut().map(mem::take).unwrap_or_default();
        self.slots.rotate_left(1);
        due
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(Vec::clear);
    }
}

fn ticks(time: Duration) -> usize {
    usize::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(usize::MAX)
}
