-- Threads: who took part, who follows one and has read how far; and what a quote shows.

-- Of a thread's root: up to five people, who replied last first.
alter table messages add column thread_people uuid[];

-- With what counts ask for in the index itself.
drop index messages_thread_root_idx;
create index messages_thread_root_idx on messages (chat_id, thread_root, seq) include (sender_id, kind, deleted_at)
    where thread_root is not null;

-- Gone with the membership, so that who leaves a chat follows nothing in it, also after coming back.
create table thread_followers (
    chat_id uuid not null,
    root_id uuid not null,
    user_id uuid not null,
    -- False for who wants no more of it: only a reply of one's own changes that by itself.
    following boolean not null,
    -- Replies up to here are read; it only moves forward.
    last_read_seq bigint not null,
    constraint thread_followers_pkey primary key (chat_id, root_id, user_id),
    constraint thread_followers_root_fkey
        foreign key (chat_id, root_id) references messages (chat_id, id) on delete cascade,
    constraint thread_followers_member_fkey
        foreign key (chat_id, user_id) references chat_members (chat_id, user_id) on delete cascade
) with (fillfactor = 80);
-- With the whole key, so that without statistics too no plan reads more of it than it needs.
create index thread_followers_user_id_idx on thread_followers (user_id, chat_id, root_id);

-- What a message that answers another shows of it, as it is now: nothing of it is kept. Volatile, so that a statement
-- that has just waited for the ordering lock sees what was committed until then.
create function quote_of(chat uuid, message uuid) returns jsonb language plpgsql as $$
begin
    return (
        select jsonb_build_object('id', m.id, 'kind', m.kind, 'content', left(m.content, 200), 'system', m.system,
            'file_count', coalesce(jsonb_array_length(m.files), 0), 'thread_root', m.thread_root, 'in_chat', m.in_chat,
            'created_at', m.created_at, 'deleted_at', m.deleted_at,
            'sender', jsonb_build_object('id', s.id, 'name', s.full_name, 'username', s.username,
                'avatar_url', s.avatar_url))
        from messages m join users s on s.id = m.sender_id
        where m.chat_id = chat and m.id = message
    );
end $$;

-- Unread in a thread: like in a chat, after the cursor, by others, written by a person, not deleted.
create function count_thread_unread(chat uuid, root uuid, reader uuid, after_seq bigint) returns bigint
language sql stable as $$
    select count(*) from (
        select from messages m
        where m.chat_id = chat and m.thread_root = root and m.seq > after_seq and m.sender_id <> reader
            and m.kind = 'User' and m.deleted_at is null
        limit 1000
    ) unread
$$;

-- These people, in their order, as they are now.
create function people_of(ids uuid[]) returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', u.id, 'name', u.full_name, 'username', u.username,
        'avatar_url', u.avatar_url) order by p.place), '[]')
    from unnest(ids) with ordinality p (id, place) join users u on u.id = p.id
$$;

-- What a thread is to its reader; no row without a root.
create function thread_seen_by(chat uuid, root uuid, people uuid[], reader uuid) returns table (
    following boolean, last_read_seq bigint, unread_count bigint, participants jsonb
) language sql stable as $$
    select coalesce(f.following, false), case when f.following then f.last_read_seq else 0 end,
        case when f.following then count_thread_unread(chat, root, reader, f.last_read_seq) else 0 end,
        people_of(people)
    from (select) one
    left join thread_followers f on f.chat_id = chat and f.root_id = root and f.user_id = reader
    where root is not null
$$;

-- Up to five people, each once: these first, latest first, then those from before.
create function latest_people(latest uuid[], before uuid[]) returns uuid[] language sql immutable as $$
    select array_agg(p.id order by p.place) from (
        select u.id, min(u.place) as place from unnest(latest || before) with ordinality u (id, place)
        group by u.id order by 2 limit 5
    ) p
$$;

-- The same from the replies themselves, for when one of them is deleted.
create function last_repliers(chat uuid, root uuid) returns uuid[] language plpgsql stable as $$
declare
    people uuid[] := '{}';
    person uuid;
begin
    while cardinality(people) < 5 loop
        select m.sender_id into person from messages m
        where m.chat_id = chat and m.thread_root = root and m.deleted_at is null and m.sender_id <> all (people)
        order by m.seq desc limit 1;
        exit when not found;
        people := people || person;
    end loop;
    return nullif(people, '{}');
end $$;

create function thread_facts(kind text, root uuid, reply_count integer, last_reply_at timestamptz, people uuid[])
returns jsonb language sql stable as $$
    select jsonb_build_object('type', kind, 'message_id', root, 'reply_count', reply_count,
        'last_reply_at', last_reply_at, 'participants', to_jsonb(coalesce(people, '{}')))
$$;

create function thread_reader_facts(kind text, chat uuid, root uuid, reader uuid, read_seq bigint)
returns jsonb language sql stable as $$
    select jsonb_build_object('type', kind, 'message_id', root, 'last_read_seq', read_seq,
        'unread_count', count_thread_unread(chat, root, reader, read_seq))
