-- A write from outside the servers takes the ordering lock as well, and before it locks a row: taken by the trigger
-- that appends, after the rows, it could meet a server that holds the lock and wants those rows.

create function order_writers() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('fechatter.purging', true), '') <> 'on' then
        perform take_event_lock();
    end if;
    return null;
end $$;

-- Only where an event follows: sends raise last_seq, and purges delete, without one.
do $$
declare
    target text;
begin
    foreach target in array array['messages', 'messages_0', 'messages_1', 'messages_2', 'messages_3',
        'messages_4', 'messages_5', 'messages_6', 'messages_7']
    loop
        execute format('create trigger ordered before insert or update on %I
            for each statement execute function order_writers()', target);
    end loop;
end $$;
create trigger ordered before insert or update of name, description, archived_at, deleted_at on chats
    for each statement execute function order_writers();
create trigger ordered before insert or delete or update of role, notify_level, hidden_seq, last_read_seq
    on chat_members for each statement execute function order_writers();
create trigger ordered before update of name, description, deleted_at on workspaces
    for each statement execute function order_writers();
create trigger ordered before insert or delete or update of role on workspace_members
    for each statement execute function order_writers();
create trigger ordered before update of revoked_at on sessions
    for each statement execute function order_writers();
create trigger ordered before update of status, full_name, username, avatar_url on users
    for each statement execute function order_writers();
