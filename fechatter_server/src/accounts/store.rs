//! Statements about the life of accounts.

use chat_core::{
    caller::Caller,
    chat::Role,
    database::Pool,
    ids::{SessionId, UserId, WorkspaceId},
    store::begin_write,
    user::UserStatus,
};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::PgConnection;
use uuid::Uuid;

use super::types::{AccountDraft, AccountLine};
use crate::{
    auth::{
        self,
        passwords::{Passwords, judge},
        types::Account,
    },
    config::AuthSettings,
    error::Error,
    mentions,
    workspaces::people,
};

/// All accounts, oldest first.
pub async fn list(pool: &Pool) -> sqlx::Result<Vec<AccountLine>> {
    sqlx::query_as!(
        AccountLine,
        r#"
        select id as "id: UserId", username, email as "email!", full_name, status as "status: UserStatus", created_at
        from users where status <> 'Deleted' order by id
        "#
    )
    .fetch_all(pool)
    .await
}

/// The account that an id, an e-mail address or a username names.
pub async fn find(pool: &Pool, who: &str) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: UserId" from users
        where status <> 'Deleted' and (id = $1 or lower(email) = lower($2) or username = lower($2))
        "#,
        who.parse::<Uuid>().ok(),
        who,
    )
    .fetch_optional(pool)
    .await
}

/// Opens an account without a session, at an operator's word.
///
/// # Errors
/// What is wrong with the draft, or that its address or handle is taken.
pub async fn open(
    pool: &Pool,
    settings: &AuthSettings,
    draft: AccountDraft,
    now: DateTime<Utc>,
) -> anyhow::Result<Account> {
    let draft = draft.parse(settings)?;
    let hash = Passwords::new(settings)?.hash(draft.password.clone()).await?;
    let mut tx = begin_write(pool, None).await?;
    let account = auth::store::insert_account(&mut tx, UserId::new(), &draft, &hash, now).await?;
    tx.commit().await?;
    Ok(account)
}

/// Gives a person another password, and ends all their sessions; answers how many.
///
/// # Errors
/// What is wrong with the password, or nobody of that id.
pub async fn reset_password(
    pool: &Pool,
    settings: &AuthSettings,
    user: UserId,
    password: SecretString,
    now: DateTime<Utc>,
) -> anyhow::Result<usize> {
    let email = sqlx::query_scalar!(
        r#"select email as "email!" from users where id = $1 and email is not null"#,
        user.0
    );
    let email = email.fetch_optional(pool).await?.ok_or(Error::NotFound)?;
    judge(&password, settings.password_min_length, &email)
        .map_err(|flaw| Error::Password { field: "password", flaw })?;
    let hash = Passwords::new(settings)?.hash(password).await?;
    let mut tx = begin_write(pool, None).await?;
    let set = sqlx::query!(
        "update users set password_hash = $2, updated_at = $3 where id = $1 and status <> 'Deleted'",
        user.0,
        hash,
        now,
    );
    if set.execute(&mut *tx).await?.rows_affected() != 1 {
        return Err(Error::NotFound.into());
    }
    let ended = end_sessions(&mut tx, user, now).await?;
    tx.commit().await?;
    Ok(ended.len())
}

/// Ends all sessions of a person and lets them open no other; again, when it was done already.
pub async fn suspend(pool: &Pool, user: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    let mut tx = begin_write(pool, None).await?;
    set_status(&mut tx, user, UserStatus::Suspended, now).await?;
    end_sessions(&mut tx, user, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Lets a suspended person sign in again.
pub async fn restore(pool: &Pool, user: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    let mut tx = begin_write(pool, None).await?;
    set_status(&mut tx, user, UserStatus::Active, now).await?;
    tx.commit().await?;
    Ok(())
}

async fn set_status(
    connection: &mut PgConnection,
    user: UserId,
    status: UserStatus,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let set = sqlx::query!(
        "update users set status = $2, updated_at = $3 where id = $1 and status <> 'Deleted'",
        user.0,
        status as UserStatus,
        now,
    )
    .execute(connection)
    .await?;
    if set.rows_affected() == 1 { Ok(()) } else { Err(Error::NotFound) }
}

/// Ends all sessions of a person; answers which were in force.
async fn end_sessions(
    connection: &mut PgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar!(
        r#"
        update sessions set revoked_at = $2, updated_at = $2
        where user_id = $1 and revoked_at is null
        returning id as "id: SessionId"
        "#,
        user.0,
        now,
    )
    .fetch_all(connection)
    .await
}

/// Deletes somebody's account, at an operator's word.
///
/// # Errors
/// A conflict for the last owner of a workspace with other people.
pub async fn delete(pool: &Pool, user: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    let mut tx = begin_write(pool, None).await?;
    erase(&mut tx, user, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Deletes the caller's account, whose password has been compared with `password_hash`; answers which sessions
/// ended with it.
pub(crate) async fn delete_own(
    pool: &Pool,
    caller: Caller,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, Error> {
    let user = caller.user_id();
    let mut tx = begin_write(pool, Some(user)).await?;
    let unchanged = sqlx::query_scalar!(
        r#"select exists (select from users where id = $1 and password_hash = $2) as "unchanged!""#,
        user.0,
        password_hash,
    )
    .fetch_one(&mut *tx)
    .await?;
    if !unchanged {
        return Err(Error::WrongPassword);
    }
    let ended = erase(&mut tx, user, now).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Takes a person out of everything and erases what tells who it was. What they wrote stays, by `Deleted user`.
async fn erase(
    connection: &mut PgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, Error> {
    for (workspace, role) in workspaces_of(connection, user).await? {
        people::store::go(connection, workspace, user, role, now).await?;
    }
    let ended = end_sessions(connection, user, now).await?;
    forget_traces(connection, user).await?;
    // The handle is random: one that followed from the id could be taken by somebody else before.
    let erased = sqlx::query!(
        "update users
         set status = 'Deleted', email = null, password_hash = null, full_name = 'Deleted user', avatar_url = null,
            username = 'deleted-' || substr(md5(gen_random_uuid()::text), 1, 24), updated_at = $2
         where id = $1 and status <> 'Deleted'",
        user.0,
        now,
    )
    .execute(connection)
    .await?;
    if erased.rows_affected() == 1 { Ok(ended) } else { Err(Error::NotFound) }
}

async fn workspaces_of(
    connection: &mut PgConnection,
    user: UserId,
) -> sqlx::Result<Vec<(WorkspaceId, Role)>> {
    let rows = sqlx::query!(
        r#"
        select wm.workspace_id as "id: WorkspaceId", wm.role as "role: Role"
        from workspace_members wm join workspaces w on w.id = wm.workspace_id and w.deleted_at is null
        where wm.user_id = $1 order by wm.workspace_id
        "#,
        user.0,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.role)).collect())
}

/// Devices, idempotency keys, saved messages, and invites to the person's address.
async fn forget_traces(connection: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from workspace_invites i using users u where u.id = $1 and lower(i.email) = lower(u.email)",
        user.0,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("update sessions set user_agent = null, ip = null where user_id = $1", user.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from saved_messages where user_id = $1", user.0).execute(&mut *connection).await?;
    sqlx::query!("delete from idempotency_keys where user_id = $1", user.0).execute(&mut *connection).await?;
    mentions::store::forget(connection, user).await?;
    Ok(())
}
