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

#[cfg(test)]
mod tests {
    use chat_core::ids::UserId;
    use uuid::Uuid;

    use super::*;
    use crate::{
        fixtures::{at, subscriber},
        hub::{Queue, QueueLimits},
    };

    fn connection() -> Arc<Connection> {
        Arc::new(Connection {
            id: Uuid::now_v7(),
            subscriber: subscriber(UserId::new()),
            ends_at: at(),
            queue: Queue::new(QueueLimits { events: 1, bytes: 1 }),
        })
    }

    /// After how many turns a connection comes up, and that it comes up once.
    fn comes_up(wheel: &mut Wheel, after: Duration) -> usize {
        let connection = connection();
        wheel.add(Arc::clone(&connection), after);
        let turns: Vec<_> =
            (1..=100).filter(|_| wheel.turn().iter().any(|due| Arc::ptr_eq(due, &connection))).collect();
        assert_eq!(turns.len(), 1, "{after:?}: {turns:?}");
        turns[0]
    }

    #[test]
    fn a_connection_comes_up_once_when_its_time_is_over_and_never_much_later() {
        let most = ticks(MOST) + 1;
        let mut wheel = Wheel::default();
        for (after, turns) in [
            (Duration::ZERO, 1),
            (TICK, 2),
            (TICK + Duration::from_millis(1), 3),
            (Duration::from_secs(1), 5),
            (11 * TICK, most - 1),
            (MOST, most),
            (Duration::from_hours(1), most),
            (Duration::MAX, most),
        ] {
            // From whichever slot the wheel is at.
            for turned in 0..most {
                (0..turned).for_each(|_| drop(wheel.turn()));
                assert_eq!(comes_up(&mut wheel, after), turns, "{after:?}");
            }
        }
    }

    #[test]
    fn those_of_a_tick_come_up_together_and_the_others_stay() {
        let mut wheel = Wheel::default();
        for _ in 0..3 {
            wheel.add(connection(), TICK);
        }
        wheel.add(connection(), 2 * TICK);
        let due: Vec<_> = (0..5).map(|_| wheel.turn().len()).collect();
        assert_eq!(due, [0, 3, 1, 0, 0]);
    }

    #[test]
    fn one_that_is_put_back_at_its_turn_comes_up_again_and_again() {
        let (mut wheel, mut seen) = (Wheel::default(), 0);
        wheel.add(connection(), Duration::MAX);
        for _ in 0..10 * (ticks(MOST) + 1) {
            for due in wheel.turn() {
                seen += 1;
                wheel.add(due, Duration::MAX);
            }
        }
        assert_eq!(seen, 10);
    }

    #[test]
    fn a_wheel_that_was_cleared_holds_nobody() {
        let (mut wheel, connection) = (Wheel::default(), connection());
        for after in [Duration::ZERO, TICK, MOST] {
            wheel.add(Arc::clone(&connection), after);
        }
        wheel.clear();
        assert_eq!(Arc::strong_count(&connection), 1);
        assert!((0..20).all(|_| wheel.turn().is_empty()));
    }
}
