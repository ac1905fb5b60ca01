//! Searching over HTTP.

use std::time::Duration;

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{answer::Listed, query::Query as QueryString},
    problem::Problem,
    store::Snapshot,
};
use tokio::time::timeout;

use super::types::{SearchMessages, SearchPage};
use crate::{
    access::{ReadWorkspace, WorkspacePermit},
    error::Error,
    limits::SearchAllowance,
    state::AppState,
};

/// How long a search waits while others are at work.
const PATIENCE: Duration = Duration::from_secs(1);

/// Messages that say something, of all chats that the caller may read.
pub async fn search(
    State(state): State<AppState>,
    _: SearchAllowance,
    caller: Caller,
    QueryString(search): QueryString<SearchMessages>,
) -> Result<Listed<SearchPage>, Problem> {
    let (query, cursor) = search.read()?;
    if let Some(workspace_id) = search.workspace_id {
        WorkspacePermit::<ReadWorkspace>::look_up(&state, caller, workspace_id).await?;
    }
    let Ok(Ok(_turn)) = timeout(PATIENCE, state.searches.acquire()).await else {
        return Err(Error::Busy("Too many searches at the moment.").into());
    };
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let asked = super::pages::Asked { reader: caller.user_id(), query: &query, search: &search, cursor };
    let body = asked.page(&mut snapshot.tx, state.clock.now()).await?;
    Ok(Listed { body, position: snapshot.position })
}
