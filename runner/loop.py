"""
What the runner does when it is asked to run, to approve or to roll back: the plan, the steps, the report, the
question, the promotion, the summary.

What waits for an approval is kept in `.modelgate/state.json` before anybody is asked, so that the answer may come
later, from another invocation, even after this one was killed.
"""

from __future__ import annotations

import itertools
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from modelgate.config import Config
from runner import approval, environment, images, pipeline, places, processes, progress
from runner.errors import Interrupted, StepFailed, WrongUse
from runner.folder import Folder
from runner.order import Order
from runner.pipeline import Finished, Outcome, Step
from runner.places import Executor, Ready
from runner.progress import say
from runner.use_case import chosen, stand_in

LATER = "make approve APPROVE=NAME   (or: python -m runner approve --approver NAME)"
# What a step can read: its room, what that imports, and the modules at the root, which Python would import first.
READ_BY_STEPS = ("modelgate", "steps", "usecases", "docker", ":(glob)*.py")
SOURCE_UNAVAILABLE = "source_unavailable"  # build's word for rows that it cannot read
WRONG_KEY = "alias_refused"  # promote's word for a key that may not move the alias; the evidence still holds


# --- what can be asked for -------------------------------------------------------------------------------------------


def plan(order: Order) -> int:
    """Print what `run` would do, and stop there."""
    settings = chosen(order.use_case)
    _greet(order)
    _print_plan(order, pipeline.candidate(settings.train), settings, {})
    return 0


def run(order: Order) -> int:
    """Build, train, link and evaluate; then the approval and promote. Returns the exit code."""
    settings = chosen(order.use_case)
    with order.folder.locked("run"):
        _greet(order)
        _print_plan(order, pipeline.candidate(settings.train), settings, {})
        _consent(order, settings)
        order = order._replace(given=dict(order.given) | _commit(order))
        try:
            return _candidate(order, settings)
        except StepFailed as failure:
            other = _stand_in(order, settings, failure)
            if other is None:
                raise
        return _candidate(order, other)


def _candidate(order: Order, settings: Config) -> int:
    """Make and judge a candidate of this use case; then the approval and promote."""
    with places.opened(order, settings) as ready:
        execute = ready()
        done = _run(order, pipeline.candidate(settings.train), settings.name, execute)
        return _conclude(order, settings.name, done, execute)


def _stand_in(order: Order, settings: Config, failure: StepFailed) -> Config | None:
    """The use case to go on with, after saying so. An approval in advance is of the use case that was planned."""
    if order.use_case or failure.error.get("name") != SOURCE_UNAVAILABLE:
        return None
    other = stand_in(settings, order.given)
    if other is None:
        return None
    say(f"\n{settings.name} is not available here: {failure.error.get('message', '')}")
    say(f"To use it: {failure.error.get('hint', '')}")
    if order.approver:
        say(f"{order.approver} approved {settings.name} in advance, so {other.name} does not take its place.")
        say(f"To run that one: make run USE_CASE={other.name}")
        return None
    say(f"You named no use case, so this run goes on with {other.name}.")
    return other


def rollback(order: Order, *, version: str, reason: str) -> int:
    """Evaluate an earlier version under the policy `rollback`; then the approval and promote."""
    settings = chosen(order.use_case or _last_use_case(order.folder))
    outputs = {"version": version}
    order = order._replace(given={"policy": "rollback"})
    with order.folder.locked("rollback"):
        _greet(order)
        _print_plan(order, pipeline.ROLLBACK, settings, outputs)
        _consent(order, settings)
        with places.opened(order, settings) as ready:
            order = order._replace(given=dict(order.given) | _commit(order))
            execute = ready()
            done = _run(order, pipeline.ROLLBACK, settings.name, execute, outputs)
            return _conclude(order, settings.name, done, execute, reason)


def approve(order: Order) -> int:
    """Promote what waits for an approval, if a person says yes."""
    with order.folder.locked("approve"):
        pending = order.folder.state().get("pending")
        if pending is None:
            return _nothing_waits(order.folder)
        order = order._replace(own=pending["host"] is not None)
        if order.host != pending["host"]:
            raise WrongUse(
                f"what waits was evaluated at {pending['host']}, and WANDB_BASE_URL names {order.host}",
                "set WANDB_BASE_URL as it was for the run",
            )
        with places.opened(order, chosen(pending["use_case"])) as ready:
            progress.report(pending["report"])
            return _ask_and_promote(order, pending, ready, [])


# --- the steps -------------------------------------------------------------------------------------------------------


