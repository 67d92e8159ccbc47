"""
Store rows and bytes, without HTTP and GraphQL. Plain functions over one SQLite connection.

What the pages may rely on (`with database.read() as db`, and `database.write()` for the last line):
  accounts.find_entity(db, name), accounts.entity(db, id)                 who owns projects
  projects.of_entity(db, entity_id), projects.find(db, entity_id, name)   projects; registries are `wandb-registry-*`
  runs.listed(db, project_id), runs.find(db, project_id, name)            config and summary are JSON text
  history.rows(db, run_id), history.console(db, run_id), files.listing(db, run_id)
  artifacts.collections(db, project_id), artifacts.versions(db, collection_id)   a version here is a Membership
  artifacts.resolve(db, collection_id, "v3" or an alias or a digest), artifacts.aliases_of(db, membership_id)
  artifacts.artifact(db, id), artifacts.entries(db, artifact_id), artifacts.memberships(db, artifact_id)
  artifacts.used_by(db, artifact_id), artifacts.created_by(db, artifact_id), artifacts.of_run(db, run_id, "input")
  artifacts.add_alias(db, user, collection_id, artifact_id, alias)        moves it if another version holds it
"""
