//! Accounts and sessions over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{
        answer::{Created, Done, Found, Listed},
        json::Json,
        path::PathId,
    },
    ids::SessionId,
    store::Snapshot,
};
use chrono::TimeDelta;
use secrecy::SecretString;

use super::{
    attempts,
    device::Device,
    passwords::Verified,
    rotation::RefreshToken,
    store::{self, Proven},
    types::{Account, NewSession, Refresh, SessionInPath, SessionList, SignIn, SignUp, SignedIn},
};
use crate::{
    error::Error,
    limits::{AsksWithoutToken, OffersPassword, SignsUp, Visitor},
    state::AppState,
};

/// Opens an account, and a session.
pub async fn sign_up(
    State(state): State<AppState>,
    _: Visitor<SignsUp>,
    device: Device,
    Json(body): Json<SignUp>,
) -> Result<Created<SignedIn>, Error> {
    let draft = body.parse(&state.settings.auth)?;
    let password_hash = state.passwords.hash(draft.password.clone()).await?;
    let session = NewSession::new(&state.settings.auth, device, state.clock.now());
    let account = store::open_account(&state.pool, &draft, &password_hash, &session).await?;
    signed_in(&state, account, session.id, &session.refresh_token).map(Created)
}

/// Opens a session.
pub async fn sign_in(
    State(state): State<AppState>,
    visitor: Visitor<OffersPassword>,
    device: Device,
    Json(body): Json<SignIn>,
) -> Result<Found<SignedIn>, Error> {
    let email = body.email.to_lowercase();
    let signing_in = async {
        let proven = prove(&state, &email, body.password).await?;
        let session = NewSession::new(&state.settings.auth, device, state.clock.now());
        let account = store::open_session(&state.pool, &proven, &session).await?;
        signed_in(&state, account, session.id, &session.refresh_token).map(Found)
    };
    attempts::count(&state, &email, visitor.address, signing_in).await
}

/// Trades a refresh token for the next pair.
pub async fn refresh(
    State(state): State<AppState>,
    _: Visitor<AsksWithoutToken>,
    Json(body): Json<Refresh>,
) -> Result<Found<SignedIn>, Error> {
    let presented = RefreshToken::parse(&body.refresh_token).ok_or(Error::RefreshRefused)?;
    let now = state.clock.now();
    let (session, account, next) = store::refresh(&state.pool, &presented, &state.settings.auth, now).await?;
    signed_in(&state, account, session, &next).map(Found)
}

/// Ends this session.
pub async fn sign_out(State(state): State<AppState>, caller: Caller) -> Result<Done, Error> {
    end(&state, caller, caller.session_id()).await
}

/// One's sessions.
pub async fn list_sessions(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Listed<SessionList>, Error> {
    let now = state.clock.now();
    let used_after = now - TimeDelta::days(state.settings.auth.session_idle_days.into());
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let sessions = store::sessions(&mut snapshot.tx, caller, now, used_after).await?;
    Ok(Listed { body: SessionList { sessions }, position: snapshot.position })
}

/// Ends one of one's sessions.
pub async fn end_session(
    State(state): State<AppState>,
    caller: Caller,
    PathId(session): PathId<SessionInPath>,
) -> Result<Done, Error> {
    end(&state, caller, session).await
}

/// Ends all sessions but this one.
pub async fn end_other_sessions(State(state): State<AppState>, caller: Caller) -> Result<Done, Error> {
    let ended = store::end_other_sessions(&state.pool, caller, state.clock.now()).await?;
    for session in ended {
        state.authenticator.forget(session);
    }
    Ok(Done)
}

/// Ends a session, here at once and elsewhere by its event.
async fn end(state: &AppState, caller: Caller, session: SessionId) -> Result<Done, Error> {
    store::end_session(&state.pool, caller, session, state.clock.now()).await?;
    state.authenticator.forget(session);
    Ok(Done)
}

/// Whose address, in lower case, and password these are. An unknown address, and one whose account is suspended, takes
/// as long and ends the same.
async fn prove(state: &AppState, email: &str, password: SecretString) -> Result<Proven, Error> {
    let Some((user_id, password_hash)) = store::password_hash_of(&state.pool, email).await? else {
        state.passwords.verify_nobody(password).await?;
        return Err(Error::SignInRefused);
    };
    let renewed_hash = match state.passwords.verify(password.clone(), password_hash.clone()).await? {
        Verified::No => return Err(Error::SignInRefused),
        Verified::Yes => None,
        // It can wait for the next sign-in when there is too much to do.
        Verified::YesRehash => state.passwords.hash(password).await.ok(),
    };
    Ok(Proven { user_id, password_hash, renewed_hash })
}

fn signed_in(
    state: &AppState,
    account: Account,
    session: SessionId,
    refresh_token: &RefreshToken,
) -> Result<SignedIn, Error> {
    let (token, expires_at) = state.issuer.issue(account.id, session, state.clock.now())?;
    Ok(SignedIn { account, token, refresh_token: refresh_token.text(), expires_at })
}
