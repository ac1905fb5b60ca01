-- Sends a batch of messages in one transaction and one round trip: the lock first, then one statement, which sees
-- everything that was committed before the lock (a volatile function's statements each take a snapshot of their own:
-- PostgreSQL manual, section 38.7). Answers a row for each message that was written, by its place in the arrays; one
-- that its sender may not send, or whose client_id was used before, has none. No client_id may be twice in a batch.
create function send_messages(
    ids uuid[], chat_ids uuid[], sender_ids uuid[], client_ids text[], contents text[], replies_to uuid[]
) returns table (
    place bigint, seq bigint, created_at timestamptz, full_name text, username text, avatar_url text
) language plpgsql as $$
begin
    perform take_event_lock();
    return query
    with fit as (
        select d.*, row_number() over (partition by d.chat_id order by d.place) as nth
        from unnest(ids, chat_ids, sender_ids, client_ids, contents, replies_to)
            with ordinality d (id, chat_id, sender_id, client_id, content, reply_to, place)
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
    ), raised as (
        update chats c set last_seq = c.last_seq + more.messages
        from (select fit.chat_id, count(*) as messages from fit group by fit.chat_id) more
        where c.id = more.chat_id
        returning c.id, c.last_seq - more.messages as before
    ), written as (
        insert into messages (id, chat_id, seq, sender_id, client_id, content, reply_to, created_at, updated_at)
        select fit.id, fit.chat_id, raised.before + fit.nth, fit.sender_id, fit.client_id, fit.content, fit.reply_to,
            clock_timestamp(), clock_timestamp()
        from fit join raised on raised.id = fit.chat_id
        order by fit.chat_id, fit.nth
        returning messages.id, messages.seq, messages.created_at
    )
    select fit.place, written.seq, written.created_at, u.full_name, u.username, u.avatar_url
    from written join fit on fit.id = written.id join users u on u.id = fit.sender_id;
end $$;
