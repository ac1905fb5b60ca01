-- Workspaces, their people, and the chats in them.

-- In rising order, so that `role >= 'Admin'` reads as it should.
create type member_role as enum ('Member', 'Admin', 'Owner');
create type chat_type as enum ('Single', 'Group', 'PrivateChannel', 'PublicChannel');
create type notify_level as enum ('All', 'Mentions', 'None');

create table workspaces (
    id uuid not null,
    name text not null,
    description text,
    -- Set together with the deleted_at of each of its chats.
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint workspaces_pkey primary key (id)
);

create table workspace_members (
    workspace_id uuid not null,
    user_id uuid not null,
    role member_role not null default 'Member',
    joined_at timestamptz not null default now(),
    constraint workspace_members_pkey primary key (workspace_id, user_id),
    constraint workspace_members_workspace_id_fkey
        foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint workspace_members_user_id_fkey foreign key (user_id) references users (id)
);
create index workspace_members_user_id_idx on workspace_members (user_id);

create table workspace_invites (
    id uuid not null,
    workspace_id uuid not null,
    -- SHA-256 of the invite token, which is shown once.
    token_hash bytea not null,
    role member_role not null default 'Member',
    -- Set: only the account with this address may accept.
    email text,
    max_uses integer not null,
    uses integer not null default 0,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint workspace_invites_pkey primary key (id),
    constraint workspace_invites_token_hash_key unique (token_hash),
    constraint workspace_invites_uses_check check (uses between 0 and max_uses),
    constraint workspace_invites_workspace_id_fkey
        foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint workspace_invites_created_by_fkey foreign key (created_by) references users (id)
);
create index workspace_invites_workspace_id_idx on workspace_invites (workspace_id, id);

create table chats (
    id uuid not null,
    workspace_id uuid not null,
    chat_type chat_type not null,
    name text,
    description text,
    -- `<smaller user id>:<greater user id>`, for Single chats only.
    dm_key text,
    -- The seq of the newest message.
    last_seq bigint not null default 0,
    archived_at timestamptz,
    deleted_at timestamptz,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint chats_pkey primary key (id),
    constraint chats_workspace_id_id_key unique (workspace_id, id),
    constraint chats_workspace_id_dm_key_key unique (workspace_id, dm_key),
    constraint chats_dm_key_check check ((chat_type = 'Single') = (dm_key is not null)),
    constraint chats_workspace_id_fkey foreign key (workspace_id) references workspaces (id),
    constraint chats_created_by_fkey foreign key (created_by) references users (id)
) with (fillfactor = 80); -- last_seq changes with every message; leave room for HOT updates
create index chats_public_idx on chats (workspace_id, id)
    where chat_type = 'PublicChannel' and deleted_at is null;

-- The two foreign keys keep tenants apart: whoever is in a chat is in its workspace.
create table chat_members (
    chat_id uuid not null,
    user_id uuid not null,
    workspace_id uuid not null,
    role member_role not null default 'Member',
    joined_at timestamptz not null default now(),
    -- The chat's last_seq when the person joined.
    joined_seq bigint not null,
    -- Everything up to here is read; it moves back only when the person marks messages as unread.
    last_read_seq bigint not null,
    notify_level notify_level not null default 'All',
    -- Single chats only: not in the person's list until a message comes after this seq.
    hidden_seq bigint,
    constraint chat_members_pkey primary key (chat_id, user_id),
    constraint chat_members_chat_fkey
        foreign key (workspace_id, chat_id) references chats (workspace_id, id) on delete cascade,
    constraint chat_members_workspace_member_fkey
        foreign key (workspace_id, user_id) references workspace_members (workspace_id, user_id)
) with (fillfactor = 80);
create index chat_members_user_id_idx on chat_members (user_id, workspace_id);
