"""
Follow the alias: ask the registry what is in production, verify it, load it, warm it up, and let it answer.

A version that fails verification is not loaded: the previous one continues to answer, and `problem` says why. The same
happens while W&B does not answer. A request keeps the version that it began with.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modelgate import answering, frameworks, incoming
from modelgate.answering import Model
from modelgate.config import Config
from modelgate.errors import StepError
from modelgate.promotion import deployed, ledger
from modelgate.tracking import client
from modelgate.tracking.references import Reference
from serving import tensors
from serving.cache import CachedModel, Folder
from serving.interface import Interface
from serving.telemetry import Metrics, log

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

LONGEST_WAIT_S = 20.0  # between two tries while there is a problem; short enough to follow within 30 s


@dataclass(frozen=True)
class Running:
    """
    A version that answers. description: what each answer says about it. from_disk: it was verified before this process
    began, and W&B has not been asked since then.
    """

    description: dict[str, Any]
    collection: str
    model: Model
    verified_at: str
    from_disk: bool

    @property
    def name(self) -> str:
        """Return its number in the registry, such as `v3`: the protocol's `model_version`."""
        return str(self.description["version"]).rpartition(":")[2]

    def is_still(self, holder: Artifact | None) -> bool:
        """Return whether the version in production is this one, and still has its seal."""
        seal = ledger.seal(self.description["ledger_entry"], self.description["ledger_sha256"])
        same_version = holder is not None and str(Reference.pin(holder)) == self.description["version"]
        return same_version and holder.digest == self.description["digest"] and seal in holder.aliases  # type: ignore[union-attr]


class Follower:
    """
    Keeps `running` at the version in production. Start and stop it with the service.

    poll_s: seconds between two checks. connect: returns W&B's API.
    """

    def __init__(
        self,
        settings: Config,
        collection: str,
        data: ModuleType,
        folder: Path,
        metrics: Metrics,
        poll_s: float,
        connect: Callable[[], wandb.Api] = client.connect,
    ) -> None:
        self.running: Running | None = None
        self.problem: StepError | None = None
        self.expected = incoming.read_expected(settings.task, data)
        self.interface = Interface(settings.task, data)
        self._settings, self._collection, self._data = settings, collection, data
        self._kept, self._metrics, self._poll_s, self._connect = Folder(folder, settings.name), metrics, poll_s, connect
        self._api: wandb.Api | None = None
        self._format: ModuleType | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop it, without waiting for an answer from W&B."""
        self._ended.set()
        self._thread.join(timeout=1)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        self._try(self._load_copy)
        wait_s = self._poll_s
        while not self._ended.is_set():
            self._try(self._ask)
            # While there is a problem, each try reads the whole ledger, and maybe a model: try once soon, then less
            # often.
            wait_s = min(2 * wait_s, max(LONGEST_WAIT_S, self._poll_s)) if self.problem else self._poll_s
            self._ended.wait(wait_s)

    def _try(self, action: Callable[[], None]) -> None:
        """Do it. An error becomes the reported problem, and never stops the service."""
        try:
            action()
        except StepError as error:
            self._has_problem(error)
        except Exception as error:  # from the SDK or a framework: it is logged with its traceback, and tried again
            log("failed", level=logging.ERROR, error=error)
            self._api = None
            self._has_problem(StepError("failed", f"{type(error).__name__}: {error}", "see the log of the service"))

    def _has_problem(self, error: StepError | None) -> None:
        before = self.problem
        if error and (before is None or (before.name, str(before)) != (error.name, str(error))):
            log("problem", level=logging.WARNING, name=error.name, message=str(error), hint=error.hint)
        if before and not error:
            log("problem solved", name=before.name)
        self.problem = error
        self._metrics.has_problem(error.name if error else None)

    def _load_copy(self) -> None:
        if cached := self._kept.read():
            self._answer_with(cached, from_disk=True)

    def _ask(self) -> None:
        self._api = self._api or self._connect()
        running = self.running
        if (
            running
            and not running.from_disk
            and running.is_still(client.find_production(self._api, running.collection))
        ):
            self._metrics.asked.set(time.time())
            self._has_problem(None)
            return
        project = client.get_project(self._settings.project)
        ledgers = ledger.find_names(self._api, client.get_entity(self._api), project, self._settings.name)
        entries = ledger.read(self._api, *ledgers, registry=self._settings.registry)
        self._metrics.asked.set(time.time())
        collection = deployed.find_collection(self._api, self._settings.registry, self._collection)
        file = frameworks.MODEL_FILES[self._settings.framework]
        with self._kept.create_staging() as staging:
            version = deployed.verify(self._api, entries, collection, file, Path(staging))
            cached = self._kept.keep(version, collection)
        self._answer_with(cached, from_disk=False)
        self._has_problem(None)

    def _answer_with(self, cached: CachedModel, *, from_disk: bool) -> None:
        """Load a verified version, let it answer once, and then let it answer all requests."""
        before = self.running
        if before and before.description == cached.description:
            model = before.model
        else:
            began = time.monotonic()
            model = self._load(cached)
            log("loaded", seconds=round(time.monotonic() - began, 3), from_disk=from_disk, **cached.description)
        self.running = Running(cached.description, cached.collection, model, cached.verified_at, from_disk)
        self._metrics.set_running(cached.description)
        if before and before.description["version"] != cached.description["version"]:
            self._metrics.swaps.inc()
            log("swapped", before=before.description["version"], now=cached.description["version"])

    def _load(self, cached: CachedModel) -> Model:
        if self._format is None:
            self._format = frameworks.load_format(self._settings.framework)
            self._format.start(seed=0, threads=1)  # as evaluate did
        model = answering.load(self._settings, cached.model, self._data, cached.description["version"])
        model.require_schema(self._data)
        example = {item["name"]: tensors.read(item) for item in self.interface.build_example()["inputs"]}
        model.answer(self.interface.read_rows(example))
        return model
