-- Search: an index of the words of messages, and who may read which chats.

-- Text as it is compared: compatibility forms are one (NFKC), case and the marks on letters do not count, and what
-- nobody sees is left out. The server does the same in search/folding.rs, character by character; a test compares the
-- two. No part of it depends on the locale of the database, but that lower() of one that is plain C knows ASCII alone:
-- there the capitals of other scripts are listed.
create function search_folded(content text) returns text language plpgsql immutable strict parallel safe as $$
begin
    if octet_length(content) = length(content) then
        return lower(content collate "C");
    end if;
    content := regexp_replace(normalize(content, NFKD),
        '[\u00AD\u034F\u061C\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\uFE00-\uFE0F\uFEFF\U000E0000-\U000E0FFF'
        || '\u0300-\u036F\u0483-\u0487\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7\u0610-\u061A\u0640\u064B-\u065F'
        || '\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF\uFE20-\uFE2F]+',
        '', 'g');
    if lower('Ж') = 'ж' then
        content := lower(content);
    else
        content := translate(lower(content collate "C"),
            'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЂЄЅІЈЉЊЋЏҐÆŒØĐŁÞĦŊƏẞ',
            'αβγδεζηθικλμνξοπρστυφχψωабвгдежзиклмнопрстуфхцчшщъыьэюяђєѕіјљњћџґæœøđłþħŋəß');
    end if;
    return normalize(replace(translate(content, 'ςıøđł', 'σiodl'), 'ß', 'ss'), NFC);
end $$;

-- The lexemes of a message. Of scripts that put blanks between words, each word, by its first 64 characters. Of those
-- that do not, and of symbols, each pair of neighbours, and the last one alone: so each character begins a lexeme, and
-- two that stand together are one. Positions are left out: whether the words of a phrase stand together is asked of the
-- text itself.
create function message_terms(content text) returns tsvector language plpgsql immutable strict parallel safe as $$
declare
    -- Scripts without blanks between words, and symbols.
    unspaced constant text := '\u0E00-\u0FFF\u1000-\u109F\u1100-\u11FF\u1780-\u17FF\u1950-\u19DF\u1A20-\u1AAF'
        || '\u2190-\u2BFF\u2E80-\u2FFF\u3005-\u3007\u3021-\u303C\u3041-\u30FA\u30FC-\u9FFF\uA000-\uA4CF\uA960-\uA97F'
        || '\uA9E0-\uA9FF\uAA60-\uAADF\uAC00-\uD7FF\uF900-\uFAFF\U0001B000-\U0001B16F\U0001F000-\U0001FAFF'
        || '\U00020000-\U0003FFFF';
    -- What stands between words.
    between_words constant text := '\u0001-\u002F\u003A-\u0060\u007B-\u00A9\u00AB-\u00B4\u00B6-\u00B9\u00BB-\u00BF'
        || '\u00D7\u00F7\u02C2-\u02C5\u02D2-\u02DF\u02E5-\u02EB\u02ED\u02EF-\u02FF\u037E\u0387\u0589\u058A\u05BE\u05C0'
        || '\u05C3\u05C6\u05F3\u05F4\u0600-\u060F\u061B-\u061F\u066A-\u066D\u06D4\u0964\u0965\u0970\u1360-\u1368\u1680'
        || '\u2000-\u206F\u20A0-\u20CF\u3000-\u3004\u3008-\u3020\u303D-\u3040\u30FB\uFD3E\uFD3F\uFE10-\uFE1F'
        || '\uFE30-\uFE6F\uFF5F-\uFF65\uFFE0-\uFFFF';
    -- With its schema: a restore and an index build look for functions nowhere else.
    folded text := public.search_folded(content);
    lexemes text[];
    letters text[];
begin
    if octet_length(folded) = length(folded) then
        folded := regexp_replace(folded, '[^0-9a-z]+', ' ', 'g');
        -- By far the most common case, in which nothing is looked at twice.
        if folded !~ '[^ ]{65}' then
            return array_to_tsvector(array_remove(string_to_array(folded, ' '), ''));
        end if;
        lexemes := string_to_array(folded, ' ');
    else
        lexemes := string_to_array(regexp_replace(folded, '[' || between_words || unspaced || ']+', ' ', 'g'), ' ');
        letters := string_to_array(regexp_replace(folded, '[^' || unspaced || ']+', ' ', 'g'), null);
        if cardinality(letters) > 1 or letters[1] <> ' ' then
            lexemes := lexemes || array(
                select case when next = ' ' then letter else letter || next end
                from unnest(letters, letters[2:] || ' '::text) pair (letter, next)
                where letter <> ' '
            );
        end if;
    end if;
    lexemes := array_remove(lexemes, '');
    if length(folded) > 64 then
        lexemes := array(select left(lexeme, 64) from unnest(lexemes) lexeme);
    end if;
    return array_to_tsvector(lexemes);
end $$;

-- One index for all languages. It is not a partial one, of whose statistics PostgreSQL makes no use. It keeps what was
-- added last apart, unsorted, and sorts it in when that exceeds 256 KiB in a partition: so a batch of sends pays less
-- than half of what sorting each message in at once would cost it, and a search reads at most that much besides
-- (PostgreSQL manual, section 70.4.1).
create index messages_terms_idx on messages using gin (message_terms(content)) with (gin_pending_list_limit = 256);

-- The chats that somebody may read, as the permission matrix says: those that they are in, and the public channels of
-- their workspaces. Every statement that searches asks it.
create function readable_chats(reader uuid) returns table (
    id uuid, workspace_id uuid, member boolean, last_seq bigint
) language sql stable as $$
    select c.id, c.workspace_id, true, c.last_seq
    from chat_members cm join chats c on c.id = cm.chat_id
    where cm.user_id = reader and c.deleted_at is null
    union all
    select c.id, c.workspace_id, false, c.last_seq
    from workspace_members wm join chats c on c.workspace_id = wm.workspace_id
    where wm.user_id = reader and c.chat_type = 'PublicChannel' and c.deleted_at is null
        and not exists (select from chat_members cm where cm.chat_id = c.id and cm.user_id = reader)
$$;

-- How many messages PostgreSQL expects to match, by its statistics about the index, and how many there are. It tells
-- whether the newest messages are read one by one or the index is asked; what is found is the same.
create function expected_matches(terms tsquery, out matches float8, out messages float8) language plpgsql as $$
declare
    plan json;
begin
    execute format(
        'explain (format json) select from messages where message_terms(content) @@ %L::tsquery',
        terms) into plan;
    matches := (plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8;
    select sum(greatest(c.reltuples, 0)) into messages
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'messages'::regclass;
end $$;

-- Until there are statistics about the index, every word seems rare.
analyze messages;
