use std::collections::HashSet;

use chat_core::{
    event::{Event, EventKind},
    ids::{ChatId, SessionId, UserId, WorkspaceId},
};
use serde_json::json;

use super::*;
use crate::fixtures::{chat_update, event, message, workspace_update};

fn memberships(chats: &[ChatId], workspaces: &[WorkspaceId]) -> Memberships {
    Memberships { chats: chats.iter().copied().collect(), workspaces: workspaces.iter().copied().collect() }
}

/// Who receives the event, which then takes effect.
fn deliver(directory: &mut Directory, event: &Event) -> HashSet<UserId> {
    let route = Route::of(event);
    let mut reached = HashSet::new();
    directory.for_each(&route.audience, |user| assert!(reached.insert(user), "delivered twice"));
    if let Some(change) = &route.change {
        directory.apply(change);
    }
    reached
}

struct World {
    directory: Directory,
    chat: ChatId,
    workspace: WorkspaceId,
    /// In the chat.
    member: UserId,
    /// In the workspace only.
    colleague: UserId,
    /// In neither.
    stranger: UserId,
}

fn world() -> World {
    let (chat, workspace) = (ChatId::new(), WorkspaceId::new());
    let (member, colleague, stranger) = (UserId::new(), UserId::new(), UserId::new());
    let mut directory = Directory::default();
    directory.connect(member, memberships(&[chat], &[workspace]));
    directory.connect(colleague, memberships(&[], &[workspace]));
    directory.connect(stranger, memberships(&[], &[]));
    World { directory, chat, workspace, member, colleague, stranger }
}

#[test]
fn a_message_reaches_the_members_of_its_chat() {
    let mut world = world();
    assert_eq!(deliver(&mut world.directory, &message(1, world.chat)), [world.member].into());
    assert_eq!(deliver(&mut world.directory, &message(2, ChatId::new())), [].into());
}

#[test]
fn a_reaction_reaches_the_chat_and_what_is_saved_its_owner() {
    let World { mut directory, chat, member, colleague, stranger, .. } = world();
    // Not even who reacted, once they are out.
    let reaction = Event { chat_id: Some(chat), user_id: Some(colleague), ..event(1, EventKind::Reaction) };
    assert!(Route::of(&reaction).has_content);
    assert_eq!(deliver(&mut directory, &reaction), [member].into());
    let saved = Event { chat_id: Some(chat), user_id: Some(stranger), ..event(2, EventKind::Saved) };
    assert_eq!(deliver(&mut directory, &saved), [stranger].into());
}

#[test]
fn a_removal_reaches_the_removed_person_and_nothing_after_it_does() {
    let World { mut directory, chat, member, colleague, .. } = world();
    directory.apply(&Change::JoinedChat(chat, colleague));
    let removal = chat_update(1, "member_removed", chat, Some(colleague));
    assert_eq!(deliver(&mut directory, &removal), [member, colleague].into());
    assert_eq!(deliver(&mut directory, &message(2, chat)), [member].into());
}

#[test]
fn an_addition_reaches_the_added_person_and_everything_after_it_does() {
    let World { mut directory, chat, member, colleague, .. } = world();
    assert_eq!(deliver(&mut directory, &message(1, chat)), [member].into());
    let addition = chat_update(2, "member_added", chat, Some(colleague));
    assert_eq!(deliver(&mut directory, &addition), [member, colleague].into());
    assert_eq!(deliver(&mut directory, &message(3, chat)), [member, colleague].into());
}

#[test]
fn who_is_not_connected_is_not_kept() {
    let World { mut directory, chat, member, colleague, .. } = world();
    directory.disconnect(colleague);
    deliver(&mut directory, &chat_update(1, "member_added", chat, Some(colleague)));
    assert_eq!(deliver(&mut directory, &message(2, chat)), [member].into());
    directory.disconnect(member);
    assert!(directory.chats.0.is_empty() && directory.workspaces.0.is_empty());
}

#[test]
fn changes_of_public_channels_reach_the_workspace_and_of_others_the_members() {
    let World { mut directory, chat, workspace, member, colleague, .. } = world();
    let mut change = |fact: &str, chat_type: &str| {
        let data = json!({ "type": fact, "chat_type": chat_type });
        let event = Event { workspace_id: Some(workspace), data, ..chat_update(1, fact, chat, None) };
        deliver(&mut directory, &event)
    };
    for fact in ["name_changed", "description_changed", "archived", "unarchived"] {
        assert_eq!(change(fact, "PublicChannel"), [member, colleague].into());
        assert_eq!(change(fact, "PrivateChannel"), [member].into());
    }
    assert_eq!(change("created", "PrivateChannel"), [].into());
    assert_eq!(change("created", "PublicChannel"), [member, colleague].into());
    assert_eq!(change("deleted", "Group"), [member].into());
    assert_eq!(deliver(&mut directory, &message(2, chat)), [].into());
}

