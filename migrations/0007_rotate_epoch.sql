-- Gives the log a new epoch, unless it has one already that differs from `known`:
-- of several who find out at once, one rotates. Everybody's next look sees it.
--
-- It runs as its owner (PostgreSQL manual, CREATE FUNCTION, "Writing SECURITY
-- DEFINER Functions Safely"), for a server whose role may only read the log.
create function rotate_epoch(known text) returns void language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    update stream_epoch set epoch = default where epoch = known;
    if found then
        perform pg_notify('fechatter_events', '');
    end if;
end $$;
