"""
Every release of the SDK against this server: its documents against the schema, and the calls of the walkthrough.

    .venv/bin/python -m tests.server.conformance.releases            each minor release from 0.19 on, in its last patch
    .venv/bin/python -m tests.server.conformance.releases 0.32.0     only this one

The wheels come from the package index into `build/sdk/`; the first time takes a quarter of an hour. The findings go to
`tests/server/conformance/releases/`, which the tests read, and to docs/reference/protocol.md. Exits 0 if every
document is known, or refused for a reason that REFUSED gives, and the walkthrough passes; 1 if not, 2 for wrong use.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from tests.server.conformance import environment
from tests.server.conformance.documents import Document, documents
from tests.serving import ROOT, serving

HERE = Path(__file__).parent
DOCUMENTS = HERE / "releases" / "documents.jsonl"
WALKTHROUGHS = HERE / "releases" / "walkthroughs.json"
WALKTHROUGH = HERE / "walkthrough.py"
FIRST = (0, 19)
PASSED = "passed"
WALKTHROUGH_S = 300

LAUNCH = "launch is not here"
AUTOMATIONS = "automations and integrations are not here"
ACCOUNTS = "`modelgate-server admin` makes users and keys"
XXHASH = "all digests are MD5; the feature is off here"
UNCALLED = "no function of the SDK's public API leads to it"
REFUSED = {
    **dict.fromkeys(("ackRunQueueItem", "createDefaultResourceConfig", "CreateDefaultResourceConfig"), LAUNCH),
    **dict.fromkeys(("createLaunchAgent", "createRunQueue", "CreateRunQueue", "DeleteFromRunQueue"), LAUNCH),
    **dict.fromkeys(("DeleteRunQueue", "failRunQueueItem", "fetchRunQueuesFromProject", "RunInfo"), LAUNCH),
    **dict.fromkeys(("GetDefaultResourceConfig", "GetRunQueueItem", "GetRunQueueItems"), LAUNCH),
    **dict.fromkeys(("GetRunQueueMetadata", "LaunchAgent", "popFromRunQueue", "ProjectRunQueues"), LAUNCH),
    **dict.fromkeys(("pushToRunQueue", "pushToRunQueueByName", "updateLaunchAgent"), LAUNCH),
    **dict.fromkeys(("updateRunQueueItemWarning", "upsertRunQueue", "UpsertRunQueue"), LAUNCH),
    **dict.fromkeys(("CreateAutomation", "DeleteAutomation", "UpdateAutomation", "GetAutomations"), AUTOMATIONS),
    **dict.fromkeys(("GetAutomationsByEntity", "GetAutomationsLegacy", "GetEntityAutomations"), AUTOMATIONS),
    **dict.fromkeys(("GetEntityAutomationsLegacy", "GetOrgAutomations", "IntegrationsByEntity"), AUTOMATIONS),
    **dict.fromkeys(("CreateGenericWebhookIntegration", "GenericWebhookIntegrationsByEntity"), AUTOMATIONS),
    "SlackIntegrationsByEntity": AUTOMATIONS,
    **dict.fromkeys(("CreateServiceAccount", "CreateUserFromAdmin", "DeleteApiKey", "GenerateApiKey"), ACCOUNTS),
    "CreateAnonymousApiKey": "there are no anonymous users",
    **dict.fromkeys(("FetchArtifactDigestAlgorithm", "XXHashDigestsEnabled"), XXHASH),
    **dict.fromkeys(("CreateArtifactType", "ProjectDetails", "ProjectRuns"), UNCALLED),
    "RunUploadUrls": "sent only to servers without `createRunFiles`",
    "ArtifactFileURLsByManifestEntries": UNCALLED,
    "CompleteMultipartUploadArtifact": "a file comes in one PUT",
    "CreateCustomChart": "custom charts are not here",
    "ProjectViews": "reports are not here",
    "EnqueueSweepRun": "the local scheduler of sweeps, whose feature is off here",
    "SweepConfig": "the local scheduler of sweeps, whose feature is off here",
    "GetAgentRuns": "which runs an agent made is not kept",
}

# What the walkthrough sees, with the SDK of any release.
SEEN = {
    "labels": [0, 1, 2],
    "weights": "weights",
    "aliases": ["latest", "production"],
    "source": "mnist-model:v0",
    "used": ["mnist-data:v0"],
    "logged": ["mnist-model:v0"],
    "users": 1,
    "losses": [1, 1 / 2, 1 / 3],
    "rows": [1, 1 / 2, 1 / 3],
    "state": "finished",
    "summary": True,
    "files": ["model.keras"],
    "description": "the first",
    "collection": ["mnist"],
    "uploaded": ["model.keras"],
    "runs": 3,
    "types": ["dataset", "model", "run_table"],
    "left": False,
}


# --- what is kept ---------------------------------------------------------------------------------------------------


# The documents are the SDK's, under the MIT license that is next to them.


def minor(version: str) -> tuple[int, int]:
    first, second, *_ = version.split(".")
    return int(first), int(second)


@cache
def stored() -> dict[str, list[Document]]:
    """The documents of each release, oldest first."""
    found: dict[str, list[Document]] = {version: [] for version in sorted(walkthroughs(), key=minor)}
    for line in DOCUMENTS.read_text(encoding="utf-8").splitlines() if DOCUMENTS.exists() else ():
        kept = json.loads(line)
        for version in kept.pop("releases"):
            found[version].append(Document(**kept))
    return found


def walkthroughs() -> dict[str, str]:
    """Of each release, whether its walkthrough passed, or what came of it."""
    found: dict[str, str] = json.loads(WALKTHROUGHS.read_text(encoding="utf-8")) if WALKTHROUGHS.exists() else {}
    return found


def keep(version: str, documents: list[Document], walked: str) -> None:
    """Replace the stored release of a minor version."""
    outcomes = {other: text for other, text in walkthroughs().items() if minor(other) != minor(version)}
    every = {other: kept for other, kept in stored().items() if other in outcomes} | {version: documents}
    stored.cache_clear()
    releases: dict[Document, list[str]] = {}
    for other in sorted(every, key=minor):
        for one in every[other]:
            releases.setdefault(one, []).append(other)
    lines = [json.dumps(asdict(one) | {"releases": releases[one]}) for one in sorted(releases, key=Document.order)]
    DOCUMENTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ordered = {other: (outcomes | {version: walked})[other] for other in sorted(every, key=minor)}
    WALKTHROUGHS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


# --- where it comes from --------------------------------------------------------------------------------------------


def last_patches() -> list[str]:
    """The last patch of each minor release on the package index, newest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", "wandb"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    versions = re.findall(r"\b\d+\.\d+\.\d+\b", listed.partition("Available versions:")[2].partition("\n")[0])
    found: dict[tuple[int, int], str] = {}
    for version in versions:  # newest first
        if minor(version) >= FIRST:
            found.setdefault(minor(version), version)
    return list(found.values())


