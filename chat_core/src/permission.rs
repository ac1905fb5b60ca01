//! Who may: the permission matrix, as data.
//!
//! The one source for the proofs that guard every handler, and for `GET /api/permissions`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::chat::{ChatType, Role};

/// What a person can do to a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatAction {
    /// See it, its members and its history.
    Read,
    /// Send, reply, react, mark as read and unread, choose one's notifications.
    Send,
    /// Edit what one wrote oneself; nobody edits what others wrote.
    EditOwnMessage,
    /// Delete what one wrote oneself.
    DeleteOwnMessage,
    /// Delete what others wrote.
    DeleteOthersMessage,
    /// Pin messages, and unpin them.
    Pin,
    /// Hide it from one's list until its next message.
    Hide,
    /// Join by oneself.
    Join,
    /// Leave.
    Leave,
    /// Add people.
    AddMember,
    /// Remove people, and change their roles.
    ManageMembers,
    /// Rename, describe, archive.
    Update,
    /// Delete it.
    Delete,
}

impl ChatAction {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Read,
        Self::Send,
        Self::EditOwnMessage,
        Self::DeleteOwnMessage,
        Self::DeleteOthersMessage,
        Self::Pin,
        Self::Hide,
        Self::Join,
        Self::Leave,
        Self::AddMember,
        Self::ManageMembers,
        Self::Update,
        Self::Delete,
    ];
}

/// What a person can do to a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceAction {
    /// See it, its people and its public channels.
    Read,
    /// Make chats in it.
    CreateChat,
    /// Upload files, for its chats.
    Upload,
    /// Leave.
    Leave,
    /// Rename and describe it.
    Update,
    /// Invite, add and remove people, and change their roles.
    ManageMembers,
    /// Delete it.
    Delete,
}

impl WorkspaceAction {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::CreateChat,
        Self::Upload,
        Self::Leave,
        Self::Update,
        Self::ManageMembers,
        Self::Delete,
    ];
}

/// What the matrix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// May.
    Allowed,
    /// May not, but may know that it is there: 403.
    Forbidden,
    /// May not even know that it is there: 404.
    Invisible,
}

/// Where a person stands towards a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatStanding {
    /// The chat's type.
    pub chat_type: ChatType,
    /// The role in the chat; none for who is not in it.
    pub role: Option<Role>,
    /// The role in its workspace; none for who is not in it.
    pub workspace_role: Option<Role>,
}

impl ChatStanding {
    /// The role that counts: workspace owners and admins are at least admins of public channels.
    #[must_use]
    pub fn effective_role(self) -> Option<Role> {
        let by_workspace = self.workspace_role.filter(|role| *role >= Role::Admin).map(|_| Role::Admin);
        match self.chat_type {
            ChatType::PublicChannel => self.role.max(by_workspace),
            ChatType::Single | ChatType::Group | ChatType::PrivateChannel => self.role,
        }
    }

    /// What a person of this standing may do.
    #[must_use]
    pub fn may(self, action: ChatAction) -> Verdict {
        let public = self.chat_type == ChatType::PublicChannel;
        let in_workspace = self.workspace_role.is_some();
        if !in_workspace || !(public || self.role.is_some()) {
            return Verdict::Invisible;
        }
        let needs = match action {
            ChatAction::Read => return Verdict::Allowed,
            ChatAction::Join => return allowed_if(public),
            ChatAction::Send | ChatAction::EditOwnMessage | ChatAction::Pin => {
                return allowed_if(self.role.is_some());
            }
            // Who may delete anybody's may delete the own.
            ChatAction::DeleteOwnMessage => {
                let anybodys = self.may(ChatAction::DeleteOthersMessage) == Verdict::Allowed;
                return allowed_if(self.role.is_some() || anybodys);
            }
            ChatAction::Hide => return allowed_if(self.chat_type == ChatType::Single),
            ChatAction::Leave => {
                return allowed_if(self.role.is_some() && self.chat_type != ChatType::Single);
            }
            ChatAction::AddMember => match self.chat_type {
                ChatType::Group | ChatType::PublicChannel => Role::Member,
                ChatType::PrivateChannel => Role::Admin,
                ChatType::Single => return Verdict::Forbidden,
            },
            ChatAction::DeleteOthersMessage | ChatAction::ManageMembers | ChatAction::Update => Role::Admin,
            ChatAction::Delete => Role::Owner,
        };
        allowed_if(self.chat_type != ChatType::Single && self.effective_role() >= Some(needs))
    }
}

