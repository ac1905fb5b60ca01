//! Statements about accounts and sessions.

use chat_core::{
    caller::Caller,
    database::Pool,
    ids::{SessionId, UserId},
    store::begin_write,
    user::UserStatus,
};
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::PgConnection;

use super::{
    rotation::{Chain, RefreshToken, Step},
    types::{Account, NewAccount, NewSession, Session},
};
use crate::{
    config::AuthSettings,
    error::{Conflict, Error},
    workspaces,
};

/// Opens an account with its first session, and joins the workspace of its invite; all or nothing.
pub(super) async fn open_account(
    pool: &Pool,
    draft: &NewAccount,
    password_hash: &str,
    session: &NewSession,
) -> Result<Account, Error> {
    let user_id = UserId::new();
    let mut tx = begin_write(pool, Some(user_id)).await?;
    let account = insert_account(&mut tx, user_id, draft, password_hash, session.now).await?;
    if let Some(invite) = &draft.invite {
        workspaces::invites::store::accept(&mut tx, invite, user_id, session.now).await?;
    }
    insert_session(&mut tx, user_id, password_hash, session).await?;
    tx.commit().await?;
    Ok(account)
}

/// Opens an account, without a session.
pub(crate) async fn insert_account(
    connection: &mut PgConnection,
    id: UserId,
    draft: &NewAccount,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<Account, Error> {
    for username in draft.username.candidates() {
        let account = sqlx::query_as!(
            Account,
            r#"
            insert into users (id, email, username, password_hash, full_name, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $6)
            on conflict (username) do nothing
            returning id as "id: UserId", email as "email!", full_name, username, avatar_url
            "#,
            id.0,
            draft.email,
            username,
            password_hash,
            draft.full_name,
            now,
        )
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| Error::by_constraint(error, &[("users_email_key", Conflict::EmailTaken)]))?;
        if let Some(account) = account {
            return Ok(account);
        }
    }
    Err(Error::Conflict(Conflict::UsernameTaken))
}

/// The person with this address who may sign in, and the hash of their password.
pub(super) async fn password_hash_of(pool: &Pool, email: &str) -> sqlx::Result<Option<(UserId, String)>> {
    let row = sqlx::query!(
        r#"
        select id as "id: UserId", password_hash as "password_hash!" from users
        where lower(email) = lower($1) and status = 'Active'
        "#,
        email,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| (row.id, row.password_hash)))
}

/// Whether a session of the account with this address was opened from this network.
pub(super) async fn knows(pool: &Pool, email: &str, network: IpNet) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from users u join sessions s on s.user_id = u.id
            where lower(u.email) = lower($1) and s.ip <<= $2::text::inet
        ) as "known!"
        "#,
        email,
        network.to_string(),
    )
    .fetch_one(pool)
    .await
}

/// Somebody whose password was right.
pub(super) struct Proven {
    pub(super) user_id: UserId,
    /// The hash that the password was compared with.
    pub(super) password_hash: String,
    /// The hash to take its place, made with the parameters of today.
    pub(super) renewed_hash: Option<String>,
}

/// Opens a session.
pub(super) async fn open_session(
    pool: &Pool,
    proven: &Proven,
    session: &NewSession,
) -> Result<Account, Error> {
    let user_id = proven.user_id;
    let mut tx = begin_write(pool, Some(user_id)).await?;
    insert_session(&mut tx, user_id, &proven.password_hash, session).await?;
    end_superfluous_sessions(&mut tx, user_id, session).await?;
    renew_hash(&mut tx, proven).await?;
    let account = sqlx::query_as!(
        Account,
        r#"select id as "id: UserId", email as "email!", full_name, username, avatar_url from users where id = $1"#,
        user_id.0,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(account)
}

async fn renew_hash(connection: &mut PgConnection, proven: &Proven) -> sqlx::Result<()> {
    let Some(renewed) = &proven.renewed_hash else {
        return Ok(());
    };
    sqlx::query!(
        "update users set password_hash = $3 where id = $1 and password_hash = $2",
        proven.user_id.0,
        proven.password_hash,
        renewed,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Refused when the person was suspended, or the password changed, since it was compared.
async fn insert_session(
    connection: &mut PgConnection,
    user_id: UserId,
    password_hash: &str,
    session: &NewSession,
) -> Result<(), Error> {
    let inserted = sqlx::query!(
        "insert into sessions (id, user_id, family_hash, refresh_hash, user_agent, ip, last_used_at,
            expires_at, created_at, updated_at)
         select $1, u.id, $9, $4, $5, $6::text::inet, $7, $8, $7, $7
         from users u where u.id = $2 and u.password_hash = $3 and u.status = 'Active'",
        session.id.0,
        user_id.0,
        password_hash,
        &session.refresh_token.current.hash(),
        session.user_agent,
        session.address.ip().to_string(),
        session.now,
        session.expires_at,
        &session.refresh_token.family.hash(),
    )
    .execute(connection)
    .await?;
    if inserted.rows_affected() == 1 { Ok(()) } else { Err(Error::SignInRefused) }
}

/// Ends the least recently used sessions above the number allowed.
async fn end_superfluous_sessions(
    connection: &mut PgConnection,
    user_id: UserId,
    session: &NewSession,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update sessions set revoked_at = $2, updated_at = $2
         where id in (
            select id from sessions where user_id = $1 and revoked_at is null and expires_at > $2
            order by last_used_at desc, id desc offset $3
         )",
        user_id.0,
        session.now,
        session.most,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Trades a refresh token for the next one. A token that was traded before ends its session.
pub(super) async fn refresh(
    pool: &Pool,
    presented: &RefreshToken,
    settings: &AuthSettings,
    now: DateTime<Utc>,
) -> Result<(SessionId, Account, RefreshToken), Error> {
    // Anybody can send anything here: what is no token of ours does not get to the ordering lock.
    if !is_known(pool, presented).await? {
        return Err(Error::RefreshRefused);
    }
    // Whose it is stands in the row that it finds.
    let mut tx = begin_write(pool, None).await?;
    let (id, chain, account) = lock_session(&mut tx, presented).await?.ok_or(Error::RefreshRefused)?;
    let next = match chain.present(presented, settings, now) {
        Step::Repeat(next) => Ok(next),
        Step::Rotate => Ok(rotate(&mut tx, id, presented, now).await?),
        Step::Reused => {
            tracing::warn!(session_id = %id, "a refresh token was used again; its session ends");
            revoke(&mut tx, account.id, id, now).await?;
            Err(Error::RefreshRefused)
        }
        Step::Refused => Err(Error::RefreshRefused),
    };
    tx.commit().await?;
    next.map(|next| (id, account, next))
}

async fn is_known(pool: &Pool, presented: &RefreshToken) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from sessions where family_hash = $1) as "known!""#,
        &presented.family.hash(),
    )
    .fetch_one(pool)
    .await
}

