"""
Define the pipeline as plain data: the steps, their order, and what each one passes to the next.

This module does not know how a step is executed: `run` gets an `Execute`. `processes.py` has the one that starts
`python -m steps.<name>`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runner.errors import StepFailed


class Step(NamedTuple):
    """One step. A name in `inputs` is both a flag of this step and an output of an earlier one."""

    name: str  # `python -m steps.<name>`
    purpose: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # the flags that you can set; passed on only if they are set
    reads_source: bool = False  # whether it reads rows from outside, through the use case's `data.py`
    tells: bool = False  # whether it sends messages about a promotion


BUILD = Step(
    "build",
    "check the rows and record them as a dataset",
    outputs=("dataset",),
    flags=("rows", "eval_rows", "no_cache"),
    reads_source=True,
)
TRAIN = Step(
    "train",
    "train the model on it",
    inputs=("dataset",),
    outputs=("model",),
    flags=("threads", "no_cache"),  # and the use case's hyperparameters: see `candidate`
)
LINK = Step(
    "link",
    "put the model into the registry as `candidate`",
    inputs=("model",),
    outputs=("version",),
    flags=("registry", "collection"),
)
EVALUATE = Step(
    "evaluate",
    "compare it with `production` and judge it",
    inputs=("version", "dataset"),
    outputs=("evidence",),
    flags=("collection", "policy", "commit", "no_cache"),
)
PROMOTE = Step(
    "promote",
    "move the alias `production` to it",
    inputs=("evidence",),
    flags=("evidence_sha256", "registry", "collection", "approver", "in_browser", "reason"),
    tells=True,
)

# Only reads; can run next to other commands.
AUDIT = Step("audit", "list what was promoted, and what is in production", flags=("on", "verify", "html", "deployed"))

# Reads a file of rows and writes the answers of the version in production.
PREDICT = Step(
    "predict",
    "answer a file of rows with the version in production",
    flags=("input", "output", "version", "unapproved"),
)

# Lists first; deletes only what was listed, after a person agrees.
PRUNE = Step("prune", "delete what nothing refers to any more", flags=("older_than", "delete"))


def list_candidate_steps(hyperparameters: Iterable[str]) -> tuple[Step, ...]:
    """Return the steps that make and judge a candidate. Each hyperparameter is a flag of train."""
    return BUILD, TRAIN._replace(flags=(*hyperparameters, *TRAIN.flags)), LINK, EVALUATE


# The version to go back to already exists; evaluate finds its dataset in the ledger.
ROLLBACK: tuple[Step, ...] = (EVALUATE._replace(inputs=("version",)),)

Flags = Mapping[str, str | int | float | bool | list[str]]


class Outcome(NamedTuple):
    """The result of a step that ended: its exit code and everything it wrote to standard output."""

    code: int
    stdout: str


class Finished(NamedTuple):
    """A step that did its work: its JSON result, and the seconds it took."""

    step: Step
    result: dict[str, Any]
    seconds: float


Execute = Callable[[Step, Sequence[str]], Outcome]


def build_flags(step: Step, use_case: str, values_by_name: Flags, outputs: Mapping[str, str]) -> list[str]:
    """
    Return the command line of a step: the use case, what earlier steps made, and the flags that were set.

    Every value is one word with its flag (`--reason=-x`), so that no value is mistaken for a flag. True is a bare flag,
    and a list repeats the flag for each of its values.
    """
    arguments = [f"--use-case={use_case}"]
    arguments += [f"--{name.replace('_', '-')}={outputs[name]}" for name in step.inputs]
    for name in step.flags:
        if name in values_by_name:
            flag = f"--{name.replace('_', '-')}"
            value = values_by_name[name]
            values = value if isinstance(value, list) else [value]
            arguments += [flag if word is True else f"{flag}={word}" for word in values]
    return arguments


def run(
    steps: Sequence[Step],
    use_case: str,
    flags: Flags,
    *,
    execute: Execute,
    clock: Callable[[], float],
    outputs: Mapping[str, str] | None = None,
) -> Iterator[Finished]:
    """
    Run steps in order and yield each one as it finishes. `outputs` has the inputs that none of these steps makes.

    Raise StepFailed at the first step that did not do its work. A verdict `fail` is work done: it is yielded.
    """
    available = dict(outputs or {})
    for step in steps:
        began = clock()
        outcome = execute(step, build_flags(step, use_case, flags, available))
        result = parse_result(step, outcome, reusable=step != steps[0] and not flags.get("no_cache"))
        yield Finished(step, result, clock() - began)
        available |= {name: result[name] for name in step.outputs if result[name] is not None}


def parse_result(step: Step, outcome: Outcome, *, reusable: bool = False) -> dict[str, Any]:
    """
    Return the JSON object that a step printed; raise StepFailed unless its exit code and its output say that it did its
    work. reusable: whether steps before it have finished, and the next run reuses them.
    """
    try:
        result = json.loads(outcome.stdout)
    except ValueError:
        result = None
    if not isinstance(result, dict):
        result = {}
    details = result.get("error")
    error = details if isinstance(details, dict) else None
    answered_no = outcome.code == 1 and result.get("verdict") == "fail"
    if (outcome.code != 0 and not answered_no) or details or not result:
        code = outcome.code if outcome.code in (1, 2, 3) else 1
        raise StepFailed(*_describe_error(step, outcome, reusable), code=code, error=error)
    if missing := [name for name in step.outputs if name not in result]:
        raise StepFailed(f"{step.name} ended without reporting its {missing[0]}", "this is a bug in the step", code=1)
    return result


def _describe_error(step: Step, outcome: Outcome, reusable: bool) -> tuple[str, str]:
    """Return message and hint for a step that ended early. The step itself has already reported what went wrong."""
    if outcome.code == 0:
        return f"{step.name} ended without its one JSON object on standard output", "this is a bug in the step"
    if outcome.code < 0:
        hint = "run the same command again" + (": it reuses the finished steps" if reusable else "")
        return f"{step.name} was ended by signal {-outcome.code}", hint
    # The same command helps only after the problem that the step named is fixed.
    hint = "the next run reuses the finished steps" if reusable else ""
    return f"{step.name} stopped with exit code {outcome.code}; see the error above", hint
