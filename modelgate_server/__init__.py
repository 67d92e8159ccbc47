"""
Serve W&B's protocol to the unmodified `wandb` SDK (0.19 to 0.31), for one machine and for CI.

The server keeps runs, history, files, artifacts, lineage, aliases, registries, teams and sweeps in one folder (SQLite
and a folder of blobs) and shows them on its own pages. It refuses, by name, what it does not support: reports, launch,
automations, integrations, custom charts, Bayesian sweeps, service accounts. The bytes of deleted versions stay on the
disk until you run `modelgate-server gc`, and a file is uploaded in one PUT of at most 8 GiB instead of in parts.
"""