$$;

-- The root counts its replies, and whoever has to do with them follows the thread. The chat's members hear of the one,
-- each person of the own part of the other. The events name the root among their facts: they carry no message.
create function thread_replies_inserted() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if not exists (select from new_rows where thread_root is not null) then
        return null;
    end if;
    -- The servers see to it themselves; this is for writes from outside.
    if exists (
        select from new_rows n join messages r on r.chat_id = n.chat_id and r.id = n.thread_root
        where r.thread_root is not null or r.kind <> 'User'
    ) then
        raise exception 'a thread stands under what a person wrote, and has one level'
            using errcode = 'check_violation', constraint = 'messages_thread_level';
    end if;
    perform open_event_log();
    with replies as (
        select n.chat_id, n.thread_root, count(*) as many,
            (array_agg(n.created_at order by n.seq desc))[1] as last_at,
            array_agg(n.sender_id order by n.seq desc) as senders
        from new_rows n where n.thread_root is not null
        group by n.chat_id, n.thread_root
    ), counted as (
        update messages r
        set reply_count = r.reply_count + replies.many, last_reply_at = replies.last_at,
            thread_people = latest_people(replies.senders, r.thread_people)
        from replies
        where r.chat_id = replies.chat_id and r.id = replies.thread_root
        returning r.chat_id, r.id, r.reply_count, r.last_reply_at, r.thread_people, replies.senders[1] as sender_id
    )
    insert into events (id, kind, workspace_id, chat_id, actor_id, data)
    select nextval('events_id_seq'), 'thread_update', t.workspace_id, t.chat_id, t.sender_id,
        thread_facts('replied', t.id, t.reply_count, t.last_reply_at, t.thread_people)
    from (
        select counted.*, c.workspace_id from counted join chats c on c.id = counted.chat_id
        order by counted.chat_id, counted.id
    ) t;
    -- Who followed before there was a thread to be shown is told that it is followed.
    insert into events (id, kind, workspace_id, chat_id, user_id, data)
    select nextval('events_id_seq'), 'thread_update', t.workspace_id, t.chat_id, t.user_id,
        thread_reader_facts('followed', t.chat_id, t.root_id, t.user_id, t.read_seq)
    from (
        select c.workspace_id, f.chat_id, f.root_id, f.user_id, greatest(f.last_read_seq, began.own_seq) as read_seq
        from (
            select n.chat_id, n.thread_root, count(*) as many from new_rows n
            where n.thread_root is not null group by n.chat_id, n.thread_root
        ) replies
        join messages r on r.chat_id = replies.chat_id and r.id = replies.thread_root and r.reply_count = replies.many
        join chats c on c.id = r.chat_id
        join thread_followers f on f.chat_id = r.chat_id and f.root_id = r.id and f.following
        cross join lateral (
            select max(n.seq) as own_seq from new_rows n
            where n.chat_id = f.chat_id and n.thread_root = f.root_id and n.sender_id = f.user_id
        ) began
        order by f.chat_id, f.root_id, f.user_id
    ) t;
    -- Who replies follows, and has read up to there. Who wrote the root, or is named in it or in a reply, follows
    -- unless it was their will not to.
    with involved as (
        select i.chat_id, i.thread_root, i.user_id, bool_or(i.replied) as replied,
            coalesce(max(i.seq) filter (where i.replied), min(i.seq) - 1) as read_seq
        from (
            select n.chat_id, n.thread_root, n.seq, n.sender_id as user_id, true as replied from new_rows n
            union all
            select n.chat_id, n.thread_root, n.seq, named.id, false from new_rows n, unnest(n.mentions) named (id)
            union all
            select n.chat_id, n.thread_root, n.seq, named.id, false
            from new_rows n join messages r on r.chat_id = n.chat_id and r.id = n.thread_root,
                unnest(r.sender_id || r.mentions) named (id)
        ) i
        where i.thread_root is not null
        group by i.chat_id, i.thread_root, i.user_id
    ), anew as (
        select i.*, f.following, m.workspace_id
        from involved i
        join chat_members m on m.chat_id = i.chat_id and m.user_id = i.user_id
        left join thread_followers f
            on f.chat_id = i.chat_id and f.root_id = i.thread_root and f.user_id = i.user_id
        where i.replied or f.user_id is null
    ), kept as (
        insert into thread_followers as f (chat_id, root_id, user_id, following, last_read_seq)
        select chat_id, thread_root, user_id, true, read_seq from anew
        on conflict on constraint thread_followers_pkey do update
            set following = true, last_read_seq = greatest(f.last_read_seq, excluded.last_read_seq)
    )
    insert into events (id, kind, workspace_id, chat_id, user_id, data)
    select nextval('events_id_seq'), 'thread_update', t.workspace_id, t.chat_id, t.user_id,
        thread_reader_facts('followed', t.chat_id, t.thread_root, t.user_id, t.read_seq)
    from (select * from anew where following is not true order by chat_id, thread_root, user_id) t;
    return null;
end $$;

