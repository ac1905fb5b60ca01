//! Who may: proofs that a caller may do one thing to one chat or workspace.
//!
//! A proof has private fields and is made by its extractor alone, from the permission matrix of
//! `chat_core`. Stores take proofs, not ids from a path, so a forgotten check does not compile:
//!
//! ```compile_fail,E0451
//! use fechatter_server::access::{ChatPermit, SendTo};
//! // A proof cannot be made up.
//! let permit: ChatPermit<SendTo> = ChatPermit {
//!     chat_id: todo!(), user_id: todo!(), workspace_id: todo!(), standing: todo!(), right: todo!(),
//! };
//! ```
//!
//! ```compile_fail,E0308
//! use fechatter_server::{access::{ChatPermit, ReadChat}, messages};
//! // The proof that somebody may read is not a proof that they may send.
//! async fn send(permit: ChatPermit<ReadChat>, state: fechatter_server::state::AppState, draft: messages::types::SendMessage) {
//!     let _ = messages::store::send(&state.pool, &permit, draft).await;
//! }
//! ```

mod chat;
pub(crate) mod store;
mod workspace;

pub use chat::{
    AddToChat, ChatNow, ChatPermit, ChatRight, DeleteChat, JoinChat, LeaveChat, ManageChatMembers, ReadChat,
    SendTo, UpdateChat,
};
pub use workspace::{
    CreateChat, DeleteWorkspace, LeaveWorkspace, ManageWorkspaceMembers, ReadWorkspace, UpdateWorkspace,
    WorkspacePermit, WorkspaceRight,
};
