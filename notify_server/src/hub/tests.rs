use chat_core::ids::{ChatId, SessionId, UserId};
use uuid::Uuid;

use super::*;
use crate::{
    fixtures::{at, chat_update, epoch, message, position},
    reason::Reset,
    ring::RingLimits,
};

const ROOMY: QueueLimits = QueueLimits { events: 100, bytes: 1 << 20 };

fn entry(event: &chat_core::event::Event) -> Arc<Entry> {
    Arc::new(Entry::of(event, &epoch()))
}

fn push(queue: &Queue, id: i64) -> usize {
    let entry = entry(&message(id, ChatId::new()));
    let frame = entry.frame.as_ref().unwrap();
    queue.push(id, frame);
    frame.bytes().len()
}

fn connection(user: UserId, limits: QueueLimits) -> Guard {
    Guard::new(Connection {
        id: Uuid::nil(),
        user,
        session: SessionId::new(),
        ends_at: at(),
        queue: Queue::new(limits),
    })
}

/// The ids of the events in a queue, which must be live.
fn taken(queue: &Queue) -> Vec<i64> {
    std::iter::from_fn(|| match queue.take(1) {
        Taken::Frames(_, id) => Some(id),
        Taken::Nothing => None,
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn frames_leave_a_queue_in_order_and_together() {
    let queue = Queue::new(ROOMY);
    queue.subscribe();
    let bytes: usize = (1..=3).map(|id| push(&queue, id)).sum();
    let Taken::Frames(chunk, 3) = queue.take(usize::MAX) else { panic!("not together") };
    assert_eq!(chunk.len(), bytes);
    assert_eq!(queue.take(usize::MAX), Taken::Nothing);
}

#[test]
fn a_full_queue_is_dropped_and_takes_nothing_until_subscribed_again() {
    let queue = Queue::new(QueueLimits { events: 2, ..ROOMY });
    queue.subscribe();
    for id in 1..=3 {
        push(&queue, id);
    }
    assert_eq!(queue.take(usize::MAX), Taken::Behind);
    assert!(!queue.is_live());
    push(&queue, 4);
    queue.subscribe();
    push(&queue, 5);
    assert_eq!(taken(&queue), [5]);
}

#[test]
fn a_queue_is_bounded_in_bytes_but_takes_one_frame_of_any_size() {
    let queue = Queue::new(QueueLimits { bytes: 10, ..ROOMY });
    queue.subscribe();
    push(&queue, 1);
    assert_eq!(taken(&queue), [1]);
    push(&queue, 2);
    push(&queue, 3);
    assert_eq!(queue.take(usize::MAX), Taken::Behind);
}

#[test]
fn an_interruption_goes_before_frames_and_an_end_is_final() {
    let queue = Queue::new(ROOMY);
    queue.subscribe();
    push(&queue, 1);
    queue.cut(Reset::Epoch, position(9));
    assert_eq!(queue.take(usize::MAX), Taken::Interrupted);
    assert_eq!(queue.interruption(), Some(Interruption::Cut(Reset::Epoch, position(9))));
    assert_eq!(queue.interruption(), None);
    queue.end(Bye::Suspended);
    queue.subscribe();
    queue.cut(Reset::Epoch, position(9));
    assert_eq!(queue.interruption(), Some(Interruption::Ended(Bye::Suspended)));
}

#[test]
fn a_registration_follows_its_person_to_the_present() {
    let (user, chat, other) = (UserId::new(), ChatId::new(), ChatId::new());
    let mut ring = Ring::new(RingLimits { events: 4, bytes: 1 << 20 }, 0);
    for event in [
        message(1, chat),
        message(2, chat),
        chat_update(3, "member_removed", chat, Some(user)),
        message(4, chat),
        chat_update(5, "member_added", other, Some(user)),
        message(6, other),
    ] {
        ring.push(entry(&event));
    }
    let connection = connection(user, ROOMY);
    let at_2 = Memberships { chats: [chat].into(), ..Memberships::default() };
    let at_6 = Memberships { chats: [other].into(), ..Memberships::default() };
    assert_eq!(follow(&ring, &connection, 2, at_2.clone()), Some(at_6));
    assert_eq!(taken(&connection.queue), [3, 5, 6]);
    assert_eq!(follow(&ring, &connection, 1, at_2), None);
}

#[test]
fn only_subscribed_connections_of_a_person_are_fed() {
    let user = UserId::new();
    let (first, second) = (connection(user, ROOMY), connection(user, QueueLimits { events: 1, ..ROOMY }));
    let mut connections = Connections::default();
    for guard in [&first, &second] {
        guard.queue.subscribe();
        connections.attach(guard.share());
        connections.attach(guard.share());
    }
    for id in 1..=2 {
        connections.deliver(user, id, entry(&message(id, ChatId::new())).frame.as_ref().unwrap());
    }
    assert_eq!(connections.flush(), []);
    assert_eq!(taken(&first.queue), [1, 2]);
    assert_eq!(second.queue.take(1), Taken::Behind);
    drop(first);
    // The second one is not subscribed any more, so nobody of the person's is.
    assert_eq!(connections.sweep(at() - chrono::TimeDelta::seconds(1)), [user]);
    assert_eq!(connections.drain().len(), 1);
}

#[test]
fn streams_end_with_their_token() {
    let guard = connection(UserId::new(), ROOMY);
    guard.queue.subscribe();
    let mut connections = Connections::default();
    connections.attach(guard.share());
    connections.sweep(at() - chrono::TimeDelta::seconds(1));
    assert_eq!(guard.queue.interruption(), None);
    connections.sweep(at());
    assert_eq!(guard.queue.interruption(), Some(Interruption::Ended(Bye::TokenExpired)));
}
