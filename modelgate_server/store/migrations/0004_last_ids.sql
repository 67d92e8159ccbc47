-- A deleted row's id is never reused: an address or a reference that someone kept must never lead to another row.
CREATE TABLE last_ids (
    name TEXT PRIMARY KEY,
    id INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER last_id_of_projects AFTER DELETE ON projects BEGIN
    INSERT INTO last_ids VALUES ('projects', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_runs AFTER DELETE ON runs BEGIN
    INSERT INTO last_ids VALUES ('runs', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_run_files AFTER DELETE ON run_files BEGIN
    INSERT INTO last_ids VALUES ('run_files', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_collections AFTER DELETE ON collections BEGIN
    INSERT INTO last_ids VALUES ('collections', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_artifacts AFTER DELETE ON artifacts BEGIN
    INSERT INTO last_ids VALUES ('artifacts', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_manifests AFTER DELETE ON manifests BEGIN
    INSERT INTO last_ids VALUES ('manifests', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_memberships AFTER DELETE ON memberships BEGIN
    INSERT INTO last_ids VALUES ('memberships', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_sweeps AFTER DELETE ON sweeps BEGIN
    INSERT INTO last_ids VALUES ('sweeps', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
CREATE TRIGGER last_id_of_agents AFTER DELETE ON agents BEGIN
    INSERT INTO last_ids VALUES ('agents', OLD.id) ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
END;
