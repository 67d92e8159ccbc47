"""Check that each key is in its environment, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

from tools.github.gh import Call, read_list
from tools.github.variables import DISPATCH_REPOSITORY, TEMPLATE, Variables, read_values
from tools.github.wanted import Difference, list_environments

# The keys for W&B. The environment decides which job sees which key: docs/how-to/github.md.
TRAINING_KEY = ("WANDB_API_KEY", "reads and writes the project, links into the registry")
SECOND_KEY = ("WANDB_PROMOTE_KEY", "the only key that may set the alias production")
# Where promote sends messages: docs/how-to/production.md. Anyone with the address of a webhook can write to its
# channel.
WEBHOOK_URL, WEBHOOK_SECRET = "PROMOTION_WEBHOOK_URL", "PROMOTION_WEBHOOK_SECRET"
DISPATCH_TOKEN = "PROMOTION_DISPATCH_TOKEN"  # noqa: S105 - the name of a secret
TELLS = {WEBHOOK_URL, WEBHOOK_SECRET, DISPATCH_TOKEN}
INHERITED = "the jobs of a model inherit every secret outside the environments, and run a pull request's code"
MAX_SHOWN = 10
DATA_TOKEN = "DATA_TOKEN"  # noqa: S105 - the name of the secret that a use case may declare


def check_secrets(api: str, repository: str, variables: Variables) -> Iterator[Difference]:
    keys = [("training", TRAINING_KEY), *((name, SECOND_KEY) for name in list_environments())]
    for environment, (name, purpose) in keys:
        secrets = {row["name"] for row in read_list(f"{api}/environments/{environment}/secrets", "secrets")}
        if name not in secrets:
            call = Call(("secret", "set", name, "--env", environment, "--repo", repository), secret=name)
            yield Difference(f"the environment {environment} has no secret {name}", purpose, (call,))
        for other in sorted({TRAINING_KEY[0], SECOND_KEY[0]} & secrets - {name}):
            yield Difference(
                f"the environment {environment} has the secret {other} of the other environment",
                "training and production must have different keys",
                (Call(("secret", "delete", other, "--env", environment, "--repo", repository)),),
            )
        yield from check_notifications(api, repository, environment, secrets, variables)
    ours = {DATA_TOKEN, *TELLS, TRAINING_KEY[0], SECOND_KEY[0]}
    repository_wide = [row["name"] for row in read_list(f"{api}/actions/secrets", "secrets")]
    for name in repository_wide:
        if name in ours:
            yield Difference(
                f"the repository has the secret {name} for every job",
                "it belongs only in its environment",
                (Call(("secret", "delete", name, "--repo", repository)),),
            )
    if others := format_names(repository_wide, ours):
        yield Difference(
            f"the repository has secrets for every job: {others}",
            INHERITED,
            by_hand="put each one into an environment that its job uses",
        )
    organization_wide = [row["name"] for row in read_list(f"{api}/actions/organization-secrets", "secrets")]
    if others := format_names(organization_wide, set()):
        yield Difference(
            f"the organization has secrets for every job of this repository: {others}",
            INHERITED,
            by_hand="remove this repository from each secret's list, in the settings of the organization",
        )


def check_notifications(
    api: str, repository: str, environment: str, secrets: set[str], variables: Variables
) -> Iterator[Difference]:
    """Return what an environment lacks to send the messages that are set up, or has without needing it."""
    if environment == "training":
        for name in sorted(TELLS & secrets):
            yield Difference(
                f"the environment training has the secret {name}",
                "only promote sends messages, and this environment runs a pull request's code",
                (Call(("secret", "delete", name, "--env", environment, "--repo", repository)),),
            )
        return
    if not TELLS & secrets and not variables.get(DISPATCH_REPOSITORY):
        return  # no messages are set up
    own = read_values(f"{api}/environments/{environment}/variables")
    known = {name: own.get(name) or variables.get(name) or "" for name in (TEMPLATE, DISPATCH_REPOSITORY)}
    lacking = set()
    if WEBHOOK_URL in secrets and not known[TEMPLATE]:
        lacking.add(
            (WEBHOOK_SECRET, f"without this key, `whsec_` and base64, the webhook gets no message; or set {TEMPLATE}")
        )
    if "/" in known[DISPATCH_REPOSITORY] and known[DISPATCH_REPOSITORY] != repository:
        lacking.add((DISPATCH_TOKEN, f"the workflow's own token cannot start anything in {known[DISPATCH_REPOSITORY]}"))
    for name, reason in sorted(lacking):
        if name not in secrets:
            call = Call(("secret", "set", name, "--env", environment, "--repo", repository), secret=name)
            yield Difference(f"the environment {environment} has no secret {name}", reason, (call,))


def format_names(names: list[str], ours: set[str]) -> str:
    """Format the names of other secrets, at most MAX_SHOWN of them."""
    others = [name for name in names if name not in ours]
    more = f" and {len(others) - MAX_SHOWN} more" if len(others) > MAX_SHOWN else ""
    return ", ".join(others[:MAX_SHOWN]) + more
