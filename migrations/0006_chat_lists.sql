-- What makes lists of chats cheap, and lets servers keep them.

-- With what unread counts ask for in the index itself, counting reads the index alone.
alter table messages drop constraint messages_chat_id_seq_key;
alter table messages add constraint messages_chat_id_seq_key
    unique (chat_id, seq) include (sender_id, kind, deleted_at);

-- Internal: whatever was shown with this person's name in it is out of date.
create function user_changed() returns trigger language plpgsql as $$
begin
    perform append_event('user_changed', null, null, new.id, null);
    return null;
end $$;
create trigger user_changed after update of full_name, username, avatar_url on users
    for each row when ((new.full_name, new.username, new.avatar_url)
        is distinct from (old.full_name, old.username, old.avatar_url))
    execute function user_changed();
