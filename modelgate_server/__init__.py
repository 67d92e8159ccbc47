"""
A server that speaks W&B's protocol to the unmodified `wandb` SDK (0.31), for one machine and for CI.

It keeps runs, history, files, artifacts, lineage, aliases, registries, teams and sweeps in one folder (SQLite and a
folder of blobs) and shows them on pages of its own. What the SDK asks for and is not here is refused by name: reports,
launch, automations, integrations, custom charts, Bayesian sweeps, service accounts. Not done either: a version's time
to live is kept and not enforced, the bytes of deleted versions stay on the disk until
`python -m modelgate_server gc`, and a file comes in one PUT of at most 8 GiB instead of in parts.
"""
