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

use secrecy::SecretString;

use super::{
    store,
    types::{ChangePassword, DeleteMe, Me, PersonInPath, Profile, UpdateMe},
};
use crate::{
    accounts,
    auth::{attempts, passwords::Verified},
    error::Error,
    limits::{OffersPassword, Visitor},
    state::AppState,
};

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
    visitor: Visitor<OffersPassword>,
    Json(body): Json<ChangePassword>,
) -> Result<Done, Error> {
    let (email, present) = store::password_hash(&state.pool, caller).await?;
    body.judge(&state.settings.auth, &email)?;
    let changing = async {
        compare(&state, body.current_password, &present).await?;
        let next = state.passwords.hash(body.new_password).await?;
        store::change_password(&state.pool, caller, &present, &next, state.clock.now()).await
    };
    let ended = attempts::count(&state, &email.to_lowercase(), visitor.address, changing).await?;
    for session in ended {
        state.authenticator.forget(session);
    }
    Ok(Done)
}

/// Deletes one's account. What one has written stays, by `Deleted user`.
pub async fn delete_me(
    State(state): State<AppState>,
    caller: Caller,
    visitor: Visitor<OffersPassword>,
    Json(body): Json<DeleteMe>,
) -> Result<Done, Error> {
    let (email, present) = store::password_hash(&state.pool, caller).await?;
    let deleting = async {
        compare(&state, body.password, &present).await?;
        accounts::store::delete_own(&state.pool, caller, &present, state.clock.now()).await
    };
    let ended = attempts::count(&state, &email.to_lowercase(), visitor.address, deleting).await?;
    for session in ended {
        state.authenticator.forget(session);
    }
    Ok(Done)
}

/// Refuses a password that is not the caller's.
async fn compare(state: &AppState, password: SecretString, hash: &str) -> Result<(), Error> {
    match state.passwords.verify(password, hash.to_owned()).await? {
        Verified::Yes | Verified::YesRehash => Ok(()),
        Verified::No => Err(Error::WrongPassword),
    }
}

/// The profile of somebody one shares a workspace with.
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    PathId(person): PathId<PersonInPath>,
) -> Result<Found<Profile>, Error> {
    store::profile(&state.pool, caller, person).await.map(Found)
}
