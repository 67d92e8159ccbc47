"""
Talk to W&B: check that it answers, read what it holds, and start a run to write with.

The address and key come from W&B's own variables (WANDB_BASE_URL, WANDB_API_KEY, WANDB_ENTITY, WANDB_PROJECT).
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import wandb
from wandb.errors import AuthenticationError, CommError, UsageError
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    from wandb import Artifact, Run

T = TypeVar("T")

PRODUCTION = "production"
_REGISTRY = "wandb-registry-"  # how the projects of W&B's registries begin
# How W&B says that a key lacks a right, if the status does not say it.
_REFUSALS = ("permission", "forbidden", "not authorized", "denied")
# On a busy machine, a server that died is started again within 20 s. wandb.init itself would wait 90 s for a missing
# host.
REACH_TIMEOUT_S = 20.0
SAY_AFTER_S = 3.0  # if nothing appears for longer, people think that it hangs


def connect() -> wandb.Api:
    """Return W&B's public API after its host has answered and accepted the key."""
    # The steps report what they do. W&B's own messages would repeat it in every step.
    base_url = wandb.setup(wandb.Settings(silent=True)).settings.base_url
    _require_host(base_url)
    try:
        api = wandb.Api()
        if api.default_entity is None:
            raise AuthenticationError("the key does not belong to anyone")
    except (AuthenticationError, UsageError) as error:
        raise StepError(
            "key_refused",
            f"{base_url} did not accept the API key: {_take_first_line(error)}",
            "set WANDB_API_KEY to a key for that host",
            WRONG_USE,
        ) from error
    return api


def _require_host(base_url: str) -> None:
    """Wait for the host: a server that is starting, or being started again, does not answer yet."""
    url = urlsplit(base_url)
    address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
    began = time.monotonic()
    is_logged = False
    while True:
        try:
            left = began + REACH_TIMEOUT_S - time.monotonic()
            socket.create_connection(address, timeout=max(0.1, left if is_logged else min(left, SAY_AFTER_S))).close()
            return
        except OSError as error:
            waited = time.monotonic() - began
            if not is_logged and SAY_AFTER_S <= waited < REACH_TIMEOUT_S:
                waiting = f"waiting for W&B at {base_url}, which does not answer yet (at most {REACH_TIMEOUT_S:.0f} s)"
                print(waiting, file=sys.stderr, flush=True)
                is_logged = True
            if waited < REACH_TIMEOUT_S:
                time.sleep(0.05)
                continue
            raise StepError(
                "wandb_unreachable",
                f"W&B at {base_url} is not reachable: {error}",
                "start the embedded server with `make serve`, or set WANDB_BASE_URL",
                UNREACHABLE,
            ) from error


def get_project(project: str) -> str:
    """Return the W&B project to work in: WANDB_PROJECT, or else the use case's own."""
    return os.environ.get("WANDB_PROJECT") or project


def get_entity(api: wandb.Api) -> str:
    """Return the W&B entity to work in: WANDB_ENTITY, or else the key's own."""
    return os.environ.get("WANDB_ENTITY") or str(api.default_entity)


def get_account(api: wandb.Api) -> str:
    """Return the W&B account of the key."""
    return str(api.viewer.username)


def get_run_account(run: Any) -> str | None:
    """Return the account that W&B shows as a run's own; None if it shows none, or if the run was deleted."""
    try:
        user = getattr(run, "user", None)
        return str(user.username) if user else None
    except (CommError, ValueError):
        return None


def has_project(api: wandb.Api, entity: str, project: str) -> bool:
    """Return whether the entity has this project and the key may see it."""
    try:
        return any(known.name == project for known in api.projects(entity))
    except (CommError, ValueError) as error:
        raise StepError(
            "wandb_failed",
            f"W&B could not list the projects of {entity}: {_take_first_line(error)}",
            "try again",
            UNREACHABLE,
        ) from error


