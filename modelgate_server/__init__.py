"""
A server that speaks W&B's protocol to the unmodified `wandb` SDK (0.19 to 0.31), for one machine and for CI.

It keeps runs, history, files, artifacts, lineage, aliases, registries, teams and sweeps in one folder (SQLite and a
folder of blobs) and shows them on pages of its own. It refuses by name what the SDK asks for and it does not do:
reports, launch, automations, integrations, custom charts, Bayesian sweeps, service accounts. The bytes of deleted
versions stay on the disk until `modelgate-server gc`, and a file comes in one PUT of at most 8 GiB instead of in parts.
"""
