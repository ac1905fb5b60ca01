//! Statements that change chats.

use chat_core::{
    chat::ChatType,
    database::Pool,
    http::answer::Ensured,
    ids::{ChatId, UserId, WorkspaceId},
    message::SystemNote,
    permission::{ChatAction, Verdict},
    store::begin_write,
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    types::{ChatView, CreateChat, UpdateChat},
    views::store::{one, view},
};
use crate::{
    access::{self, ChatPermit, DeleteChat, HideChat, WorkspacePermit},
    error::Error,
    idempotency::{self, types::Once},
    messages::sending::store::note,
};

/// A chat that somebody made, unless they have lost sight of it since.
async fn visible(connection: &mut PgConnection, chat_id: ChatId, user_id: UserId) -> Result<ChatView, Error> {
    let chat = access::store::chat_now(connection, chat_id, user_id).await?.ok_or(Error::NotFound)?;
    match chat.standing.may(ChatAction::Read) {
        Verdict::Allowed => one(connection, chat_id, user_id).await,
        Verdict::Forbidden | Verdict::Invisible => Err(Error::NotFound),
    }
}

/// Makes a chat with its first people, or finds the `Single` one of the pair.
pub(super) async fn create(
    pool: &Pool,
    permit: &WorkspacePermit<access::CreateChat>,
    once: &Once<CreateChat>,
    now: DateTime<Utc>,
) -> Result<Ensured<ChatView>, Error> {
    let (creator, draft) = (permit.user_id(), &once.body);
    let dm_key = draft.dm_key(creator)?;
    let mut tx = begin_write(pool, Some(creator)).await?;
    permit.confirm(&mut tx).await?;
    if let Some(made) = idempotency::store::made_before(&mut tx, creator, once.key.as_ref()).await? {
        return visible(&mut tx, ChatId(made), creator).await.map(Ensured::Existing);
    }
    let made = insert(&mut tx, permit, draft, dm_key.as_deref()).await?;
    let chat_id = match (made, &dm_key) {
        (Some(id), _) => id,
        (None, Some(key)) => by_dm_key(&mut tx, permit.workspace_id(), key).await?,
        (None, None) => return Err(Error::NotFound),
    };
    let people: Vec<_> = draft.people(creator).into_iter().map(|person| person.0).collect();
    insert_people(&mut tx, chat_id, draft.chat_type, creator, &people).await?;
    if count_people(&mut tx, chat_id, &people).await? < i64::try_from(people.len()).unwrap_or(i64::MAX) {
        return Err(Error::Invalid {
            field: "member_ids",
            message: "names somebody who is not in the workspace",
        });
    }
    show(&mut tx, chat_id, creator).await?;
    idempotency::store::note(&mut tx, creator, once.key.as_ref(), chat_id.0, now).await?;
    let view = one(&mut tx, chat_id, creator).await?;
    tx.commit().await?;
    Ok(if made.is_some() { Ensured::New(view) } else { Ensured::Existing(view) })
}

async fn insert(
    connection: &mut PgConnection,
    permit: &WorkspacePermit<access::CreateChat>,
    draft: &CreateChat,
    dm_key: Option<&str>,
) -> sqlx::Result<Option<ChatId>> {
    sqlx::query_scalar!(
        r#"
        insert into chats (id, workspace_id, chat_type, name, description, dm_key, created_by)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict on constraint chats_workspace_id_dm_key_key do nothing
        returning id as "id: ChatId"
        "#,
        ChatId::new().0,
        permit.workspace_id().0,
        draft.chat_type as ChatType,
        draft.stored_name(),
        draft.description,
        dm_key,
        permit.user_id().0,
    )
    .fetch_optional(connection)
    .await
}

async fn by_dm_key(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    key: &str,
) -> sqlx::Result<ChatId> {
    sqlx::query_scalar!(
        r#"select id as "id: ChatId" from chats where workspace_id = $1 and dm_key = $2"#,
        workspace_id.0,
        key,
    )
    .fetch_one(connection)
    .await
}

