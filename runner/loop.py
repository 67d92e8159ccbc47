"""
What the runner does when it is asked to run, to approve or to roll back: the plan, the steps, the report, the
question, the promotion, the summary.

What waits for an approval is kept in `.modelgate/state.json` before anybody is asked, so that the answer may come
later, from another invocation, even after this one was killed.
"""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelgate.config import Config
from runner import approval, environment, pipeline, places, progress
from runner.errors import Interrupted, StepFailed, WrongUse
from runner.folder import Folder
from runner.order import Order
from runner.pipeline import Finished, Outcome, Step
from runner.places import Executor, Ready
from runner.progress import say
from runner.use_case import chosen, stand_in

LATER = "make approve APPROVE=NAME"
# What a step can read: its room, what that imports, and the modules at the root, which Python would import first.
READ_BY_STEPS = ("modelgate", "steps", "usecases", "docker", ":(glob)*.py")
SOURCE_UNAVAILABLE = "source_unavailable"  # build's word for rows that it cannot read
MAX_REPORT_BYTES = 1_000_000
WRONG_KEY = "alias_refused"  # promote's word for a key that may not move the alias; the evidence still holds
# evaluate's words for a ledger without a version to go back to, and what a person can do instead.
NOTHING_BEFORE = {
    "nothing_promoted": "promote a first version: make run",
    "no_previous_version": "name a version of the registry yourself: make rollback ARGS='--version REF'",
}


# --- what can be asked for -------------------------------------------------------------------------------------------


def plan(order: Order) -> int:
    """Print what `run` would do, and stop there."""
    settings = chosen(order.use_case)
    _greet(order)
    order = _with_commit(order)
    _print_plan(order, pipeline.candidate(settings.train), settings, {})
    return 0


def run(order: Order) -> int:
    """Build, train, link and evaluate; then the approval and promote. Returns the exit code."""
    settings = chosen(order.use_case)
    with order.folder.locked("run"):
        _greet(order)
        order = _with_commit(order)
        _print_plan(order, pipeline.candidate(settings.train), settings, {})
        _consent(order, settings)
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
    settings = use_case_of(order)
    outputs = {"version": version}
    order = order._replace(given={"policy": "rollback"})
    with order.folder.locked("rollback"):
        _greet(order)
        order = _with_commit(order)
        _print_plan(order, pipeline.ROLLBACK, settings, outputs)
        _consent(order, settings)
        with places.opened(order, settings) as ready:
            execute = ready()
            try:
                done = _run(order, pipeline.ROLLBACK, settings.name, execute, outputs)
            except StepFailed as failure:
                if hint := NOTHING_BEFORE.get(failure.error.get("name", "")):
                    raise WrongUse("there is nothing to go back to", hint) from failure
                raise
            return _conclude(order, settings.name, done, execute, reason)


def approve(order: Order) -> int:
    """Promote what waits for an approval, if a person says yes."""
    with order.folder.locked("approve"):
        pending = order.folder.state().get("pending")
        _require_meant(order, pending)
        if pending is None:
            return _nothing_waits(order.folder)
        order = order._replace(own=pending["host"] is not None)
        if order.host != pending["host"]:
            raise WrongUse(
                f"what waits was evaluated at {pending['host']}, and WANDB_BASE_URL names {order.host}",
                "set WANDB_BASE_URL as it was for the run",
            )
        with places.opened(order, chosen(pending["use_case"])) as ready:
            if not order.in_browser:  # where the report is on the page
                progress.report(pending["report"])
            return _ask_and_promote(order, pending, ready, [])


def _require_meant(order: Order, pending: Mapping[str, Any] | None) -> None:
    """Refuse an approval of other evidence than waits now; of what is promoted already, it may be given again."""
    meant = pending or order.folder.state().get("answer") or {}
    if order.evidence and order.evidence != meant.get("evidence"):
        raise WrongUse(
            f"{order.evidence} does not wait for an approval", "read the report of what waits now: make approve"
        )


# --- the steps -------------------------------------------------------------------------------------------------------


def _run(
    order: Order, steps: Sequence[Step], use_case: str, execute: Executor, outputs: Mapping[str, str] | None = None
) -> list[Finished]:
    """Run the steps, saying so; promote, which may follow, is counted. How far they came goes into the state."""
    numbers = itertools.count(1)

    def announced(step: Step, flags: Sequence[str]) -> Outcome:
        say(f"\n[{next(numbers)}/{len(steps) + 1}] {step.name}: {step.purpose}\n  + {execute.command(step, flags)}")
        return execute(step, flags)

    last = {"use_case": use_case, "started": _now(), "reached": None}
    order.folder.remember(run=last)
    done = []
    for one in pipeline.run(steps, use_case, order.given, execute=announced, clock=time.monotonic, outputs=outputs):
        progress.finished(one)
        done.append(one)
        order.folder.remember(run=last | {"reached": one.step.name})
    return done


