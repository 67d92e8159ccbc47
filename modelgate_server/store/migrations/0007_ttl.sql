-- To find the few versions with a time to live, several times a minute.
CREATE INDEX artifacts_by_ttl ON artifacts (ttl_seconds) WHERE ttl_seconds > 0 AND state = 'COMMITTED';