def _run(
    order: Order, steps: Sequence[Step], use_case: str, execute: Executor, outputs: Mapping[str, str] | None = None
) -> list[Finished]:
    """Run the steps, saying so; how far they came goes into the state."""
    numbers = itertools.count(1)

    def announced(step: Step, flags: Sequence[str]) -> Outcome:
        say(f"\n[{next(numbers)}/{len(steps)}] {step.name}: {step.purpose}\n  + {execute.command(step, flags)}")
        return execute(step, flags)

    last = {"use_case": use_case, "started": _now(), "reached": None}
    order.folder.remember(run=last)
    done = []
    for one in pipeline.run(steps, use_case, order.given, execute=announced, clock=time.monotonic, outputs=outputs):
        progress.finished(one)
        done.append(one)
        order.folder.remember(run=last | {"reached": one.step.name})
    return done


def _commit(order: Order) -> dict[str, str]:
    """
    The commit of this code as evaluate's flag; nothing outside of git.

    `-dirty` if a tracked file differs, or if git does not track a file that a step could read, ignored or not.
    """
    commit = _git(order, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    if not commit:
        return {}
    untracked = _git(order, "ls-files", "--others", "-z", "--", *READ_BY_STEPS) or ""
    read = [name for name in untracked.split("\0") if name and "__pycache__" not in name.split("/")]
    return {"commit": f"{commit}-dirty" if read and not commit.endswith("-dirty") else commit}


def _git(order: Order, *words: str) -> str | None:
    """What git answers; None if it does not."""
    try:
        answer = subprocess.run(
            ["git", *words],
            cwd=order.root,
            env=environment.basis(order.environ),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


# --- the conclusion --------------------------------------------------------------------------------------------------


def _conclude(order: Order, use_case: str, done: list[Finished], execute: Executor, reason: str = "") -> int:
    """What follows from the verdict: nothing, a no, or the question."""
    evaluated = done[-1].result
    version, production = evaluated["version"], evaluated.get("production")
    # One change of the state: no kill can leave a verdict `pass` without the question that follows from it.
    changes: dict[str, Any] = {"pending": None}
    changes["run"] = order.folder.state()["run"] | {"verdict": evaluated["verdict"]}
    if production:
        changes |= _in_production(order.folder, use_case, production)
    if evaluated["verdict"] == "unchanged":
        order.folder.remember(**changes)
        progress.summary(done)
        say(f"\n{evaluated['headline']} ({_short(version)}). There is nothing to approve.")
        return 0
    report = (order.folder.out / done[-1].step.name / "report.md").read_text()
    say()
    progress.report(report)
    if evaluated["verdict"] == "fail":
        order.folder.remember(**changes)
        progress.summary(done)
        say(f"\n{evaluated['headline']}")
        say(f"{_short(version)} may not go to production, which stays as it is. Refused by:")
        for why in evaluated.get("reasons", []):
            say(f"  - {why}")
        return 1
    pending = {
        "use_case": use_case,
        "headline": evaluated["headline"],
        "evidence": evaluated["evidence"],
        "version": version,
        "production": production,
        "page": next((one.result["url"] for one in reversed(done) if one.result.get("url")), None),
        "reason": reason,
        "host": order.host,
        "report": report,
    }
    order.folder.remember(**changes | {"pending": pending})
    return _ask_and_promote(order, pending, lambda: execute, done)


def _ask_and_promote(order: Order, pending: Mapping[str, Any], ready: Ready, done: list[Finished]) -> int:
    """Get the answer; on yes, promote. `done` are the steps so far, for the summary."""
    if pending["page"]:
        say(f"\n{_short(pending['version'])} at {pending['page']}")
    now = _short(pending["production"]) if pending["production"] else "nothing yet"
    headline = pending.get("headline", "pass")  # what an older version left open has none
    question = f"{headline}\nmove `production` from {now} to {_short(pending['version'])}?"
    name = order.approver
    if name is None and approval.on_terminal():
        execute = ready()  # the page must open while the person thinks
        try:
            name = approval.ask(f"\n{question}", order.stop)
        except Interrupted:
            raise Interrupted(f"nothing was promoted; approve later: {LATER}") from None
        if name is None:
            progress.summary(done)
            say(f"\nNot approved: production stays as it is. To approve it after all: {LATER}")
            return 1
    elif name is None:
        progress.summary(done)
        say(f"\n{headline}")
        say(f"{_short(pending['version'])} waits for an approval. production stays as it is until then:")
        say(f"  {LATER}")
        return 0
    else:
        execute = ready()
    return _promote(order, pending, name, execute, done)


def _promote(order: Order, pending: Mapping[str, Any], name: str, execute: Executor, done: list[Finished]) -> int:
    """Run promote with the pending evidence; run again after a kill, it finishes or changes nothing."""
    say(f"\napproved by {name}")
    use_case = pending["use_case"]
    given: dict[str, str] = {"approver": name} | ({"reason": pending["reason"]} if pending["reason"] else {})
    promote = order._replace(given=given)
    try:
        promoted = _promotion(promote, use_case, execute, pending["evidence"])
    except StepFailed as failure:
        if failure.code == 1 and failure.error and failure.error.get("name") != WRONG_KEY:
            order.folder.remember(pending=None)  # refused for good: this evidence no longer holds
        raise
    approver = promoted.result["approver"]  # of the entry: another person's, if this finished what was cut off
    order.folder.remember(
        pending=None, **_in_production(order.folder, use_case, promoted.result["version"], approver=approver)
    )
    progress.summary([*done, promoted])
    say(f"\nproduction of {use_case} is {_short(promoted.result['version'])}, approved by {approver}.")
    return 0


def _promotion(order: Order, use_case: str, execute: Executor, evidence: str) -> Finished:
    step = pipeline.PROMOTE
    command = execute.command(step, pipeline.flags_of(step, use_case, order.given, {"evidence": evidence}))
    say(f"promote: {step.purpose}\n  + {command}")
    outputs = {"evidence": evidence}
    (finished,) = pipeline.run((step,), use_case, order.given, execute=execute, clock=time.monotonic, outputs=outputs)
    progress.finished(finished)
    return finished


def _in_production(folder: Folder, use_case: str, version: str, *, approver: str | None = None) -> dict[str, Any]:
    """The change of the state that says what was seen in production, and since when."""
    known = folder.state().get("production", {})
    if approver is None and known.get(use_case, {}).get("version") == version:
        return {}
    return {"production": known | {use_case: {"version": version, "approver": approver, "time": _now()}}}


def _nothing_waits(folder: Folder) -> int:
    verdict = folder.state().get("run", {}).get("verdict")
    if verdict is None:
        raise WrongUse("nothing waits for an approval: no run has come to a verdict here", "first: make run")
    if verdict == "fail":
        say("Nothing waits for an approval: the last candidate did not pass.")
        return 1
    say("Nothing waits for an approval: the last version that passed is in production.")
    return 0


# --- words -----------------------------------------------------------------------------------------------------------


def _greet(order: Order) -> None:
    """Where everything goes, before anything is done."""
    if order.own:
        say(f"Your own W&B, as your environment names it: {order.host}")
        return
    say(f"Everything goes to the embedded server of {order.folder.path}; nothing leaves this machine.")
    for found in environment.found_credentials(order.environ):
        say(f"Found {found}: not used. To use your own W&B: make run WANDB=own")


def _print_plan(order: Order, steps: Sequence[Step], settings: Config, outputs: Mapping[str, str]) -> None:
    """The steps and their command lines; what a step will make stands as its NAME."""
    every = (*steps, pipeline.PROMOTE)
    made = {name: name.upper() for step in every for name in step.outputs} | dict(outputs)
    given = dict(order.given) | {"approver": order.approver or "YOU"}
    every_image = images.wanted(order.root, settings.name, base=order.base_image) if order.docker else {}

    def command(step: Step) -> str:
        flags = pipeline.flags_of(step, settings.name, given, made)
        if order.docker:
            return shlex.join(["docker", "run", every_image[step.name].reference, *flags])
        return processes.command(step, flags)

    other = "" if order.use_case or order.approver or steps is pipeline.ROLLBACK else settings.data.fallback
    fallback = f" ({other} if its rows are not available)" if other else ""
    progress.plan(every, f"{settings.name}{fallback}", map(command, every))
    say(
        "  Before promote, the report is shown and a person is asked."
        if not order.approver
        else f"  Before promote, the report is shown; {order.approver} has approved in advance."
    )


def _consent(order: Order, settings: Config) -> None:
    """Before the first write to somebody else's W&B: name where it goes, and get a yes."""
    if not order.own:
        return
    say("This run writes to")
    say(f"  host      {order.host}")
    say(f"  entity    {order.environ.get('WANDB_ENTITY') or 'the default entity of your API key'}")
    say(f"  project   {order.environ.get('WANDB_PROJECT') or settings.project}")
    collection = order.given.get("collection") or settings.collection
    say(f"  registry  {order.given.get('registry', 'wandb-registry-model')}/{collection}")
    if order.yes:
        return
    if not approval.on_terminal():
        raise WrongUse("WANDB=own writes to your W&B, and there is no terminal to ask on", "say yes with --yes")
    if not approval.confirm("Go on?", order.stop):
        raise Interrupted("nothing was written")


def _last_use_case(folder: Folder) -> str | None:
    """The use case of the last run here, which is what a person means by `make rollback`; None if there was none."""
    name: str | None = folder.state().get("run", {}).get("use_case")
    return name


def _short(reference: str) -> str:
    return reference.rpartition("/")[2]


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
