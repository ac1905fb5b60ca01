//! What an event means for the streams: who receives it, and what it changes.

use chat_core::{
    event::{Event, EventKind},
    ids::{ChatId, SessionId, UserId, WorkspaceId},
};
use serde_json::Value;

/// Whose membership counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nobody's.
    Nobody,
    /// The members of a chat.
    Chat(ChatId),
    /// The members of a workspace.
    Workspace(WorkspaceId),
}

/// Who receives an event: those in the scope, and the person it is about or for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The members that receive it.
    pub scope: Scope,
    /// The person that receives it, member or not.
    pub person: Option<UserId>,
}

/// A change of who is where. It takes effect after the event was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A person came into a chat.
    JoinedChat(ChatId, UserId),
    /// A person is in a chat no more.
    LeftChat(ChatId, UserId),
    /// A chat is no more.
    DeletedChat(ChatId),
    /// A person came into a workspace.
    JoinedWorkspace(WorkspaceId, UserId),
    /// A person is in a workspace no more.
    LeftWorkspace(WorkspaceId, UserId),
    /// A workspace is no more.
    DeletedWorkspace(WorkspaceId),
}

impl Change {
    /// The chat that somebody left.
    #[must_use]
    pub fn left_chat(&self) -> Option<ChatId> {
        match self {
            Self::LeftChat(chat, _) => Some(*chat),
            _ => None,
        }
    }
}

/// The end of some of a person's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Those of one session.
    Session(UserId, SessionId),
    /// All of them.
    Person(UserId),
}

/// What an event means for the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Who receives it.
    pub audience: Audience,
    /// What it changes once delivered.
    pub change: Option<Change>,
    /// Which streams it ends.
    pub ending: Option<Ending>,
    /// Whether it carries what somebody wrote.
    pub has_content: bool,
}

impl Route {
    /// The route of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let (scope, person) = match event.kind {
            // Who reacted hears of it as a member, or not at all.
            EventKind::Message
            | EventKind::MessageUpdate
            | EventKind::MessageDelete
            | EventKind::Reaction => (chat(event), None),
            EventKind::ChatUpdate => (chat_update(event), event.user_id),
            EventKind::WorkspaceUpdate => (workspace(event), event.user_id),
            EventKind::ThreadUpdate => thread_update(event),
            EventKind::Mention if event.user_id.is_none() => (chat(event), None),
            EventKind::Mention | EventKind::Read | EventKind::Saved => (Scope::Nobody, event.user_id),
            EventKind::SessionRevoked
            | EventKind::UserSuspended
            | EventKind::UserChanged
            | EventKind::Unknown => (Scope::Nobody, None),
        };
        Self {
            audience: Audience { scope, person },
            change: change(event),
            ending: ending(event),
            has_content: event.message_id.is_some() || event.kind == EventKind::Reaction,
        }
    }

    /// The chat of which it shows what somebody wrote.
    #[must_use]
    pub fn shows_chat(&self) -> Option<ChatId> {
        match self.audience.scope {
            Scope::Chat(chat) if self.has_content => Some(chat),
            _ => None,
        }
    }
}

fn chat(event: &Event) -> Scope {
    event.chat_id.map_or(Scope::Nobody, Scope::Chat)
}

fn workspace(event: &Event) -> Scope {
    event.workspace_id.map_or(Scope::Nobody, Scope::Workspace)
}

/// What everybody can see in the directory of channels, everybody hears of.
fn chat_update(event: &Event) -> Scope {
    let public = event.data.get("chat_type").and_then(Value::as_str) == Some("PublicChannel");
    match event.fact_type() {
        "created" | "name_changed" | "description_changed" | "archived" | "unarchived" | "deleted"
            if public =>
        {
            workspace(event)
        }
        // The members of a chat just made come by a `member_added` each; settings are between oneself and one's
        // devices.
        "created" | "settings_changed" => Scope::Nobody,
        _ => chat(event),
    }
}

/// Of replies the chat hears; how somebody keeps a thread is between oneself and one's devices.
fn thread_update(event: &Event) -> (Scope, Option<UserId>) {
    match event.user_id {
        Some(reader) => (Scope::Nobody, Some(reader)),
        None => (chat(event), None),
    }
}

fn change(event: &Event) -> Option<Change> {
    match (event.kind, event.fact_type()) {
        (EventKind::ChatUpdate, "member_added") => Some(Change::JoinedChat(event.chat_id?, event.user_id?)),
        (EventKind::ChatUpdate, "member_removed") => Some(Change::LeftChat(event.chat_id?, event.user_id?)),
        (EventKind::ChatUpdate, "deleted") => Some(Change::DeletedChat(event.chat_id?)),
        (EventKind::WorkspaceUpdate, "member_added") => {
            Some(Change::JoinedWorkspace(event.workspace_id?, event.user_id?))
        }
        (EventKind::WorkspaceUpdate, "member_removed") => {
            Some(Change::LeftWorkspace(event.workspace_id?, event.user_id?))
        }
        (EventKind::WorkspaceUpdate, "deleted") => Some(Change::DeletedWorkspace(event.workspace_id?)),
        _ => None,
    }
}

fn ending(event: &Event) -> Option<Ending> {
    match event.kind {
        EventKind::SessionRevoked => Some(Ending::Session(event.user_id?, event.session_id()?)),
        EventKind::UserSuspended => Some(Ending::Person(event.user_id?)),
        _ => None,
    }
}
