//! People over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{
        answer::{Done, Found},
        json::Json,
        path::PathId,
    },
};

use super::{
    store,
    types::{ChangePassword, DeleteMe, Me, PersonInPath, Profile, UpdateMe},
};
use crate::{accounts, auth::passwords::Verified, error::Error, state::AppState};

/// One's own profile.
pub async fn me(State(state): State<AppState>, caller: Caller) -> Result<Found<Me>, Error> {
    store::me(&state.pool, caller).await.map(Found)
}

/// Changes one's profile.
pub async fn update_me(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<UpdateMe>,
) -> Result<Found<Me>, Error> {
    store::update_me(&state.pool, caller, &body, state.clock.now()).await.map(Found)
}

/// Changes one's password, and ends all other sessions.
pub async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<ChangePassword>,
) -> Result<Done, Error> {
    let (email, present) = store::password_hash(&state.pool, caller).await?;
    body.judge(&state.settings.auth, &email)?;
    if state.passwords.verify(body.current_password, present.clone()).await? == Verified::No {
        return Err(store::wrong_password());
    }
    let next = state.passwords.hash(body.new_password).await?;
    let ended = store::change_password(&state.pool, caller, &present, &next, state.clock.now()).await?;
    for session in ended {
        state.authenticator.forget(session);
    }
    Ok(Done)
}

/// Deletes one's account. What one has written stays, by `Deleted user`.
pub async fn delete_me(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<DeleteMe>,
) -> Result<Done, Error> {
    let (_, present) = store::password_hash(&state.pool, caller).await?;
    if state.passwords.verify(body.password, present.clone()).await? == Verified::No {
        return Err(store::wrong_password());
    }
    let ended = accounts::store::delete_own(&state.pool, caller, &present, state.clock.now()).await?;
    for session in ended {
        state.authenticator.forget(session);
    }
    Ok(Done)
}

/// The profile of somebody one shares a workspace with.
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    PathId(person): PathId<PersonInPath>,
) -> Result<Found<Profile>, Error> {
    store::profile(&state.pool, caller, person).await.map(Found)
}
