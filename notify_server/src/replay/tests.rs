use chat_core::{
    event::Event,
    ids::{ChatId, WorkspaceId},
};

use super::*;
use crate::fixtures::{chat_update, message, workspace_update};

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