def find_registry(api: wandb.Api, name: str) -> str | None:
    """
    Return a registry by its name, as `organization/wandb-registry-model`, in the organization of the entity. None if
    there is none.

    Any other name is a project of that entity, such as the older `model-registry`. Raise `wandb_failed`: see `_shown`.
    """
    if not name.startswith(_REGISTRY):
        return f"{get_entity(api)}/{name}"
    registry = _ask_registry(f"show the registry {name!r}", lambda: api.registry(name.removeprefix(_REGISTRY)))
    return f"{registry.entity}/{name}" if registry else None


def list_admins(api: wandb.Api, collection: str) -> frozenset[str]:
    """
    Return the accounts that W&B names as admins of a collection's registry; empty if it does not show them to this key.

    collection: `organization/registry/name`; the organization is optional. Raise `wandb_failed`: see `_shown`.
    """
    *organization, registry, _ = collection.split("/")
    name = registry.removeprefix(_REGISTRY)
    members = _ask_registry(
        f"show who is in the registry {registry!r}",
        lambda: api.registry(name, organization=next(iter(organization), None)).user_members(),
    )
    return frozenset(str(member.user.username) for member in members or () if member.role == "admin")


def _ask_registry(question: str, ask: Callable[[], T]) -> T | None:
    """
    Return what W&B shows of a registry; None if it shows nothing to this key.

    Raise StepError `wandb_failed` if W&B did not answer: this does not mean that there is no registry.
    """
    try:
        return ask()
    except RuntimeError as error:  # from the SDK, if W&B has no registries, or did not say in time whether it has
        raise _describe_failure(question, error) from error
    except (CommError, WandbApiFailedError, ValueError, AttributeError) as error:
        # The SDK wraps some of its own errors into a ValueError, and some not at all.
        failure = error.__cause__ if isinstance(error.__cause__, WandbApiFailedError) else error
        if isinstance(failure, WandbApiFailedError):
            failure = CommError(str(failure), failure)
        if isinstance(failure, CommError) and not (_is_absent(failure) or _is_refusal(failure)):
            raise _describe_failure(question, failure) from error
        return None


@contextmanager
def start_run(
    api: wandb.Api, job_type: str, project: str, use_case: str, config: Mapping[str, Any], run_id: str | None = None
) -> Iterator[Run]:
    """
    Open a W&B run, finished at the end of the block, and marked failed if the block raises.

    use_case: part of the config of every run, because a project can have several. run_id: None: any id.
    """
    entity = get_entity(api)
    config = {**config, "use_case": use_case}
    try:
        opened = wandb.init(entity=entity, project=project, job_type=job_type, config=config, id=run_id)
    except CommError as error:
        if "timed out" in str(error):
            raise _describe_failure(f"start a run in {entity}/{project}", error) from error
        raise StepError(
            "run_refused",
            f"W&B does not start a run in {entity}/{project}: {_take_first_line(error)}",
            "choose an entity and a project that the key may write to: WANDB_ENTITY, WANDB_PROJECT",
            WRONG_USE,
        ) from error
    try:
        yield opened
    except BaseException:
        opened.finish(exit_code=1)  # like the run's own `with`, but that first prints a traceback
        raise
    opened.finish()


def find(api: wandb.Api, name: str) -> Artifact | None:
    """Return the version that `entity/project/name:alias` names now, or None."""
    try:
        version: Artifact = api.artifact(name)
        return version
    except CommError as error:
        if _is_absent(error):
            return None
        raise _describe_failure(f"show {name!r}", error) from error


def find_production(api: wandb.Api, collection: str) -> Artifact | None:
    """Return the version of a registry's collection `entity/project/name` that is in production now, or None."""
    return find(api, f"{collection}:{PRODUCTION}")


def find_by_digest(api: wandb.Api, collection: str, kind: str, digest: str) -> Artifact | None:
    """
    Return the version of `entity/project/name` that has this digest, or None.

    A version that was deleted and made again has the same digest, but possibly another number.
    """
    return next((version for version in list_versions(api, kind, collection) if version.digest == digest), None)


def list_versions(api: wandb.Api, kind: str, collection: str) -> Iterator[Artifact]:
    """Return the versions of `entity/project/name`, newest first; none if it is gone, or now has another type."""
    if api.artifact_collection_exists(collection, kind):
        yield from api.artifact_collection(kind, collection).artifacts()


