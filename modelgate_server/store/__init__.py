"""
Store rows and bytes, without HTTP and GraphQL. Plain functions over one SQLite connection.

What the pages may rely on (`with database.read() as db`, and `database.write()` for the last line):
  accounts.find_entity(db, name), accounts.get_entity(db, id)             who owns projects
  projects.list_by_entity(db, entity_id), projects.find(db, entity_id, name)   a registry is a `wandb-registry-*`
  runs.list_without_configs(db, project_id), runs.find(db, project_id, name)   config and summary are JSON text
  history.read_rows(db, run_id), history.read_console(db, run_id), files.list_by_run(db, run_id)
  artifact_collections.list_by_project(db, project_id)
  memberships.list_by_collection(db, collection_id)        a collection's versions
  memberships.resolve(db, collection_id, "v3" or an alias or a digest), memberships.list_by_artifact(db, artifact_id)
  aliases.list_by_membership(db, membership_id)
  artifacts.get_artifact(db, id), entries.list_by_artifact(db, artifact_id)
  lineage.list_users(db, artifact_id), lineage.find_creator(db, artifact_id), lineage.list_by_run(db, run_id, "input")
  aliases.add(db, user, collection_id, artifact_id, alias)        moves it if another version holds it
"""
