use std::sync::Arc;

use chat_core::{
    event::EventKind,
    ids::{ChatId, MessageId, WorkspaceId},
};

use super::*;
use crate::{
    entry::Entry,
    fixtures::{chat_update, epoch, message, message_event, workspace_update},
    ring::{Ring, RingLimits},
};

fn chats(chats: &[ChatId]) -> Memberships {
    Memberships { chats: chats.iter().copied().collect(), ..Memberships::default() }
}

/// The ids of the events that are shown to a person who was in `then` and is in `now`.
fn shown(user: UserId, then: Memberships, now: Memberships, events: &[Event]) -> Vec<i64> {
    let mut view = View { user, then, readable: now.clone(), now };
    events.iter().filter(|event| view.shows(&Route::of(event))).map(|event| event.id).collect()
}

#[test]
fn nothing_from_before_one_joined() {
    let (user, chat) = (UserId::new(), ChatId::new());
    let events = [
        message(1, chat),
        chat_update(2, "member_added", chat, Some(user)),
        message(3, chat),
        message(4, ChatId::new()),
    ];
    assert_eq!(shown(user, chats(&[]), chats(&[chat]), &events), [2, 3]);
}

#[test]
fn what_one_was_removed_from_is_withheld_but_not_the_removal() {
    let (user, chat) = (UserId::new(), ChatId::new());
    let events = [
        message(1, chat),
        chat_update(2, "name_changed", chat, None),
        chat_update(3, "member_removed", chat, Some(user)),
        message(4, chat),
    ];
    assert_eq!(shown(user, chats(&[chat]), chats(&[]), &events), [3]);
}

#[test]
fn who_came_back_gets_what_was_said_while_they_were_there() {
    let (user, chat) = (UserId::new(), ChatId::new());
    let events = [
        message(1, chat),
        chat_update(2, "member_removed", chat, Some(user)),
        message(3, chat),
        chat_update(4, "member_added", chat, Some(user)),
        message(5, chat),
    ];
    assert_eq!(shown(user, chats(&[chat]), chats(&[chat]), &events), [1, 2, 4, 5]);
}

#[test]
fn a_deletion_is_told_and_what_was_written_there_is_not() {
    let (user, chat) = (UserId::new(), ChatId::new());
    let mut view = View { user, then: chats(&[chat]), now: chats(&[chat]), readable: chats(&[]) };
    let events =
        [message(1, chat), chat_update(2, "name_changed", chat, None), chat_update(3, "deleted", chat, None)];
    let shown: Vec<_> = events.iter().map(|event| view.shows(&Route::of(event))).collect();
    assert_eq!(shown, [false, true, true]);
}

#[test]
fn a_workspace_counts_from_joining_it_as_well() {
    let (user, workspace) = (UserId::new(), WorkspaceId::new());
    let events = [
        workspace_update(1, "updated", workspace, None),
        workspace_update(2, "member_added", workspace, Some(user)),
        workspace_update(3, "updated", workspace, None),
    ];
    let now = Memberships { workspaces: [workspace].into(), ..Memberships::default() };
    assert_eq!(shown(user, Memberships::default(), now, &events), [2, 3]);
}

/// Bytes of a long message's text.
const LONG: usize = 40_000;
/// Bytes that may be ready.
const ROOM: usize = 256 * 1024;

/// A replay of all of `events` to who was in `then` and is in `now`.
fn replay(user: UserId, then: Memberships, now: Memberships, events: &[Event]) -> Replay {
    let view = View { user, then, readable: now.clone(), now };
    let until = events.last().map(|event| event.id).unwrap_or_default();
    let (ready, read_at) = (Frames::new(), None);
    Replay { view, epoch: epoch(), at: 0, until, room: ROOM, page: PAGE, ready, read_at, stayed_until: until }
}

/// What a replay gives in one go after the other, each of which `step` gives it: ids and bytes.
fn drained(replay: &mut Replay, mut step: impl FnMut(&mut Replay)) -> Vec<(Vec<i64>, usize)> {
    let mut goes = Vec::new();
    while replay.at < replay.until {
        let before = replay.at;
        step(replay);
        assert!(replay.at > before, "it goes on");
        let ready = std::mem::take(&mut replay.ready);
        let bytes = ready.iter().map(|frame| frame.chunk.text().len()).sum();
        goes.push((ready.iter().map(|frame| frame.id).collect(), bytes));
    }
    goes
}

/// A long log, in which the person goes in and out.
fn long_log(user: UserId, chat: ChatId) -> Vec<Event> {
    let text = "x".repeat(LONG);
    let written = |id| message_event(id, EventKind::Message, chat, MessageId::new(), Some(&text));
    let mut events: Vec<_> = (1..=300).map(written).collect();
    events[99] = chat_update(100, "member_removed", chat, Some(user));
    events[199] = chat_update(200, "member_added", chat, Some(user));
    events
}

#[test]
fn what_is_ready_takes_no_more_room_than_there_is_and_nothing_is_left_out() {
    let (user, chat) = (UserId::new(), ChatId::new());
    let events = long_log(user, chat);
    let mut ring = Ring::new(RingLimits { events: events.len(), bytes: usize::MAX }, 0);
    for event in &events {
        ring.push(Arc::new(Entry::of(event, &epoch())));
    }
    let expected: Vec<_> = (1..=100).chain(200..=300).collect();
    let after = |id: i64| usize::try_from(id).unwrap();
    let mut of_table = replay(user, chats(&[chat]), chats(&[chat]), &events);
    let of_table = drained(&mut of_table, |replay| {
        let page = after(replay.at).saturating_add(replay.page.into()).min(events.len());
        replay.encode(&events[after(replay.at)..page]);
    });
    let mut of_ring = replay(user, chats(&[chat]), chats(&[chat]), &events);
    let of_ring = drained(&mut of_ring, |replay| {
        replay.show(&ring.page(replay.at, replay.until, PAGE.into()).unwrap());
    });
    for goes in [of_table, of_ring] {
        assert!(goes.iter().all(|(_, bytes)| *bytes < ROOM + 2 * LONG), "{goes:?}");
        assert_eq!(goes.into_iter().flat_map(|(ids, _)| ids).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_had_no_room_is_not_read_over_and_over() {
    let (user, chat) = (UserId::new(), ChatId::new());
    let events = long_log(user, chat);
    let mut replay = replay(user, chats(&[chat]), chats(&[chat]), &events);
    let mut read = 0;
    drained(&mut replay, |replay| {
        let at = usize::try_from(replay.at).unwrap();
        let page = &events[at..(at + usize::from(replay.page)).min(events.len())];
        read += page.len();
        replay.encode(page);
    });
    assert!(read < 4 * events.len(), "{read} events were read");
}

#[test]
fn a_frame_that_is_larger_than_the_room_gets_through() {
    let (user, chat) = (UserId::new(), ChatId::new());
    let events = long_log(user, chat);
    let mut replay = Replay { room: 1, ..replay(user, chats(&[chat]), chats(&[chat]), &events) };
    replay.encode(&events);
    assert_eq!(replay.ready.iter().map(|frame| frame.id).collect::<Vec<_>>(), [1]);
}