def get_page(version: Artifact) -> str:
    """Return where W&B shows a version; empty if it cannot say, because the type of its collection has changed."""
    try:
        return str(version.url)
    except (CommError, ValueError):
        return ""


def get(api: wandb.Api, reference: Reference, flag: str) -> Artifact:
    """Return the version that a flag names. An unknown one is wrong use."""
    if (artifact := find(api, str(reference))) is None:
        raise StepError(
            "version_not_found",
            f"{flag} {str(reference)!r} does not exist in W&B",
            "use the reference that the previous step printed",
            WRONG_USE,
        )
    return artifact


def log(run: Run, artifact: Artifact, aliases: list[str]) -> Artifact:
    """
    Log a version and wait until W&B has all of it.

    The aliases are part of the commit: there is no moment at which the version exists without them.
    The same content again is the same version.
    """
    try:
        return run.log_artifact(artifact, aliases=aliases).wait()
    except ValueError as error:  # a collection with this name has another type
        raise StepError(
            "collection_of_other_type",
            f"W&B does not accept a version of {artifact.name}: {_take_first_line(error)}",
            "find out who made that collection, and rename or delete it in W&B",
            WRONG_USE,
        ) from error


def link(run: Run, version: Artifact, target: str, alias: str) -> Artifact:
    """
    Link a version into `registry/collection`, with an alias.

    Raises StepError `link_refused` if there is no such registry, or this key may not link there.
    """
    try:
        linked = run.link_artifact(version, target, aliases=[alias])
    except (CommError, ValueError) as error:
        raise StepError(
            "link_refused",
            f"W&B does not link {Reference.pin(version)} into {target!r}: {_take_first_line(error)}",
            "create the registry in W&B, or choose one that this key may link into: --registry, --collection",
            WRONG_USE,
        ) from error
    if linked is None:
        raise RuntimeError("W&B did not link the model, and gave no error")
    return linked


def describe_version(key: str, version: Artifact, run_url: str | None = None) -> dict[str, Any]:
    """Return the answer of a step that makes a version; without a run, the version already existed."""
    return {key: str(Reference.pin(version)), "digest": version.digest, "reused": run_url is None, "run_url": run_url}


def add_aliases(version: Artifact, aliases: list[str]) -> None:
    """
    Add these aliases to the version, all of them in one request.

    Raise StepError `alias_refused` if W&B does not let this key do that: only admins set the aliases that a registry
    protects. Only trying shows which aliases are protected: the SDK cannot ask for them.
    """
    if not (wanted := [alias for alias in aliases if alias not in version.aliases]):
        return
    try:
        version.aliases.extend(wanted)
        version.save()
    except CommError as error:
        if _is_refusal(error):
            raise StepError(
                "alias_refused",
                f"this key may not set the alias {wanted[0]!r} on {Reference.pin(version)}: {_take_first_line(error)}",
                "set WANDB_API_KEY to the key of an admin of the registry, who may set its protected aliases",
            ) from error
        raise _describe_failure(f"set the alias {wanted[0]!r} on {Reference.pin(version)}", error) from error


def _is_absent(error: CommError) -> bool:
    """Return whether W&B says that there is no such thing, or for a registry's version, no such organization."""
    return any(phrase in str(error).lower() for phrase in ("not found", "unable to find"))


def _is_refusal(error: CommError) -> bool:
    """Return whether W&B itself refused, and so did nothing. After any other error, it may have done what it was
    asked.
    """
    response = getattr(error.exc, "response", None)  # of the SDK's WandbApiFailedError; None: there was no answer
    if response is None:
        return False
    # 0 if the SDK has no status: for an error that GraphQL returns with a 200, but also for an interrupted answer.
    if response.http_status in (0, 200):
        return any(word in str(error).lower() for word in _REFUSALS)
    return response.http_status in (401, 403)


def _describe_failure(question: str, error: Exception) -> StepError:
    message = f"W&B could not be asked to {question}: {_take_first_line(error)}"
    return StepError("wandb_failed", message, "try again", UNREACHABLE)


def _take_first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
