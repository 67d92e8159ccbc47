"""
W&B's own system tests against this project's server: what to run, what to leave out and why, what came of it.

The tests are someone's checkout of github.com/wandb/wandb. A copy of its `tests/` is made in a scratch folder, without
the SDK's source next to it, so that `import wandb` means the SDK that is installed.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

FOLDERS = ("test_artifacts", "test_registries", "test_core", "test_api")
HERE = Path(__file__).parent
# For one test; on a busy machine some need half of it.
TEST_TIMEOUT_S = 180
# For all tests of a folder. A test that takes longer hangs.
FOLDER_TIMEOUT_S = 3 * 3600

PYTEST_INI = f"""[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
timeout = {TEST_TIMEOUT_S}
filterwarnings =
    ignore::DeprecationWarning
markers =
    image_output
    multiclass
    wandb_args
    flaky
    skip_wandb_core(feature): x
    wandb_core_only: x
"""


@dataclass
class Outcome:
    """Of one test: in the run of its folder and, when it failed there, once more `alone`.

    `before`: what came of it in the run of its folder, where this is of a later run of a few tests by themselves.
    """

    test: str
    together: str
    cause: str = ""
    alone: str = ""
    before: str = ""

    @property
    def passes(self) -> bool:
        return "passed" in (self.together, self.alone)


@dataclass
class Result:
    """Of one SDK."""

    sdk: str
    date: str
    tests: str
    outcomes: list[Outcome]
    exclusions: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Result":
        kept = json.loads(path.read_text())
        return cls(**kept | {"outcomes": [Outcome(**one) for one in kept["outcomes"]]})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def select(self, folder: str) -> list[Outcome]:
        return [one for one in self.outcomes if one.test.startswith(f"{folder}/")]


def exclusions(path: Path) -> list[tuple[str, str]]:
    """(test, reason): a `#` line is the reason of the tests below it."""
    found, reason = [], ""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            reason = line.removeprefix("#").strip()
        elif line.strip():
            if not reason:
                raise ValueError(f"{path.name}: {line} is left out without a reason")
            found.append((line.strip(), reason))
    return found


def fingerprint(tests: Path) -> str:
    """Which tests these are: a hash over the files of the folders that are run."""
    digest = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((tests / "system_tests" / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(tests)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Suite:
    """W&B's tests, ready to be run in `scratch` by `python` against `server`."""

    python: Path
    scratch: Path
    server: str
    fixtures: str
    workers: int
    left_out: list[str]

    @classmethod
    def prepare(cls, tests: Path, scratch: Path, **others: object) -> "Suite":
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(tests, scratch / "tests", ignore=shutil.ignore_patterns("__pycache__", "unit_tests"))
        shutil.copy(HERE / "vendor_plugin.py", scratch)
        (scratch / "pytest.ini").write_text(PYTEST_INI)
        (scratch / "home").mkdir()
        return cls(scratch=scratch, **others)  # type: ignore[arg-type]

    def run(self, *chosen: str, name: str) -> list[Outcome]:
        """Every test of a folder together, or these tests, then each that failed once more alone."""
        found = self._pytest(list(chosen), name, workers=self.workers)
        for one in found:
            if one.together == "failed":
                again = self._pytest([one.test], f"{name}-alone", workers=0)
                one.alone = "failed" if any(other.together == "failed" for other in again) or not again else "passed"
        return found

    def _pytest(self, chosen: list[str], name: str, *, workers: int) -> list[Outcome]:
        results = self.scratch / f"{name}.jsonl"
        results.unlink(missing_ok=True)
        command = [str(self.python), "-m", "pytest", "-p", "vendor_plugin", "-q", "--tb=short", "-ra"]
        command += ["-n", str(workers)] if workers else []
        for test in self.left_out:
            command += ["--deselect" if "::" in test else "--ignore", f"tests/system_tests/{test}"]
        command += [f"tests/system_tests/{one}" for one in chosen]
        with (self.scratch / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                command,
                cwd=self.scratch,
                env=self._environment(results),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                process.wait(FOLDER_TIMEOUT_S)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # with the clients that a hanging test has started
                process.wait()
                raise
        return _outcomes(results)

    def _environment(self, results: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "CONFORMANCE_SERVER": self.server,
            "CONFORMANCE_FIXTURES": self.fixtures,
            "CONFORMANCE_RESULTS": str(results),
            "PYTHONPATH": str(self.scratch),
            "HOME": str(self.scratch / "home"),
            "WANDB_ERROR_REPORTING": "false",  # no crash reports to W&B from a test
            "CI": "true",
            "NO_PROXY": "*",
        }


def _outcomes(results: Path) -> list[Outcome]:
    """One for each test; the worst of its phases counts."""
    found: dict[str, Outcome] = {}
    for line in results.read_text().splitlines() if results.exists() else []:
        noted = json.loads(line)
        test = noted["test"].removeprefix("tests/system_tests/")
        before = found.get(test)
        if before is None or before.together == "passed" or noted["outcome"] == "failed":
            cause = "" if noted["outcome"] == "passed" else noted["cause"].removeprefix("Skipped: ").strip()
            found[test] = Outcome(test, noted["outcome"], cause.partition("\n")[0][:200])
    return list(found.values())


def today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