/// The session whose refresh token this is, or was.
async fn lock_session(
    connection: &mut PgConnection,
    presented: &RefreshToken,
) -> sqlx::Result<Option<(SessionId, Chain, Account)>> {
    let row = sqlx::query!(
        r#"
        select s.id as "session_id: SessionId", s.refresh_hash, s.rotation_nonce, s.rotated_at, s.last_used_at,
            s.expires_at, s.revoked_at, u.status as "status: UserStatus",
            u.id as "user_id: UserId", coalesce(u.email, '') as "email!", u.full_name, u.username, u.avatar_url
        from sessions s join users u on u.id = s.user_id
        where s.family_hash = $1
        for update of s
        "#,
        &presented.family.hash(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let chain = Chain {
            refresh_hash: row.refresh_hash,
            rotation_nonce: row.rotation_nonce,
            rotated_at: row.rotated_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            status: row.status,
        };
        let account = Account {
            id: row.user_id,
            email: row.email,
            full_name: row.full_name,
            username: row.username,
            avatar_url: row.avatar_url,
        };
        (row.session_id, chain, account)
    }))
}

async fn rotate(
    connection: &mut PgConnection,
    session: SessionId,
    presented: &RefreshToken,
    now: DateTime<Utc>,
) -> Result<RefreshToken, Error> {
    let nonce: [u8; 32] = rand::random();
    let next = presented.next(&nonce);
    let rotated = sqlx::query!(
        "update sessions
         set refresh_hash = $3, rotation_nonce = $4, rotated_at = $5,
            last_used_at = $5, updated_at = $5
         where id = $1 and refresh_hash = $2 and revoked_at is null",
        session.0,
        &presented.current.hash(),
        &next.current.hash(),
        &nonce,
        now,
    )
    .execute(connection)
    .await?;
    if rotated.rows_affected() == 1 { Ok(next) } else { Err(Error::RefreshRefused) }
}

/// One's sessions in force.
pub(super) async fn sessions(
    connection: &mut PgConnection,
    caller: Caller,
    now: DateTime<Utc>,
    used_after: DateTime<Utc>,
) -> sqlx::Result<Vec<Session>> {
    sqlx::query_as!(
        Session,
        r#"
        select id as "id: SessionId", user_agent, host(ip) as ip, created_at, last_used_at, expires_at,
            id = $2 as "current!"
        from sessions
        where user_id = $1 and revoked_at is null and expires_at > $3 and last_used_at > $4
        order by last_used_at desc, id desc
        "#,
        caller.user_id().0,
        caller.session_id().0,
        now,
        used_after,
    )
    .fetch_all(connection)
    .await
}

/// Ends one of the caller's sessions; again, when it has ended already.
pub(super) async fn end_session(
    pool: &Pool,
    caller: Caller,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(caller.user_id())).await?;
    if revoke(&mut tx, caller.user_id(), session, now).await? == 0 {
        return Err(Error::NotFound);
    }
    tx.commit().await?;
    Ok(())
}

async fn revoke(
    connection: &mut PgConnection,
    user_id: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let revoked = sqlx::query!(
        "update sessions set revoked_at = coalesce(revoked_at, $3), updated_at = $3 where id = $1 and user_id = $2",
        session.0,
        user_id.0,
        now,
    )
    .execute(connection)
    .await?;
    Ok(revoked.rows_affected())
}

/// Ends all sessions of the caller but the one that asks; answers which.
pub(super) async fn end_other_sessions(
    pool: &Pool,
    caller: Caller,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    let mut tx = begin_write(pool, Some(caller.user_id())).await?;
    let ended = revoke_others(&mut tx, caller, now).await?;
    tx.commit().await?;
    Ok(ended)
}

/// The same in a transaction that does more.
pub(crate) async fn revoke_others(
    connection: &mut PgConnection,
    caller: Caller,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar!(
        r#"
        update sessions set revoked_at = $3, updated_at = $3
        where user_id = $1 and id <> $2 and revoked_at is null
        returning id as "id: SessionId"
        "#,
        caller.user_id().0,
        caller.session_id().0,
        now,
    )
    .fetch_all(connection)
    .await
}
