-- Aliases that only an admin of their project (usually a registry) may set, move or remove, in all its collections.
CREATE TABLE protected_aliases (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) WITHOUT ROWID;
