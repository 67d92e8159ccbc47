-- Users and owners. An entity owns projects: it is a user's own, a team, or an organization (with its registries).
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    admin INTEGER NOT NULL DEFAULT 0,
    default_entity_id INTEGER REFERENCES entities (id),
    created_at TEXT NOT NULL
);
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    description TEXT,
    created_at TEXT NOT NULL
);
CREATE TABLE entities (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'team', 'organization')),
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    organization_id INTEGER REFERENCES organizations (id),
    created_at TEXT NOT NULL
);
CREATE TABLE organizations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
);
CREATE TABLE organization_members (
    organization_id INTEGER NOT NULL REFERENCES organizations (id),
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (organization_id, user_id)
) WITHOUT ROWID;
CREATE TABLE team_members (
    entity_id INTEGER NOT NULL REFERENCES entities (id),
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (entity_id, user_id)
) WITHOUT ROWID;

-- Projects; a registry is a project `wandb-registry-*` of an organization's entity.
CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    entity_id INTEGER NOT NULL REFERENCES entities (id),
    name TEXT NOT NULL,
    description TEXT,
    access TEXT NOT NULL,
    allow_all_types INTEGER NOT NULL DEFAULT 1,
    views TEXT,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (entity_id, name)
);
CREATE TABLE project_members (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (project_id, user_id)
) WITHOUT ROWID;
CREATE TABLE project_teams (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    entity_id INTEGER NOT NULL REFERENCES entities (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (project_id, entity_id)
) WITHOUT ROWID;

-- Runs and their streams. A line's number in its stream is its key, so that a repeated request changes nothing.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT,
    notes TEXT,
    config TEXT NOT NULL DEFAULT '{}',
    summary TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '[]',
    state TEXT NOT NULL,
    group_name TEXT,
    job_type TEXT,
    git_commit TEXT,
    host TEXT,
    program TEXT,
    repo TEXT,
    sweep_name TEXT,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    exit_code INTEGER,
    stop_requested INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE TABLE history (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    step INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;
CREATE INDEX history_by_step ON history (run_id, step);
CREATE TABLE events (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;
CREATE TABLE console (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;
CREATE TABLE run_files (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    md5 TEXT NOT NULL,
    size INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (run_id, name)
);

-- Artifacts. A collection is a sequence (a project's own versions) or a portfolio (versions linked from elsewhere).
CREATE TABLE artifact_types (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT,
    created_at TEXT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE TABLE collections (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    type_id INTEGER NOT NULL REFERENCES artifact_types (id),
    kind TEXT NOT NULL CHECK (kind IN ('sequence', 'portfolio')),
    name TEXT NOT NULL,
    description TEXT,
    next_version INTEGER NOT NULL DEFAULT 0, -- only ever grows: a deleted version's number is not given again
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE TABLE collection_tags (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (collection_id, name)
);
CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY,
    sequence_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'COMMITTED', 'DELETED')),
    version_index INTEGER, -- in the sequence; given at commit
    digest TEXT NOT NULL,
    description TEXT,
    metadata TEXT,
    ttl_seconds INTEGER,
    history_step INTEGER,
    size INTEGER NOT NULL DEFAULT 0,
    file_count INTEGER NOT NULL DEFAULT 0,
    manifest_md5 TEXT, -- the committed manifest's bytes
    pending_aliases TEXT NOT NULL DEFAULT '[]',
    distributed_id TEXT,
    run_id INTEGER REFERENCES runs (id) ON DELETE SET NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX artifacts_by_digest ON artifacts (sequence_id, digest);
CREATE UNIQUE INDEX artifacts_by_version ON artifacts (sequence_id, version_index) WHERE version_index IS NOT NULL;
CREATE TABLE artifact_tags (
    id INTEGER PRIMARY KEY,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (artifact_id, name)
);
CREATE TABLE artifact_clients (
    client_id TEXT PRIMARY KEY,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE sequence_clients (
    client_id TEXT PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE manifests (
    id INTEGER PRIMARY KEY,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    base_artifact_id INTEGER REFERENCES artifacts (id) ON DELETE SET NULL,
    kind TEXT NOT NULL CHECK (kind IN ('FULL', 'INCREMENTAL', 'PATCH')),
    digest TEXT NOT NULL,
    md5 TEXT -- NULL until its bytes have arrived
);
CREATE INDEX manifests_by_artifact ON manifests (artifact_id);
CREATE TABLE entries (
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    digest TEXT NOT NULL, -- as in the manifest
    md5 TEXT,             -- the blob; NULL for a reference
    ref TEXT,
    size INTEGER NOT NULL,
    PRIMARY KEY (artifact_id, path)
) WITHOUT ROWID;
CREATE TABLE memberships (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    version_index INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (collection_id, artifact_id),
    UNIQUE (collection_id, version_index)
);
CREATE INDEX memberships_by_artifact ON memberships (artifact_id);
CREATE TABLE aliases (
    id INTEGER PRIMARY KEY,
    membership_id INTEGER NOT NULL REFERENCES memberships (id) ON DELETE CASCADE,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (collection_id, name)
);
CREATE INDEX aliases_by_membership ON aliases (membership_id);
CREATE TABLE run_artifacts (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    direction TEXT NOT NULL CHECK (direction IN ('input', 'output')),
    created_at TEXT NOT NULL,
    PRIMARY KEY (run_id, direction, artifact_id)
) WITHOUT ROWID;
CREATE INDEX run_artifacts_by_artifact ON run_artifacts (artifact_id, direction);

-- The artifact that a blob was first announced for, and whether its bytes are known to be on the disk.
CREATE TABLE blobs (
    md5 TEXT PRIMARY KEY,
    birth_artifact_id INTEGER,
    durable INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
