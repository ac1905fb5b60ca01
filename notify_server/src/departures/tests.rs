use chat_core::event::EventKind;

use super::*;
use crate::fixtures::{chat_update, epoch, message_event};

fn entries(events: &[chat_core::event::Event]) -> Vec<Arc<Entry>> {
    events.iter().map(|event| Arc::new(Entry::of(event, &epoch()))).collect()
}

/// The events of the batch that `user` must not be shown.
fn withheld(departures: &Departures, batch: &[Arc<Entry>], user: UserId) -> Vec<i64> {
    batch.iter().filter(|entry| departures.outliving(entry)(user)).map(|entry| entry.id).collect()
}

#[test]
fn who_leaves_is_not_shown_what_was_changed_after_that() {
    let (leaver, stayer, chat, elsewhere) = (UserId::new(), UserId::new(), ChatId::new(), ChatId::new());
    let (edited, kept, quoting, other) =
        (MessageId::new(), MessageId::new(), MessageId::new(), MessageId::new());
    let (new, update) = (EventKind::Message, EventKind::MessageUpdate);
    let mut quote = message_event(3, new, chat, quoting, Some("an answer"));
    quote.message.as_mut().expect("a message").reply_to = Some(edited);
    let batch = entries(&[
        message_event(1, new, chat, edited, Some("words")),
        message_event(2, new, chat, kept, Some("words")),
        quote,
        message_event(4, new, elsewhere, other, Some("words")),
        chat_update(5, "member_removed", chat, Some(leaver)),
        message_event(6, update, chat, edited, Some("later words")),
        message_event(7, update, elsewhere, other, Some("later words")),
    ]);
    let departures = Departures::of(&batch, &[], false);
    assert_eq!(withheld(&departures, &batch, leaver), [1, 3]);
    assert!(withheld(&departures, &batch, stayer).is_empty());
    // An edit that came before that is theirs to read.
    let seen = entries(&[
        message_event(1, new, chat, edited, Some("words")),
        message_event(2, update, chat, edited, Some("later words")),
        chat_update(3, "member_removed", chat, Some(leaver)),
    ]);
    assert!(withheld(&Departures::of(&seen, &[], false), &seen, leaver).is_empty());
}

#[test]
fn the_messages_of_a_full_batch_may_have_changed_after_any_departure_to_come() {
    let (leaver, chat, elsewhere) = (UserId::new(), ChatId::new(), ChatId::new());
    let new = EventKind::Message;
    let batch = entries(&[
        message_event(1, new, chat, MessageId::new(), Some("words")),
        message_event(2, new, elsewhere, MessageId::new(), Some("words")),
    ]);
    let departure = |id| Departure { id, chat, user: leaver };
    let departures = Departures::of(&batch, &[departure(3), departure(9)], true);
    assert_eq!(withheld(&departures, &batch, leaver), [1]);
    assert_eq!(departures.left_by(leaver, 8).collect::<Vec<_>>(), [chat]);
    assert_eq!(departures.left_by(leaver, 9).count(), 0);
    assert_eq!(departures.left_by(UserId::new(), 0).count(), 0);
}