/// What a person of this role, or of none, may do to a workspace.
#[must_use]
pub fn may_in_workspace(role: Option<Role>, action: WorkspaceAction) -> Verdict {
    let Some(role) = role else { return Verdict::Invisible };
    let needs = match action {
        WorkspaceAction::Read
        | WorkspaceAction::CreateChat
        | WorkspaceAction::Upload
        | WorkspaceAction::Leave => Role::Member,
        WorkspaceAction::Update | WorkspaceAction::ManageMembers => Role::Admin,
        WorkspaceAction::Delete => Role::Owner,
    };
    allowed_if(role >= needs)
}

fn allowed_if(allowed: bool) -> Verdict {
    if allowed { Verdict::Allowed } else { Verdict::Forbidden }
}

/// Whether `actor` may change or remove somebody of role `target`: only strictly lower roles.
#[must_use]
pub fn outranks(actor: Role, target: Role) -> bool {
    actor > target
}

/// Whether `actor` may make somebody `granted`: at most the own role.
#[must_use]
pub fn may_grant(actor: Role, granted: Role) -> bool {
    actor >= granted
}

/// A cell of the chat matrix.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct ChatCell {
    /// What is done.
    pub action: ChatAction,
    /// To which type of chat.
    pub chat_type: ChatType,
    /// By somebody of this role in the chat; null: not in it.
    pub chat_role: Option<Role>,
    /// And of this role in the workspace; null: not in it.
    pub workspace_role: Option<Role>,
    /// What follows.
    pub verdict: Verdict,
}

/// A cell of the workspace matrix.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct WorkspaceCell {
    /// What is done.
    pub action: WorkspaceAction,
    /// By somebody of this role in the workspace; null: not in it.
    pub workspace_role: Option<Role>,
    /// What follows.
    pub verdict: Verdict,
}

/// Both matrices, cell by cell.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Matrix {
    /// What people may do to chats. Who is in a chat is in its workspace.
    pub chats: Vec<ChatCell>,
    /// What people may do to workspaces.
    pub workspaces: Vec<WorkspaceCell>,
}

/// The roles that somebody can have in a chat of this type, none among them.
fn roles_in(chat_type: ChatType) -> impl Iterator<Item = Option<Role>> {
    // The two people of a Single chat are its members: nobody is above the other.
    let highest = if chat_type == ChatType::Single { Role::Member } else { Role::Owner };
    roles().filter(move |role| *role <= Some(highest))
}

fn roles() -> impl Iterator<Item = Option<Role>> {
    std::iter::once(None).chain(Role::ALL.map(Some))
}

/// The whole matrix: every standing that there can be.
#[must_use]
pub fn matrix() -> Matrix {
    let mut chats = Vec::new();
    for action in ChatAction::ALL {
        for chat_type in ChatType::ALL {
            for chat_role in roles_in(chat_type) {
                for workspace_role in roles().filter(|role| chat_role.is_none() || role.is_some()) {
                    let verdict = ChatStanding { chat_type, role: chat_role, workspace_role }.may(action);
                    chats.push(ChatCell { action, chat_type, chat_role, workspace_role, verdict });
                }
            }
        }
    }
    let mut workspaces = Vec::new();
    for action in WorkspaceAction::ALL {
        for workspace_role in roles() {
            let verdict = may_in_workspace(workspace_role, action);
            workspaces.push(WorkspaceCell { action, workspace_role, verdict });
        }
    }
    Matrix { chats, workspaces }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_invisible_to_every_action() {
        for cell in matrix().chats {
            let ChatCell { chat_type, chat_role: role, workspace_role, .. } = cell;
            let read = ChatStanding { chat_type, role, workspace_role }.may(ChatAction::Read);
            assert_eq!(cell.verdict == Verdict::Invisible, read == Verdict::Invisible, "{cell:?}");
        }
    }
}
