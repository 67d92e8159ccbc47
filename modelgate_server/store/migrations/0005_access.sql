-- To find by MD5 who may read a blob.
CREATE INDEX entries_by_md5 ON entries (md5) WHERE md5 IS NOT NULL;
-- Sessions of the pages that ended early, by the hash of the token. They are kept until the token expires.
CREATE TABLE ended_sessions (
    hash TEXT PRIMARY KEY,
    until INTEGER NOT NULL -- seconds since 1970
) WITHOUT ROWID;
-- Users who are no longer in a team get their own entity as default.
UPDATE users SET default_entity_id = (SELECT id FROM entities WHERE entities.user_id = users.id)
WHERE default_entity_id NOT IN (
    SELECT id FROM entities WHERE entities.user_id = users.id
    UNION SELECT entity_id FROM team_members WHERE team_members.user_id = users.id
);