def _with_commit(order: Order) -> Order:
    return order._replace(given=dict(order.given) | _commit(order))


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
    changes: dict[str, Any] = {"pending": None, "answer": None}
    changes["run"] = order.folder.state()["run"] | {"verdict": evaluated["verdict"], "version": version}
    if production:
        changes |= _in_production(order, use_case, production)
    if evaluated["verdict"] == "unchanged":
        order.folder.remember(**changes)
        _summary(order, done)
        say(f"\n{evaluated['headline']} ({_short(version)}). There is nothing to approve.")
        return 0
    report = _text(order.folder.out / done[-1].step.name / "report.md")
    say()
    progress.report(report)
    if evaluated["verdict"] == "fail":
        order.folder.remember(**changes)
        _summary(order, done)
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
        "collection": order.given.get("collection"),
        "host": order.host,
        "report": report,
    }
    order.folder.remember(**changes | {"pending": pending})
    return _ask_and_promote(order, pending, lambda: execute, done)


def _text(path: Path) -> str:
    """What a step wrote for people. It may have run in a container, where a link leads elsewhere: none is followed."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return file.read(MAX_REPORT_BYTES).decode(errors="replace") if regular else ""
    except OSError:
        return ""


def _ask_and_promote(order: Order, pending: Mapping[str, Any], ready: Ready, done: list[Finished]) -> int:
    """Get the answer; on yes, promote. `done` are the steps so far, for the summary."""
    if pending["page"]:
        say(f"\n{_short(pending['version'])} at {pending['page']}")
    version, now = _short(pending["version"]), pending["production"]
    headline = pending.get("headline", "pass")  # what an older version left open has none
    question = f"{headline}\nmake {version} the first version in `production`?"
    if now:
        question = f"{headline}\nmove `production` from {_short(now)} to {version}?"
    name = order.approver
    if name is None and approval.on_terminal():
        execute = ready()  # the page must open while the person thinks
        try:
            name = approval.ask(f"\n{question}", order.stop)
        except Interrupted:
            raise Interrupted(f"nothing was promoted; approve later: {LATER}") from None
        if name is None:
            _summary(order, done)
            say(f"\nNot approved: production stays as it is. To approve it after all: {LATER}")
            return 1
    elif name is None:
        _summary(order, done)
        say(f"\n{headline}")
        say(f"{version} waits for an approval. Until then production stays as it is. To approve:")
        if not order.own:
            say("  make serve    (read the report in your browser, and press the button there)")
        say(f"  {LATER}")
        return 0
    else:
        execute = ready()
    return _promote(order, pending, name, execute, done)


def _promote(order: Order, pending: Mapping[str, Any], name: str, execute: Executor, done: list[Finished]) -> int:
    """Run promote with the pending evidence; run again after a kill, it finishes or changes nothing."""
    say(f"\napproved by {name}")
    use_case = pending["use_case"]
    said = {key: pending.get(key) for key in ("reason", "collection")}
    given: dict[str, str | bool] = {"approver": name} | {key: value for key, value in said.items() if value}
    if order.in_browser:
        given["in_browser"] = True
    promote = order._replace(given=given)
    try:
        promoted = _promotion(promote, use_case, execute, pending["evidence"], len(done) + 1)
    except StepFailed as failure:
        if failure.code == 1 and failure.error and failure.error.get("name") != WRONG_KEY:
            # Refused for good: this evidence no longer holds.
            refused = {"version": pending["version"], "refused": failure.error.get("message", "")}
            refused["evidence"] = pending["evidence"]
            order.folder.remember(pending=None, answer=refused)
        raise
    approver = promoted.result["approver"]  # of the entry: another person's, if this finished what was cut off
    answer = {"version": promoted.result["version"], "approver": approver, "time": _now()}
    answer["evidence"] = pending["evidence"]
    order.folder.remember(
        pending=None, answer=answer, **_in_production(order, use_case, answer["version"], approver=approver)
    )
    _summary(order, [*done, promoted])
    say(f"\nproduction of {use_case} is {_short(promoted.result['version'])}, approved by {approver}.")
    return 0


def _promotion(order: Order, use_case: str, execute: Executor, evidence: str, number: int) -> Finished:
    """Run promote, the last of `number` steps."""
    step = pipeline.PROMOTE
    command = execute.command(step, pipeline.flags_of(step, use_case, order.given, {"evidence": evidence}))
    say(f"\n[{number}/{number}] promote: {step.purpose}\n  + {command}")
    outputs = {"evidence": evidence}
    (finished,) = pipeline.run((step,), use_case, order.given, execute=execute, clock=time.monotonic, outputs=outputs)
    progress.finished(finished)
    return finished


def _in_production(order: Order, use_case: str, version: str, *, approver: str | None = None) -> dict[str, Any]:
    """The change of the state that says what was seen in production, in which W&B, and since when."""
    known = order.folder.state().get("production", {})
    seen = known.get(use_case, {})
    if approver is None and (seen.get("version"), seen.get("host")) == (version, order.host):
        return {}
    now = {"version": version, "approver": approver, "time": _now(), "host": order.host}
    return {"production": known | {use_case: now}}


def _nothing_waits(folder: Folder) -> int:
    """Say why there is nothing to approve; returns 1 when the last candidate was refused."""
    state = folder.state()
    run, answer = state.get("run", {}), state.get("answer")
    if not run:
        raise WrongUse("nothing waits for an approval: nothing has run here yet", "first: make run")
    if answer and "refused" in answer:
        say(f"Nothing waits for an approval: {_short(answer['version'])} was approved, and promote refused it:")
        say(f"  {answer['refused']}")
        say("To evaluate again: make run")
        return 1
    if answer:
        promoted = f"{_short(answer['version'])} was promoted at {answer['time']}, approved by {answer['approver']}"
        say(f"Nothing waits for an approval: {promoted}.")
        return 0
    verdict, version = run.get("verdict"), _short(run.get("version", "the last candidate"))
    if verdict is None:
        reached = f"it got as far as {run['reached']}" if run["reached"] else "no step of it was finished"
        raise WrongUse(f"nothing waits for an approval: the last run did not end, {reached}", "to go on: make run")
    if verdict == "fail":
        say(f"Nothing waits for an approval: {version} did not pass, and production stays as it is.")
        return 1
    if verdict == "unchanged":
        say(f"Nothing waits for an approval: the last run made {version}, which is the model that is in production.")
    else:
        say("Nothing waits for an approval. What is in production: make status")
    return 0


# --- words -----------------------------------------------------------------------------------------------------------


def _summary(order: Order, done: Sequence[Finished]) -> None:
    """The table of the steps; and how to open the pages that it names, whose server ends with this run."""
    progress.summary(done)
    if done and not order.own:
        say("To open these pages: make serve")


def _greet(order: Order) -> None:
    """Where everything goes, before anything is done."""
    if order.own:
        say(f"Your own W&B, as your environment names it: {order.host}")
        return
    say(f"Everything goes to the embedded server of {order.folder.path}; nothing leaves this machine.")
    for found in environment.found_credentials(order.environ):
        say(f"Found {found}: not used. To use your own W&B: make run WANDB=own")


def _print_plan(order: Order, steps: Sequence[Step], settings: Config, outputs: Mapping[str, str]) -> None:
    """The steps and the lines that will run; what a step will make is called by its NAME."""
    every = (*steps, pipeline.PROMOTE)
    made = {name: name.upper() for step in every for name in step.outputs} | dict(outputs)
    given = dict(order.given) | {"approver": order.approver or "YOU"}
    command = places.command(order, settings)
    commands = [command(step, pipeline.flags_of(step, settings.name, given, made)) for step in every]
    other = "" if order.use_case or order.approver or steps is pipeline.ROLLBACK else settings.data.fallback
    fallback = f" ({other} if its rows are not available)" if other else ""
    progress.plan(every, f"{settings.name}{fallback}", commands)
    say(
        "  Before promote, you see the report and are asked to approve."
        if not order.approver
        else f"  Before promote, you see the report. {order.approver} has approved in advance."
    )
    if not order.own:
        say("  To type one of these lines yourself, first open the server (make serve) and set the variables it names.")


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


def use_case_of(order: Order) -> Config:
    """The use case that was asked for; else that of the last run here, which a person means by `make rollback`."""
    return chosen(order.use_case or order.folder.state().get("run", {}).get("use_case"))


def _short(reference: str) -> str:
    return reference.rpartition("/")[2]


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
