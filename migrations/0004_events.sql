-- The event log: what happened, in commit order. Triggers write it, so that
-- every change emits, whoever makes it; both servers read it by id.

create table events (
    id bigint not null,
    -- The name of the event on the stream, or an internal one.
    kind text not null,
    workspace_id uuid,
    chat_id uuid,
    -- The person it is about, or for.
    user_id uuid,
    message_id uuid,
    -- Who did it; null when done from outside the servers.
    actor_id uuid,
    -- Small facts, never message content.
    data jsonb,
    at timestamptz not null default clock_timestamp(),
    constraint events_pkey primary key (id)
) partition by range (id);

create sequence events_id_seq;

-- Where somebody joined or left, for streams that resume from before it.
create index events_membership_idx on events (user_id, id)
    where kind in ('chat_update', 'workspace_update') and user_id is not null;

-- One row: which log this is, and up to which id its partitions have been dropped.
create table stream_epoch (
    singleton boolean not null default true,
    epoch text not null default substr(md5(gen_random_uuid()::text), 1, 8),
    dropped_through bigint not null default 0,
    constraint stream_epoch_pkey primary key (singleton),
    constraint stream_epoch_singleton_check check (singleton)
);
insert into stream_epoch default values;

-- Single-use tickets by which a browser opens a stream; lost with a crash, which is fine.
create unlogged table stream_tickets (
    hash bytea not null,
    user_id uuid not null,
    session_id uuid not null,
    -- The end of the access token that asked for the ticket: the stream ends with it.
    token_expires_at timestamptz not null,
    expires_at timestamptz not null,
    constraint stream_tickets_pkey primary key (hash)
);
create index stream_tickets_expires_at_idx on stream_tickets (expires_at);

-- Partitions -----------------------------------------------------------------

-- Ids in a partition.
create function event_partition_size() returns bigint language sql immutable as 'select 1000000::bigint';

-- Makes the partition that holds `for_id`, unless it is there. Attaching blocks
-- neither readers nor writers (PostgreSQL manual, section 5.11.2.2).
create function make_event_partition(for_id bigint) returns void language plpgsql as $$
declare
    part bigint := for_id / event_partition_size();
    name text := 'events_' || part;
begin
    perform pg_advisory_xact_lock(hashtext('fechatter event partitions'));
    if to_regclass(name) is null then
        execute format('create table %I (like events including defaults including constraints including indexes)', name);
        execute format('alter table events attach partition %I for values from (%s) to (%s)',
            name, part * event_partition_size(), (part + 1) * event_partition_size());
    end if;
end $$;

select make_event_partition(0), make_event_partition(event_partition_size());

-- Drops the partitions whose every event is older than `max_age`, oldest first,
-- and never the one that holds the newest event. Answers how many.
create function drop_expired_events(max_age interval) returns integer language plpgsql as $$
declare
    part record;
    newest timestamptz;
    head bigint := (select max(id) from events);
    dropped integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('fechatter event partitions'));
    for part in
        select c.oid::regclass as name, substr(c.relname, 8)::bigint as number
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'events'::regclass
        order by 2
    loop
        exit when head is null or head < (part.number + 1) * event_partition_size();
        execute format('select at from %s order by id desc limit 1', part.name) into newest;
        exit when newest > clock_timestamp() - max_age;
        execute format('drop table %s', part.name);
        update stream_epoch set dropped_through = (part.number + 1) * event_partition_size() - 1;
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;

-- Writing --------------------------------------------------------------------

-- The ordering lock: ids are given out under it, and it is held to the end of
-- the transaction, which comes after the commit is visible. So whoever sees an
-- event sees every event with a smaller id.
create function take_event_lock() returns void language sql as
    'select pg_advisory_xact_lock(hashtext(''fechatter event log''))';

-- The first statement of every transaction that writes: takes the ordering lock
-- before any statement reads what its write depends on, and notes who acts.
create function begin_write(actor uuid) returns void language plpgsql as $$
begin
    perform take_event_lock();
    perform set_config('fechatter.actor', coalesce(actor::text, ''), true);
