-- Messages that a run sent to people with `run.alert(...)`.
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    level TEXT NOT NULL CHECK (level IN ('INFO', 'WARN', 'ERROR')),
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX alerts_by_run ON alerts (run_id);
CREATE TRIGGER last_id_of_alerts AFTER DELETE ON alerts BEGIN
    INSERT INTO last_ids VALUES ('alerts', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
