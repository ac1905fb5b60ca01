//! Statements about invites.

use chat_core::{
    caller::Caller,
    chat::Role,
    database::Pool,
    ids::{InviteId, UserId, WorkspaceId},
    permission::may_grant,
    store::begin_write,
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::types::{Invite, InviteDraft, Made};
use crate::{
    access::{ManageWorkspaceMembers, WorkspacePermit},
    auth::opaque::OpaqueToken,
    error::Error,
    idempotency::{self, types::Once},
    workspaces::{store::find, types::Workspace},
};

/// Makes an invite.
pub(super) async fn create(
    pool: &Pool,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    once: &Once<InviteDraft>,
    token: &OpaqueToken,
    now: DateTime<Utc>,
) -> Result<Made, Error> {
    let (user_id, draft) = (permit.user_id(), &once.body);
    let mut tx = begin_write(pool, Some(user_id)).await?;
    let role = permit.confirm(&mut tx).await?;
    if let Some(made) = idempotency::store::made_before(&mut tx, user_id, once.key.as_ref()).await? {
        return one(&mut tx, permit, InviteId(made)).await.map(Made::Before);
    }
    if !may_grant(role, draft.role) {
        return Err(Error::Forbidden("A role grants at most its own."));
    }
    let invite = insert(&mut tx, permit, draft, token, now).await?;
    idempotency::store::note(&mut tx, user_id, once.key.as_ref(), invite.id.0, now).await?;
    tx.commit().await?;
    Ok(Made::Now(invite))
}

async fn insert(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    draft: &InviteDraft,
    token: &OpaqueToken,
    now: DateTime<Utc>,
) -> Result<Invite, Error> {
    let invite = sqlx::query_as!(
        Invite,
        r#"
        insert into workspace_invites
            (id, workspace_id, token_hash, role, email, max_uses, expires_at, created_by, created_at, updated_at)
        select $3, wm.workspace_id, $4, $5, $6, $7, $8, wm.user_id, $9, $9
        from workspace_members wm
        where wm.workspace_id = $1 and wm.user_id = $2 and wm.role >= 'Admin' and wm.role >= $5
        returning id as "id: InviteId", role as "role: Role", email, max_uses, uses, expires_at,
            created_by as "created_by: UserId", created_at
        "#,
        permit.workspace_id().0,
        permit.user_id().0,
        InviteId::new().0,
        &token.hash(),
        draft.role as Role,
        draft.email,
        draft.max_uses,
        now + TimeDelta::hours(draft.expires_in_hours.into()),
        now,
    );
    invite.fetch_optional(connection).await?.ok_or(Error::NotFound)
}

/// An invite of the workspace, in force or not.
async fn one(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    id: InviteId,
) -> Result<Invite, Error> {
    let invite = sqlx::query_as!(
        Invite,
        r#"
        select id as "id: InviteId", role as "role: Role", email, max_uses, uses, expires_at,
            created_by as "created_by: UserId", created_at
        from workspace_invites where workspace_id = $1 and id = $2
        "#,
        permit.workspace_id().0,
        id.0,
    );
    invite.fetch_optional(connection).await?.ok_or(Error::NotFound)
}

/// The workspace's invites in force.
pub(super) async fn list(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Invite>> {
    sqlx::query_as!(
        Invite,
        r#"
        select i.id as "id: InviteId", i.role as "role: Role", i.email, i.max_uses, i.uses, i.expires_at,
            i.created_by as "created_by: UserId", i.created_at
        from workspace_invites i
        join workspace_members maker on maker.workspace_id = i.workspace_id and maker.user_id = i.created_by
        join users mu on mu.id = maker.user_id and mu.status = 'Active'
        where i.workspace_id = $1 and i.revoked_at is null and i.expires_at > $2 and i.uses < i.max_uses
            and maker.role >= 'Admin' and maker.role >= i.role
        order by i.id desc
        "#,
        permit.workspace_id().0,
        now,
    )
    .fetch_all(connection)
    .await
}

/// Revokes an invite; again, when it was revoked already.
pub(super) async fn revoke(
    pool: &Pool,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    invite: InviteId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let revoked = sqlx::query!(
        "update workspace_invites i set revoked_at = coalesce(i.revoked_at, $4), updated_at = $4
         from workspace_members wm
         where i.id = $3 and i.workspace_id = $1
            and wm.workspace_id = i.workspace_id and wm.user_id = $2 and wm.role >= 'Admin'",
        permit.workspace_id().0,
        permit.user_id().0,
        invite.0,
        now,
    )
    .execute(pool)
    .await?;
    if revoked.rows_affected() == 1 { Ok(()) } else { Err(Error::NotFound) }
}

/// The caller accepts an invite.
pub(super) async fn join(
    pool: &Pool,
    caller: Caller,
    token: &OpaqueToken,
    now: DateTime<Utc>,
) -> Result<Workspace, Error> {
    let mut tx = begin_write(pool, Some(caller.user_id())).await?;
    let workspace_id = accept(&mut tx, token, caller.user_id(), now).await?;
    let workspace = find(&mut tx, caller.user_id(), workspace_id).await?;
    tx.commit().await?;
    Ok(workspace)
}

/// Somebody accepts an invite, under the ordering lock; who is a member already uses nothing up.
pub(crate) async fn accept(
    connection: &mut PgConnection,
    token: &OpaqueToken,
    person: UserId,
    now: DateTime<Utc>,
) -> Result<WorkspaceId, Error> {
    let invite = look_up(connection, token, person, now).await?.ok_or(Error::NotFound)?;
    if invite.is_member {
        return Ok(invite.workspace_id);
    }
    if !invite.in_force {
        return Err(Error::NotFound);
    }
    if !invite.for_person {
        return Err(Error::Forbidden("This invite is for another e-mail address."));
    }
    use_up(connection, invite.id, now).await?;
    sqlx::query!(
        "insert into workspace_members (workspace_id, user_id, role, joined_at) values ($1, $2, $3, $4)",
        invite.workspace_id.0,
        person.0,
        invite.role as Role,
        now,
    )
    .execute(connection)
    .await?;
    Ok(invite.workspace_id)
}

/// An invite, as it stands for one person.
struct Presented {
    id: InviteId,
    workspace_id: WorkspaceId,
    role: Role,
    is_member: bool,
    in_force: bool,
    for_person: bool,
}

/// The invite with this token. It is in force as long as its maker could still make it: whoever is removed or
/// suspended cannot come back by an invite of their own.
async fn look_up(
    connection: &mut PgConnection,
    token: &OpaqueToken,
    person: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Presented>> {
    sqlx::query_as!(
        Presented,
        r#"
        select i.id as "id: InviteId", i.workspace_id as "workspace_id: WorkspaceId", i.role as "role: Role",
            exists (
                select from workspace_members wm where wm.workspace_id = i.workspace_id and wm.user_id = u.id
            ) as "is_member!",
            i.revoked_at is null and i.expires_at > $3 and i.uses < i.max_uses and exists (
                select from workspace_members maker join users mu on mu.id = maker.user_id and mu.status = 'Active'
                where maker.workspace_id = i.workspace_id and maker.user_id = i.created_by
                    and maker.role >= 'Admin' and maker.role >= i.role
            ) as "in_force!",
            i.email is null or lower(i.email) = lower(u.email) as "for_person!"
        from workspace_invites i
        join workspaces w on w.id = i.workspace_id and w.deleted_at is null
        join users u on u.id = $2 and u.status = 'Active'
        where i.token_hash = $1
        "#,
        &token.hash(),
        person.0,
        now,
    )
    .fetch_optional(connection)
    .await
}

async fn use_up(connection: &mut PgConnection, invite: InviteId, now: DateTime<Utc>) -> Result<(), Error> {
    let used = sqlx::query!(
        "update workspace_invites set uses = uses + 1, updated_at = $2
         where id = $1 and revoked_at is null and expires_at > $2 and uses < max_uses",
        invite.0,
        now,
    )
    .execute(connection)
    .await?;
    if used.rows_affected() == 1 { Ok(()) } else { Err(Error::NotFound) }
}
