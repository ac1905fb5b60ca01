//! The statement that tells what is ephemeral.

use chat_core::event::EphemeralKind;
use sqlx::PgConnection;

use crate::access::{ChatClaim, SendTo};

/// Tells every `notify_server`, by a notification of its own: `chat_core::event::Ephemeral` as JSON.
pub(super) async fn tell(
    connection: &mut PgConnection,
    kind: EphemeralKind,
    claim: &ChatClaim<SendTo>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_notify('fechatter_ephemeral', json_build_object(
            'kind', $1::text, 'chat_id', $2::uuid, 'user_id', $3::uuid,
            'after', coalesce((select max(id) from events), 0)
        )::text)",
        kind.stream_name(),
        claim.chat_id().0,
        claim.user_id().0,
    )
    .execute(connection)
    .await?;
    Ok(())
}
