-- What lets requests be repeated, and deleted chats be purged.

-- What a creating request with an Idempotency-Key made.
create table idempotency_keys (
    user_id uuid not null,
    -- The operation, by the path of its route.
    operation text not null,
    key text not null,
    -- SHA-256 of the request: the same key with another one is refused.
    request_hash bytea not null,
    result_id uuid not null,
    created_at timestamptz not null,
    constraint idempotency_keys_pkey primary key (user_id, operation, key),
    constraint idempotency_keys_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);
create index idempotency_keys_created_at_idx on idempotency_keys (created_at);

-- Deleting a message looks for replies to it.
create index messages_reply_to_idx on messages (chat_id, reply_to) where reply_to is not null;
create index chats_deleted_at_idx on chats (deleted_at) where deleted_at is not null;
