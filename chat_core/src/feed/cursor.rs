//! How a feed finds out that the log in front of it is not the one that it has read.

use chrono::{DateTime, Utc};

use super::LogState;
use crate::event::Position;

/// Up to where a feed has read.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) position: Position,
    /// When the event at the position was written; none at the log's beginning. It tells the event from another
    /// one that got the same id after the log's end was cut off.
    pub(super) at: Option<DateTime<Utc>>,
}

/// How what a feed has read is continued in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    /// By the events after the cursor.
    Whole,
    /// The events after the cursor have been dropped.
    Expired,
    /// The log has another epoch.
    OtherLog,
    /// The log has the same epoch, but not the event of the cursor: it was set back, and may have grown again.
    Cut,
}

impl Cursor {
    /// Looks at what the log says of itself and of the cursor.
    pub(super) fn judge(&self, log: &LogState) -> Continuation {
        let Position { epoch, id } = &self.position;
        if log.epoch != *epoch {
            Continuation::OtherLog
        } else if *id < log.dropped_through {
            Continuation::Expired
        } else if log.cursor_at != self.at && *id > log.dropped_through {
            Continuation::Cut
        } else {
            Continuation::Whole
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::event::Epoch;

    fn cursor(id: i64) -> Cursor {
        let at = (id > 0).then_some(DateTime::UNIX_EPOCH);
        Cursor { position: Position { epoch: Epoch("e".into()), id }, at }
    }

    fn log(dropped_through: i64, cursor_at: Option<DateTime<Utc>>) -> LogState {
        LogState { epoch: Epoch("e".into()), dropped_through, cursor_at }
    }

    #[test]
    fn the_event_of_the_cursor_vouches_for_the_log() {
        let same = Some(DateTime::UNIX_EPOCH);
        assert_eq!(cursor(5).judge(&log(0, same)), Continuation::Whole);
        let other = Some(DateTime::UNIX_EPOCH + TimeDelta::microseconds(1));
        assert_eq!(cursor(5).judge(&log(0, other)), Continuation::Cut, "grown again");
        assert_eq!(cursor(5).judge(&log(0, None)), Continuation::Cut, "shorter");
        let renewed = LogState { epoch: Epoch("f".into()), ..log(0, same) };
        assert_eq!(cursor(5).judge(&renewed), Continuation::OtherLog);
    }

    #[test]
    fn what_was_dropped_is_not_cut_off() {
        assert_eq!(cursor(0).judge(&log(0, None)), Continuation::Whole, "the beginning");
        assert_eq!(cursor(5).judge(&log(5, None)), Continuation::Whole, "all that was read, and no more");
        assert_eq!(cursor(5).judge(&log(6, None)), Continuation::Expired);
    }
}
