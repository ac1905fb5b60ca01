-- Whom messages mention: rows beside them, for counts and lists that must not read messages.

create table mentions (
    chat_id uuid not null,
    message_id uuid not null,
    -- Who is mentioned; null for everybody in the chat. Nobody by themselves.
    user_id uuid,
    -- The message's own.
    seq bigint not null,
    sender_id uuid not null,
    in_chat boolean not null,
    -- False once an edit took the mention out; the row stays, so that nobody is told twice.
    present boolean not null default true,
    constraint mentions_key unique (chat_id, message_id, user_id),
    constraint mentions_message_fkey
        foreign key (chat_id, message_id) references messages (chat_id, id) on delete cascade,
    constraint mentions_user_id_fkey foreign key (user_id) references users (id)
);
-- Unread ones, of a person and of everybody, counted in the index alone.
create index mentions_unread_idx on mentions (user_id, chat_id, seq) include (sender_id) where present and in_chat;
-- A person's list; and everybody's, chat by chat.
create index mentions_user_id_idx on mentions (user_id, message_id);
create index mentions_all_idx on mentions (chat_id, message_id) where user_id is null;

-- Of a chat's members those whom these handles mean, in the order of the text. Punctuation at a handle's end is a part
-- of it if there is a member of that name, with all of it or with all but its last character; else it ends a sentence.
-- In PL/pgSQL, which keeps its plans from call to call.
create function mentioned_members(chat uuid, handles text) returns uuid[] language plpgsql stable as $$
begin
    return (
        select array_agg(found.id order by found.place)
        from (
            select member.id, min(written.place) as place
            from unnest(string_to_array(handles, ' ')) with ordinality written (handle, place)
            cross join lateral (
                select u.id
                from unnest(array[written.handle] || case when right(written.handle, 1) in ('.', '-', '_')
                        then array[left(written.handle, -1), rtrim(written.handle, '.-_')] end)
                    with ordinality meant (handle, turn)
                -- The limits have each looked up by its index, however few rows there seem to be.
                cross join lateral (select id from users where username = meant.handle limit 1) u
                cross join lateral (
                    select from chat_members where chat_id = chat and user_id = u.id limit 1
                ) cm
                order by meant.turn limit 1
            ) member
            group by member.id
        ) found
    );
end $$;

-- Unread mentions, by the rules of count_unread. Everybody means those who were there: seqs after `joined`.
create function count_mentions(chat uuid, reader uuid, after_seq bigint, joined bigint) returns bigint
language plpgsql stable as $$
begin
    return (
        select count(*) from (
            (
                select m.seq from mentions m
                where m.user_id = reader and m.chat_id = chat and m.seq > after_seq and m.present and m.in_chat
                limit 1000
            ) union (
                select m.seq from mentions m
                where m.user_id is null and m.chat_id = chat and m.seq > greatest(after_seq, joined)
                    and m.sender_id <> reader and m.present and m.in_chat
                limit 1000
            )
            limit 1000
        ) unread
    );
end $$;

create or replace function chat_member_read() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    perform append_event('read', new.workspace_id, new.chat_id, new.user_id,
        jsonb_build_object('last_read_seq', new.last_read_seq,
            'unread_count', count_unread(new.chat_id, new.user_id, new.last_read_seq),
            'mention_count', count_mentions(new.chat_id, new.user_id, new.last_read_seq, new.joined_seq)));
    return null;
end $$;

-- For what was sent the event of the message is enough: everybody who is mentioned receives it.
create function mentions_sent() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if not exists (select from new_rows where mentions is not null or mentions_all) then
        return null;
    end if;
    insert into mentions (chat_id, message_id, user_id, seq, sender_id, in_chat)
    select n.chat_id, n.id, person.id, n.seq, n.sender_id, n.in_chat
    from new_rows n, unnest(n.mentions) person (id)
    where person.id <> n.sender_id
    union all
    select n.chat_id, n.id, null, n.seq, n.sender_id, n.in_chat from new_rows n where n.mentions_all;
    return null;
end $$;

-- An edit tells whom it mentions for the first time, by an event of their own, unless they hear of it with everybody
-- or did before; a deletion leaves nothing.
create function mentions_changed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if not exists (
        select from new_rows n join old_rows o on o.chat_id = n.chat_id and o.id = n.id
        where (n.mentions, n.mentions_all, n.deleted_at) is distinct from (o.mentions, o.mentions_all, o.deleted_at)
    ) then
        return null;
    end if;
    delete from mentions k using new_rows n
    where n.deleted_at is not null and k.chat_id = n.chat_id and k.message_id = n.id;
    update mentions k set present = not k.present
    from new_rows n
    where n.deleted_at is null and k.chat_id = n.chat_id and k.message_id = n.id
        and k.present <> case when k.user_id is null then n.mentions_all
            else coalesce(k.user_id = any (n.mentions), false) end;
    perform open_event_log();
    with named as (
        select n.chat_id, n.id as message_id, person.id as user_id, n.seq, n.sender_id, n.in_chat
        from new_rows n, unnest(n.mentions) person (id)
        where n.deleted_at is null and person.id <> n.sender_id
        union all
        select n.chat_id, n.id, null, n.seq, n.sender_id, n.in_chat
        from new_rows n
        where n.deleted_at is null and n.mentions_all
    ), added as (
        insert into mentions (chat_id, message_id, user_id, seq, sender_id, in_chat)
        select * from named
        where not exists (
            select from mentions k
            where k.chat_id = named.chat_id and k.message_id = named.message_id
                and k.user_id is not distinct from named.user_id
        )
        returning chat_id, message_id, user_id, seq, sender_id
    )
    insert into events (id, kind, workspace_id, chat_id, user_id, actor_id, data)
    select nextval('events_id_seq'), 'mention', a.workspace_id, a.chat_id, a.user_id,
        coalesce(current_actor(), a.sender_id), jsonb_build_object('message_id', a.message_id, 'seq', a.seq)
    from (
        select added.*, c.workspace_id from added join chats c on c.id = added.chat_id
        where added.user_id is null or not (
            exists (
                select from added everybody
                where everybody.chat_id = added.chat_id and everybody.message_id = added.message_id
                    and everybody.user_id is null
            ) or exists (
                select from mentions k join chat_members cm on cm.chat_id = k.chat_id and cm.user_id = added.user_id
                where k.chat_id = added.chat_id and k.message_id = added.message_id and k.user_id is null
                    and cm.joined_seq < added.seq
            )
        )
        order by added.chat_id, added.seq, added.user_id
    ) a;
    return null;
