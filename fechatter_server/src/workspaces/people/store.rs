//! Statements about a workspace's people.

use chat_core::{
    chat::Role,
    database::Pool,
    http::{answer::Ensured, page::cut},
    ids::{UserId, WorkspaceId},
    permission::{may_grant, outranks},
    store::begin_write,
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::types::{ListPeople, PeoplePage, Whom};
use crate::{
    access::{LeaveWorkspace, ManageWorkspaceMembers, ReadWorkspace, WorkspacePermit},
    error::{Conflict, Error},
    idempotency::{self, types::RequestKey},
    members::types::Member,
    workspaces::store::delete_with_chats,
};

const ABOVE: Error = Error::Forbidden("A role acts on lower roles only, and grants at most its own.");

/// `query_as!` for members: the rows `wm` of workspace $1 that the given condition picks.
macro_rules! members {
    ($condition:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Member,
            r#"
            select u.id as "id: UserId", u.full_name as name, u.username, u.avatar_url, wm.role as "role: Role",
                wm.joined_at
            from workspace_members wm join users u on u.id = wm.user_id
            where wm.workspace_id = $1 "# + $condition,
            $($argument),+
        )
    };
}

/// A page of the workspace's people, by name.
pub(super) async fn list(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<ReadWorkspace>,
    query: &ListPeople,
) -> Result<PeoplePage, Error> {
    let after = place_of(connection, permit, query.after).await?;
    let mut members = members!(
        r"and ($2::text is null or u.full_name ilike $2 || '%' or u.full_name ilike '% ' || $2 || '%'
                or u.username ilike $2 || '%')
            and ($3::text is null or (lower(u.full_name), u.id) > ($3, $4))
        order by lower(u.full_name), u.id limit $5",
        permit.workspace_id().0,
        query.prefix(),
        after,
        query.after.map(|person| person.0),
        query.limit + 1,
    )
    .fetch_all(connection)
    .await?;
    let has_more = cut(&mut members, query.limit);
    Ok(PeoplePage { members, has_more })
}

/// Where a person stands in the order of names; they must be among the people that are listed.
async fn place_of(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<ReadWorkspace>,
    person: Option<UserId>,
) -> Result<Option<String>, Error> {
    let Some(person) = person else { return Ok(None) };
    let name = sqlx::query_scalar!(
        r#"
        select lower(u.full_name) as "name!"
        from workspace_members wm join users u on u.id = wm.user_id
        where wm.workspace_id = $1 and wm.user_id = $2
        "#,
        permit.workspace_id().0,
        person.0,
    )
    .fetch_optional(connection)
    .await?;
    let foreign = Error::Invalid { field: "after", message: "is nobody of this workspace" };
    name.map(Some).ok_or(foreign)
}

/// Adds somebody who has an account.
pub(super) async fn add(
    pool: &Pool,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    whom: &Whom,
    role: Role,
    key: Option<&RequestKey>,
    now: DateTime<Utc>,
) -> Result<Ensured<Member>, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let own = permit.confirm(&mut tx).await?;
    if let Some(added) = idempotency::store::made_before(&mut tx, permit.user_id(), key).await? {
        return member(&mut tx, permit.workspace_id(), UserId(added)).await.map(Ensured::Existing);
    }
    if !may_grant(own, role) {
        return Err(ABOVE);
    }
    let person = find(&mut tx, whom).await?.ok_or_else(|| whom.unknown())?;
    sqlx::query!(
        "insert into workspace_members (workspace_id, user_id, role, joined_at)
         select wm.workspace_id, $3, $4, $5
         from workspace_members wm
         where wm.workspace_id = $1 and wm.user_id = $2 and wm.role >= 'Admin' and wm.role >= $4",
        permit.workspace_id().0,
        permit.user_id().0,
        person.0,
        role as Role,
        now,
    )
    .execute(&mut *tx)
    .await
    .map_err(|error| Error::by_constraint(error, &[("workspace_members_pkey", Conflict::AlreadyMember)]))?;
    idempotency::store::note(&mut tx, permit.user_id(), key, person.0, now).await?;
    let member = member(&mut tx, permit.workspace_id(), person).await?;
    tx.commit().await?;
    Ok(Ensured::New(member))
}

async fn find(connection: &mut PgConnection, whom: &Whom) -> sqlx::Result<Option<UserId>> {
    let (id, email, username) = match whom {
        Whom::Id(id) => (Some(id.0), None, None),
        Whom::Email(email) => (None, Some(email), None),
        Whom::Username(username) => (None, None, Some(username)),
    };
    sqlx::query_scalar!(
        r#"
        select id as "id: UserId" from users
        where status = 'Active' and (id = $1 or lower(email) = lower($2) or username = lower($3))
        "#,
        id,
        email,
        username,
    )
    .fetch_optional(connection)
    .await
}

async fn member(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    person: UserId,
) -> Result<Member, Error> {
    let found = members!("and wm.user_id = $2", workspace_id.0, person.0).fetch_optional(connection).await?;
    found.ok_or(Error::NotFound)
}

