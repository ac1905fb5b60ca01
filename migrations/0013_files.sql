-- Files: where their bytes are, how much of them there may be, and what becomes of those that nobody needs any more.

-- A row for each object in the vault: a file as it was uploaded, or the small picture of one. Rows without an object, of
-- a version that stored none, there are not.
alter table files
    -- The file whose small picture this is.
    add column thumbnail_of uuid,
    add column content_type text not null,
    -- Bytes before they are encrypted, and their SHA-256.
    add column size bigint not null,
    add column sha256 bytea not null,
    -- Where the vault keeps it, and the key of its own, wrapped by the key of the ring that is named.
    add column location text not null,
    add column key_id text not null,
    add column wrapped_key bytea not null,
    -- The form of the object.
    add column format smallint not null,
    alter column uploader_id drop not null,
    alter column facts drop not null,
    add constraint files_location_key unique (location),
    add constraint files_thumbnail_of_fkey foreign key (thumbnail_of) references files (id) on delete cascade,
    -- A small picture is nobody's to claim.
    add constraint files_thumbnail_check check (
        (thumbnail_of is null) = (uploader_id is not null) and (thumbnail_of is null) = (facts is not null)
        and (thumbnail_of is null or message_id is null)
    ),
    add constraint files_size_check check (size > 0),
    -- A message takes its files with it: none of them becomes its uploader's again.
    drop constraint files_message_fkey,
    add constraint files_message_fkey foreign key (chat_id, message_id) references messages (chat_id, id)
        on delete cascade;
create unique index files_thumbnail_of_key on files (thumbnail_of) where thumbnail_of is not null;
drop index files_unclaimed_idx;
create index files_unclaimed_idx on files (created_at) where message_id is null and thumbnail_of is null;
-- A chat's files, newest first; and a message's.
drop index files_message_idx;
create index files_message_idx on files (chat_id, message_id, id) where message_id is not null;
-- A workspace or person that goes.
create index files_workspace_id_idx on files (workspace_id);

-- Objects in the vault that no row names any more: without their keys, so that nobody reads them.
create table removed_files (
    location text not null,
    workspace_id uuid not null,
    -- Whose bytes they count as; null for a small picture, which counts as nobody's.
    uploader_id uuid,
    size bigint not null,
    -- The object stays for some time after this.
    removed_at timestamptz not null,
    constraint removed_files_pkey primary key (location)
);
create index removed_files_removed_at_idx on removed_files (removed_at);

-- However a file goes, by the collector, with its message, chat or workspace, or by hand: its object is to follow.
create function file_removed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    insert into removed_files (location, workspace_id, uploader_id, size, removed_at)
    values (old.location, old.workspace_id, old.uploader_id, old.size,
        -- What nobody claimed has been waited for already.
        case when old.uploader_id is not null and old.message_id is null then old.created_at else clock_timestamp() end);
    return null;
end $$;
create trigger file_removed after delete on files
    for each row execute function file_removed();

-- A deleted message keeps none of its files, nor their names.
create function message_files_removed() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    delete from files where chat_id = new.chat_id and message_id = new.id;
    return null;
end $$;
create trigger message_files_removed after update of deleted_at on messages
    for each row when (old.deleted_at is null and new.deleted_at is not null and old.files is not null)
    execute function message_files_removed();

-- Bytes that count against the quotas, by person and by workspace: of files, and of those not yet gone from the vault.
create table file_usage (
    owner_id uuid not null,
    bytes bigint not null,
    constraint file_usage_pkey primary key (owner_id),
    constraint file_usage_bytes_check check (bytes >= 0)
);
