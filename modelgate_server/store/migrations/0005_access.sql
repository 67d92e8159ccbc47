-- Who may have a blob is asked by its MD5.
CREATE INDEX entries_by_md5 ON entries (md5) WHERE md5 IS NOT NULL;
-- A session of the pages that was ended before its time, by the hash of its token; until then it must be remembered.
CREATE TABLE ended_sessions (
    hash TEXT PRIMARY KEY,
    until INTEGER NOT NULL -- seconds since 1970
) WITHOUT ROWID;
-- A user who is no longer in a team has their own entity as default.
UPDATE users SET default_entity_id = (SELECT id FROM entities WHERE entities.user_id = users.id)
WHERE default_entity_id NOT IN (
    SELECT id FROM entities WHERE entities.user_id = users.id
    UNION SELECT entity_id FROM team_members WHERE team_members.user_id = users.id
);
