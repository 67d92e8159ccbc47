-- Maps the lines of several writers of a run to lines of the stream: each writer counts its own from 0.
CREATE TABLE shared_lines (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    writer TEXT NOT NULL,
    stream TEXT NOT NULL,
    number INTEGER NOT NULL, -- the writer's
    line INTEGER NOT NULL,   -- the stream's
    PRIMARY KEY (run_id, writer, stream, number)
) WITHOUT ROWID;
-- To find what refers to a version before it is deleted.
CREATE INDEX entries_by_ref ON entries (ref) WHERE ref IS NOT NULL;
