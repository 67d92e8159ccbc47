"""
A server that speaks W&B's protocol to the unmodified `wandb` SDK (0.31), for one machine and for CI.

It keeps runs, history, files, artifacts, lineage, aliases and registries in one folder: SQLite and a folder of blobs.
It has no users' interface of W&B's, no reports, launch, automations or integrations; what the SDK asks for and is not
here is refused by name.
"""
