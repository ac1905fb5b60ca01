use chat_core::event::Epoch;

use super::*;
use crate::{directory::Memberships, fixtures::position};

/// How a log of the events 21 to 100, of which the first 20 were dropped, is resumed at `cursor`.
fn judged(cursor: &Cursor, holds_cursor: bool) -> Judgement {
    let snapshot = Snapshot {
        position: position(100),
        dropped_through: 20,
        holds_cursor,
        session_active: true,
        memberships: Memberships::default(),
        deleted: Memberships::default(),
    };
    judge(cursor, &snapshot, 60)
}

#[test]
fn a_cursor_is_resumed_or_the_client_is_told_why_not() {
    let at = |id| Cursor::Last(position(id));
    assert_eq!(judged(&Cursor::Now, true), Judgement::Live);
    assert_eq!(judged(&Cursor::Nonsense, true), Judgement::Reset(Reset::Unknown));
    assert_eq!(
        judged(&Cursor::Last(Position { epoch: Epoch("e1".into()), id: 90 }), true),
        Judgement::Reset(Reset::Epoch)
    );
    assert_eq!(judged(&at(100), true), Judgement::Live);
    assert_eq!(judged(&at(101), false), Judgement::Reset(Reset::Unknown));
    assert_eq!(judged(&at(90), true), Judgement::Resume(90));
    assert_eq!(judged(&at(90), false), Judgement::Reset(Reset::Unknown));
    assert_eq!(judged(&at(40), true), Judgement::Resume(40));
    assert_eq!(judged(&at(39), true), Judgement::Reset(Reset::TooFar));
    assert_eq!(judged(&at(20), false), Judgement::Reset(Reset::TooFar));
    assert_eq!(judged(&at(19), false), Judgement::Reset(Reset::Expired));
}
