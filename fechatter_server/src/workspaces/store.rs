//! Statements about workspaces.

use chat_core::{
    caller::Caller,
    chat::Role,
    database::Pool,
    http::answer::Ensured,
    ids::{UserId, WorkspaceId},
    store::begin_write,
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::types::{Workspace, WorkspaceDraft, WorkspaceLine};
use crate::{
    access::{DeleteWorkspace, ReadWorkspace, UpdateWorkspace, WorkspacePermit},
    error::Error,
    idempotency::{self, types::Once},
};

/// Chats that are deleted in one transaction: some tenths of a second.
const CHATS_AT_ONCE: u64 = 1000;

/// `query_as!` for the workspaces of person $1 that the given condition picks.
macro_rules! workspaces {
    ($condition:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Workspace,
            r#"
            select w.id as "id: WorkspaceId", w.name, w.description, wm.role as "role: Role", w.created_at,
                w.updated_at
            from workspace_members wm join workspaces w on w.id = wm.workspace_id
            where wm.user_id = $1 and w.deleted_at is null "# + $condition,
            $($argument),+
        )
    };
}

/// All workspaces, oldest first, for operators; also those that are deleted and not purged yet.
pub async fn all(pool: &Pool) -> sqlx::Result<Vec<WorkspaceLine>> {
    sqlx::query_as!(
        WorkspaceLine,
        r#"
        select w.id as "id: WorkspaceId", w.name, w.created_at, w.deleted_at,
            (select count(*) from workspace_members wm where wm.workspace_id = w.id) as "members!",
            (select count(*) from chats c where c.workspace_id = w.id and c.deleted_at is null) as "chats!",
            array(
                select u.email from workspace_members wm join users u on u.id = wm.user_id
                where wm.workspace_id = w.id and wm.role = 'Owner' and u.email is not null
                order by wm.joined_at, u.id
            ) as "owners!"
        from workspaces w order by w.id
        "#
    )
    .fetch_all(pool)
    .await
}

/// Makes a workspace that the caller owns.
pub(super) async fn create(
    pool: &Pool,
    caller: Caller,
    once: &Once<WorkspaceDraft>,
    now: DateTime<Utc>,
) -> Result<Ensured<Workspace>, Error> {
    let (id, user_id, draft) = (WorkspaceId::new(), caller.user_id(), &once.body);
    let mut tx = begin_write(pool, Some(user_id)).await?;
    if let Some(made) = idempotency::store::made_before(&mut tx, user_id, once.key.as_ref()).await? {
        return find(&mut tx, user_id, WorkspaceId(made)).await.map(Ensured::Existing);
    }
    sqlx::query!(
        "insert into workspaces (id, name, description, created_at, updated_at) values ($1, $2, $3, $4, $4)",
        id.0,
        draft.name,
        draft.description,
        now,
    )
    .execute(&mut *tx)
    .await?;
    let owned = sqlx::query!(
        "insert into workspace_members (workspace_id, user_id, role, joined_at)
         select $1, u.id, 'Owner', $3 from users u where u.id = $2 and u.status = 'Active'",
        id.0,
        user_id.0,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if owned.rows_affected() != 1 {
        return Err(Error::SignedOut);
    }
    idempotency::store::note(&mut tx, user_id, once.key.as_ref(), id.0, now).await?;
    let workspace = find(&mut tx, user_id, id).await?;
    tx.commit().await?;
    Ok(Ensured::New(workspace))
}

/// The workspaces that the caller is in.
pub(super) async fn list(connection: &mut PgConnection, caller: Caller) -> sqlx::Result<Vec<Workspace>> {
    workspaces!("order by lower(w.name), w.id", caller.user_id().0).fetch_all(connection).await
}

/// The workspace, as the permit's person sees it.
pub(super) async fn get(pool: &Pool, permit: &WorkspacePermit<ReadWorkspace>) -> Result<Workspace, Error> {
    find(&mut *pool.acquire().await?, permit.user_id(), permit.workspace_id()).await
}

/// A workspace that a person is in.
pub(super) async fn find(
    connection: &mut PgConnection,
    user_id: UserId,
    workspace_id: WorkspaceId,
) -> Result<Workspace, Error> {
    let found = workspaces!("and w.id = $2", user_id.0, workspace_id.0).fetch_optional(connection).await?;
    found.ok_or(Error::NotFound)
}

/// Renames and describes a workspace. What changes nothing makes no event.
pub(super) async fn update(
    pool: &Pool,
    permit: &WorkspacePermit<UpdateWorkspace>,
    draft: &WorkspaceDraft,
    now: DateTime<Utc>,
) -> Result<Workspace, Error> {
    let (workspace_id, user_id) = (permit.workspace_id(), permit.user_id());
    let mut tx = begin_write(pool, Some(user_id)).await?;
    permit.confirm(&mut tx).await?;
    sqlx::query!(
        "update workspaces w set name = $3, description = $4, updated_at = $5
         from workspace_members wm
         where w.id = $1 and w.deleted_at is null
            and wm.workspace_id = w.id and wm.user_id = $2 and wm.role >= 'Admin'
            and (w.name, w.description) is distinct from ($3, $4)",
        workspace_id.0,
        user_id.0,
        draft.name,
        draft.description,
        now,
    )
    .execute(&mut *tx)
    .await?;
    let workspace = find(&mut tx, user_id, workspace_id).await?;
    tx.commit().await?;
    Ok(workspace)
}

/// Deletes a workspace with its chats: most of them first, so many at a time, for nobody can write anything meanwhile.
/// What was cut off is to be asked for again.
pub(super) async fn delete(
    pool: &Pool,
    permit: &WorkspacePermit<DeleteWorkspace>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    while delete_some_chats(pool, permit, now).await? == CHATS_AT_ONCE {}
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    delete_with_chats(&mut tx, permit.workspace_id(), permit.user_id(), now).await?;
    tx.commit().await?;
    Ok(())
}

/// Answers how many chats there were, [`CHATS_AT_ONCE`] at most.
async fn delete_some_chats(
    pool: &Pool,
    permit: &WorkspacePermit<DeleteWorkspace>,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let deleted = sqlx::query!(
        "update chats set deleted_at = $3, updated_at = $3
         where id in (select id from chats where workspace_id = $1 and deleted_at is null limit $2)",
        permit.workspace_id().0,
        i64::try_from(CHATS_AT_ONCE).unwrap_or(i64::MAX),
        now,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// Deletes a workspace that `owner` owns: first the chats, so that its end is the last that is heard of it.
pub(super) async fn delete_with_chats(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    owner: UserId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update chats c set deleted_at = $3, updated_at = $3
         from workspace_members wm
         where c.workspace_id = $1 and c.deleted_at is null
            and wm.workspace_id = c.workspace_id and wm.user_id = $2 and wm.role = 'Owner'",
        workspace_id.0,
        owner.0,
        now,
    )
    .execute(&mut *connection)
    .await?;
    let deleted = sqlx::query!(
        "update workspaces w set deleted_at = $3, updated_at = $3
         from workspace_members wm
         where w.id = $1 and w.deleted_at is null
            and wm.workspace_id = w.id and wm.user_id = $2 and wm.role = 'Owner'",
        workspace_id.0,
        owner.0,
        now,
    )
    .execute(connection)
    .await?;
    if deleted.rows_affected() == 1 { Ok(()) } else { Err(Error::NotFound) }
}
