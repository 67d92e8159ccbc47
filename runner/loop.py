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

from runner import approval, environment, images, pipeline, places, processes, progress
from runner.errors import Interrupted, StepFailed, WrongUse
from runner.folder import Folder
from runner.order import Order
from runner.pipeline import Finished, Outcome, Step
from runner.places import Executor, Ready
from runner.progress import say

DEFAULT_USE_CASE, OFFLINE_USE_CASE = "mnist", "digits"
LATER = "make approve APPROVE=NAME   (or: python -m runner approve --approver NAME)"
WRONG_KEY = "alias_refused"  # promote's word for a key that may not move the alias; the evidence still holds


# --- what can be asked for -------------------------------------------------------------------------------------------


def plan(order: Order) -> int:
    """Print what `run` would do, and stop there."""
    _greet(order)
    _print_plan(order, pipeline.CANDIDATE, order.use_case or DEFAULT_USE_CASE, {})
    return 0


def run(order: Order) -> int:
    """Build, train, link and evaluate; then the approval and promote. Returns the exit code."""
    use_case = order.use_case or DEFAULT_USE_CASE
    with order.folder.locked("run"):
        _greet(order)
        _print_plan(order, pipeline.CANDIDATE, use_case, {})
        _consent(order, use_case)
        with places.opened(order) as ready:
            order = order._replace(given=dict(order.given) | _commit(order))
            execute = ready()
            try:
                done = _run(order, pipeline.CANDIDATE, use_case, execute)
            except StepFailed as failure:
                if order.use_case or failure.error.get("name") != "mnist_unavailable":
                    raise
                use_case = OFFLINE_USE_CASE
                say(f"\nMNIST cannot be had here: {failure.error.get('message', '')}")
                say(f"To use it: {failure.error.get('hint', '')}")
                say(f"Nobody asked for a use case, so this run goes on with {use_case}, which needs no download.")
                done = _run(order, pipeline.CANDIDATE, use_case, execute)
            return _conclude(order, use_case, done, execute)


def rollback(order: Order, *, version: str, reason: str) -> int:
    """Evaluate an earlier version under the policy `rollback`; then the approval and promote."""
    use_case = order.use_case or _last_use_case(order.folder)
    outputs = {"version": version}
    order = order._replace(given={"policy": "rollback"})
    with order.folder.locked("rollback"):
        _greet(order)
        _print_plan(order, pipeline.ROLLBACK, use_case, outputs)
        _consent(order, use_case)
        with places.opened(order) as ready:
            order = order._replace(given=dict(order.given) | _commit(order))
            execute = ready()
            done = _run(order, pipeline.ROLLBACK, use_case, execute, outputs)
            return _conclude(order, use_case, done, execute, reason)


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
        with places.opened(order) as ready:
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
    """The commit of this code as evaluate's flag, `-dirty` when a tracked file differs; nothing outside of git."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
            cwd=order.root,
            env=environment.basis(order.environ),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"commit": answer.stdout.strip()} if answer.returncode == 0 else {}


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
        say(f"\nunchanged: {_short(version)} is the model that production already is. There is nothing to approve.")
        return 0
    report = (order.folder.out / done[-1].step.name / "report.md").read_text()
    say()
    progress.report(report)
    if evaluated["verdict"] == "fail":
        order.folder.remember(**changes)
        progress.summary(done)
        say(f"\nfail: {_short(version)} may not go to production, which stays as it is. Refused by:")
        for why in evaluated.get("reasons", []):
            say(f"  - {why}")
        return 1
    pending = {
        "use_case": use_case,
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
    question = f"pass: move `production` from {now} to {_short(pending['version'])}?"
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
        say(f"\npass: {_short(pending['version'])} waits for an approval. production stays as it is until then:")
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


def _print_plan(order: Order, steps: Sequence[Step], use_case: str, outputs: Mapping[str, str]) -> None:
    """The steps and their command lines; what a step will make stands as its NAME."""
    every = (*steps, pipeline.PROMOTE)
    made = {name: name.upper() for step in every for name in step.outputs} | dict(outputs)
    given = dict(order.given) | {"approver": order.approver or "YOU"}
    every_image = images.wanted(order.root, base=order.base_image) if order.docker else {}

    def command(step: Step) -> str:
        flags = pipeline.flags_of(step, use_case, given, made)
        if order.docker:
            return shlex.join(["docker", "run", every_image[step.name].reference, *flags])
        return processes.command(step, flags)

    fallback = "" if order.use_case or steps is pipeline.ROLLBACK else f" ({OFFLINE_USE_CASE} if MNIST cannot be had)"
    progress.plan(every, f"{use_case}{fallback}", map(command, every))
    say(
        "  Before promote, the report is shown and a person is asked."
        if not order.approver
        else f"  Before promote, the report is shown; {order.approver} has approved in advance."
    )


def _consent(order: Order, use_case: str) -> None:
    """Before the first write to somebody else's W&B: name where it goes, and get a yes."""
    if not order.own:
        return
    import tomllib

    config = order.root / "usecases" / use_case / "config.toml"
    defaults = tomllib.loads(config.read_text()) if config.exists() else {}
    say("This run writes to")
    say(f"  host      {order.host}")
    say(f"  entity    {order.environ.get('WANDB_ENTITY') or 'the default entity of your API key'}")
    say(f"  project   {order.environ.get('WANDB_PROJECT') or defaults.get('project', 'model-registry-dev')}")
    collection = order.given.get("collection") or defaults.get("collection", use_case)
    say(f"  registry  {order.given.get('registry', 'wandb-registry-model')}/{collection}")
    if order.yes:
        return
    if not approval.on_terminal():
        raise WrongUse("WANDB=own writes to your W&B, and there is no terminal to ask on", "say yes with --yes")
    if not approval.confirm("Go on?", order.stop):
        raise Interrupted("nothing was written")


def _last_use_case(folder: Folder) -> str:
    """The use case of the last run here, which is what a person means by `make rollback`."""
    return str(folder.state().get("run", {}).get("use_case", DEFAULT_USE_CASE))


def _short(reference: str) -> str:
    return reference.rpartition("/")[2]


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
