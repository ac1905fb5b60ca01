-- Reactions, pins, and the messages that people save for themselves.

create table reactions (
    -- In the order in which people reacted.
    id uuid not null,
    chat_id uuid not null,
    message_id uuid not null,
    user_id uuid not null,
    -- One emoji, fully qualified (UTS #51, ED-18a).
    emoji text not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint reactions_pkey primary key (chat_id, message_id, user_id, emoji),
    constraint reactions_chat_id_message_id_id_key unique (chat_id, message_id, id),
    constraint reactions_emoji_check check (char_length(emoji) between 1 and 32),
    constraint reactions_message_fkey
        foreign key (chat_id, message_id) references messages (chat_id, id) on delete cascade,
    constraint reactions_user_id_fkey foreign key (user_id) references users (id)
);

-- What stands in messages.reactions after somebody took or gave up a kind: the kinds in the order in which they came
-- up, each with how many people chose it; null for none.
create function count_reaction(present jsonb, kind text, change integer) returns jsonb language sql immutable as $$
    select jsonb_agg(jsonb_build_object('emoji', emoji, 'count', count) order by place) filter (where count > 0)
    from (
        select emoji, sum(count) as count, min(place) as place
        from (
            select value ->> 'emoji' as emoji, (value ->> 'count')::integer as count, place
            from jsonb_array_elements(coalesce(present, '[]')) with ordinality as known (value, place)
            union all
            select kind, change, jsonb_array_length(coalesce(present, '[]')) + 1
        ) parts
        group by emoji
    ) kinds
$$;

-- The message's own count goes by one up or down, whatever there is, so that the ten thousandth reaction costs as
-- much as the first. Rows that go with a deleted or purged message are nobody's news. The event names its message
-- among the facts: by the log's column, readers would fetch what the message says, which the event does not show.
create function reactions_changed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
declare
    reaction record;
    counts jsonb;
begin
    if current_setting('fechatter.purging', true) = 'on' then
        return null;
    end if;
    for reaction in
        select r.*, c.workspace_id
        from changed r
        join messages m on m.chat_id = r.chat_id and m.id = r.message_id and m.deleted_at is null
        join chats c on c.id = r.chat_id
        order by r.id
    loop
        update messages m
        set reactions = count_reaction(m.reactions, reaction.emoji, case tg_op when 'INSERT' then 1 else -1 end)
        where m.chat_id = reaction.chat_id and m.id = reaction.message_id
        returning m.reactions into counts;
        perform append_event('reaction', reaction.workspace_id, reaction.chat_id, reaction.user_id,
            jsonb_build_object(
                'message_id', reaction.message_id,
                'emoji', reaction.emoji,
                'type', case tg_op when 'INSERT' then 'added' else 'removed' end,
                'count', coalesce((
                    select (value ->> 'count')::integer from jsonb_array_elements(counts)
                    where value ->> 'emoji' = reaction.emoji
                ), 0)));
    end loop;
    return null;
end $$;
create trigger reactions_inserted after insert on reactions
    referencing new table as changed
    for each statement execute function reactions_changed();
create trigger reactions_deleted after delete on reactions
    referencing old table as changed
    for each statement execute function reactions_changed();
create trigger ordered before insert or delete on reactions
    for each statement execute function order_writers();

-- Pins ------------------------------------------------------------------------

create index messages_pinned_idx on messages (chat_id, pinned_at, id) where pinned_at is not null;

create function message_pinned() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    perform append_event('chat_update', c.workspace_id, c.id, null, jsonb_build_object(
        'type', case when new.pinned_at is null then 'message_unpinned' else 'message_pinned' end,
        'message_id', new.id, 'pinned_at', new.pinned_at, 'pinned_by', new.pinned_by))
    from chats c where c.id = new.chat_id;
    return null;
end $$;
create trigger message_pinned after update on messages
    for each row when ((new.pinned_at, new.pinned_by) is distinct from (old.pinned_at, old.pinned_by))
    execute function message_pinned();

-- message_erased has emptied the row; these are gone with it.
create function message_reactions_deleted() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    delete from reactions where chat_id = new.chat_id and message_id = new.id;
    return null;
end $$;
create trigger message_reactions_deleted after update of deleted_at on messages
    for each row when (new.deleted_at is not null and old.reactions is not null)
    execute function message_reactions_deleted();

-- Saved messages --------------------------------------------------------------

create table saved_messages (
    -- In the order in which the person saved them.
    id uuid not null,
    user_id uuid not null,
    chat_id uuid not null,
    message_id uuid not null,
    saved_at timestamptz not null default clock_timestamp(),
    -- Begins with the message, for when that goes.
    constraint saved_messages_pkey primary key (chat_id, message_id, user_id),
    constraint saved_messages_user_id_id_key unique (user_id, id),
    constraint saved_messages_message_fkey
        foreign key (chat_id, message_id) references messages (chat_id, id) on delete cascade,
    constraint saved_messages_user_id_fkey foreign key (user_id) references users (id)
);

-- For the person alone.
create function saved_messages_changed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if current_setting('fechatter.purging', true) = 'on' or not exists (select from changed) then
        return null;
    end if;
    perform open_event_log();
    insert into events (id, kind, workspace_id, chat_id, user_id, actor_id, data)
    select nextval('events_id_seq'), 'saved', s.workspace_id, s.chat_id, s.user_id, current_actor(),
        jsonb_build_object('message_id', s.message_id, 'id', s.id, 'saved_at', s.saved_at,
            'type', case tg_op when 'INSERT' then 'added' else 'removed' end)
    from (select r.*, c.workspace_id from changed r join chats c on c.id = r.chat_id order by r.id) s;
    return null;
end $$;
create trigger saved_messages_inserted after insert on saved_messages
    referencing new table as changed
    for each statement execute function saved_messages_changed();
create trigger saved_messages_deleted after delete on saved_messages
    referencing old table as changed
    for each statement execute function saved_messages_changed();
create trigger ordered before insert or delete on saved_messages
    for each statement execute function order_writers();
