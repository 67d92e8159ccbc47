"""
Store rows and bytes, without HTTP and GraphQL. Plain functions over one SQLite connection.

What the pages may rely on (`with database.read() as db`, and `database.write()` for the last line):
  accounts.find_entity(db, name), accounts.get_entity(db, id)             who owns projects
  projects.list_by_entity(db, entity_id), projects.find(db, entity_id, name)   a registry is a `wandb-registry-*`
  runs.list_without_configs(db, project_id), runs.find(db, project_id, name)   config and summary are JSON text
  history.read_rows(db, run_id), history.read_console(db, run_id), files.list_by_run(db, run_id)
  artifacts.list_collections(db, project_id), artifacts.list_versions(db, collection_id)   versions are Memberships
  artifacts.resolve(db, collection_id, "v3" or an alias or a digest)
  artifacts.list_membership_aliases(db, membership_id)
  artifacts.get_artifact(db, id), artifacts.list_entries(db, artifact_id), artifacts.list_memberships(db, artifact_id)
  artifacts.list_users(db, artifact_id), artifacts.find_creator(db, artifact_id)
  artifacts.list_by_run(db, run_id, "input")
  artifacts.add_alias(db, user, collection_id, artifact_id, alias)        moves it if another version holds it
"""
