//! Where people stand.

use chat_core::{
    chat::{ChatType, Role},
    ids::{ChatId, FileId, UserId, WorkspaceId},
    permission::ChatStanding,
};
use sqlx::PgConnection;

use super::{chat::ChatNow, file::Holder};

/// A chat that is not deleted, and where a person stands towards it.
pub(crate) async fn chat_now(
    connection: &mut PgConnection,
    chat_id: ChatId,
    user_id: UserId,
) -> sqlx::Result<Option<ChatNow>> {
    let row = sqlx::query!(
        r#"
        select c.workspace_id as "workspace_id: WorkspaceId", c.chat_type as "chat_type: ChatType",
            c.archived_at is not null as "archived!", cm.role as "role?: Role", wm.role as "workspace_role?: Role"
        from chats c
        left join chat_members cm on cm.chat_id = c.id and cm.user_id = $2
        left join workspace_members wm on wm.workspace_id = c.workspace_id and wm.user_id = $2
        where c.id = $1 and c.deleted_at is null
        "#,
        chat_id.0,
        user_id.0,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| ChatNow {
        workspace_id: row.workspace_id,
        standing: ChatStanding {
            chat_type: row.chat_type,
            role: row.role,
            workspace_role: row.workspace_role,
        },
        archived: row.archived,
    }))
}

/// A person's role in a workspace that is not deleted.
pub(crate) async fn workspace_role(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    user_id: UserId,
) -> sqlx::Result<Option<Role>> {
    sqlx::query_scalar!(
        r#"
        select wm.role as "role: Role"
        from workspace_members wm join workspaces w on w.id = wm.workspace_id
        where wm.workspace_id = $1 and wm.user_id = $2 and w.deleted_at is null
        "#,
        workspace_id.0,
        user_id.0,
    )
    .fetch_optional(connection)
    .await
}

/// Who holds a file of a workspace that a person is in.
pub(super) async fn holder_of(
    connection: &mut PgConnection,
    file_id: FileId,
    user_id: UserId,
) -> sqlx::Result<Holder> {
    let row = sqlx::query!(
        r#"
        select f.message_id is null and f.uploader_id = $2 as "own!", wm.role as "workspace_role: Role",
            c.chat_type as "chat_type?: ChatType", cm.role as "role?: Role"
        from files f
        join workspaces w on w.id = f.workspace_id and w.deleted_at is null
        join workspace_members wm on wm.workspace_id = f.workspace_id and wm.user_id = $2
        left join messages m on m.chat_id = f.chat_id and m.id = f.message_id and m.deleted_at is null
        left join chats c on c.id = m.chat_id and c.deleted_at is null
        left join chat_members cm on cm.chat_id = c.id and cm.user_id = $2
        where f.id = $1 and f.uploader_id is not null
        "#,
        file_id.0,
        user_id.0,
    )
    .fetch_optional(connection)
    .await?;
    Ok(match row {
        Some(row) if row.own => Holder::Uploader,
        Some(row) => row.chat_type.map_or(Holder::Nobody, |chat_type| {
            Holder::Chat(ChatStanding { chat_type, role: row.role, workspace_role: Some(row.workspace_role) })
        }),
        None => Holder::Nobody,
    })
}
