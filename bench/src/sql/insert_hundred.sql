insert into plain_messages (id, chat_id, seq, sender_id, content)
select (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000000000000000')::uuid,
    ('00000000-0000-7000-8000-' || lpad(chat::text, 12, '0'))::uuid, n, :sender_id::uuid, rpad('Message ' || n, :length::integer, ' and so on')
from (select chat, nextval('plain_seq') n from generate_series(1, 100) chat) rows;
