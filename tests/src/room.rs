//! The set-up that many tests begin with.

use crate::{Actor, Site};

/// A workspace of three people, and a chat that ann owns.
pub struct Room {
    /// The servers.
    pub site: Site,
    /// Owns the workspace and the chat.
    pub ann: Actor,
    /// In both.
    pub bob: Actor,
    /// In the workspace; in the chat if the test wants it.
    pub cid: Actor,
    /// Which workspace.
    pub workspace: String,
    /// Which chat.
    pub chat: String,
}

impl Room {
    /// A chat with ann and bob.
    pub async fn of_two(chat_type: &str) -> Self {
        Self::open(chat_type, false).await
    }

    /// A chat with everybody.
    pub async fn of_three(chat_type: &str) -> Self {
        Self::open(chat_type, true).await
    }

    async fn open(chat_type: &str, with_cid: bool) -> Self {
        let site = Site::start().await;
        let (ann, bob, cid) =
            (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
        let workspace = ann.make_workspace("Acme").await;
        ann.welcome(&workspace, &bob).await;
        ann.welcome(&workspace, &cid).await;
        let people = if with_cid { vec![&bob, &cid] } else { vec![&bob] };
        let chat = ann.make_chat(&workspace, chat_type, &people).await;
        Self { site, ann, bob, cid, workspace, chat }
    }
}
