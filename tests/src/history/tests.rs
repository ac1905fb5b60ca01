//! The checker's teeth: a history in order, and what it says when one thing in it is changed.

use std::{collections::BTreeSet, time::Duration};

use chat_core::event::{Epoch, Position};

use tokio::time::Instant;

use super::{
    About, Absence, Breach, Chat, Client, Edit, Frame, History, Message, Outcome, Reload, Send, Shown, Step,
};

fn at(id: i64) -> Position {
    Position { epoch: Epoch("e".into()), id }
}

fn frame(event: &str, id: i64, about: About) -> Step {
    Step::Frame(Frame { event: event.into(), position: at(id), about, shown: Vec::new(), at: Instant::now() })
}

fn message(id: i64, seq: i64) -> Step {
    frame(
        "message",
        id,
        About { chat: Some("c".into()), message: Some(format!("m{seq}")), ..About::default() },
    )
}

fn change(id: i64, kind: &str, person: &str) -> Step {
    let (chat, person, kind) = (Some("c".into()), Some(person.into()), Some(kind.into()));
    frame("chat_update", id, About { chat, person, kind, ..About::default() })
}

fn stream(event: &str, id: i64) -> Step {
    frame(event, id, About::default())
}

fn client(person: &str, steps: Vec<Step>) -> Client {
    Client { name: format!("{person}'s"), person: person.into(), steps }
}

/// Everybody's stream in order. Ann and bob are in the chat; dan joins at 12 and leaves at 15; eve never was in it.
fn in_order() -> History {
    let sent = |seq: i64| Message {
        id: format!("m{seq}"),
        seq,
        sent: Some(("ann".into(), format!("k{seq}"))),
        joined: Vec::new(),
        left: Vec::new(),
    };
    let joined = Message { sent: None, joined: vec!["dan".into()], ..sent(2) };
    let left = Message { sent: None, left: vec!["dan".into()], ..sent(4) };
    let chat = Chat {
        id: "c".into(),
        first_members: BTreeSet::from(["ann".into(), "bob".into()]),
        messages: vec![sent(1), joined, sent(3), left, sent(5)],
    };
    let sends = [1, 3, 5].map(|seq| Send {
        chat: "c".into(),
        sender: "ann".into(),
        client_id: format!("k{seq}"),
        outcome: Outcome::Acknowledged { message: format!("m{seq}"), seq },
    });
    let whole = vec![
        Step::Opened(Some(at(10))),
        stream("hello", 10),
        message(11, 1),
        change(12, "member_added", "dan"),
        message(13, 2),
        message(14, 3),
        change(15, "member_removed", "dan"),
        message(16, 4),
        message(17, 5),
        stream("ping", 18),
    ];
    let dans = [&whole[..2], &whole[3..7], &whole[9..]].concat();
    let eves = [&whole[..2], &whole[9..]].concat();
    let clients =
        vec![client("ann", whole.clone()), client("bob", whole), client("dan", dans), client("eve", eves)];
    History { chats: vec![chat], sends: sends.into(), clients, end: 18, ..History::default() }
}

const BOB: usize = 1;
const DAN: usize = 2;
const EVE: usize = 3;

/// The breaches of the history in order after a change.
fn after(change: impl FnOnce(&mut History)) -> Vec<Breach> {
    let mut history = in_order();
    change(&mut history);
    history.check().into_iter().map(|violation| violation.breach).collect()
}

/// The breaches after a change of one client's steps.
fn after_step(client: usize, change: impl FnOnce(&mut Vec<Step>)) -> Vec<Breach> {
    after(|history| change(&mut history.clients[client].steps))
}

fn reload(position: i64, seqs: std::ops::RangeInclusive<i64>) -> Step {
    let messages = seqs.map(|seq| format!("m{seq}")).collect();
    Step::Reloaded(Reload { position, chats: [("c".to_owned(), Some(messages))].into() })
}

#[test]
fn what_is_in_order_is_accepted() {
    assert_eq!(in_order().check(), []);
}

