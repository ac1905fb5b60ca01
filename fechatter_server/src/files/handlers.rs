//! Files over HTTP.

use axum::extract::State;
use chat_core::{
    http::{
        answer::{Created, Listed},
        content::{Content, Wish},
        query::Query,
    },
    message::FileFacts,
    problem::Problem,
    store::Snapshot,
};

use super::{
    download, store,
    types::{FilePage, ListFiles},
    upload::{self, Arriving},
};
use crate::{
    access::{ChatPermit, FilePermit, ReadChat},
    error::Error,
    state::AppState,
};

/// Takes a file in: 201 once it is durable.
pub async fn create(
    State(state): State<AppState>,
    arriving: Arriving,
) -> Result<Created<FileFacts>, Problem> {
    upload::take_in(&state, arriving).await.map(Created)
}

/// A file, or a part of it.
pub async fn get(State(state): State<AppState>, permit: FilePermit, wish: Wish) -> Result<Content, Error> {
    let file = store::file(&state.pool, &permit).await?.ok_or(Error::NotFound)?;
    download::answer(&state, &permit, file, &wish).await
}

/// The small picture of a file.
pub async fn thumbnail(
    State(state): State<AppState>,
    permit: FilePermit,
    wish: Wish,
) -> Result<Content, Error> {
    let file = store::thumbnail(&state.pool, &permit).await?.ok_or(Error::NotFound)?;
    download::answer(&state, &permit, file, &wish).await
}

/// A chat's files.
pub async fn list(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    Query(query): Query<ListFiles>,
) -> Result<Listed<FilePage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::list(&mut snapshot.tx, &permit, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}
