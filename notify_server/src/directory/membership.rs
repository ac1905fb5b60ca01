//! Where one person is.

use std::collections::HashSet;

use chat_core::ids::{ChatId, UserId, WorkspaceId};

use super::route::{Audience, Change, Scope};

/// The chats and workspaces that a person is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memberships {
    /// The chats.
    pub chats: HashSet<ChatId>,
    /// The workspaces.
    pub workspaces: HashSet<WorkspaceId>,
}

impl Memberships {
    /// Whether `user`, being where this says, is among the audience.
    #[must_use]
    pub fn reached_by(&self, audience: &Audience, user: UserId) -> bool {
        audience.person == Some(user)
            || match audience.scope {
                Scope::Nobody => false,
                Scope::Chat(chat) => self.chats.contains(&chat),
                Scope::Workspace(workspace) => self.workspaces.contains(&workspace),
            }
    }

    /// Takes in what a change means for `user`.
    pub fn apply(&mut self, change: &Change, user: UserId) {
        match change {
            Change::JoinedChat(chat, who) if *who == user => {
                self.chats.insert(*chat);
            }
            Change::LeftChat(chat, who) if *who == user => {
                self.chats.remove(chat);
            }
            Change::DeletedChat(chat) => {
                self.chats.remove(chat);
            }
            Change::JoinedWorkspace(workspace, who) if *who == user => {
                self.workspaces.insert(*workspace);
            }
            Change::LeftWorkspace(workspace, who) if *who == user => {
                self.workspaces.remove(workspace);
            }
            Change::DeletedWorkspace(workspace) => {
                self.workspaces.remove(workspace);
            }
            Change::JoinedChat(..)
            | Change::LeftChat(..)
            | Change::JoinedWorkspace(..)
            | Change::LeftWorkspace(..) => {}
        }
    }

    /// Goes back to before a change of `user`'s own; what was deleted does not come back.
    pub fn undo(&mut self, change: &Change, user: UserId) {
        match change {
            Change::JoinedChat(chat, who) if *who == user => {
                self.chats.remove(chat);
            }
            Change::LeftChat(chat, who) if *who == user => {
                self.chats.insert(*chat);
            }
            Change::JoinedWorkspace(workspace, who) if *who == user => {
                self.workspaces.remove(workspace);
            }
            Change::LeftWorkspace(workspace, who) if *who == user => {
                self.workspaces.insert(*workspace);
            }
            Change::JoinedChat(..)
            | Change::LeftChat(..)
            | Change::DeletedChat(_)
            | Change::JoinedWorkspace(..)
            | Change::LeftWorkspace(..)
            | Change::DeletedWorkspace(_) => {}
        }
    }

    /// Together with `other`.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.chats.extend(&other.chats);
        self.workspaces.extend(&other.workspaces);
        self
    }
}
