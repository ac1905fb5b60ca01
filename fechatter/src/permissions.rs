//! The permission matrix as a page to read, as `docs/permissions.md` keeps it.

use std::fmt::Write;

use chat_core::{
    chat::{ChatType, Role},
    permission::{ChatAction, ChatCell, Matrix, Verdict, WorkspaceAction, WorkspaceCell, matrix},
};
use serde::Serialize;

const HEAD: &str = "\
# Who may do what

Made by `make permissions` from `chat_core::permission`, which guards every handler. `GET /api/permissions` serves the
same matrix cell by cell.

A role stands for itself and those above it: member, admin, owner. Of several ways that a field names, one is enough.
Who may read something but not do what they ask for is answered 403; who may not read it, 404, as if it did not exist.

";
const TAIL: &str = "
A role acts on strictly lower roles only, and grants at most itself. The last owner cannot leave, be removed or be
demoted while others stay: 409.
";

/// The page, in Markdown.
#[must_use]
pub fn page() -> String {
    let Matrix { chats, workspaces } = matrix();
    let mut page = HEAD.to_owned();
    let mut line = |cells: &[String]| {
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    };
    line(&std::iter::once("In a chat".into()).chain(ChatType::ALL.map(word)).collect::<Vec<_>>());
    line(&vec!["---".into(); 1 + ChatType::ALL.len()]);
    for action in ChatAction::ALL {
        let ways = ChatType::ALL.map(|chat_type| ChatWays::find(&chats, action, chat_type).words());
        line(&std::iter::once(word(action)).chain(ways).collect::<Vec<_>>());
    }
    page.push('\n');
    let mut line = |cells: [&str; 2]| {
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    };
    line(["In a workspace", "Who"]);
    line(["---", "---"]);
    for action in WorkspaceAction::ALL {
        let lowest = lowest_in_workspace(&workspaces, action);
        line([&word(action), &lowest.map_or("–".into(), |role| word(role).to_lowercase())]);
    }
    page + TAIL
}

/// The ways to a right: by the role in the chat, and by the role in its workspace.
#[derive(Clone, Copy, Debug)]
struct ChatWays {
    in_chat: Option<Role>,
    in_workspace: Option<Role>,
}

impl ChatWays {
    /// The lowest roles that suffice: in the chat for a plain member of the workspace, and in the workspace for
    /// who is not in the chat.
    fn find(cells: &[ChatCell], action: ChatAction, chat_type: ChatType) -> Self {
        let allowed = || {
            cells.iter().filter(move |cell| {
                cell.action == action && cell.chat_type == chat_type && cell.verdict == Verdict::Allowed
            })
        };
        let plain = allowed().filter(|cell| cell.workspace_role == Some(Role::Member));
        let outside = allowed().filter(|cell| cell.chat_role.is_none());
        Self {
            in_chat: plain.filter_map(|cell| cell.chat_role).min(),
            in_workspace: outside.filter_map(|cell| cell.workspace_role).min(),
        }
    }

    fn words(self) -> String {
        let in_chat = self.in_chat.map(|role| word(role).to_lowercase());
        let in_workspace = self.in_workspace.map(|role| format!("workspace {}", word(role).to_lowercase()));
        match (in_chat, in_workspace) {
            (_, Some(everybody)) if self.in_workspace == Some(Role::Member) => everybody,
            (None, None) => "–".into(),
            (in_chat, in_workspace) => in_chat.into_iter().chain(in_workspace).collect::<Vec<_>>().join(", "),
        }
    }
}

fn lowest_in_workspace(cells: &[WorkspaceCell], action: WorkspaceAction) -> Option<Role> {
    let allowed = cells.iter().filter(|cell| cell.action == action && cell.verdict == Verdict::Allowed);
    allowed.filter_map(|cell| cell.workspace_role).min()
}

/// A value as the API writes it, with spaces.
fn word<T: Serialize>(value: T) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_say_the_same_as_the_cells() {
        let Matrix { chats, workspaces } = matrix();
        let reaches = |role: Option<Role>, lowest: Option<Role>| lowest.is_some() && role >= lowest;
        for cell in &chats {
            let ways = ChatWays::find(&chats, cell.action, cell.chat_type);
            let allowed =
                reaches(cell.chat_role, ways.in_chat) || reaches(cell.workspace_role, ways.in_workspace);
            assert_eq!(allowed, cell.verdict == Verdict::Allowed, "{ways:?} and {cell:?}");
        }
        for cell in &workspaces {
            let allowed = reaches(cell.workspace_role, lowest_in_workspace(&workspaces, cell.action));
            assert_eq!(allowed, cell.verdict == Verdict::Allowed, "{cell:?}");
        }
    }
}
