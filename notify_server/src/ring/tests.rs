use chat_core::{
    event::EventKind,
    ids::{ChatId, MessageId},
    message::Quote,
};

use super::*;
use crate::fixtures::{chat_update, epoch, message, message_event};

const WIDE: RingLimits = RingLimits { events: 100, bytes: 1 << 20 };

fn ring(limits: RingLimits, events: impl IntoIterator<Item = chat_core::event::Event>) -> Ring {
    let mut ring = Ring::new(limits, 0);
    for event in events {
        ring.push(Arc::new(Entry::of(&event, &epoch())));
    }
    ring
}

fn ids(ring: &Ring, after: i64, until: i64) -> Option<Vec<i64>> {
    Some(ring.range(after, until)?.map(|entry| entry.id).collect())
}

#[test]
fn it_holds_so_many_events() {
    let chat = ChatId::new();
    let ring = ring(RingLimits { events: 3, ..WIDE }, (1..=5).map(|id| message(id, chat)));
    assert_eq!(ids(&ring, 1, 5), None);
    assert_eq!(ids(&ring, 2, 5), Some(vec![3, 4, 5]));
    assert_eq!(ids(&ring, 3, 4), Some(vec![4]));
    assert_eq!(ids(&ring, 5, 5), Some(vec![]));
    assert_eq!(ids(&ring, 6, 6), None);
    assert_eq!(ring.messages.len(), 3);
}

#[test]
fn it_holds_so_many_bytes() {
    let chat = ChatId::new();
    let cost = Entry::of(&message(1, chat), &epoch()).cost();
    let ring = ring(RingLimits { bytes: 2 * cost + cost / 2, ..WIDE }, (1..=5).map(|id| message(id, chat)));
    assert_eq!(ids(&ring, 3, 5), Some(vec![4, 5]));
    assert_eq!(ring.bytes, ring.entries.iter().map(|entry| entry.cost()).sum::<usize>());
}

#[test]
fn ids_may_have_holes() {
    let chat = ChatId::new();
    let ring = ring(WIDE, [2, 5, 9].map(|id| message(id, chat)));
    assert_eq!(ids(&ring, 3, 8), Some(vec![5]));
    assert_eq!(ring.page(0, 9, 2).map(|page| page.len()), Some(2));
}

#[test]
fn deleted_content_is_gone_from_earlier_events() {
    let (chat, id) = (ChatId::new(), MessageId::new());
    let ring = ring(
        WIDE,
        [
            message_event(1, EventKind::Message, chat, id, Some("first words")),
            message_event(2, EventKind::Message, chat, MessageId::new(), Some("other words")),
            message_event(3, EventKind::MessageUpdate, chat, id, Some("second words")),
            message_event(4, EventKind::MessageDelete, chat, id, None),
        ],
    );
    let frames: Vec<_> = ring.entries.iter().filter_map(|entry| entry.frame.as_ref()).collect();
    let text = |index: usize| String::from_utf8_lossy(frames[index].chunk().text()).into_owned();
    assert_eq!(frames.len(), 4);
    assert!(text(0).starts_with("id: e0-1\nevent: message\ndata: {") && text(0).ends_with("}\n\n"));
    assert!(text(0).contains(r#""content":null"#) && !text(0).contains("words"));
    assert!(text(1).contains("other words"));
    assert!(text(2).starts_with("id: e0-3\nevent: message_update\n") && !text(2).contains("words"));
    assert_eq!(ring.bytes, ring.entries.iter().map(|entry| entry.cost()).sum::<usize>());
}

#[test]
fn deleted_content_is_gone_from_where_it_was_quoted() {
    let (chat, id, other) = (ChatId::new(), MessageId::new(), MessageId::new());
    let quoting = |event_id, quoted| {
        let mut event =
            message_event(event_id, EventKind::Message, chat, MessageId::new(), Some("an answer"));
        let of = message_event(0, EventKind::Message, chat, quoted, Some("words"));
        if let Some(message) = &mut event.message {
            message.reply_to = Some(quoted);
            message.quote = of.message.as_ref().map(Quote::of);
        }
        event
    };
    let deleted = message_event(4, EventKind::MessageDelete, chat, id, None);
    let limits = RingLimits { events: 4, ..WIDE };
    let mut ring = ring(limits, [quoting(1, id), quoting(2, id), quoting(3, other), deleted]);
    let text = |ring: &Ring, index: usize| {
        let frame = ring.entries[index].frame.as_ref().expect("a frame");
        String::from_utf8_lossy(frame.chunk().text()).into_owned()
    };
    for index in [0, 1] {
        let text = text(&ring, index);
        assert!(text.contains("an answer") && !text.contains("words"), "{text}");
        assert!(text.starts_with("id: e0-") && text.ends_with("}\n\n"), "{text}");
    }
    assert!(text(&ring, 2).contains(r#""content":"words""#));
    assert_eq!(ring.bytes, ring.entries.iter().map(|entry| entry.cost()).sum::<usize>());
    // What is dropped is not remembered as quoting.
    for id in 5..8 {
        ring.push(Arc::new(Entry::of(&message(id, chat), &epoch())));
    }
    assert!(ring.quotes.is_empty(), "{:?}", ring.quotes);
}

#[test]
fn a_purged_message_takes_its_earlier_events_along() {
    let (chat, id) = (ChatId::new(), MessageId::new());
    let mut purged = message_event(2, EventKind::MessageDelete, chat, id, None);
    purged.message = None;
    let ring = ring(WIDE, [message_event(1, EventKind::Message, chat, id, Some("words")), purged]);
    assert!(ring.entries.iter().all(|entry| entry.frame.is_none()));
}

#[test]
fn it_tells_where_somebody_was() {
    let (user, other, joined, left) = (UserId::new(), UserId::new(), ChatId::new(), ChatId::new());
    let ring = ring(
        WIDE,
        [
            chat_update(1, "member_added", left, Some(user)),
            chat_update(2, "member_added", joined, Some(user)),
            chat_update(3, "member_removed", left, Some(user)),
            chat_update(4, "member_removed", joined, Some(other)),
        ],
    );
    let chats =
        |chats: &[ChatId]| Memberships { chats: chats.iter().copied().collect(), ..Memberships::default() };
    let at = |position| ring.rewind(user, chats(&[joined]), position, 4);
    assert_eq!(at(4), Some(chats(&[joined])));
    assert_eq!(at(2), Some(chats(&[joined, left])));
    assert_eq!(at(1), Some(chats(&[left])));
    assert_eq!(at(0), Some(chats(&[])));
    assert_eq!(at(-1), None);
}
