PRAGMA user_version = 2;
BEGIN TRANSACTION;
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
CREATE TABLE aliases (
    id INTEGER PRIMARY KEY,
    membership_id INTEGER NOT NULL REFERENCES memberships (id) ON DELETE CASCADE,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (collection_id, name)
);
INSERT INTO "aliases" VALUES(1,1,1,'latest');
INSERT INTO "aliases" VALUES(2,1,1,'best');
INSERT INTO "aliases" VALUES(3,2,2,'latest');
INSERT INTO "aliases" VALUES(4,3,3,'latest');
INSERT INTO "aliases" VALUES(5,3,3,'candidate');
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    description TEXT,
    created_at TEXT NOT NULL
);
INSERT INTO "api_keys" VALUES(1,1,'5bb17c9779c8ec953489fa8f1306624027c9d7c05a85ca2ec2da8168e703187b','local-0123','made at the first start','2026-11-24T21:20:05.572842Z');
CREATE TABLE artifact_clients (
    client_id TEXT PRIMARY KEY,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO "artifact_clients" VALUES('cfsm0vk00tk1ss3nzrq0k7ovf8ksb8aey939alktz9qdsyshuttsroal9v6hdqvipy33kgs8bzbo26oqmeiqxdo7y3ag5rwwqxvsirztuqo0z6penvwquravbabq7czn',2);
INSERT INTO "artifact_clients" VALUES('ch94gps6l92a27e9v7zeypitigjlao2eqv8mhz4wirujyk5bme4nkbw3ojct7exd3u590bbarn0i84ck7eymlol7ezo7krglktgyv3904wxb6rky4zxnp35j1p1uzj7j',1);
CREATE TABLE artifact_tags (
    id INTEGER PRIMARY KEY,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (artifact_id, name)
);
CREATE TABLE artifact_types (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT,
    created_at TEXT NOT NULL,
    UNIQUE (project_id, name)
);
INSERT INTO "artifact_types" VALUES(1,1,'model',NULL,'2026-11-24T21:20:05.573173Z');
INSERT INTO "artifact_types" VALUES(2,2,'dataset',NULL,'2026-11-24T21:20:08.874868Z');
INSERT INTO "artifact_types" VALUES(3,2,'model',NULL,'2026-11-24T21:20:09.844100Z');
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
INSERT INTO "artifacts" VALUES(1,1,'COMMITTED',0,'b88be7c2c5fb357a19acdf588ade349e','ten rows','{"rows":10}',NULL,NULL,74,2,'314da9be4b47ad545bd2411ec3208e03','[]',NULL,1,1,'2026-11-24T21:20:08.875115Z','2026-11-24T21:20:09.204262Z');
INSERT INTO "artifacts" VALUES(2,2,'COMMITTED',0,'c02a38ede3aaf61b7404887b06b05946',NULL,'{"layers":2}',NULL,3,64,1,'beba6aeb4be9dfaca4cde8dcb89f5a6a','[]',NULL,2,1,'2026-11-24T21:20:09.844254Z','2026-11-24T21:20:10.080146Z');
CREATE TABLE blobs (
    md5 TEXT PRIMARY KEY,
    birth_artifact_id INTEGER,
    durable INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "blobs" VALUES('1d4c7ff8df838a35bd73907715a3eee6',1,1);
INSERT INTO "blobs" VALUES('314da9be4b47ad545bd2411ec3208e03',NULL,1);
INSERT INTO "blobs" VALUES('b2d3f56bc197fd985d5965079b5e7148',2,1);
INSERT INTO "blobs" VALUES('bd2a896b1732c799a826be830453d47d',1,1);
INSERT INTO "blobs" VALUES('beba6aeb4be9dfaca4cde8dcb89f5a6a',NULL,1);
CREATE TABLE collection_tags (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (collection_id, name)
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
INSERT INTO "collections" VALUES(1,2,2,'sequence','rows',NULL,1,'2026-11-24T21:20:08.874840Z','2026-11-24T21:20:09.204048Z');
INSERT INTO "collections" VALUES(2,2,3,'sequence','net',NULL,1,'2026-11-24T21:20:09.844071Z','2026-11-24T21:20:10.080006Z');
INSERT INTO "collections" VALUES(3,1,1,'portfolio','Digits',NULL,1,'2026-11-24T21:20:10.376224Z','2026-11-24T21:20:10.376300Z');
CREATE TABLE console (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;
CREATE TABLE entities (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'team', 'organization')),
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    organization_id INTEGER REFERENCES organizations (id),
    created_at TEXT NOT NULL
);
INSERT INTO "entities" VALUES(1,'local','user',1,NULL,'2026-11-24T21:20:05.572614Z');
INSERT INTO "entities" VALUES(2,'local-org','organization',NULL,1,'2026-11-24T21:20:05.572885Z');
CREATE TABLE entries (
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    digest TEXT NOT NULL, -- as in the manifest
    md5 TEXT,             -- the blob; NULL for a reference
    ref TEXT,
    size INTEGER NOT NULL,
    PRIMARY KEY (artifact_id, path)
) WITHOUT ROWID;
INSERT INTO "entries" VALUES(1,'more/notes.txt','HUx/+N+DijW9c5B3FaPu5g==','1d4c7ff8df838a35bd73907715a3eee6',NULL,24);
INSERT INTO "entries" VALUES(1,'rows.csv','vSqJaxcyx5moJr6DBFPUfQ==','bd2a896b1732c799a826be830453d47d',NULL,50);
INSERT INTO "entries" VALUES(2,'net.bin','stP1a8GX/ZhdWWUHm15xSA==','b2d3f56bc197fd985d5965079b5e7148',NULL,64);
CREATE TABLE events (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;
CREATE TABLE history (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    step INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;
INSERT INTO "history" VALUES(2,0,0,'{"_step":0,"loss":1,"epoch":0,"_timestamp":1.7955552097896154e+09,"_runtime":0.169911735}');
INSERT INTO "history" VALUES(2,1,1,'{"_step":1,"loss":0.5,"epoch":1,"_timestamp":1.7955552097900054e+09,"_runtime":0.171795608}');
INSERT INTO "history" VALUES(2,2,2,'{"_runtime":0.172656449,"_step":2,"loss":0.3333333333333333,"epoch":2,"_timestamp":1.7955552097913265e+09}');
CREATE TABLE manifests (
    id INTEGER PRIMARY KEY,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    base_artifact_id INTEGER REFERENCES artifacts (id) ON DELETE SET NULL,
    kind TEXT NOT NULL CHECK (kind IN ('FULL', 'INCREMENTAL', 'PATCH')),
    digest TEXT NOT NULL,
    md5 TEXT -- NULL until its bytes have arrived
);
INSERT INTO "manifests" VALUES(1,1,NULL,'FULL','',NULL);
INSERT INTO "manifests" VALUES(2,1,NULL,'FULL','MU2pvktHrVRb0kEewyCOAw==','314da9be4b47ad545bd2411ec3208e03');
INSERT INTO "manifests" VALUES(3,2,NULL,'FULL','',NULL);
INSERT INTO "manifests" VALUES(4,2,NULL,'FULL','vrpq60vp36ykzejcuJ9aag==','beba6aeb4be9dfaca4cde8dcb89f5a6a');
CREATE TABLE memberships (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    version_index INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (collection_id, artifact_id),
    UNIQUE (collection_id, version_index)
);
INSERT INTO "memberships" VALUES(1,1,1,0,'2026-11-24T21:20:09.204048Z');
INSERT INTO "memberships" VALUES(2,2,2,0,'2026-11-24T21:20:10.080006Z');
INSERT INTO "memberships" VALUES(3,3,2,0,'2026-11-24T21:20:10.376300Z');
CREATE TABLE organization_members (
    organization_id INTEGER NOT NULL REFERENCES organizations (id),
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (organization_id, user_id)
) WITHOUT ROWID;
INSERT INTO "organization_members" VALUES(1,1,'admin');
CREATE TABLE organizations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
);
INSERT INTO "organizations" VALUES(1,'local-org','2026-11-24T21:20:05.572885Z');
CREATE TABLE project_members (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (project_id, user_id)
) WITHOUT ROWID;
INSERT INTO "project_members" VALUES(1,1,'admin');
CREATE TABLE project_teams (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    entity_id INTEGER NOT NULL REFERENCES entities (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (project_id, entity_id)
) WITHOUT ROWID;
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
INSERT INTO "projects" VALUES(1,2,'wandb-registry-model',NULL,'PRIVATE',0,NULL,1,'2026-11-24T21:20:05.573031Z','2026-11-24T21:20:05.573203Z');
INSERT INTO "projects" VALUES(2,1,'loop',NULL,'PRIVATE',1,NULL,1,'2026-11-24T21:20:08.149595Z','2026-11-24T21:20:08.149595Z');
CREATE TABLE run_artifacts (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
    direction TEXT NOT NULL CHECK (direction IN ('input', 'output')),
    created_at TEXT NOT NULL,
    PRIMARY KEY (run_id, direction, artifact_id)
) WITHOUT ROWID;
INSERT INTO "run_artifacts" VALUES(1,1,'output','2026-11-24T21:20:08.875256Z');
INSERT INTO "run_artifacts" VALUES(2,1,'input','2026-11-24T21:20:09.739175Z');
INSERT INTO "run_artifacts" VALUES(2,2,'output','2026-11-24T21:20:09.844361Z');
CREATE TABLE run_files (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    md5 TEXT NOT NULL,
    size INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (run_id, name)
);
INSERT INTO "run_files" VALUES(1,1,'wandb-summary.json','b809805dbdc6bddf1cbb6e0b99cdfaab',37,'2026-11-24T21:20:09.605723Z');
INSERT INTO "run_files" VALUES(2,1,'config.yaml','ff68d22df64cbde0e78e1f67b891d26e',326,'2026-11-24T21:20:09.606271Z');
INSERT INTO "run_files" VALUES(3,2,'wandb-summary.json','13064ca126f5edef68267e3924c89443',134,'2026-11-24T21:20:10.519408Z');
INSERT INTO "run_files" VALUES(4,2,'config.yaml','0e1ce0daa54f0328168585e390104c6b',368,'2026-11-24T21:20:10.525105Z');
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
INSERT INTO "runs" VALUES(1,2,'built','build',NULL,NULL,'{"seed":{"value":7},"_wandb":{"value":{"python_version":"3.11.7","t":{"4":"3.11.7","3":[2,13,14,16],"5":"0.31.0","12":"0.31.0","13":"linux-x86_64"},"m":[],"cli_version":"0.31.0"}}}','{"_wandb":{"runtime":1},"_runtime":1}','[]','finished',NULL,'build_data',NULL,NULL,'train.py',NULL,NULL,1,0,0,'2026-11-24T21:20:08.149768Z','2026-11-24T21:20:09.607679Z');
INSERT INTO "runs" VALUES(2,2,'trained','train',NULL,NULL,'{"lr":{"value":0.5},"_wandb":{"value":{"cli_version":"0.31.0","python_version":"3.11.7","t":{"4":"3.11.7","3":[2,13,14,16,62],"5":"0.31.0","12":"0.31.0","13":"linux-x86_64"},"m":[]}},"epochs":{"value":3}}','{"accuracy":0.5,"_step":2,"_wandb":{"runtime":0},"_runtime":0,"loss":0.3333333333333333,"epoch":2,"_timestamp":1.7955552097913265e+09}','[]','finished',NULL,'train_model',NULL,NULL,'train.py',NULL,NULL,1,0,0,'2026-11-24T21:20:09.619334Z','2026-11-24T21:20:10.527711Z');
CREATE TABLE sequence_clients (
    client_id TEXT PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO "sequence_clients" VALUES('b7qd2x3mwoen9kbb1ehg8mh1khny5tcxvpw5sfyit2nzfmfiwthlw4q91557t38wuu7nrqkk9v4rgaqlfafc0lvcgac184sm89simnpmqkucdzhoumkhjwyw673u7bkm',2);
INSERT INTO "sequence_clients" VALUES('sekhwld53tleyq8umjwwe8n89i6l40myb66i8o6qw98oomfjmp08jvha9ii8n56a40p22tjojlx8l0b98942rdffvnxp5mo0hn9fcxau87jx1p4yfc4452ijwyfy4lwj',1);
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    display_name TEXT,
    description TEXT,
    config TEXT NOT NULL,
    state TEXT NOT NULL,
    points INTEGER NOT NULL DEFAULT 0, -- handed out so far
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE TABLE team_members (
    entity_id INTEGER NOT NULL REFERENCES entities (id),
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (entity_id, user_id)
) WITHOUT ROWID;
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    admin INTEGER NOT NULL DEFAULT 0,
    default_entity_id INTEGER REFERENCES entities (id),
    created_at TEXT NOT NULL
);
INSERT INTO "users" VALUES(1,'local','local','local@localhost',1,1,'2026-11-24T21:20:05.572614Z');
CREATE INDEX history_by_step ON history (run_id, step);
CREATE INDEX artifacts_by_digest ON artifacts (sequence_id, digest);
CREATE UNIQUE INDEX artifacts_by_version ON artifacts (sequence_id, version_index) WHERE version_index IS NOT NULL;
CREATE INDEX manifests_by_artifact ON manifests (artifact_id);
CREATE INDEX memberships_by_artifact ON memberships (artifact_id);
CREATE INDEX aliases_by_membership ON aliases (membership_id);
CREATE INDEX run_artifacts_by_artifact ON run_artifacts (artifact_id, direction);
CREATE INDEX runs_by_sweep ON runs (project_id, sweep_name);
COMMIT;
