-- What a message that answers another shows of it, of the moment of which everything else is that the calling statement
-- reads: who reads the log knows then that nothing in it is newer than the log's end.
create function quote_in_snapshot(chat uuid, message uuid) returns jsonb language plpgsql stable as $$
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

-- The same, as it is now. Volatile, so that a statement that has just waited for the ordering lock sees what was
-- committed until then: a volatile function takes a new snapshot, which those that it calls share (PostgreSQL manual,
-- section 36.7).
create or replace function quote_of(chat uuid, message uuid) returns jsonb language plpgsql as $$
begin
    return quote_in_snapshot(chat, message);
end $$;
