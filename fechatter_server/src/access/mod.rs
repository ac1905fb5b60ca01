//! Who may: proofs that a caller may do one thing to one chat or workspace.
//!
//! A proof has private fields and is made by its extractor alone, from the permission matrix of
//! `chat_core`. Stores take proofs, not ids from a path, so a forgotten check does not compile:
//!
//! ```
//! use fechatter_server::{access::{ChatPermit, SendTo}, messages::{cursors::store, types::MarkRead}, state::AppState};
//!
//! async fn read(state: AppState, permit: ChatPermit<SendTo>, mark: MarkRead) {
//!     let _ = store::mark_read(&state.pool, &permit, mark).await;
//! }
//! ```
//!
//! The proof that somebody may see a chat is not a proof that they may mark it as read, which takes a member:
//!
//! ```compile_fail,E0308
//! use fechatter_server::{access::{ChatPermit, ReadChat}, messages::{cursors::store, types::MarkRead}, state::AppState};
//!
//! async fn read(state: AppState, permit: ChatPermit<ReadChat>, mark: MarkRead) {
//!     let _ = store::mark_read(&state.pool, &permit, mark).await;
//! }
//! ```
//!
//! And a proof for one chat cannot be turned into one for another:
//!
//! ```
//! use chat_core::ids::ChatId;
//! use fechatter_server::access::{ChatPermit, SendTo};
//!
//! fn which(permit: ChatPermit<SendTo>) -> ChatId {
//!     permit.chat_id()
//! }
//! ```
//!
//! ```compile_fail,E0616
//! use chat_core::ids::ChatId;
//! use fechatter_server::access::{ChatPermit, SendTo};
//!
//! fn forge(mut permit: ChatPermit<SendTo>, other: ChatId) -> ChatPermit<SendTo> {
//!     permit.chat_id = other;
//!     permit
//! }
//! ```

mod chat;
mod file;
pub(crate) mod store;
mod workspace;

pub use chat::{
    AddToChat, ChatClaim, ChatNow, ChatPermit, ChatRight, DeleteChat, DeleteMessage, EditMessage, HideChat,
    JoinChat, LeaveChat, ManageChatMembers, PinMessage, ReadChat, SendTo, UpdateChat,
};
pub use file::FilePermit;
pub use workspace::{
    CreateChat, DeleteWorkspace, LeaveWorkspace, ManageWorkspaceMembers, ReadWorkspace, UpdateWorkspace,
    UploadFiles, WorkspacePermit, WorkspaceRight,
};
