-- What stands beside a message's text: its thread, whom it mentions, its files, reactions and pin. The facts are on the
-- message's own row, so that a page of history reads them with it; only what depends on the reader is asked for apart,
-- and only for messages that have some.

alter table messages
    -- The message under which this one stands: a thread has one level.
    add column thread_root uuid,
    -- False for a reply that is shown in its thread alone.
    add column in_chat boolean not null default true,
    -- Whom it mentions, frozen when it was written; null for nobody.
    add column mentions uuid[],
    add column mentions_all boolean not null default false,
    -- What is told of its files, in their order; null for none.
    add column files jsonb,
    -- How many people reacted, in the order of first use: [{"emoji", "count"}]; null for nobody.
    add column reactions jsonb,
    -- Of a thread's root.
    add column reply_count integer not null default 0,
    add column last_reply_at timestamptz,
    add column pinned_at timestamptz,
    add column pinned_by uuid,
    add constraint messages_thread_root_fkey foreign key (chat_id, thread_root) references messages (chat_id, id),
    add constraint messages_pinned_by_fkey foreign key (pinned_by) references users (id),
    add constraint messages_in_chat_check check (in_chat or thread_root is not null),
    add constraint messages_thread_root_check check (thread_root <> id),
    add constraint messages_pin_check check ((pinned_at is null) = (pinned_by is null));

-- A thread's replies; and what a purge asks for when it takes a message away.
create index messages_thread_root_idx on messages (chat_id, thread_root, seq) where thread_root is not null;

-- What unread counts ask for stays in the index itself.
alter table messages drop constraint messages_chat_id_seq_key;
alter table messages add constraint messages_chat_id_seq_key
    unique (chat_id, seq) include (sender_id, kind, deleted_at, in_chat);

create or replace function count_unread(chat uuid, reader uuid, after_seq bigint) returns bigint language sql stable as $$
    select count(*) from (
        select from messages m
        where m.chat_id = chat and m.seq > after_seq and m.sender_id <> reader
            and m.kind = 'User' and m.deleted_at is null and m.in_chat
        limit 1000
    ) unread
$$;

-- A deleted message keeps nothing of what it said.
create function message_erased() returns trigger language plpgsql as $$
begin
    new.mentions := null;
    new.mentions_all := false;
    new.files := null;
    new.reactions := null;
    new.pinned_at := null;
    new.pinned_by := null;
    return new;
end $$;
create trigger message_erased before update on messages
    for each row when (old.deleted_at is null and new.deleted_at is not null)
    execute function message_erased();

-- Only what is shown in the chat moves its sender's read cursor there.
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
        from new_rows n join chats c on c.id = n.chat_id
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

-- Files: a row for each that was uploaded. It belongs to its uploader until a message claims it, once.
create table files (
    id uuid not null,
    workspace_id uuid not null,
    uploader_id uuid not null,
    -- The message that holds it.
    chat_id uuid,
    message_id uuid,
    -- What messages tell of it: id, name, content_type, size, width, height, thumbnail.
    facts jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint files_pkey primary key (id),
    constraint files_workspace_id_fkey foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint files_uploader_id_fkey foreign key (uploader_id) references users (id),
    constraint files_message_fkey foreign key (chat_id, message_id) references messages (chat_id, id)
        on delete set null,
    constraint files_message_check check ((chat_id is null) = (message_id is null))
);
create index files_message_idx on files (chat_id, message_id) where message_id is not null;
create index files_unclaimed_idx on files (created_at) where message_id is null;

-- Whether this person may mention everybody: in a small chat who is in it, in a larger one its admins; owners and
-- admins of the workspace count as such in public channels.
create function may_mention_all(chat uuid, person uuid) returns boolean language sql stable as $$
    select exists (
            select from chat_members where chat_id = chat and user_id = person and role in ('Owner', 'Admin')
        ) or exists (
            select from chats c join workspace_members w on w.workspace_id = c.workspace_id
            where c.id = chat and c.chat_type = 'PublicChannel' and w.user_id = person and w.role in ('Owner', 'Admin')
        ) or (
            select count(*) from (select from chat_members where chat_id = chat limit 16) people
        ) <= 15
$$;
