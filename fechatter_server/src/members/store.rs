//! Statements about a chat's people.

use chat_core::{
    chat::{NotifyLevel, Role},
    database::Pool,
    http::page::cut,
    ids::{ChatId, UserId},
    message::SystemNote,
    permission::{may_grant, outranks},
    store::begin_write,
};
use sqlx::PgConnection;

use super::types::{ListMembers, Member, MemberPage};
use crate::{
    access::{AddToChat, ChatPermit, ChatRight, JoinChat, LeaveChat, ManageChatMembers, ReadChat, SendTo},
    chats::{self, types::ChatView},
    error::{Conflict, Error},
    messages::sending::store::note,
};

/// `query_as!` for members: the rows `cm` of chat $1 that the given condition picks.
macro_rules! members {
    ($condition:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Member,
            r#"
            select u.id as "id: UserId", u.full_name as name, u.username, u.avatar_url, cm.role as "role: Role",
                cm.joined_at
            from chat_members cm join users u on u.id = cm.user_id
            where cm.chat_id = $1 and "# + $condition,
            $($argument),+
        )
    };
}

/// A page of the chat's people, by id.
pub(super) async fn list(
    connection: &mut PgConnection,
    permit: &ChatPermit<ReadChat>,
    query: &ListMembers,
) -> sqlx::Result<MemberPage> {
    let mut members = members!(
        "($2::uuid is null or cm.user_id > $2) order by cm.user_id limit $3",
        permit.chat_id().0,
        query.after.map(|id| id.0) as Option<uuid::Uuid>,
        query.limit + 1,
    )
    .fetch_all(connection)
    .await?;
    let has_more = cut(&mut members, query.limit);
    Ok(MemberPage { members, has_more })
}

/// Adds people of the workspace, all or nobody; answers with them.
pub(super) async fn add(
    pool: &Pool,
    permit: &ChatPermit<AddToChat>,
    people: &[UserId],
) -> Result<Vec<Member>, Error> {
    let mut people: Vec<_> = people.iter().map(|id| id.0).collect();
    people.sort_unstable();
    people.dedup();
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?.refuse_archived()?;
    let user_ids = insert(&mut tx, permit.chat_id(), &people).await?;
    if !user_ids.is_empty() {
        note(&mut tx, permit, &SystemNote::MembersAdded { user_ids }).await?;
    }
    let members = members!("cm.user_id = any($2) order by cm.user_id", permit.chat_id().0, &people)
        .fetch_all(&mut *tx)
        .await?;
    if members.len() < people.len() {
        return Err(Error::Invalid {
            field: "member_ids",
            message: "names somebody who is not in the workspace",
        });
    }
    tx.commit().await?;
    Ok(members)
}

/// The caller joins; joining twice is joining once.
pub(super) async fn join(pool: &Pool, permit: &ChatPermit<JoinChat>) -> Result<ChatView, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?.refuse_archived()?;
    if !insert(&mut tx, permit.chat_id(), &[permit.user_id().0]).await?.is_empty() {
        note(&mut tx, permit, &SystemNote::MemberJoined).await?;
    }
    let view = chats::views::store::view(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(view)
}

/// Puts people of the workspace into the chat; answers with those who were not in it.
async fn insert(
    connection: &mut PgConnection,
    chat_id: ChatId,
    people: &[uuid::Uuid],
) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar!(
        r#"
        insert into chat_members (chat_id, user_id, workspace_id, joined_seq, last_read_seq)
        select c.id, wm.user_id, c.workspace_id, c.last_seq, c.last_seq
        from chats c join workspace_members wm on wm.workspace_id = c.workspace_id
        where c.id = $1 and wm.user_id = any($2)
        on conflict (chat_id, user_id) do nothing
        returning user_id as "user_id: UserId"
        "#,
        chat_id.0,
        people,
    )
    .fetch_all(connection)
    .await
}

/// Chooses what the caller is notified of; the same again makes no event.
pub(super) async fn change_settings(
    pool: &Pool,
    permit: &ChatPermit<SendTo>,
    notify_level: NotifyLevel,
) -> Result<ChatView, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    sqlx::query!(
        "update chat_members set notify_level = $3 where chat_id = $1 and user_id = $2 and notify_level <> $3",
        permit.chat_id().0,
        permit.user_id().0,
        notify_level as NotifyLevel,
    )
    .execute(&mut *tx)
    .await?;
    let view = chats::views::store::view(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(view)
}

