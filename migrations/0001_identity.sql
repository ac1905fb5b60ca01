-- People and their sessions.

create type user_status as enum ('Active', 'Suspended', 'Deleted');

create table users (
    id uuid not null,
    -- As typed; compared without regard to case by users_email_key. Null once deleted.
    email text,
    -- The unique handle.
    username text not null,
    -- argon2id in PHC string format. Null once deleted.
    password_hash text,
    full_name text not null,
    avatar_url text,
    status user_status not null default 'Active',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint users_pkey primary key (id),
    constraint users_username_key unique (username),
    constraint users_deleted_check
        check ((email is null) = (status = 'Deleted') and (password_hash is null) = (status = 'Deleted')),
    constraint users_username_check check (username ~ '^[a-z0-9._-]{3,32}$')
);
create unique index users_email_key on users (lower(email));

-- One sign-in on one device. The refresh token itself is never stored.
create table sessions (
    id uuid not null,
    user_id uuid not null,
    -- SHA-256 of the part that all refresh tokens of the session share: it finds
    -- the session of any of them, so that an old one is known for what it is.
    family_hash bytea not null,
    -- SHA-256 of the part that is in force.
    refresh_hash bytea not null,
    -- What the one in force was derived with from the one before it: within the
    -- grace time a client that lost the answer gets the same token again.
    rotation_nonce bytea,
    rotated_at timestamptz,
    user_agent text,
    ip inet,
    last_used_at timestamptz not null,
    -- The absolute end; the idle limit is counted from last_used_at.
    expires_at timestamptz not null,
    revoked_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint sessions_pkey primary key (id),
    constraint sessions_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint sessions_family_hash_key unique (family_hash)
);
create index sessions_user_id_idx on sessions (user_id, last_used_at);
create index sessions_expires_at_idx on sessions (expires_at);
