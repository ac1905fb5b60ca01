-- What lets the servers work under roles of their own: whatever appends to the event log, or makes and drops its
-- partitions, runs as its owner, so that a server needs no right to either (PostgreSQL manual, CREATE FUNCTION,
-- "Writing SECURITY DEFINER Functions Safely"). Who may do what stands in fechatter/src/schema/roles.sql.

do $$
declare
    appends regprocedure;
begin
    foreach appends in array array['messages_inserted()', 'messages_updated()', 'chat_created()', 'chat_changed()',
        'chat_members_inserted()', 'chat_members_deleted()', 'chat_member_role_changed()',
        'chat_member_settings_changed()', 'chat_member_read()', 'workspace_changed()', 'workspace_member_changed()',
        'session_revoked()', 'user_suspended()', 'user_changed()', 'drop_expired_events(interval)']
    loop
        execute format('alter function %s security definer set search_path = public, pg_temp', appends);
    end loop;
end $$;

-- Makes the partitions for the events of now and the next two million, unless they are there.
create function make_room_for_events() returns void language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    perform make_event_partition(last_value + n * event_partition_size())
    from events_id_seq, generate_series(0, 2) n;
end $$;

-- Which key signed the token that asked for the ticket: the stream ends when that key is removed.
alter table stream_tickets add column signed_by bigint;
