select m.id, m.chat_id, m.seq, m.kind, m.content, m.system, m.reply_to, m.client_id, m.created_at, m.edited_at,
    m.version, m.deleted_at, m.deleted_by, s.id as sender_id, s.full_name as sender_name,
    s.username as sender_username, s.avatar_url as sender_avatar_url
from messages m join users s on s.id = m.sender_id
where m.chat_id = :chat_id and m.seq < :seq order by m.seq desc limit :limit;
