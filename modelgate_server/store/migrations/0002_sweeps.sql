-- Sweeps, and the agents that fetch their points. The number of a point is enough to compute it again.
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    display_name TEXT,
    description TEXT,
    config TEXT NOT NULL,
    state TEXT NOT NULL,
    points INTEGER NOT NULL DEFAULT 0, -- given out so far
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE TABLE agents (
    id INTEGER PRIMARY KEY,
    sweep_id INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
    host TEXT NOT NULL,
    run_name TEXT, -- the last run it was given, and the point of that run
    point INTEGER,
    total_runs INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL
);
CREATE INDEX runs_by_sweep ON runs (project_id, sweep_name);