end $$;

-- By their names they come after the triggers that tell of the message itself (PostgreSQL manual, CREATE TRIGGER).
do $$
declare
    target text;
begin
    foreach target in array array['messages', 'messages_0', 'messages_1', 'messages_2', 'messages_3',
        'messages_4', 'messages_5', 'messages_6', 'messages_7']
    loop
        execute format('create trigger people_mentioned after insert on %I
            referencing new table as new_rows
            for each statement execute function mentions_sent()', target);
        execute format('create trigger people_mentioned_by_edit after update on %I
            referencing old table as old_rows new table as new_rows
            for each statement execute function mentions_changed()', target);
    end loop;
end $$;

-- Sends a batch of messages like the function of the same name before it, with what stands beside their text. Of each
-- message `handles` and `file_ids` hold a list with blanks between, null for an empty one. No file may be claimed twice
-- in a batch.
create function send_messages(
    ids uuid[], chat_ids uuid[], sender_ids uuid[], client_ids text[], contents text[], replies_to uuid[],
    thread_roots uuid[], in_chats boolean[], handles text[], everybody boolean[], file_ids text[]
) returns table (
    place bigint, seq bigint, created_at timestamptz, full_name text, username text, avatar_url text,
    mentions uuid[], files jsonb
) language plpgsql as $$
begin
    perform take_event_lock();
    return query
    with fit as (
        select d.*, row_number() over (partition by d.chat_id order by d.place) as nth
        from unnest(ids, chat_ids, sender_ids, client_ids, contents, replies_to, thread_roots, in_chats, handles,
                everybody, file_ids)
            with ordinality d (id, chat_id, sender_id, client_id, content, reply_to, thread_root, in_chat, handles,
                everybody, file_ids, place)
        where exists (
                select from chat_members cm join chats c on c.id = cm.chat_id
                where cm.chat_id = d.chat_id and cm.user_id = d.sender_id
                    and c.deleted_at is null and c.archived_at is null
            )
            and (d.client_id is null or not exists (
                select from messages m
                where m.chat_id = d.chat_id and m.sender_id = d.sender_id and m.client_id = d.client_id
            ))
            and (d.reply_to is null or exists (
                select from messages m where m.chat_id = d.chat_id and m.id = d.reply_to
            ))
            and (d.thread_root is null or exists (
                select from messages m
                where m.chat_id = d.chat_id and m.id = d.thread_root and m.thread_root is null
                    and m.kind = 'User' and m.deleted_at is null
            ))
            and (not d.everybody or may_mention_all(d.chat_id, d.sender_id))
            and (d.file_ids is null or (
                select count(*) from files f join chats c on c.id = d.chat_id and c.workspace_id = f.workspace_id
                where f.id = any (string_to_array(d.file_ids, ' ')::uuid[])
                    and f.uploader_id = d.sender_id and f.message_id is null
            ) = cardinality(string_to_array(d.file_ids, ' ')))
    ), raised as (
        update chats c set last_seq = c.last_seq + more.messages
        from (select fit.chat_id, count(*) as messages from fit group by fit.chat_id) more
        where c.id = more.chat_id
        returning c.id, c.last_seq - more.messages as before
    ), written as (
        insert into messages (id, chat_id, seq, sender_id, client_id, content, reply_to, thread_root, in_chat,
            mentions, mentions_all, files, created_at, updated_at)
        select fit.id, fit.chat_id, raised.before + fit.nth, fit.sender_id, fit.client_id, fit.content, fit.reply_to,
            fit.thread_root, fit.in_chat,
            case when fit.handles is not null then mentioned_members(fit.chat_id, fit.handles) end,
            fit.everybody,
            case when fit.file_ids is not null then (
                select jsonb_agg(f.facts order by array_position(string_to_array(fit.file_ids, ' ')::uuid[], f.id))
                from files f where f.id = any (string_to_array(fit.file_ids, ' ')::uuid[])
            ) end,
            clock_timestamp(), clock_timestamp()
        from fit join raised on raised.id = fit.chat_id
        order by fit.chat_id, fit.nth
        returning messages.id, messages.seq, messages.created_at, messages.mentions, messages.files
    ), claimed as (
        update files f set chat_id = fit.chat_id, message_id = fit.id
        from fit, unnest(string_to_array(fit.file_ids, ' ')::uuid[]) held (id)
        where fit.file_ids is not null and f.id = held.id
    )
    select fit.place, written.seq, written.created_at, u.full_name, u.username, u.avatar_url,
        written.mentions, written.files
    from written join fit on fit.id = written.id join users u on u.id = fit.sender_id;
end $$;
