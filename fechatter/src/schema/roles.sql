-- Who may do what in the database: `fechatter migrate` brings it about each time, for those of the two roles that
-- exist. The owner of the schema needs no rights; where everything runs as the owner, nothing happens here.
do $$
declare
    ours text[] := array(
        select rolname from pg_roles where rolname in ('fechatter_server', 'notify_server')
    );
    role text;
    thing text;
begin
    if ours = '{}' then
        return;
    end if;

    -- Nobody has anything by being somebody, nor what an earlier version or a hand gave. What other owners or
    -- extensions keep in the schema is not ours to take.
    execute format('revoke all on database %I from public', current_database());
    revoke all on schema public from public;
    for thing in
        select case when c.relkind = 'S' then 'sequence ' else 'table ' end || c.oid::regclass
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
            and c.relowner = current_user::regrole
            and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
        union all
        select 'routine ' || p.oid::regprocedure from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proowner = current_user::regrole
            and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute format('revoke all on %s from public', thing);
        foreach role in array ours loop
            execute format('revoke all on %s from %I', thing, role);
        end loop;
    end loop;

    foreach role in array ours loop
        execute format('revoke all on schema public from %I', role);
        execute format('grant connect on database %I to %I', current_database(), role);
        execute format('grant usage on schema public to %I', role);
        -- The log is read by both; only triggers write it, as its owner.
        execute format('grant select on events, stream_epoch, _sqlx_migrations to %I', role);
        -- Harmless: it wants to know the epoch that it ends, and clients reload.
        execute format('grant execute on function rotate_epoch(text) to %I', role);
    end loop;

    if 'fechatter_server' = any (ours) then
        grant select, insert, update on users to fechatter_server;
        grant select, insert, update, delete on sessions, workspaces, workspace_members, workspace_invites, chats,
            chat_members, messages, files to fechatter_server;
        grant select, insert, update on thread_followers to fechatter_server;
        grant select, insert, delete on idempotency_keys to fechatter_server;
        grant select, insert, delete on reactions, saved_messages to fechatter_server;
        grant select on message_edits to fechatter_server;
        -- Notes of objects are written by a trigger alone.
        grant select, delete on removed_files to fechatter_server;
        grant select, insert, update on file_usage to fechatter_server;
        grant select, delete on mentions to fechatter_server;
        -- Tells without reading the log whether it has gone on.
        grant select on sequence events_id_seq to fechatter_server;
        grant execute on function take_event_lock(), begin_write(uuid), count_unread(uuid, uuid, bigint),
            send_messages(uuid[], uuid[], uuid[], text[], text[], uuid[]),
            send_messages(uuid[], uuid[], uuid[], text[], text[], uuid[], uuid[], boolean[], text[], boolean[], text[]),
            may_mention_all(uuid, uuid), quote_of(uuid, uuid), quote_in_snapshot(uuid, uuid), people_of(uuid[]),
            is_hidden(uuid, bigint),
            count_thread_unread(uuid, uuid, uuid, bigint), thread_seen_by(uuid, uuid, uuid[], uuid),
            mentioned_members(uuid, text), count_mentions(uuid, uuid, bigint, bigint),
            readable_chats(uuid), expected_matches(tsquery), search_folded(text), message_terms(text),
            message_terms_beyond_ascii(text),
            make_room_for_events(), drop_expired_events(interval) to fechatter_server;
    end if;

    if 'notify_server' = any (ours) then
        grant select on messages to notify_server;
        grant select (id, username, full_name, avatar_url, status) on users to notify_server;
        grant select (id, user_id, expires_at, revoked_at) on sessions to notify_server;
        grant select (id, deleted_at) on chats, workspaces to notify_server;
        grant select (chat_id, user_id) on chat_members to notify_server;
        grant select (workspace_id, user_id) on workspace_members to notify_server;
        grant select, insert, delete on stream_tickets to notify_server;
        -- The servers of before migration 21 ask for `quote_of`.
        grant execute on function quote_in_snapshot(uuid, uuid), quote_of(uuid, uuid), people_of(uuid[])
            to notify_server;
    end if;
end $$;