#[test]
fn who_creates_a_chat_hears_of_it() {
    let World { mut directory, stranger, .. } = world();
    let data = json!({ "type": "created", "chat_type": "Group" });
    let created = Event { data, ..chat_update(1, "created", ChatId::new(), Some(stranger)) };
    assert_eq!(deliver(&mut directory, &created), [stranger].into());
}

#[test]
fn reading_is_between_oneself_and_ones_devices() {
    let World { mut directory, chat, member, .. } = world();
    let read = Event { chat_id: Some(chat), user_id: Some(member), ..event(1, EventKind::Read) };
    assert_eq!(deliver(&mut directory, &read), [member].into());
}

#[test]
fn of_replies_the_chat_hears_and_of_ones_own_part_oneself() {
    let World { mut directory, chat, member, colleague, .. } = world();
    directory.apply(&Change::JoinedChat(chat, colleague));
    let replied = Event { chat_id: Some(chat), ..event(1, EventKind::ThreadUpdate) };
    assert_eq!(deliver(&mut directory, &replied), [member, colleague].into());
    let followed = Event { user_id: Some(member), ..replied };
    assert_eq!(deliver(&mut directory, &followed), [member].into());
}

#[test]
fn how_somebody_keeps_a_chat_is_theirs_alone() {
    let World { mut directory, chat, member, colleague, .. } = world();
    directory.apply(&Change::JoinedChat(chat, colleague));
    let settings = chat_update(1, "settings_changed", chat, Some(member));
    assert_eq!(deliver(&mut directory, &settings), [member].into());
}

#[test]
fn a_mention_reaches_the_person_or_everybody_in_the_chat() {
    let World { mut directory, chat, member, colleague, .. } = world();
    let mention = |user_id| Event { chat_id: Some(chat), user_id, ..event(1, EventKind::Mention) };
    assert_eq!(deliver(&mut directory, &mention(Some(member))), [member].into());
    assert_eq!(deliver(&mut directory, &mention(None)), [member].into());
    directory.apply(&Change::JoinedChat(chat, colleague));
    assert_eq!(deliver(&mut directory, &mention(Some(member))), [member].into());
    assert_eq!(deliver(&mut directory, &mention(None)), [member, colleague].into());
}

#[test]
fn changes_of_a_workspace_reach_its_people_and_the_person_concerned() {
    let World { mut directory, workspace, member, colleague, stranger, .. } = world();
    let everybody: HashSet<_> = [member, colleague, stranger].into();
    assert_eq!(
        deliver(&mut directory, &workspace_update(1, "updated", workspace, None)),
        [member, colleague].into()
    );
    assert_eq!(
        deliver(&mut directory, &workspace_update(2, "member_added", workspace, Some(stranger))),
        everybody
    );
    assert_eq!(
        deliver(&mut directory, &workspace_update(3, "role_changed", workspace, Some(stranger))),
        everybody
    );
    assert_eq!(
        deliver(&mut directory, &workspace_update(4, "member_removed", workspace, Some(stranger))),
        everybody
    );
    assert_eq!(
        deliver(&mut directory, &workspace_update(5, "deleted", workspace, None)),
        [member, colleague].into()
    );
    assert_eq!(deliver(&mut directory, &workspace_update(6, "updated", workspace, None)), [].into());
}

#[test]
fn endings_reach_nobody_and_name_whom_they_end() {
    let (user, session) = (UserId::new(), SessionId::new());
    let data = json!({ "session_id": session });
    let route = Route::of(&Event { user_id: Some(user), data, ..event(1, EventKind::SessionRevoked) });
    assert_eq!(route.audience, Audience { scope: Scope::Nobody, person: None });
    assert_eq!(route.ending, Some(Ending::Session(user, session)));
    let route = Route::of(&Event { user_id: Some(user), ..event(1, EventKind::UserSuspended) });
    assert_eq!(route.ending, Some(Ending::Person(user)));
}

#[test]
fn what_was_applied_is_undone() {
    let (user, other) = (UserId::new(), UserId::new());
    let (left, joined, kept, workspace) = (ChatId::new(), ChatId::new(), ChatId::new(), WorkspaceId::new());
    let before = memberships(&[left, kept], &[]);
    let changes = [
        Change::JoinedChat(joined, user),
        Change::LeftChat(left, user),
        Change::LeftChat(kept, other),
        Change::JoinedWorkspace(workspace, user),
    ];
    let mut memberships = before.clone();
    for change in &changes {
        memberships.apply(change, user);
    }
    assert_eq!(memberships, Memberships { chats: [joined, kept].into(), workspaces: [workspace].into() });
    for change in changes.iter().rev() {
        memberships.undo(change, user);
    }
    assert_eq!(memberships, before);
}
