-- Fewer steps for each message that is sent; what is written, and what is found, stays the same.

-- What few messages have (a client's own id, what they answer, files) is looked up by statements of their own, which
-- batches without it do not even set up: within the one that writes, each of them would be, for all partitions. The
-- `offset 0` has each looked up by its index.
create or replace function send_messages(
    ids uuid[], chat_ids uuid[], sender_ids uuid[], client_ids text[], contents text[], replies_to uuid[],
    thread_roots uuid[], in_chats boolean[], handles text[], everybody boolean[], file_ids text[]
) returns table (
    place bigint, seq bigint, created_at timestamptz, full_name text, username text, avatar_url text,
    mentions uuid[], files jsonb
) language plpgsql as $$
declare
    -- The places of messages that something stands against.
    unfit bigint[] := '{}';
    -- By place, what is told of a message's files.
    facts jsonb[];
begin
    perform take_event_lock();
    if num_nonnulls(variadic client_ids) > 0 then
        unfit := unfit || array(
            select d.place
            from unnest(chat_ids, sender_ids, client_ids) with ordinality d (chat_id, sender_id, client_id, place)
            where d.client_id is not null and exists (
                select from messages m
                where m.chat_id = d.chat_id and m.sender_id = d.sender_id and m.client_id = d.client_id
                offset 0
            ));
    end if;
    if num_nonnulls(variadic replies_to) > 0 then
        unfit := unfit || array(
            select d.place from unnest(chat_ids, replies_to) with ordinality d (chat_id, reply_to, place)
            where d.reply_to is not null and not exists (
                select from messages m where m.chat_id = d.chat_id and m.id = d.reply_to
                offset 0
            ));
    end if;
    if num_nonnulls(variadic thread_roots) > 0 then
        unfit := unfit || array(
            select d.place from unnest(chat_ids, thread_roots) with ordinality d (chat_id, thread_root, place)
            where d.thread_root is not null and not exists (
                select from messages m
                where m.chat_id = d.chat_id and m.id = d.thread_root and m.thread_root is null
                    and m.kind = 'User' and m.deleted_at is null
                offset 0
            ));
    end if;
    if (false = all (everybody)) is not true then
        unfit := unfit || array(
            select d.place
            from unnest(chat_ids, sender_ids, everybody) with ordinality d (chat_id, sender_id, everybody, place)
            where d.everybody is not false and may_mention_all(d.chat_id, d.sender_id) is not true);
    end if;
    if num_nonnulls(variadic file_ids) > 0 then
        select array_agg(held.facts order by d.place),
            unfit || coalesce(
                array_agg(d.place) filter (where d.ids is not null and held.free <> cardinality(d.ids)), '{}')
        into facts, unfit
        from (
            select chat_ids[f.place] as chat_id, sender_ids[f.place] as sender_id, f.place,
                string_to_array(f.ids, ' ')::uuid[] as ids
            from unnest(file_ids) with ordinality f (ids, place)
        ) d, lateral (
            select jsonb_agg(f.facts order by array_position(d.ids, f.id)) as facts,
                count(*) filter (where f.uploader_id = d.sender_id and f.message_id is null
                    and f.workspace_id = (select c.workspace_id from chats c where c.id = d.chat_id)) as free
            from files f where f.id = any (d.ids)
        ) held;
    end if;
    -- Only places are sorted and joined; what stands at them is taken from the arrays where it is written.
    return query
    with raised as (
        update chats c set last_seq = c.last_seq + cardinality(more.places)
        from (
            select fit.chat_id, array_agg(fit.place) as places
            from (
                select d.chat_id, d.place
                from unnest(chat_ids, sender_ids) with ordinality d (chat_id, sender_id, place)
                where d.place <> all (unfit) and exists (
                        select from chat_members cm where cm.chat_id = d.chat_id and cm.user_id = d.sender_id
                    )
            ) fit
            group by fit.chat_id
        ) more
        where c.id = more.chat_id and c.deleted_at is null and c.archived_at is null
        returning c.id, c.last_seq, more.places
    ), written as (
        insert into messages (id, chat_id, seq, sender_id, client_id, content, reply_to, thread_root, in_chat,
            mentions, mentions_all, files, created_at, updated_at)
        select ids[fit.place], fit.chat_id, fit.seq, sender_ids[fit.place], client_ids[fit.place], contents[fit.place],
            replies_to[fit.place], thread_roots[fit.place], in_chats[fit.place],
            case when handles[fit.place] is not null then mentioned_members(fit.chat_id, handles[fit.place]) end,
            everybody[fit.place], facts[fit.place], clock_timestamp(), clock_timestamp()
        from (
            select m.chat_id, m.place,
                m.before + row_number() over (partition by m.chat_id order by m.place) as seq
            from (
                select r.id as chat_id, r.last_seq - cardinality(r.places) as before, unnest(r.places) as place
                from raised r
            ) m
        ) fit
        order by fit.chat_id, fit.place
        returning messages.id, messages.seq, messages.sender_id, messages.created_at, messages.mentions, messages.files
    )
    select d.place, written.seq, written.created_at, u.full_name, u.username, u.avatar_url,
        written.mentions, written.files
    from written join unnest(ids) with ordinality d (id, place) on d.id = written.id
        join users u on u.id = written.sender_id;
    -- They refer to the messages, which must be there first.
    if num_nonnulls(variadic file_ids) > 0 then
        update files f set chat_id = m.chat_id, message_id = m.id
        from unnest(ids, chat_ids, file_ids) with ordinality d (id, chat_id, file_ids, place)
            join messages m on m.chat_id = d.chat_id and m.id = d.id,
            unnest(string_to_array(d.file_ids, ' ')::uuid[]) held (id)
        where d.file_ids is not null and d.place <> all (unfit) and f.id = held.id;
    end if;
end $$;

-- Each chat is looked up, also for writes by hand: there the plan is made once, by the size of the first batch, and would
-- read all chats for each that follows.
create or replace function messages_inserted() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if not exists (select from new_rows) then
        return null;
    end if;
    perform open_event_log();
    insert into events (id, kind, workspace_id, chat_id, message_id, actor_id)
    select nextval('events_id_seq'), 'message', m.workspace_id, m.chat_id, m.id, m.sender_id
    from (
        select c.workspace_id, n.chat_id, n.id, n.sender_id
        from new_rows n cross join lateral (select workspace_id from chats where id = n.chat_id limit 1) c
        order by n.chat_id, n.seq
    ) m;
    update chat_members cm
    set last_read_seq = s.seq
    from (
        select chat_id, sender_id, max(seq) as seq from new_rows
        where kind = 'User' and in_chat group by chat_id, sender_id
    ) s
    where cm.chat_id = s.chat_id and cm.user_id = s.sender_id and cm.last_read_seq < s.seq;
    return null;
end $$;

-- The lexemes of what is folded and not only ASCII. Apart, because the long constants are assigned at each call.
create function message_terms_beyond_ascii(folded text) returns tsvector
language plpgsql immutable strict parallel safe as $$
declare
    -- Scripts without blanks between words, and symbols.
    unspaced constant text := '\u0E00-\u0FFF\u1000-\u109F\u1100-\u11FF\u1780-\u17FF\u1950-\u19DF\u1A20-\u1AAF'
        || '\u2190-\u2BFF\u2E80-\u2FFF\u3005-\u3007\u3021-\u303C\u3041-\u30FA\u30FC-\u9FFF\uA000-\uA4CF\uA960-\uA97F'
        || '\uA9E0-\uA9FF\uAA60-\uAADF\uAC00-\uD7FF\uF900-\uFAFF\U0001B000-\U0001B16F\U0001F000-\U0001FAFF'
        || '\U00020000-\U0003FFFF';
    -- What stands between words.
    between_words constant text := '\u0001-\u002F\u003A-\u0060\u007B-\u00A9\u00AB-\u00B4\u00B6-\u00B9\u00BB-\u00BF'
        || '\u00D7\u00F7\u02C2-\u02C5\u02D2-\u02DF\u02E5-\u02EB\u02ED\u02EF-\u02FF\u037E\u0387\u0589\u058A\u05BE\u05C0'
        || '\u05C3\u05C6\u05F3\u05F4\u0600-\u060F\u061B-\u061F\u066A-\u066D\u06D4\u0964\u0965\u0970\u1360-\u1368\u1680'
        || '\u2000-\u206F\u20A0-\u20CF\u3000-\u3004\u3008-\u3020\u303D-\u3040\u30FB\uFD3E\uFD3F\uFE10-\uFE1F'
        || '\uFE30-\uFE6F\uFF5F-\uFF65\uFFE0-\uFFFF';
    lexemes text[];
    letters text[];
begin
    lexemes := string_to_array(regexp_replace(folded, '[' || between_words || unspaced || ']+', ' ', 'g'), ' ');
    letters := string_to_array(regexp_replace(folded, '[^' || unspaced || ']+', ' ', 'g'), null);
    if cardinality(letters) > 1 or letters[1] <> ' ' then
        lexemes := lexemes || array(
            select case when next = ' ' then letter else letter || next end
            from unnest(letters, letters[2:] || ' '::text) pair (letter, next)
            where letter <> ' '
        );
    end if;
    lexemes := array_remove(lexemes, '');
    if length(folded) > 64 then
        lexemes := array(select left(lexeme, 64) from unnest(lexemes) lexeme);
    end if;
    return array_to_tsvector(lexemes);
end $$;

-- The lexemes of a message are the same as before. One look tells that it has nothing but ASCII words with the most
-- common marks between them; that needs no folding, and no regular expression that takes marks out.
create or replace function message_terms(content text) returns tsvector
language plpgsql immutable strict parallel safe as $$
declare
    -- Whether there is anything but ASCII letters and digits with the most common marks between them.
    uncommon constant boolean := content ~ '[^0-9A-Za-z .,?!:''"/()\n-]';
    lexemes text[];
begin
    -- With their schemas: a restore and an index build look for functions nowhere else.
    if uncommon then
        content := public.search_folded(content);
        if octet_length(content) <> length(content) then
            return public.message_terms_beyond_ascii(content);
        end if;
    else
        content := lower(content collate "C");
    end if;
    content := replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(content,
        '.', ' '), ',', ' '), '?', ' '), '!', ' '), ':', ' '), '''', ' '), '"', ' '), '-', ' '), '/', ' '),
        '(', ' '), ')', ' '), chr(10), ' ');
    if uncommon and content ~ '[^0-9a-z ]' then
        content := regexp_replace(content, '[^0-9a-z]+', ' ', 'g');
    end if;
    lexemes := array_remove(string_to_array(content, ' '), '');
    -- No word is longer than what the others, and a blank after each, leave of the text: mostly that says enough.
    if octet_length(content) - 2 * (cardinality(lexemes) - 1) > 64 and content ~ '[^ ]{65}' then
        lexemes := array(select left(lexeme, 64) from unnest(lexemes) lexeme);
    end if;
    return array_to_tsvector(lexemes);
end $$;
