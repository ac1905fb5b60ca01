use chat_core::ids::{ChatId, UserId, WorkspaceId};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{queue::Pushed, *};
use crate::{
    departures::Departure,
    fixtures::{at, chat_update, epoch, message, position, subscriber, workspace_update},
    frame::Form,
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
    frame.chunk().text().len()
}

fn connection(user: UserId, limits: QueueLimits) -> Guard {
    Guard::new(Connection {
        id: Uuid::nil(),
        subscriber: subscriber(user),
        ends_at: at(),
        queue: Queue::new(limits),
    })
}

/// Turns the wheel once around; answers who has no subscribed connection any more.
fn look_after(connections: &mut Connections, now: DateTime<Utc>) -> Vec<UserId> {
    let mut unsubscribed: Vec<_> =
        (0..20).flat_map(|_| connections.look_after(now, Some(position(9)), |_| true)).collect();
    unsubscribed.dedup();
    unsubscribed
}

/// The ids of the events in a queue, which must be live.
fn taken(queue: &Queue) -> Vec<i64> {
    std::iter::from_fn(|| match queue.take(1, Form::Text) {
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
    let Taken::Frames(chunk, 3) = queue.take(usize::MAX, Form::Text) else { panic!("not together") };
    assert_eq!(chunk.len(), bytes);
    assert_eq!(queue.take(usize::MAX, Form::Text), Taken::Nothing);
}

#[test]
fn a_full_queue_is_dropped_and_takes_nothing_until_subscribed_again() {
    let queue = Queue::new(QueueLimits { events: 2, ..ROOMY });
    queue.subscribe();
    for id in 1..=3 {
        push(&queue, id);
    }
    assert_eq!(queue.take(usize::MAX, Form::Text), Taken::Behind);
    assert!(!queue.is_live());
    push(&queue, 4);
    queue.subscribe();
    push(&queue, 5);
    assert_eq!(taken(&queue), [5]);
}

#[test]
fn what_is_ephemeral_is_dropped_first() {
    let queue = Queue::new(QueueLimits { events: 6, ..ROOMY });
    queue.subscribe();
    let typing = crate::frame::ephemeral(&chat_core::event::Ephemeral {
        kind: chat_core::event::EphemeralKind::Typing,
        chat_id: ChatId::new(),
        user_id: UserId::new(),
        after: 0,
    });
    push(&queue, 1);
    assert_eq!(queue.push_ephemeral(1, &typing), Pushed::Next);
    push(&queue, 2);
    assert_eq!(queue.push_ephemeral(2, &typing), Pushed::Refused, "half of the room is taken");
    for id in 3..=7 {
        push(&queue, id);
    }
    // The seven would not fit beside it.
    assert_eq!(queue.take(usize::MAX, Form::Text), Taken::Behind);
    queue.subscribe();
    assert_eq!(queue.push_ephemeral(7, &typing), Pushed::First);
    for id in 8..=13 {
        push(&queue, id);
    }
    assert_eq!(taken(&queue), [8, 9, 10, 11, 12, 13]);
    assert_eq!(queue.push_ephemeral(13, &typing), Pushed::First);
    push(&queue, 14);
    assert_eq!(taken(&queue), [13, 14], "where there is room, it comes through in its place");
}

#[test]
fn a_queue_is_bounded_in_bytes_but_takes_one_frame_of_any_size() {
    let queue = Queue::new(QueueLimits { bytes: 10, ..ROOMY });
    queue.subscribe();
    push(&queue, 1);
    assert_eq!(taken(&queue), [1]);
    push(&queue, 2);
    push(&queue, 3);
    assert_eq!(queue.take(usize::MAX, Form::Text), Taken::Behind);
}

#[test]
fn an_interruption_goes_before_frames_and_an_end_is_final() {
    let queue = Queue::new(ROOMY);
    queue.subscribe();
    push(&queue, 1);
    queue.cut(Reset::Epoch, position(9));
    assert_eq!(queue.take(usize::MAX, Form::Text), Taken::Interrupted);
    assert_eq!(queue.interruption(), Some(Interruption::Cut(Reset::Epoch, position(9))));
    assert_eq!(queue.interruption(), None);
    queue.end(Bye::Suspended);
    queue.subscribe();
    queue.cut(Reset::Epoch, position(9));
    assert_eq!(queue.interruption(), Some(Interruption::Ended(Bye::Suspended)));
}

#[test]
fn a_registration_follows_its_person_to_the_present() {
    let (user, workspace, chat) = (UserId::new(), WorkspaceId::new(), ChatId::new());
    let mut ring = Ring::new(RingLimits { events: 4, bytes: 1 << 20 }, 0);
    for event in [
        workspace_update(1, "updated", workspace, None),
        workspace_update(2, "updated", workspace, None),
        workspace_update(3, "member_removed", workspace, Some(user)),
        workspace_update(4, "updated", workspace, None),
        chat_update(5, "member_added", chat, Some(user)),
        message(6, chat),
    ] {
        ring.push(entry(&event));
    }
    let connection = connection(user, ROOMY);
    let at_2 = Memberships { workspaces: [workspace].into(), ..Memberships::default() };
    let at_6 = Memberships { chats: [chat].into(), ..Memberships::default() };
    assert_eq!(follow(&ring, &connection, 2, at_2.clone()), Some(at_6));
    assert_eq!(taken(&connection.queue), [3, 5, 6]);
    assert_eq!(follow(&ring, &connection, 1, at_2), None);
}

#[tokio::test]
async fn only_subscribed_connections_of_a_person_are_fed() {
    let user = UserId::new();
    let (first, second) = (connection(user, ROOMY), connection(user, QueueLimits { events: 1, ..ROOMY }));
    let mut connections = Connections::new(0);
    for guard in [&first, &second] {
        guard.queue.subscribe();
        connections.attach(guard.share());
        connections.attach(guard.share());
    }
    for id in 1..=2 {
        let entry = entry(&message(id, ChatId::new()));
        connections.deliver(user, id, entry.frame.as_ref().unwrap(), Instant::now());
    }
    assert_eq!(connections.flush().await, []);
    assert_eq!(taken(&first.queue), [1, 2]);
    assert_eq!(second.queue.take(1, Form::Text), Taken::Behind);
    drop(first);
    // The second one is not subscribed any more, so nobody of the person's is.
    assert_eq!(look_after(&mut connections, at() - TimeDelta::seconds(1)), [user]);
    assert_eq!(connections.drain().len(), 1);
}

#[test]
fn streams_end_with_their_token() {
    let guard = connection(UserId::new(), ROOMY);
    guard.queue.subscribe();
    let mut connections = Connections::new(0);
    connections.attach(guard.share());
    look_after(&mut connections, at() - TimeDelta::seconds(1));
    assert_eq!(guard.queue.interruption(), None);
    look_after(&mut connections, at());
    assert_eq!(guard.queue.interruption(), Some(Interruption::Ended(Bye::TokenExpired)));
}

#[test]
fn a_person_has_so_many_streams_and_those_that_run_go_on() {
    let (user, other) = (UserId::new(), UserId::new());
    let mut connections = Connections::new(2);
    let mut open: Vec<_> = (0..2).map(|_| connection(user, ROOMY)).collect();
    for guard in &open {
        assert!(connections.has_place(&guard.share()));
        connections.attach(guard.share());
    }
    let third = connection(user, ROOMY);
    assert!(!connections.has_place(&third.share()));
    assert!(connections.has_place(&connection(other, ROOMY).share()), "others have places of their own");
    // Who fell behind registers again.
    assert!(open.iter().all(|guard| connections.has_place(&guard.share())));
    // A client that is gone leaves its place, before the wheel comes to it.
    open.pop();
    assert!(connections.has_place(&third.share()));
    connections.attach(third.share());
    assert!(!connections.has_place(&connection(user, ROOMY).share()));
    let mut unlimited = Connections::new(0);
    let many: Vec<_> = (0..500).map(|_| connection(user, ROOMY)).collect();
    for guard in &many {
        assert!(unlimited.has_place(&guard.share()));
        unlimited.attach(guard.share());
    }
}

#[test]
fn a_registration_from_before_its_person_left_a_chat_is_stale() {
    let (user, other, chat) = (UserId::new(), UserId::new(), ChatId::new());
    let mut ring = Ring::new(RingLimits { events: 9, bytes: 1 << 20 }, 0);
    for event in [
        message(1, chat),
        chat_update(2, "member_removed", chat, Some(user)),
        chat_update(3, "member_added", chat, Some(user)),
        message(4, chat),
        chat_update(5, "member_removed", chat, Some(other)),
    ] {
        ring.push(entry(&event));
    }
    let here = Memberships { chats: [chat].into(), ..Memberships::default() };
    let given = |ring: &Ring, position| {
        let connection = connection(user, ROOMY);
        let memberships = follow(ring, &connection, position, here.clone())?;
        assert_eq!(memberships, here);
        Some(taken(&connection.queue))
    };
    assert_eq!(given(&ring, 1), None);
    assert_eq!(given(&ring, 2), Some(vec![3, 4, 5]));
    // The messages were read when it had left again, which the hub has not come to.
    let leaves = |user| Arc::new(Departures::of(&[], &[Departure { id: 6, chat, user }], true));
    ring.expect(leaves(user));
    assert_eq!(given(&ring, 2), None);
    ring.expect(leaves(other));
    assert_eq!(given(&ring, 2), Some(vec![3, 4, 5]));
}
