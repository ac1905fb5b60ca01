-- The two roles, for logins to be members of, or to be given a login themselves. Roles belong to the whole cluster:
-- another database of it may be making them at the same time.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['fechatter_server', 'notify_server'] loop
        if to_regrole(wanted) is null then
            begin
                execute format('create role %I nologin', wanted);
            exception when duplicate_object or unique_violation then
                null;
            end;
        end if;
    end loop;
end $$;