-- A deleted reply is counted no more; whom an edited one names in addition follows.
create function thread_replies_changed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if not exists (select from new_rows where thread_root is not null) then
        return null;
    end if;
    perform open_event_log();
    with gone as (
        select n.chat_id, n.thread_root, count(*) as many
        from new_rows n join old_rows o on o.chat_id = n.chat_id and o.id = n.id
        where n.thread_root is not null and n.deleted_at is not null and o.deleted_at is null
        group by n.chat_id, n.thread_root
    ), counted as (
        update messages r
        set reply_count = r.reply_count - gone.many, thread_people = last_repliers(r.chat_id, r.id),
            last_reply_at = (
                select m.created_at from messages m
                where m.chat_id = r.chat_id and m.thread_root = r.id and m.deleted_at is null
                order by m.seq desc limit 1
            )
        from gone
        where r.chat_id = gone.chat_id and r.id = gone.thread_root
        returning r.chat_id, r.id, r.reply_count, r.last_reply_at, r.thread_people
    )
    insert into events (id, kind, workspace_id, chat_id, actor_id, data)
    select nextval('events_id_seq'), 'thread_update', t.workspace_id, t.chat_id, current_actor(),
        thread_facts('reply_deleted', t.id, t.reply_count, t.last_reply_at, t.thread_people)
    from (
        select counted.*, c.workspace_id from counted join chats c on c.id = counted.chat_id
        order by counted.chat_id, counted.id
    ) t;
    with named as (
        select n.chat_id, n.thread_root, person.id as user_id, min(n.seq) - 1 as read_seq
        from new_rows n join old_rows o on o.chat_id = n.chat_id and o.id = n.id, unnest(n.mentions) person (id)
        where n.thread_root is not null and person.id <> all (coalesce(o.mentions, '{}'))
        group by n.chat_id, n.thread_root, person.id
    ), anew as (
        select named.*, m.workspace_id
        from named join chat_members m on m.chat_id = named.chat_id and m.user_id = named.user_id
        where not exists (
            select from thread_followers f
            where f.chat_id = named.chat_id and f.root_id = named.thread_root and f.user_id = named.user_id
        )
    ), kept as (
        insert into thread_followers (chat_id, root_id, user_id, following, last_read_seq)
        select chat_id, thread_root, user_id, true, read_seq from anew
    )
    insert into events (id, kind, workspace_id, chat_id, user_id, data)
    select nextval('events_id_seq'), 'thread_update', t.workspace_id, t.chat_id, t.user_id,
        thread_reader_facts('followed', t.chat_id, t.thread_root, t.user_id, t.read_seq)
    from (select * from anew order by chat_id, thread_root, user_id) t;
    return null;
end $$;

do $$
declare
    target text;
begin
    foreach target in array array['messages', 'messages_0', 'messages_1', 'messages_2', 'messages_3',
        'messages_4', 'messages_5', 'messages_6', 'messages_7']
    loop
        execute format('create trigger thread_replies_inserted after insert on %I
            referencing new table as new_rows
            for each statement execute function thread_replies_inserted()', target);
        execute format('create trigger thread_replies_changed after update on %I
            referencing old table as old_rows new table as new_rows
            for each statement execute function thread_replies_changed()', target);
    end loop;
end $$;

-- To the person alone: how somebody keeps a thread is nobody else's to know.
create function thread_follower_changed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
declare
    facts jsonb;
begin
    if not new.following then
        facts := jsonb_build_object('type', 'unfollowed', 'message_id', new.root_id, 'last_read_seq', 0,
            'unread_count', 0);
    else
        facts := thread_reader_facts(
            case when tg_op = 'INSERT' or not old.following then 'followed' else 'read' end,
            new.chat_id, new.root_id, new.user_id, new.last_read_seq);
    end if;
    perform append_event('thread_update', c.workspace_id, new.chat_id, new.user_id, facts)
    from chats c where c.id = new.chat_id;
    return null;
end $$;
-- Not for what a reply brings about, which stands one trigger deeper and tells it there.
create trigger thread_follower_added after insert on thread_followers
    for each row when (new.following and pg_trigger_depth() = 0)
    execute function thread_follower_changed();
create trigger thread_follower_changed after update on thread_followers
    for each row when ((new.following <> old.following or new.following and new.last_read_seq <> old.last_read_seq)
        and pg_trigger_depth() = 0)
    execute function thread_follower_changed();
create trigger ordered before insert or update on thread_followers
    for each statement execute function order_writers();

-- Whether a chat is out of somebody's list: until something is shown in it, which a reply in a thread alone is not.
create function is_hidden(chat uuid, hidden_seq bigint) returns boolean language sql stable as $$
    select hidden_seq is not null and not exists (
        select from messages m where m.chat_id = chat and m.seq > hidden_seq and m.in_chat
    )
$$;

create or replace function chat_member_settings_changed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    perform append_event('chat_update', new.workspace_id, new.chat_id, new.user_id,
        jsonb_build_object('type', 'settings_changed', 'notify_level', new.notify_level,
            'hidden', is_hidden(new.chat_id, new.hidden_seq)));
    return null;
end $$;
