//! Statements about people.

use chat_core::{
    caller::Caller,
    database::Pool,
    ids::{SessionId, UserId},
    store::begin_write,
};
use chrono::{DateTime, Utc};

use super::types::{Me, Profile, UpdateMe};
use crate::{
    auth,
    error::{Conflict, Error},
};

/// The caller's own profile.
pub(super) async fn me(pool: &Pool, caller: Caller) -> Result<Me, Error> {
    let me = sqlx::query_as!(
        Me,
        r#"
        select id as "id: UserId", email as "email!", full_name, username, avatar_url, created_at, updated_at
        from users where id = $1 and status <> 'Deleted'
        "#,
        caller.user_id().0,
    );
    me.fetch_optional(pool).await?.ok_or(Error::SignedOut)
}

/// Changes the caller's profile.
pub(super) async fn update_me(
    pool: &Pool,
    caller: Caller,
    change: &UpdateMe,
    now: DateTime<Utc>,
) -> Result<Me, Error> {
    let mut tx = begin_write(pool, Some(caller.user_id())).await?;
    let me = sqlx::query_as!(
        Me,
        r#"
        update users
        set full_name = coalesce($2, full_name), username = coalesce($3, username),
            avatar_url = case when $4 then $5 else avatar_url end, updated_at = $6
        where id = $1 and status <> 'Deleted'
        returning id as "id: UserId", email as "email!", full_name, username, avatar_url, created_at, updated_at
        "#,
        caller.user_id().0,
        change.full_name,
        change.username,
        change.avatar_url.is_some(),
        change.avatar_url.as_ref().and_then(Option::as_deref),
        now,
    );
    let me = me
        .fetch_optional(&mut *tx)
        .await
        .map_err(|error| Error::by_constraint(error, &[("users_username_key", Conflict::UsernameTaken)]))?
        .ok_or(Error::SignedOut)?;
    tx.commit().await?;
    Ok(me)
}

/// The profile of somebody in one of the caller's workspaces, or the caller's own.
pub(super) async fn profile(pool: &Pool, caller: Caller, person: UserId) -> Result<Profile, Error> {
    let profile = sqlx::query_as!(
        Profile,
        r#"
        select u.id as "id: UserId", u.full_name, u.username, u.avatar_url, u.created_at
        from users u
        where u.id = $1 and (u.id = $2 or exists (
            select from workspace_members theirs
            join workspace_members own on own.workspace_id = theirs.workspace_id and own.user_id = $2
            join workspaces w on w.id = theirs.workspace_id and w.deleted_at is null
            where theirs.user_id = u.id
        ))
        "#,
        person.0,
        caller.user_id().0,
    );
    profile.fetch_optional(pool).await?.ok_or(Error::NotFound)
}

/// The caller's address, and the hash of the caller's password.
pub(super) async fn password_hash(pool: &Pool, caller: Caller) -> Result<(String, String), Error> {
    let row = sqlx::query!(
        r#"select email as "email!", password_hash as "password_hash!" from users where id = $1 and status <> 'Deleted'"#,
        caller.user_id().0,
    );
    let row = row.fetch_optional(pool).await?.ok_or(Error::SignedOut)?;
    Ok((row.email, row.password_hash))
}

/// Puts `next` in the place of `present`, and ends all sessions but the caller's; answers which.
pub(super) async fn change_password(
    pool: &Pool,
    caller: Caller,
    present: &str,
    next: &str,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, Error> {
    let mut tx = begin_write(pool, Some(caller.user_id())).await?;
    let changed = sqlx::query!(
        "update users set password_hash = $3, updated_at = $4 where id = $1 and password_hash = $2",
        caller.user_id().0,
        present,
        next,
        now,
    )
    .execute(&mut *tx)
    .await?;
    // It was changed meanwhile, by somebody who knew it too.
    if changed.rows_affected() != 1 {
        return Err(Error::WrongPassword);
    }
    let ended = auth::store::revoke_others(&mut tx, caller, now).await?;
    tx.commit().await?;
    Ok(ended)
}