/// Gives somebody another role: of strictly lower ones, or of oneself, and at most the own.
pub(super) async fn change_role(
    pool: &Pool,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    person: UserId,
    role: Role,
) -> Result<Member, Error> {
    let (workspace_id, actor) = (permit.workspace_id(), permit.user_id());
    let mut tx = begin_write(pool, Some(actor)).await?;
    let own = permit.confirm(&mut tx).await?;
    let present = member(&mut tx, workspace_id, person).await?.role;
    if !(person == actor || outranks(own, present)) || !may_grant(own, role) {
        return Err(ABOVE);
    }
    if present == Role::Owner && role < Role::Owner && !others(&mut tx, workspace_id, person).await?.an_owner
    {
        return Err(Error::Conflict(Conflict::LastOwner));
    }
    sqlx::query!(
        "update workspace_members wm set role = $4
         from workspace_members own
         where wm.workspace_id = $1 and wm.user_id = $3 and wm.role <> $4
            and own.workspace_id = wm.workspace_id and own.user_id = $2 and own.role >= $4
            and own.role >= 'Admin' and (own.role > wm.role or own.user_id = wm.user_id)",
        workspace_id.0,
        actor.0,
        person.0,
        role as Role,
    )
    .execute(&mut *tx)
    .await?;
    let member = member(&mut tx, workspace_id, person).await?;
    tx.commit().await?;
    Ok(member)
}

/// Removes somebody of a strictly lower role; who names oneself leaves.
pub(super) async fn remove(
    pool: &Pool,
    permit: &WorkspacePermit<ManageWorkspaceMembers>,
    person: UserId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let workspace_id = permit.workspace_id();
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let own = permit.confirm(&mut tx).await?;
    if person == permit.user_id() {
        go(&mut tx, workspace_id, person, own, now).await?;
    } else {
        let present = member(&mut tx, workspace_id, person).await?.role;
        if !outranks(own, present) {
            return Err(ABOVE);
        }
        take_out(&mut tx, workspace_id, person, own, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The permit's person leaves.
pub(super) async fn leave(
    pool: &Pool,
    permit: &WorkspacePermit<LeaveWorkspace>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let own = permit.confirm(&mut tx).await?;
    go(&mut tx, permit.workspace_id(), permit.user_id(), own, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Somebody leaves by their own will. The last owner stays with the others, or takes the workspace along.
pub(crate) async fn go(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    person: UserId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if role == Role::Owner {
        match others(connection, workspace_id, person).await? {
            Others { an_owner: true, .. } => {}
            Others { anybody: true, .. } => return Err(Error::Conflict(Conflict::LastOwner)),
            Others { .. } => return delete_with_chats(connection, workspace_id, person, now).await,
        }
    }
    take_out(connection, workspace_id, person, role, now).await
}

/// Who is in a workspace beside one person.
struct Others {
    anybody: bool,
    an_owner: bool,
}

/// Decided under the ordering lock: of two owners who leave at once, the second finds none.
async fn others(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    person: UserId,
) -> sqlx::Result<Others> {
    sqlx::query_as!(
        Others,
        r#"
        select exists (select from workspace_members where workspace_id = $1 and user_id <> $2) as "anybody!",
            exists (
                select from workspace_members where workspace_id = $1 and user_id <> $2 and role = 'Owner'
            ) as "an_owner!"
        "#,
        workspace_id.0,
        person.0,
    )
    .fetch_one(connection)
    .await
}

/// Takes a person whose role is at most `role` out of a workspace and all its chats.
async fn take_out(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    person: UserId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    hand_chats_on(connection, workspace_id, person).await?;
    sqlx::query!(
        "delete from chat_members where workspace_id = $1 and user_id = $2",
        workspace_id.0,
        person.0,
    )
    .execute(&mut *connection)
    .await?;
    delete_deserted_chats(connection, workspace_id, now).await?;
    let gone = sqlx::query!(
        "delete from workspace_members where workspace_id = $1 and user_id = $2 and role <= $3",
        workspace_id.0,
        person.0,
        role as Role,
    )
    .execute(connection)
    .await?;
    if gone.rows_affected() == 1 { Ok(()) } else { Err(Error::NotFound) }
}

/// Where a person is the last owner of a chat with other people, the one of the highest role who has been
/// in it longest becomes an owner: owning a chat is no way to stay in a workspace.
async fn hand_chats_on(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    person: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update chat_members cm set role = 'Owner'
         from (
            select distinct on (other.chat_id) other.chat_id, other.user_id
            from chat_members mine
            join chats c on c.id = mine.chat_id and c.deleted_at is null and c.chat_type <> 'Single'
            join chat_members other on other.chat_id = mine.chat_id and other.user_id <> mine.user_id
            where mine.workspace_id = $1 and mine.user_id = $2 and mine.role = 'Owner'
                and not exists (
                    select from chat_members owner
                    where owner.chat_id = mine.chat_id and owner.user_id <> mine.user_id and owner.role = 'Owner'
                )
            order by other.chat_id, other.role desc, other.joined_at, other.user_id
         ) heir
         where cm.chat_id = heir.chat_id and cm.user_id = heir.user_id",
        workspace_id.0,
        person.0,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the chats that nobody is in and nobody could join; a `Single` one waits for its pair.
async fn delete_deserted_chats(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update chats c set deleted_at = $2, updated_at = $2
         where c.workspace_id = $1 and c.deleted_at is null and c.chat_type in ('Group', 'PrivateChannel')
            and not exists (select from chat_members cm where cm.chat_id = c.id)",
        workspace_id.0,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