/// The caller leaves.
pub(super) async fn leave(pool: &Pool, permit: &ChatPermit<LeaveChat>) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    go(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(())
}

/// Somebody goes by their own will. A chat that nobody is left in and nobody could join is deleted.
async fn go<R: ChatRight>(connection: &mut PgConnection, permit: &ChatPermit<R>) -> Result<(), Error> {
    let (chat_id, user_id) = (permit.chat_id(), permit.user_id());
    keep_an_owner(connection, chat_id, user_id).await?;
    delete(connection, chat_id, user_id).await?;
    sqlx::query!(
        "update chats c set deleted_at = now()
         where c.id = $1 and c.deleted_at is null and c.chat_type <> 'PublicChannel'
            and not exists (select from chat_members cm where cm.chat_id = c.id)",
        chat_id.0,
    )
    .execute(&mut *connection)
    .await?;
    note(connection, permit, &SystemNote::MemberLeft).await?;
    Ok(())
}

/// Gives somebody another role: of strictly lower ones, or of oneself, and at most the own.
pub(super) async fn change_role(
    pool: &Pool,
    permit: &ChatPermit<ManageChatMembers>,
    user_id: UserId,
    role: Role,
) -> Result<Member, Error> {
    let chat_id = permit.chat_id();
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let (own, present) = ranks(&mut tx, permit, user_id).await?;
    if !(outranks(own, present) || user_id == permit.user_id()) || !may_grant(own, role) {
        return Err(Error::Forbidden("A role acts on lower roles only, and grants at most its own."));
    }
    if role < Role::Owner {
        keep_an_owner(&mut tx, chat_id, user_id).await?;
    }
    sqlx::query!(
        "update chat_members set role = $3 where chat_id = $1 and user_id = $2 and role <> $3",
        chat_id.0,
        user_id.0,
        role as Role,
    )
    .execute(&mut *tx)
    .await?;
    let member = members!("cm.user_id = $2", chat_id.0, user_id.0).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(member)
}

/// Removes somebody of a strictly lower role; who names oneself leaves.
pub(super) async fn remove(
    pool: &Pool,
    permit: &ChatPermit<ManageChatMembers>,
    user_id: UserId,
) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    let (own, present) = ranks(&mut tx, permit, user_id).await?;
    if user_id == permit.user_id() {
        go(&mut tx, permit).await?;
    } else if outranks(own, present) {
        delete(&mut tx, permit.chat_id(), user_id).await?;
        note(&mut tx, permit, &SystemNote::MemberRemoved { user_id }).await?;
    } else {
        return Err(Error::Forbidden("A role acts on lower roles only."));
    }
    tx.commit().await?;
    Ok(())
}

/// The caller's role as it counts now, and that of the person acted on.
async fn ranks(
    connection: &mut PgConnection,
    permit: &ChatPermit<ManageChatMembers>,
    user_id: UserId,
) -> Result<(Role, Role), Error> {
    let own = permit.confirm(&mut *connection).await?.standing.effective_role().ok_or(Error::NotFound)?;
    let present = sqlx::query_scalar!(
        r#"select role as "role: Role" from chat_members where chat_id = $1 and user_id = $2"#,
        permit.chat_id().0,
        user_id.0,
    )
    .fetch_optional(connection)
    .await?;
    Ok((own, present.ok_or(Error::NotFound)?))
}

/// Refuses when others would stay without an owner; decided under the ordering lock.
async fn keep_an_owner(connection: &mut PgConnection, chat_id: ChatId, user_id: UserId) -> Result<(), Error> {
    let last = sqlx::query_scalar!(
        r#"
        select (
            exists (select from chat_members where chat_id = $1 and user_id = $2 and role = 'Owner')
            and exists (select from chat_members where chat_id = $1 and user_id <> $2)
            and not exists (select from chat_members where chat_id = $1 and user_id <> $2 and role = 'Owner')
        ) as "last!"
        "#,
        chat_id.0,
        user_id.0,
    )
    .fetch_one(connection)
    .await?;
    if last { Err(Error::Conflict(Conflict::LastOwner)) } else { Ok(()) }
}

async fn delete(connection: &mut PgConnection, chat_id: ChatId, user_id: UserId) -> sqlx::Result<()> {
    sqlx::query!("delete from chat_members where chat_id = $1 and user_id = $2", chat_id.0, user_id.0)
        .execute(connection)
        .await?;
    Ok(())
}
