-- The few versions that have a time to live are looked for several times a minute.
CREATE INDEX artifacts_by_ttl ON artifacts (ttl_seconds) WHERE ttl_seconds > 0 AND state = 'COMMITTED';