end $$;

create function current_actor() returns uuid language sql stable as
    'select nullif(current_setting(''fechatter.actor'', true), '''')::uuid';

-- What each trigger does before it appends: the lock (it may be a write from
-- outside the servers), room for a million more ids, and the doorbell.
create function open_event_log() returns void language plpgsql as $$
declare
    ahead bigint;
begin
    perform take_event_lock();
    select last_value + event_partition_size() into ahead from events_id_seq;
    if to_regclass('events_' || ahead / event_partition_size()) is null then
        perform make_event_partition(ahead - event_partition_size());
        perform make_event_partition(ahead);
    end if;
    -- The bell carries nothing: the table is the truth. Repeated in one
    -- transaction it rings once.
    perform pg_notify('fechatter_events', '');
end $$;

create function append_event(
    kind text, workspace_id uuid, chat_id uuid, user_id uuid, data jsonb
) returns void language plpgsql as $$
begin
    perform open_event_log();
    insert into events (id, kind, workspace_id, chat_id, user_id, actor_id, data)
    values (nextval('events_id_seq'), kind, workspace_id, chat_id, user_id, current_actor(), data);
end $$;

-- Events come from triggers alone: a statement of its own stands at depth 1.
create function refuse_direct_events() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() < 2 then
        raise exception 'events are written by triggers only';
    end if;
    return null;
end $$;
create trigger events_from_triggers_only before insert or update or truncate on events
    for each statement execute function refuse_direct_events();

-- messages -------------------------------------------------------------------

create function messages_inserted() returns trigger language plpgsql as $$
begin
    if not exists (select from new_rows) then
        return null;
    end if;
    perform open_event_log();
    insert into events (id, kind, workspace_id, chat_id, message_id, actor_id)
    select nextval('events_id_seq'), 'message', m.workspace_id, m.chat_id, m.id, m.sender_id
    from (
        select c.workspace_id, n.chat_id, n.id, n.sender_id
        from new_rows n join chats c on c.id = n.chat_id
        order by n.chat_id, n.seq
    ) m;
    -- Sending moves the sender's own read cursor. It makes no `read` event:
    -- the sender's clients see it in the message.
    update chat_members cm
    set last_read_seq = s.seq
    from (
        select chat_id, sender_id, max(seq) as seq from new_rows where kind = 'User' group by chat_id, sender_id
    ) s
    where cm.chat_id = s.chat_id and cm.user_id = s.sender_id and cm.last_read_seq < s.seq;
    return null;
end $$;

create function messages_updated() returns trigger language plpgsql as $$
begin
    if not exists (
        select from new_rows n join old_rows o on o.chat_id = n.chat_id and o.id = n.id
        where (n.content, n.deleted_at) is distinct from (o.content, o.deleted_at)
    ) then
        return null;
    end if;
    insert into message_edits (chat_id, message_id, version, content, written_at)
    select o.chat_id, o.id, o.version, o.content, coalesce(o.edited_at, o.created_at)
    from old_rows o join new_rows n on n.chat_id = o.chat_id and n.id = o.id
    where o.content <> n.content;
    delete from message_edits e using new_rows n
    where n.deleted_at is not null and e.chat_id = n.chat_id and e.message_id = n.id;
    perform open_event_log();
    insert into events (id, kind, workspace_id, chat_id, message_id, actor_id)
    select nextval('events_id_seq'), m.kind, m.workspace_id, m.chat_id, m.id, coalesce(current_actor(), m.sender_id)
    from (
        select case when n.deleted_at is null then 'message_update' else 'message_delete' end as kind,
            c.workspace_id, n.chat_id, n.id, n.sender_id
        from new_rows n
        join old_rows o on o.chat_id = n.chat_id and o.id = n.id
        join chats c on c.id = n.chat_id
        where (n.content, n.deleted_at) is distinct from (o.content, o.deleted_at)
        order by n.chat_id, n.seq
    ) m;
    return null;
end $$;

-- On each partition as well, for statements that name it directly; a statement
-- on the whole table fires only the whole table's triggers.
do $$
declare
    target text;
begin
    foreach target in array array['messages', 'messages_0', 'messages_1', 'messages_2', 'messages_3',
        'messages_4', 'messages_5', 'messages_6', 'messages_7']
    loop
        execute format('create trigger messages_inserted after insert on %I
            referencing new table as new_rows
            for each statement execute function messages_inserted()', target);
        execute format('create trigger messages_updated after update on %I
            referencing old table as old_rows new table as new_rows
            for each statement execute function messages_updated()', target);
    end loop;
end $$;

-- chats ----------------------------------------------------------------------

create function chat_created() returns trigger language plpgsql as $$
begin
    perform append_event('chat_update', new.workspace_id, new.id, new.created_by,
        jsonb_build_object('type', 'created', 'chat_type', new.chat_type, 'name', new.name));
    return null;
end $$;
create trigger chat_created after insert on chats
    for each row execute function chat_created();

create function chat_changed() returns trigger language plpgsql as $$
declare
    fact jsonb := jsonb_build_object('chat_type', new.chat_type);
begin
    if new.name is distinct from old.name then
        perform append_event('chat_update', new.workspace_id, new.id, null,
            fact || jsonb_build_object('type', 'name_changed', 'name', new.name, 'updated_at', new.updated_at));
    end if;
    if new.description is distinct from old.description then
        perform append_event('chat_update', new.workspace_id, new.id, null,
            fact || jsonb_build_object('type', 'description_changed', 'description', new.description,
                'updated_at', new.updated_at));
    end if;
    if (new.archived_at is null) <> (old.archived_at is null) then
        perform append_event('chat_update', new.workspace_id, new.id, null,
            fact || jsonb_build_object(
                'type', case when new.archived_at is null then 'unarchived' else 'archived' end,
                'archived_at', new.archived_at));
    end if;
    if old.deleted_at is null and new.deleted_at is not null then
        perform append_event('chat_update', new.workspace_id, new.id, null,
            fact || jsonb_build_object('type', 'deleted'));
    end if;
    return null;
end $$;
-- The column list keeps it away from sends, which raise last_seq.
create trigger chat_changed after update of name, description, archived_at, deleted_at on chats
    for each row execute function chat_changed();

-- chat_members ---------------------------------------------------------------

create function chat_members_inserted() returns trigger language plpgsql as $$
begin
    if not exists (select from new_rows) then
        return null;
    end if;
    perform open_event_log();
    insert into events (id, kind, workspace_id, chat_id, user_id, actor_id, data)
    select nextval('events_id_seq'), 'chat_update', m.workspace_id, m.chat_id, m.user_id, current_actor(),
        jsonb_build_object('type', 'member_added', 'role', m.role, 'joined_at', m.joined_at)
    from (select * from new_rows order by chat_id, joined_at, user_id) m;
    return null;
end $$;
create trigger chat_members_inserted after insert on chat_members
    referencing new table as new_rows
    for each statement execute function chat_members_inserted();

-- Rows that go with their purged chat make no event: it was deleted long ago. The
-- purge says so by `fechatter.purging`, or takes the chat's own row away.
create function chat_members_deleted() returns trigger language plpgsql as $$
begin
    if current_setting('fechatter.purging', true) = 'on' then
        return null;
    end if;
    if not exists (select from old_rows o join chats c on c.id = o.chat_id) then
        return null;
    end if;
    perform open_event_log();
    insert into events (id, kind, workspace_id, chat_id, user_id, actor_id, data)
    select nextval('events_id_seq'), 'chat_update', m.workspace_id, m.chat_id, m.user_id, current_actor(),
        jsonb_build_object('type', 'member_removed')
    from (
        select o.* from old_rows o join chats c on c.id = o.chat_id order by o.chat_id, o.user_id
    ) m;
    return null;
end $$;
create trigger chat_members_deleted after delete on chat_members
    referencing old table as old_rows
    for each statement execute function chat_members_deleted();

create function chat_member_role_changed() returns trigger language plpgsql as $$
begin
    perform append_event('chat_update', new.workspace_id, new.chat_id, new.user_id,
        jsonb_build_object('type', 'role_changed', 'role', new.role));
    return null;
end $$;
create trigger chat_member_role_changed after update of role on chat_members
    for each row when (new.role is distinct from old.role)
    execute function chat_member_role_changed();

-- For the person alone: nobody else is told how somebody keeps their chats.
create function chat_member_settings_changed() returns trigger language plpgsql as $$
begin
    perform append_event('chat_update', new.workspace_id, new.chat_id, new.user_id,
        jsonb_build_object('type', 'settings_changed', 'notify_level', new.notify_level,
            'hidden', new.hidden_seq is not null
                and new.hidden_seq >= (select last_seq from chats where id = new.chat_id)));
    return null;
end $$;
create trigger chat_member_settings_changed after update of notify_level, hidden_seq on chat_members
    for each row when ((new.notify_level, new.hidden_seq) is distinct from (old.notify_level, old.hidden_seq))
    execute function chat_member_settings_changed();

-- Unread: after the cursor, by others, written by a person, not deleted. Counted
-- to 1,000, which means `more than 999`.
create function count_unread(chat uuid, reader uuid, after_seq bigint) returns bigint language sql stable as $$
    select count(*) from (
        select from messages m
        where m.chat_id = chat and m.seq > after_seq and m.sender_id <> reader
            and m.kind = 'User' and m.deleted_at is null
        limit 1000
    ) unread
$$;

create function chat_member_read() returns trigger language plpgsql as $$
begin
    perform append_event('read', new.workspace_id, new.chat_id, new.user_id,
        jsonb_build_object('last_read_seq', new.last_read_seq,
            'unread_count', count_unread(new.chat_id, new.user_id, new.last_read_seq)));
    return null;
end $$;
-- Not for the cursor that messages_inserted moves, which stands one trigger deeper.
create trigger chat_member_read after update of last_read_seq on chat_members
    for each row when (new.last_read_seq is distinct from old.last_read_seq and pg_trigger_depth() = 0)
    execute function chat_member_read();

-- workspaces -----------------------------------------------------------------

create function workspace_changed() returns trigger language plpgsql as $$
begin
    if (new.name, new.description) is distinct from (old.name, old.description) then
        perform append_event('workspace_update', new.id, null, null,
            jsonb_build_object('type', 'updated', 'name', new.name, 'description', new.description,
                'updated_at', new.updated_at));
    end if;
    if old.deleted_at is null and new.deleted_at is not null then
        perform append_event('workspace_update', new.id, null, null, jsonb_build_object('type', 'deleted'));
    end if;
    return null;
end $$;
create trigger workspace_changed after update of name, description, deleted_at on workspaces
    for each row execute function workspace_changed();

create function workspace_member_changed() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
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
create trigger workspace_member_changed after insert or delete or update of role on workspace_members
    for each row execute function workspace_member_changed();

-- sessions and users: never shown to anybody; both servers end what they end.

create function session_revoked() returns trigger language plpgsql as $$
begin
    perform append_event('session_revoked', null, null, new.user_id,
        jsonb_build_object('session_id', new.id));
    return null;
end $$;
create trigger session_revoked after update of revoked_at on sessions
    for each row when (old.revoked_at is null and new.revoked_at is not null)
    execute function session_revoked();

create function user_suspended() returns trigger language plpgsql as $$
begin
    perform append_event('user_suspended', null, null, new.id, null);
    return null;
end $$;
create trigger user_suspended after update of status on users
    for each row when (new.status = 'Suspended' and old.status <> 'Suspended')
    execute function user_suspended();