#[test]
fn a_dropped_event_is_a_hole() {
    assert_eq!(after_step(BOB, |steps| drop(steps.remove(5))), [Breach::Hole]);
    assert_eq!(after_step(BOB, |steps| drop(steps.remove(8))), [Breach::Hole], "a ping tells of it too");
    // Of somebody who was removed later, while connected: what came after it shows that it was not withheld.
    assert_eq!(after_step(DAN, |steps| drop(steps.remove(3))), [Breach::Hole]);
}

#[test]
fn what_nobody_received_is_a_hole_for_everybody() {
    let lost = after(|history| {
        for client in &mut history.clients[..3] {
            client.steps.retain(|step| !matches!(step, Step::Frame(frame) if frame.position.id == 17));
        }
    });
    assert_eq!(lost, [Breach::Hole, Breach::Hole], "for ann and bob; dan had left");
}

#[test]
fn a_hole_over_a_reconnection_is_one() {
    let reconnect = |from: i64, gone: usize| {
        move |steps: &mut Vec<Step>| {
            steps.splice(5..5 + gone, [Step::Opened(Some(at(from))), stream("hello", from)]);
        }
    };
    assert_eq!(after_step(BOB, reconnect(13, 0)), []);
    assert_eq!(after_step(BOB, reconnect(13, 1)), [Breach::Hole]);
    assert_eq!(after_step(BOB, reconnect(14, 1)), [Breach::Hole], "whatever the client believed to have");
}

#[test]
fn a_swapped_order_is_refused() {
    let swapped = after_step(BOB, |steps| steps.swap(4, 5));
    assert!(swapped.contains(&Breach::Order), "{swapped:?}");
    // The same ids for the other messages, on one stream and on all.
    let other = |steps: &mut Vec<Step>| {
        steps[4] = message(13, 3);
        steps[5] = message(14, 2);
    };
    let one = after_step(BOB, other);
    assert!(one.contains(&Breach::Disagreement), "{one:?}");
    let all = after(|history| {
        other(&mut history.clients[0].steps);
        other(&mut history.clients[1].steps);
        history.clients[DAN].steps[3] = message(13, 3);
        history.clients[DAN].steps[4] = message(14, 2);
    });
    assert_eq!(all, [Breach::Order], "against the order of the chat");
}

#[test]
fn a_repetition_needs_a_reconnection() {
    assert_eq!(after_step(BOB, |steps| steps.insert(5, message(13, 2))), [Breach::Repeated]);
    let again = |steps: &mut Vec<Step>, second| {
        let opened = [Step::Opened(Some(at(12))), stream("hello", 12), second];
        steps.splice(5..5, opened);
    };
    assert_eq!(after_step(BOB, |steps| again(steps, message(13, 2))), []);
    let elsewhere = after_step(BOB, |steps| again(steps, message(12, 2)));
    assert!(elsewhere.contains(&Breach::Disagreement), "{elsewhere:?}");
}

#[test]
fn a_leak_is_refused() {
    assert_eq!(after_step(EVE, |steps| steps.insert(2, message(11, 1)))[0], Breach::Leak);
    assert_eq!(after_step(EVE, |steps| steps.insert(2, change(12, "member_added", "dan"))), [Breach::Leak]);
    assert_eq!(after_step(DAN, |steps| steps.insert(2, message(11, 1)))[0], Breach::Leak, "before joining");
    assert_eq!(
        after_step(DAN, |steps| steps.insert(6, message(16, 4)))[0],
        Breach::Leak,
        "after the removal"
    );
}

#[test]
fn what_was_written_after_a_removal_is_a_leak_by_an_event_from_before_it_as_well() {
    let start = Instant::now();
    let second = |n| start + Duration::from_secs(n);
    // Dan is out from the second second on, and the third message is edited in the fourth.
    let breaches = |version, arrived, back| {
        after(|history| {
            history.edits.push(Edit { message: "m3".into(), version: 2, begun: second(4) });
            let (chat, person) = ("c".into(), "dan".into());
            history.absences.push(Absence { chat, person, from: second(2), until: back });
            let Step::Frame(frame) = &mut history.clients[DAN].steps[4] else { unreachable!("a message") };
            frame.shown.push(Shown { message: "m3".into(), version });
            frame.at = arrived;
        })
    };
    assert_eq!(breaches(1, second(5), None), []);
    assert_eq!(breaches(2, second(5), None), [Breach::Leak]);
    assert_eq!(breaches(2, second(5), Some(second(6))), [Breach::Leak]);
    assert_eq!(breaches(2, second(5), Some(second(3))), [], "he was back before it was written");
    assert_eq!(breaches(2, second(7), Some(second(6))), [], "he was back, and may read it");
}

