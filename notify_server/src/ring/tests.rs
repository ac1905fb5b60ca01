use chat_core::{
    event::{Event, EventKind},
    ids::{ChatId, MessageId},
    message::Quote,
};

use super::*;
use crate::fixtures::{chat_update, epoch, message, message_event};

const WIDE: RingLimits = RingLimits { events: 100, bytes: 1 << 20 };

fn ring(limits: RingLimits, events: impl IntoIterator<Item = Event>) -> Ring {
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
    assert_eq!(ring.newest.len(), 3);
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

/// What is shown of each event that is sent, in order.
fn texts(ring: &Ring) -> Vec<String> {
    let page = ring.page(ring.base, ring.head, usize::MAX).expect("all of it");
    let text = |recent: &Recent| String::from_utf8_lossy(recent.frame()?.chunk().text()).into_owned().into();
    page.iter().filter_map(text).collect()
}

/// A message that answers `quoted`, which says `words`.
fn answer(event_id: i64, chat: ChatId, message: MessageId, quoted: MessageId, words: &str) -> Event {
    let mut event = message_event(event_id, EventKind::Message, chat, message, Some("an answer"));
    let of = message_event(0, EventKind::Message, chat, quoted, Some(words));
    if let Some(message) = &mut event.message {
        message.reply_to = Some(quoted);
        message.quote = of.message.as_ref().map(Quote::of);
    }
    event
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
    let texts = texts(&ring);
    assert_eq!(texts.len(), 4);
    assert!(texts[0].starts_with("id: e0-1\nevent: message\ndata: {") && texts[0].ends_with("}\n\n"));
    assert!(texts[0].contains(r#""content":null"#) && !texts[0].contains("words"));
    assert!(texts[1].contains("other words"));
    assert!(texts[2].starts_with("id: e0-3\nevent: message_update\n") && !texts[2].contains("words"));
    assert_eq!(ring.bytes, ring.entries.iter().map(|entry| entry.cost()).sum::<usize>());
}

#[test]
fn deleted_content_is_gone_from_where_it_was_quoted() {
    let (chat, id, other) = (ChatId::new(), MessageId::new(), MessageId::new());
    let answer = |event_id, quoted| answer(event_id, chat, MessageId::new(), quoted, "words");
    let deleted = message_event(4, EventKind::MessageDelete, chat, id, None);
    let limits = RingLimits { events: 4, ..WIDE };
    let mut ring = ring(limits, [answer(1, id), answer(2, id), answer(3, other), deleted]);
    let texts = texts(&ring);
    for text in &texts[..2] {
        assert!(text.contains("an answer") && !text.contains("words"), "{text}");
        assert!(text.starts_with("id: e0-") && text.ends_with("}\n\n"), "{text}");
    }
    assert!(texts[2].contains(r#""content":"words""#));
    // What is dropped is not remembered.
    for id in 5..9 {
        ring.push(Arc::new(Entry::of(&message(id, chat), &epoch())));
    }
    assert_eq!((ring.newest.len(), ring.edits.len()), (4, 0));
}

#[test]
fn an_answer_that_is_edited_shows_what_it_quotes_as_that_is_now() {
    let (chat, id, reply) = (ChatId::new(), MessageId::new(), MessageId::new());
    let edit = |event_id, words| message_event(event_id, EventKind::MessageUpdate, chat, id, Some(words));
    let again = |event_id, words| Event {
        kind: EventKind::MessageUpdate,
        ..answer(event_id, chat, reply, id, words)
    };
    let mut ring = ring(WIDE, [answer(1, chat, reply, id, "first"), edit(2, "second"), again(3, "second")]);
    let shows = |ring: &Ring, words: &str| {
        let texts = texts(ring);
        let quoting: Vec<_> = texts.iter().filter(|text| text.contains("an answer")).collect();
        assert_eq!(quoting.len(), 2);
        for text in quoting {
            let others = ["first", "second", "third"].into_iter().filter(|other| *other != words);
            assert!(text.contains(words) && !others.into_iter().any(|other| text.contains(other)), "{text}");
        }
    };
    shows(&ring, "second");
    ring.push(Arc::new(Entry::of(&edit(4, "third"), &epoch())));
    shows(&ring, "third");
    // What is quoted is gone altogether.
    let purged = Event { message: None, ..message_event(5, EventKind::MessageDelete, chat, id, None) };
    ring.push(Arc::new(Entry::of(&purged, &epoch())));
    let texts = texts(&ring);
    assert_eq!(texts.len(), 2, "nor is anything sent of its own events");
    assert!(
        texts.iter().all(|text| text.contains(r#""quote":null"#) && !text.contains("third")),
        "{texts:?}"
    );
}

#[test]
fn an_edit_costs_the_same_however_many_entries_are_about_the_message_or_quote_it() {
    let (chat, id) = (ChatId::new(), MessageId::new());
    let limits = RingLimits { events: 10_000, bytes: 1 << 30 };
    let mut events = vec![message_event(1, EventKind::Message, chat, id, Some("0"))];
    events.extend((2..=1_000).map(|place| answer(place, chat, MessageId::new(), id, "0")));
    events.extend(
        (1_001..2_000)
            .map(|place| message_event(place, EventKind::MessageUpdate, chat, id, Some(&place.to_string()))),
    );
    let mut ring = ring(limits, events);
    let before: Vec<_> = ring.entries.iter().cloned().collect();
    ring.push(Arc::new(Entry::of(
        &message_event(2_000, EventKind::MessageUpdate, chat, id, Some("last")),
        &epoch(),
    )));
    // Nothing was encoded anew.
    assert!(before.iter().zip(&ring.entries).all(|(before, now)| Arc::ptr_eq(before, now)));
    let texts = texts(&ring);
    assert_eq!(texts.len(), 2_000);
    assert!(texts.iter().all(|text| text.contains(r#""content":"last""#)));
}

#[test]
fn a_purged_message_takes_its_earlier_events_along() {
    let (chat, id) = (ChatId::new(), MessageId::new());
    let mut purged = message_event(2, EventKind::MessageDelete, chat, id, None);
    purged.message = None;
    let ring = ring(WIDE, [message_event(1, EventKind::Message, chat, id, Some("words")), purged]);
    assert_eq!(texts(&ring), Vec::<String>::new());
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

#[test]
fn it_tells_which_chats_somebody_leaves_as_far_as_its_messages_were_read() {
    let (user, other, first, second) = (UserId::new(), UserId::new(), ChatId::new(), ChatId::new());
    let mut ring = ring(
        RingLimits { events: 3, ..WIDE },
        [
            message(1, first),
            chat_update(2, "member_removed", first, Some(user)),
            chat_update(3, "member_removed", second, Some(other)),
            chat_update(4, "member_added", first, Some(user)),
        ],
    );
    assert_eq!(ring.left_by(user, 0), None);
    assert_eq!(ring.left_by(user, 1), Some([first].into()));
    assert_eq!(ring.left_by(user, 2), Some([].into()));
    // The messages were read when somebody had left whom the hub has not come to.
    let leaves = |id, user| Arc::new(Departures::of(&[], &[Departure { id, chat: second, user }], true));
    ring.expect(leaves(5, other));
    assert_eq!(ring.left_by(user, 2), Some([].into()));
    ring.expect(leaves(5, user));
    assert_eq!(ring.left_by(user, 2), Some([second].into()));
    assert_eq!(ring.left_by(user, 1), Some([first, second].into()));
    ring.expect(leaves(4, user));
    assert_eq!(ring.left_by(user, 2), Some([].into()), "it was told");
}
