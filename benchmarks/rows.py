"""Measure a table of a million rows in build, train, link and evaluate: the seconds and the memory of each step."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import serving
from benchmarks.project import Project
from benchmarks.report import Line, Report, expect_at_most, format_values, get_column
from benchmarks.timing import Failed

ROWS, EVAL_ROWS = 800_000, 200_000
LIMIT_GIB = 4.0
STEPS = ("build", "train", "link", "evaluate")
# Instead of the template's `load`: twenty columns, one of them a category, some values missing.
LOAD = """
CLASSES = ("no", "yes")
COLUMNS = [f"n{number}" for number in range(19)]
SCHEMA = pa.DataFrameSchema(
    {name: pa.Column(float, pa.Check.in_range(-100, 100), nullable=name == "n0") for name in COLUMNS}
    | {"kind": pa.Column(str, pa.Check.isin(list("abcd")))}
)


def source() -> Source:
    return Source("random numbers", "0" * 64)


def load(rows: int, eval_rows: int) -> Dataset:
    chance = np.random.default_rng(0)
    table = pd.DataFrame(chance.normal(size=(rows + eval_rows, len(COLUMNS))), columns=COLUMNS)
    target = (table["n0"] + table["n1"] + 0.2 * chance.normal(size=len(table)) > 0).to_numpy().astype(np.int64)
    table.loc[::100, "n0"] = np.nan
    table["kind"] = np.array(list("abcd"))[chance.integers(0, 4, len(table))]
    return Dataset(table[:rows], target[:rows], table[rows:], target[rows:])
"""


def sample(project: Project, rows: int = ROWS, eval_rows: int = EVAL_ROWS) -> dict[str, Any]:
    """
    Return the seconds and the peak GiB of each step with its children. project: a copy in which nothing has run yet.
    """
    _write_use_case(project.root)
    results: dict[str, Any] = {"rows": rows + eval_rows}
    with tempfile.TemporaryDirectory() as name, serving.serve_ours(Path(name)) as server:
        env = serving.build_client_environment(server, Path(name) / "client")
        answers: dict[str, Any] = {}
        for step in STEPS:
            flags = {
                "build": ["--rows", str(rows), "--eval-rows", str(eval_rows)],
                "train": ["--dataset", answers.get("dataset", "")],
                "link": ["--model", answers.get("model", "")],
                "evaluate": ["--version", answers.get("version", ""), "--dataset", answers.get("dataset", "")],
            }[step]
            command = [sys.executable, "-m", f"steps.{step}", "--use-case", "million", *flags]
            began = time.perf_counter()
            answer, results[f"{step}_gib"] = _measure(command, env, project.root)
            results[step] = time.perf_counter() - began
            answers |= answer
    return results


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    lines = []
    for step in STEPS:
        lines.append(expect_at_most(f"{step}, memory", get_column(samples, f"{step}_gib"), LIMIT_GIB, "GiB", 2))
        lines.append(Line(f"{step}, time", format_values(get_column(samples, step))))
    return Report(f"A table of {samples[0]['rows']:,} rows and 20 columns, step by step", lines)


def _write_use_case(root: Path) -> None:
    command = [sys.executable, "-m", "modelgate", "new", "million", "--task", "tabular-classification"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    folder = root / "usecases" / "million"
    data, model = folder / "data.py", folder / "model.py"
    imports = data.read_text(encoding="utf-8").partition("\nCLASSES")[0]
    data.write_text(f"{imports}\n{LOAD}", encoding="utf-8")
    numbers = 'make_column_transformer((SimpleImputer(), [f"n{number}" for number in range(19)]))'
    text = model.read_text(encoding="utf-8").replace('SimpleImputer(strategy="median")', numbers)
    extra = "    from sklearn.compose import make_column_transformer\n    from sklearn.impute"
    model.write_text(text.replace("    from sklearn.impute", extra), encoding="utf-8")


def _measure(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> tuple[dict[str, Any], float]:
    """Return a step's result and the peak GiB of it and its children; raise Failed if it fails."""
    process = subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], _read_resident_gib(process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        answer, stderr = process.communicate()
    finally:
        done.set()
        watching.join()
    if process.returncode:
        log = "\n".join(stderr.splitlines()[-12:])
        raise Failed(f"`{' '.join(command)}` ended with exit code {process.returncode}\n{log}")
    return json.loads(answer), peak[0]


def _read_resident_gib(pid: int) -> float:
    """Return the resident GiB of a process and its children together."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * 4096 / 2**30 + sum(_read_resident_gib(int(child)) for child in children)