def unpacked(version: str) -> Path:
    """The package folder `wandb` of a release."""
    folder = environment.BUILD / "wheels" / version
    if not (folder / "wandb").is_dir():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), f"wandb=={version}"]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
        with tempfile.TemporaryDirectory(dir=folder) as part:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(part)
            Path(part, "wandb").rename(folder / "wandb")
        wheel.unlink()
    return folder / "wandb"


def walk(version: str, folder: Path) -> str:
    """PASSED when a client of this release saw what it should, on a server of its own; else what came of it."""
    packages = [f"wandb=={version}", "numpy", "pillow"]
    python = environment.python(f"wandb-{version}-alone", packages, with_dependencies=True)
    with serving(folder / "server") as server:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        client = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key, "WANDB_ERROR_REPORTING": "false"}
        done = subprocess.run(
            [python, WALKTHROUGH],
            cwd=folder,
            env=kept | client | {"HOME": str(folder), "WANDB_X_SERVICE_WAIT": "120"},
            capture_output=True,
            text=True,
            timeout=WALKTHROUGH_S,
        )
        refused = [line for line in server.log.read_text().splitlines() if "refused" in line]
    if done.returncode or refused:
        return "; ".join(refused) or done.stderr.strip().rpartition("\n")[2]
    return _difference(json.loads(done.stdout.rpartition("SAW ")[2]), SEEN | {"sdk": version})


def _difference(seen: dict[str, Any], expected: dict[str, Any]) -> str:
    wrong = [f"{name} was {seen.get(name)!r}" for name, value in expected.items() if seen.get(name) != value]
    return "; ".join(wrong) or PASSED


# --- what is said of it ---------------------------------------------------------------------------------------------


def unexplained(documents: Iterable[Document]) -> list[str]:
    """Documents that the server would refuse, and no one says why."""
    return [f"{one.name}: {one.refusal}" for one in documents if one.refusal and one.name not in REFUSED]


def table() -> list[str]:
    """The part of docs/reference/protocol.md about releases."""
    every = stored()
    lines = ["| release | documents | known | refused | walkthrough |", "|---|---|---|---|---|"]
    for version, found in reversed(every.items()):
        refused = sum(bool(one.refusal) for one in found)
        lines.append(f"| {version} | {len(found)} | {len(found) - refused} | {refused} | {walkthroughs()[version]} |")
    lines += ["", "### Refused documents", "", "| document | releases | why |", "|---|---|---|"]
    names: dict[str, list[str]] = {}
    for version, found in every.items():
        for one in found:
            if one.refusal and version not in names.setdefault(one.name, []):
                names[one.name].append(version)
    for name in sorted(names, key=str.lower):
        lines.append(f"| `{name}` | {_span(names[name], list(every))} | {REFUSED.get(name, 'unexplained')} |")
    return lines


def _span(some: list[str], every: list[str]) -> str:
    """`0.19 to 0.29`, or each where one is left out."""
    short = [".".join(map(str, minor(version))) for version in some]
    first, last = every.index(some[0]), every.index(some[-1])
    if some != every[first : last + 1]:
        return ", ".join(short)
    return "all" if some == every else short[0] if len(some) == 1 else f"{short[0]} to {short[-1]}"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.server.conformance.releases",
        description="Hold releases of the SDK against this server, and write docs/reference/protocol.md.",
        allow_abbrev=False,
    )
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="a release (default: the last of each minor)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    wrong = False
    for version in parse_args(argv).versions or last_patches():
        found = documents(unpacked(version))
        with tempfile.TemporaryDirectory() as folder:
            walked = walk(version, Path(folder))
        keep(version, found, walked)
        refused = [one for one in found if one.refusal]
        print(f"wandb {version}: {len(found)} documents, {len(refused)} refused; walkthrough: {walked}", flush=True)
        for line in unexplained(found):
            print(f"  {line}", flush=True)
        wrong |= bool(unexplained(found)) or walked != PASSED
    from tests.server.conformance import protocol  # not at the top: its page has our table

    protocol.PATH.write_text(protocol.page(), encoding="utf-8")
    print(f"{protocol.PATH.relative_to(ROOT)} says it in full")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