/// Puts people of the workspace into the chat; who is in it already stays as they are. The creator owns all
/// but `Single` chats, which nobody does.
async fn insert_people(
    connection: &mut PgConnection,
    chat_id: ChatId,
    chat_type: ChatType,
    creator: UserId,
    people: &[uuid::Uuid],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into chat_members (chat_id, user_id, workspace_id, role, joined_seq, last_read_seq)
        select c.id, wm.user_id, c.workspace_id,
            case when wm.user_id = $3 and $4::chat_type <> 'Single' then 'Owner' else 'Member' end::member_role,
            c.last_seq, c.last_seq
        from chats c join workspace_members wm on wm.workspace_id = c.workspace_id
        where c.id = $1 and wm.user_id = any($2)
        on conflict (chat_id, user_id) do nothing
        "#,
        chat_id.0,
        people,
        creator.0,
        chat_type as ChatType,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn count_people(
    connection: &mut PgConnection,
    chat_id: ChatId,
    people: &[uuid::Uuid],
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from chat_members where chat_id = $1 and user_id = any($2)"#,
        chat_id.0,
        people,
    )
    .fetch_one(connection)
    .await
}

/// Renames and describes; what changes nothing writes nothing.
pub(super) async fn update(
    pool: &Pool,
    permit: &ChatPermit<access::UpdateChat>,
    change: &UpdateChat,
) -> Result<ChatView, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let changed = sqlx::query!(
        r#"
        update chats c
        set name = coalesce($2, was.name), description = case when $3 then $4 else was.description end,
            updated_at = now()
        from (select name, description from chats where id = $1) was
        where c.id = $1 and (was.name, was.description)
            is distinct from (coalesce($2, was.name), case when $3 then $4 else was.description end)
        returning case when c.name is distinct from was.name then c.name end as new_name,
            c.description, c.description is distinct from was.description as "described!"
        "#,
        permit.chat_id().0,
        change.name,
        change.description.is_some(),
        change.description.clone().flatten(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(changed) = changed {
        if let Some(name) = changed.new_name {
            note(&mut tx, permit, &SystemNote::NameChanged { name }).await?;
        }
        if changed.described {
            let description = changed.description;
            note(&mut tx, permit, &SystemNote::DescriptionChanged { description }).await?;
        }
    }
    let view = view(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(view)
}

/// Archives or takes it back; doing it twice is doing it once.
pub(super) async fn set_archived(
    pool: &Pool,
    permit: &ChatPermit<access::UpdateChat>,
    archived: bool,
) -> Result<ChatView, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    let changed = sqlx::query!(
        "update chats set archived_at = case when $2 then now() end where id = $1 and (archived_at is null) = $2",
        permit.chat_id().0,
        archived,
    )
    .execute(&mut *tx)
    .await?;
    if changed.rows_affected() > 0 {
        let fact = if archived { SystemNote::Archived } else { SystemNote::Unarchived };
        note(&mut tx, permit, &fact).await?;
    }
    let view = view(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(view)
}

/// Takes a chat out of the caller's list until its next message.
pub(super) async fn hide(pool: &Pool, permit: &ChatPermit<HideChat>) -> Result<ChatView, Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    sqlx::query!(
        "update chat_members cm set hidden_seq = c.last_seq
         from chats c
         where cm.chat_id = $1 and cm.user_id = $2 and c.id = cm.chat_id
            and (cm.hidden_seq is null or not is_hidden(c.id, cm.hidden_seq))",
        permit.chat_id().0,
        permit.user_id().0,
    )
    .execute(&mut *tx)
    .await?;
    let view = view(&mut tx, permit).await?;
    tx.commit().await?;
    Ok(view)
}

/// Puts a hidden chat back into somebody's list.
async fn show(connection: &mut PgConnection, chat_id: ChatId, user_id: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "update chat_members cm set hidden_seq = null
         where cm.chat_id = $1 and cm.user_id = $2 and is_hidden(cm.chat_id, cm.hidden_seq)",
        chat_id.0,
        user_id.0,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes: nobody sees it from now on.
pub(super) async fn delete(pool: &Pool, permit: &ChatPermit<DeleteChat>) -> Result<(), Error> {
    let mut tx = begin_write(pool, Some(permit.user_id())).await?;
    permit.confirm(&mut tx).await?;
    sqlx::query!(
        "update chats set deleted_at = now() where id = $1 and deleted_at is null",
        permit.chat_id().0
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
