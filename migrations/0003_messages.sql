-- Messages, in partitions by chat: every key holds chat_id, and so does every route.

create type message_kind as enum ('User', 'System');

create table messages (
    id uuid not null,
    chat_id uuid not null,
    -- Counts up by one in its chat; the order of seq is the order of commits.
    seq bigint not null,
    sender_id uuid not null,
    -- The sender's idempotency key.
    client_id text,
    kind message_kind not null default 'User',
    -- What a person wrote; null once deleted.
    content text,
    -- What the server noted, by its type and facts.
    system jsonb,
    reply_to uuid,
    edited_at timestamptz,
    version integer not null default 1,
    deleted_at timestamptz,
    deleted_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint messages_pkey primary key (chat_id, id),
    constraint messages_chat_id_seq_key unique (chat_id, seq),
    constraint messages_content_check check ((content is null) = (kind = 'System' or deleted_at is not null)),
    constraint messages_system_check check ((system is not null) = (kind = 'System')),
    constraint messages_deleted_check check (kind = 'User' or deleted_at is null),
    constraint messages_chat_id_fkey foreign key (chat_id) references chats (id) on delete cascade,
    constraint messages_sender_id_fkey foreign key (sender_id) references users (id),
    constraint messages_deleted_by_fkey foreign key (deleted_by) references users (id),
    constraint messages_reply_to_fkey foreign key (chat_id, reply_to) references messages (chat_id, id)
) partition by hash (chat_id);

do $$
begin
    for part in 0..7 loop
        execute format(
            'create table messages_%s partition of messages for values with (modulus 8, remainder %s)',
            part, part);
    end loop;
end $$;

create unique index messages_client_id_key on messages (chat_id, sender_id, client_id)
    where client_id is not null;

-- What an edited message said before: written by a trigger at each edit, and gone when the message is deleted.
create table message_edits (
    chat_id uuid not null,
    message_id uuid not null,
    -- The version that said so.
    version integer not null,
    content text not null,
    -- When it was written.
    written_at timestamptz not null,
    constraint message_edits_pkey primary key (chat_id, message_id, version),
    constraint message_edits_message_fkey
        foreign key (chat_id, message_id) references messages (chat_id, id) on delete cascade
);