#[test]
fn who_was_removed_while_away_is_owed_the_removal_alone() {
    let away = |steps: &mut Vec<Step>| {
        steps.splice(4..5, [Step::Opened(Some(at(13))), stream("hello", 13)]);
    };
    assert_eq!(after_step(DAN, away), []);
    assert_eq!(
        after_step(DAN, |steps| drop(steps.remove(2))),
        [Breach::Leak, Breach::Leak, Breach::Membership]
    );
    assert_eq!(after_step(DAN, |steps| drop(steps.remove(5))), [Breach::Membership], "it was not told");
    let twice = after_step(DAN, |steps| steps.insert(6, change(17, "member_removed", "dan")));
    assert!(twice.contains(&Breach::Membership), "{twice:?}");
}

#[test]
fn a_reset_excuses_what_is_before_it_if_the_client_reloads() {
    let reset = |reload: Option<Step>| {
        |steps: &mut Vec<Step>| {
            steps.splice(4..8, [stream("reset", 16)].into_iter().chain(reload));
        }
    };
    assert_eq!(after_step(BOB, reset(Some(reload(17, 1..=5)))), []);
    assert_eq!(after_step(BOB, reset(Some(reload(17, 1..=3)))), [Breach::Hole], "the reload lacks one");
    assert_eq!(after_step(BOB, reset(None)), [Breach::NotReloaded]);
    // What was missing on the stream before the reset, and what is missing after it, is not excused.
    for missing in [2, 6] {
        let holed = after_step(BOB, |steps| {
            reset(Some(reload(17, 1..=5)))(steps);
            steps.remove(missing);
        });
        assert_eq!(holed, [Breach::Hole], "{missing}");
    }
}

#[test]
fn a_client_must_come_to_the_end() {
    assert_eq!(after_step(BOB, |steps| drop(steps.pop())), [Breach::Behind]);
}

#[test]
fn another_log_needs_a_reset() {
    let other = |event: &str| {
        let position = Position { epoch: Epoch("f".into()), id: 18 };
        Step::Frame(Frame {
            event: event.into(),
            position,
            about: About::default(),
            shown: Vec::new(),
            at: Instant::now(),
        })
    };
    assert_eq!(after_step(BOB, |steps| steps.push(other("ping"))), [Breach::Order]);
    assert_eq!(after_step(BOB, |steps| steps.extend([other("reset"), reload(18, 1..=5), other("ping")])), []);
}

#[test]
fn what_was_acknowledged_must_be_there_once() {
    assert_eq!(after(|history| drop(history.sends.pop())), [Breach::Phantom]);
    assert_eq!(after(|history| history.sends[2].outcome = Outcome::Refused), [Breach::Phantom]);
    assert_eq!(after(|history| history.sends[2].outcome = Outcome::Unknown), []);
    let other = |message: &str, seq| Outcome::Acknowledged { message: message.into(), seq };
    assert_eq!(after(|history| history.sends[2].outcome = other("m5", 6)), [Breach::NotDurable]);
    assert_eq!(after(|history| history.sends[2].outcome = other("m6", 5)), [Breach::NotDurable]);
    let twice = after(|history| {
        let key = history.chats[0].messages[0].sent.clone();
        history.chats[0].messages[2].sent = key;
    });
    assert_eq!(twice, [Breach::SentTwice, Breach::NotDurable]);
    let gap = after(|history| history.chats[0].messages[4].seq = 6);
    assert!(gap.contains(&Breach::Numbering), "{gap:?}");
}
