-- Deleted workspaces are purged like deleted chats, and as quietly.

create or replace function workspace_member_changed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        -- The workspace was deleted long ago: nobody is left to be told.
        if current_setting('fechatter.purging', true) = 'on' then
            return null;
        end if;
        perform append_event('workspace_update', old.workspace_id, null, old.user_id,
            jsonb_build_object('type', 'member_removed'));
    elsif tg_op = 'INSERT' then
        perform append_event('workspace_update', new.workspace_id, null, new.user_id,
            jsonb_build_object('type', 'member_added', 'role', new.role, 'joined_at', new.joined_at));
    elsif new.role is distinct from old.role then
        perform append_event('workspace_update', new.workspace_id, null, new.user_id,
            jsonb_build_object('type', 'role_changed', 'role', new.role));
    end if;
    return null;
end $$;

create index workspaces_deleted_at_idx on workspaces (deleted_at) where deleted_at is not null;
create index workspace_invites_expires_at_idx on workspace_invites (expires_at);
