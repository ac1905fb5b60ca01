use chat_core::ids::{ChatId, UserId, WorkspaceId};

use super::*;
use crate::fixtures::{at, chat_update, event, message_event, person, position};

/// The id line, the event line and the data.
fn parts(chunk: &Chunk) -> (String, Value) {
    let text = String::from_utf8(chunk.text().to_vec()).unwrap();
    let (head, data) = text.split_once("data: ").unwrap();
    let data = data.strip_suffix("\n\n").unwrap();
    assert!(!data.contains('\n'));
    (head.to_owned(), serde_json::from_str(data).unwrap())
}

fn encoded(event: &Event) -> (String, Value) {
    parts(Frame::of(event, &position(event.id)).unwrap().chunk())
}

#[test]
fn a_message_stands_as_rest_shows_it() {
    let (chat, id) = (ChatId::new(), MessageId::new());
    let sent = message_event(7, EventKind::Message, chat, id, Some("two\nlines\r\n\u{2028}"));
    let (head, data) = encoded(&sent);
    assert_eq!(head, "id: e0-7\nevent: message\n");
    let mut expected = serde_json::to_value(&sent.message).unwrap();
    expected["message_id"] = json!(id);
    assert_eq!(data, expected);
    assert_eq!(data["chat_id"], json!(chat));
}

#[test]
fn facts_stand_beside_what_they_are_about() {
    let (chat, workspace, user) = (ChatId::new(), WorkspaceId::new(), UserId::new());
    let mut added = chat_update(8, "member_added", chat, Some(user));
    added.workspace_id = Some(workspace);
    added.person = Some(person(user));
    let (head, data) = encoded(&added);
    assert_eq!(head, "id: e0-8\nevent: chat_update\n");
    let expected = json!({
        "chat_id": chat, "workspace_id": workspace, "type": "member_added", "actor_id": null,
        "user_id": user, "member": person(user),
    });
    assert_eq!(data, expected);
}

#[test]
fn times_among_the_facts_are_in_utc() {
    let mut archived = chat_update(8, "archived", ChatId::new(), None);
    archived.data["archived_at"] = json!("2026-01-02T05:00:00.5+02:00");
    assert_eq!(encoded(&archived).1["archived_at"], "2026-01-02T03:00:00.500Z");
    archived.data["archived_at"] = Value::Null;
    assert_eq!(encoded(&archived).1["archived_at"], Value::Null);
}

#[test]
fn reading_shows_how_far_and_what_is_left() {
    let chat = ChatId::new();
    let data = json!({ "last_read_seq": 4, "unread_count": 2 });
    let read = Event { chat_id: Some(chat), user_id: Some(UserId::new()), data, ..event(9, EventKind::Read) };
    assert_eq!(encoded(&read).1, json!({ "chat_id": chat, "last_read_seq": 4, "unread_count": 2 }));
}

#[test]
fn a_reaction_names_its_message_among_the_facts() {
    let (chat, message, user) = (ChatId::new(), MessageId::new(), UserId::new());
    let data = json!({ "message_id": message, "emoji": "👍", "type": "added", "count": 2 });
    let reaction = Event { chat_id: Some(chat), user_id: Some(user), data, ..event(9, EventKind::Reaction) };
    let (head, data) = encoded(&reaction);
    assert_eq!(head, "id: e0-9\nevent: reaction\n");
    let expected = json!({
        "chat_id": chat, "user_id": user, "message_id": message, "emoji": "👍", "type": "added", "count": 2,
    });
    assert_eq!(data, expected);
}

#[test]
fn a_thread_shows_people_in_place_of_their_ids() {
    let (chat, user) = (ChatId::new(), UserId::new());
    let data = json!({ "type": "replied", "message_id": chat, "reply_count": 1, "participants": [user] });
    let replied = Event {
        chat_id: Some(chat),
        data,
        participants: vec![person(user)],
        ..event(9, EventKind::ThreadUpdate)
    };
    let expected = json!({
        "chat_id": chat, "type": "replied", "message_id": chat, "reply_count": 1, "participants": [person(user)],
    });
    assert_eq!(encoded(&replied).1, expected);
    let followed = Event { data: json!({ "type": "followed" }), participants: Vec::new(), ..replied };
    assert_eq!(encoded(&followed).1, json!({ "chat_id": chat, "type": "followed" }));
}

#[test]
fn a_mention_names_the_message() {
    let (chat, message) = (ChatId::new(), MessageId::new());
    let data = json!({ "message_id": message, "seq": 4 });
    let mention = Event { chat_id: Some(chat), data, ..event(9, EventKind::Mention) };
    assert_eq!(encoded(&mention).1, json!({ "chat_id": chat, "message_id": message, "seq": 4 }));
}

#[test]
fn what_is_internal_or_gone_has_no_frame() {
    let mut purged = message_event(1, EventKind::Message, ChatId::new(), MessageId::new(), None);
    purged.message = None;
    for event in [purged, event(1, EventKind::SessionRevoked), event(1, EventKind::UserSuspended)] {
        assert_eq!(Frame::of(&event, &position(1)), None);
    }
}

#[test]
fn the_streams_own_frames() {
    let id = Uuid::nil();
    let (head, data) = parts(&hello(&position(3), id, 25, at(), 1500));
    assert_eq!(head, "retry: 1500\nid: e0-3\nevent: hello\n");
    assert_eq!(data, json!({ "connection": id, "heartbeat_s": 25, "server_time": "1970-01-01T00:00:00Z" }));
    assert_eq!(ping(&position(3)).text(), b"id: e0-3\nevent: ping\ndata: {}\n\n");
    assert_eq!(
        reset(&position(3), "epoch").text(),
        b"id: e0-3\nevent: reset\ndata: {\"reason\":\"epoch\"}\n\n"
    );
    let (head, data) = parts(&bye("shutdown", 12));
    assert_eq!((head.as_str(), data), ("event: bye\n", json!({ "reason": "shutdown", "reconnect_ms": 12 })));
}

#[test]
fn a_chunk_is_its_text_between_its_length_and_an_end() {
    let chunk = ping(&position(3));
    assert_eq!(chunk.text().len(), 0x1f);
    assert_eq!(chunk.bytes(Form::Chunked), [b"1f\r\n", chunk.text(), b"\r\n"].concat());
    for form in [Form::Text, Form::Chunked] {
        assert_eq!(chunk.share(form), chunk.bytes(form));
    }
}
