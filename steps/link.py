"""
Link a model into the registry, as the candidate for production.

    python -m steps.link --model team/model-registry-dev/NAME_model:v0

Reads   the model version.
Writes  a version of the registry's collection with the alias candidate; the same model again is the same version.
Exits   0 done, 1 a file of the model is a reference, 2 wrong use, 3 W&B is not reachable.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import wandb

from modelgate import config, frameworks
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference

ALIAS = "candidate"
LEGACY_REGISTRY = "model-registry"  # a project of the entity itself, which run.link_model links to


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument("--model", required=True, metavar="REF", help="the model: entity/project/name:vN")
    parser.add_argument(
        "--registry",
        default=parser.config.registry,
        help=f"wandb-registry-<name> of the organisation, or the older {LEGACY_REGISTRY} (default: %(default)s)",
    )
    parser.add_argument(
        "--collection", default=parser.config.collection, help="the registered model (default: %(default)s)"
    )
    return parser.parse()


def link(run: wandb.Run, model: wandb.Artifact, registry: str, collection: str) -> wandb.Artifact:
    """Link the model with the alias `candidate` and return the registry version."""
    if registry == LEGACY_REGISTRY:
        # link_model logs a file. The same bytes are the same version of the model, so nothing is stored twice.
        with tempfile.TemporaryDirectory() as folder:
            path = files.fetch(model, frameworks.find_model_file(model.manifest.entries), Path(folder)).path
            linked = run.link_model(str(path), collection, name=model.name.split(":")[0], aliases=[ALIAS])
        if linked is None:
            raise RuntimeError("W&B did not link the model, and gave no error")
        return linked
    return client.link(run, model, f"{registry}/{collection}", ALIAS)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    reference = Reference.parse(args.model, "--model")
    api = client.connect()
    model = client.get(api, reference, "--model")
    files.require_no_references(model)

    target = f"{args.registry}/{args.collection}"
    if args.registry == LEGACY_REGISTRY:
        target = f"{model.source_entity}/{target}"
    candidate = client.find(api, f"{target}:{ALIAS}")
    if candidate and candidate.digest == model.digest:
        log(f"{Reference.pin(candidate)} already is this model")
        emit(client.describe_version("version", candidate) | {"url": client.get_page(candidate)}, args.out)
        return 0

    project = client.get_project(config.load(args.use_case).project)
    run_config = {"model": str(reference), "target": target}
    with client.start_run(api, "link_model", project, args.use_case, run_config) as run:
        run.use_artifact(str(reference))
        linked = link(run, model, args.registry, args.collection)
        answer = client.describe_version("version", linked, run.url) | {"url": client.get_page(linked)}
    log(f"linked {reference} as {answer['version']}")
    emit(answer, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
