"""
Run, approve and roll back: the plan, the steps, the report, the question, the promotion, the summary.

A version that waits for an approval is recorded in `.modelgate/state.json` before anyone is asked. So the answer can
come later, from another command, even if this one was killed.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelgate.config import Config
from modelgate.text import shorten_name, update_port
from runner import approval, commit, engine, environment, executors, pipeline, progress, typed
from runner.errors import Interrupted, StepExplained, StepFailed, WrongUse
from runner.executors import Executor, Ready
from runner.options import Options
from runner.pending import choose_evaluation, describe_promotion
from runner.pipeline import Finished, Outcome, Step
from runner.progress import say
from runner.state import Known, find_obstacle, keep_pending
from runner.use_case import choose, choose_stand_in

SOURCE_UNAVAILABLE = "source_unavailable"  # build's name for rows that it cannot read
DATA_FAILED = (SOURCE_UNAVAILABLE, "source_unreadable", "data_failed")  # its names for what data.py raises
MAX_REPORT_BYTES = 1_000_000
WRONG_KEY = "alias_refused"  # promote's name for a key that may not move the alias; the evidence is still valid
# evaluate's names for a ledger without a version to go back to.
NOTHING_BEFORE = ("nothing_promoted", "no_previous_version")


# --- commands -------------------------------------------------------------------------------------------


def plan(options: Options) -> int:
    """Print what `run` would do, and stop there."""
    settings = choose(options.use_case)
    _greet(options)
    options = commit.add_flag(options)
    _print_plan(options, pipeline.list_candidate_steps(settings.train), settings, {})
    return 0


def run(options: Options) -> int:
    """Build, train, link and evaluate; then ask for the approval and promote. Return the exit code."""
    settings = choose(options.use_case)
    with options.folder.lock("run"):
        options = _begin(options)
        _print_plan(options, pipeline.list_candidate_steps(settings.train), settings, {})
        _ask_consent(options, settings)
        try:
            return _make_candidate(options, settings)
        except StepFailed as failure:
            other = _choose_stand_in(options, settings, failure)
            if other is None:
                raise
        return _make_candidate(options, other)


def _make_candidate(options: Options, settings: Config) -> int:
    """Train and judge a candidate of this use case; then ask for the approval and promote."""
    steps = pipeline.list_candidate_steps(settings.train)
    with executors.open_executor(options, settings, steps) as ready:
        execute = ready()
        try:
            done = _run(options, steps, settings.name, execute)
        except StepFailed as failure:
            if failure.error.get("name") in DATA_FAILED:
                _say_undeclared(options, settings)
            raise
        return _conclude(options, settings.name, done, execute)


def _say_undeclared(options: Options, settings: Config) -> None:
    """Say which variables data.py would read if config.toml named them."""
    folder = Path("usecases") / settings.name
    known = settings.data.env
    for name in environment.list_undeclared(options.environ, known, options.root / folder / "data.py"):
        line = f"env = {json.dumps([*known, name])}"
        say(f"\n{name} is set, but [data] env in {folder}/config.toml does not name it, so data.py cannot see it.")
        say(f"To let it, write below [data]: {line}")


def _choose_stand_in(options: Options, settings: Config, failure: StepFailed) -> Config | None:
    """Return the use case to continue with, after saying so. An approval in advance is only for the planned use
    case.
    """
    if options.use_case or failure.error.get("name") != SOURCE_UNAVAILABLE:
        return None
    other = choose_stand_in(settings, options.flags)
    if other is None:
        return None
    say(f"\n{settings.name} is not available here; see the error above.")
    if options.approver:
        say(f"{options.approver} approved {settings.name} in advance, so {other.name} does not run instead.")
        say(f"To run {other.name}: make run USE_CASE={other.name}")
        return None
    say(f"You named no use case, so this run uses {other.name}.")
    return other


def roll_back(options: Options, *, version: str, reason: str) -> int:
    """Evaluate an earlier version under the policy `rollback`; then ask for the approval and promote."""
    settings = choose_use_case(options, changes=True)
    outputs = {"version": version}
    options = options._replace(flags={"policy": "rollback"})
    with options.folder.lock("rollback"):
        options = _begin(options)
        _print_plan(options, pipeline.ROLLBACK, settings, outputs)
        _ask_consent(options, settings)
        with executors.open_executor(options, settings, pipeline.ROLLBACK) as ready:
            execute = ready()
            try:
                done = _run(options, pipeline.ROLLBACK, settings.name, execute, outputs)
            except StepFailed as failure:
                if failure.error.get("name") in NOTHING_BEFORE:
                    raise StepExplained(failure.message, failure.hint, code=failure.code) from failure
                raise
            # By then, another version may be the previous one.
            pinned = f"--version={done[-1].result['version'].rpartition(':')[2]}"
            options = options._replace(argv=(*options.argv, pinned))
            return _conclude(options, settings.name, done, execute, reason)


def approve(options: Options) -> int:
    """Promote the version that waits, if a person approves it."""
    with options.folder.lock("approve"):
        pending = choose_evaluation(options)
        if pending is None:
            answer = options.folder.state().get_known(options.use_case or options.folder.state().last)["answer"]
            say(f"{describe_promotion(answer)}.")
            return 0
        if options.approver is None and not approval.is_on_terminal():
            raise WrongUse(
                f"nothing was approved: {shorten_name(pending['version'])} of {pending['use_case']} waits, "
                "and there is no terminal to ask on",
                f"{typed.approve(pending['use_case'])}; to read the report first: make serve",
            )
        options = options._replace(own=pending["host"] is not None)
        if options.host != pending["host"]:
            raise WrongUse(
                f"the waiting version was evaluated at {pending['host']}, but WANDB_BASE_URL names {options.host}",
                "set WANDB_BASE_URL to the value that the run had",
            )
        with executors.open_executor(options, choose(pending["use_case"])) as ready:
            if not options.in_browser:  # where the report is on the page
                progress.report(_update_links(options, pending["report"]))
            return _ask_and_promote(options, pending, ready, [])


# --- the steps -------------------------------------------------------------------------------------------------------


def _run(
    options: Options, steps: Sequence[Step], use_case: str, execute: Executor, outputs: Mapping[str, str] | None = None
) -> list[Finished]:
    """Run the steps and announce each one; the count includes promote, which may follow. Record the progress in the
    state.
    """
    numbers = itertools.count(1)
    running = steps[0]

    def announce(step: Step, flags: Sequence[str]) -> Outcome:
        nonlocal running
        running = step
        say(f"\n[{next(numbers)}/{len(steps) + 1}] {step.name}: {step.purpose}")
        say(f"  + {execute.format_command(step, flags)}")
        return execute(step, flags)

    last = {"use_case": use_case, "command": options.argv[0], "started": _format_now(), "reached": None}
    last["again"] = options.format_again(use_case)
    options.folder.remember(use_case, run=last)
    done: list[Finished] = []
    finished = pipeline.run(steps, use_case, options.flags, execute=announce, clock=time.monotonic, outputs=outputs)
    try:
        for step_done in finished:
            progress.print_finished(step_done)
            done.append(step_done)
            options.folder.remember(use_case, run=last | {"reached": step_done.step.name})
    except StepFailed as failure:
        stopped = {"reached": done[-1].step.name if done else None, "stopped_at": running.name}
        stopped["error"] = failure.error.get("message") or failure.message
        # The same flags cannot succeed.
        again = None if failure.code == WrongUse.code else last["again"]
        options.folder.remember(use_case, run=last | stopped | {"again": again})
        raise
    except Interrupted:
        message = f"{running.name} was interrupted. Nothing is lost: the finished steps are reused"
        raise Interrupted(f"{message}. To continue: {last['again']}") from None
    return done


# --- after the verdict -----------------------------------------------------------------------------------------------


def _conclude(options: Options, use_case: str, done: list[Finished], execute: Executor, reason: str = "") -> int:
    """Act on the verdict: nothing to do, a refusal, or the question."""
    evaluated = done[-1].result
    version, production = evaluated["version"], evaluated.get("production")
    known = options.folder.state().get_known(use_case)
    waited = known.get("pending")
    waits = keep_pending(waited, version, production)
    # One change of the state, so that a kill cannot leave a verdict `pass` without its question.
    changes: dict[str, Any] = {"pending": waits, "answer": None}
    changes["run"] = known["run"] | {"verdict": evaluated["verdict"], "version": version}
    if production:
        changes |= _describe_production(options, use_case, production)
    if evaluated["verdict"] == "unchanged":
        options.folder.remember(use_case, **changes)
        _print_summary(options, done)
        say(f"\n{evaluated['headline']} ({shorten_name(version)}). There is nothing to approve.")
        _say_still_waits(options, waits, production)
        return 0
    report = _read_text(options.folder.out / done[-1].step.name / "report.md")
    say()
    progress.report(_update_links(options, report))
    if evaluated["verdict"] == "fail":
        options.folder.remember(use_case, **changes)
        _print_summary(options, done)
        say(f"\n{evaluated['headline']}")
        say(f"{shorten_name(version)} is not promoted, and production does not change. Refused by:")
        for sentence in evaluated.get("reasons", []):
            say(f"  - {sentence}")
        _say_still_waits(options, waits, production)
        return 1
    pending = _describe_pending(options, use_case, done) | {"reason": reason, "report": report}
    options.folder.remember(use_case, **changes | {"pending": pending})
    if waited and waited["version"] != version:
        say(f"\n{shorten_name(version)} now waits for an approval in place of {shorten_name(waited['version'])}.")
    return _ask_and_promote(options, pending, lambda: execute, done)


def _say_still_waits(options: Options, pending: Known | None, production: str | None) -> None:
    """After a run that did not pass, say what waits since an earlier one. production: what is there now."""
    if pending is None:
        return
    version = shorten_name(pending["version"])
    obstacle = find_obstacle(pending, production) if pending["host"] == options.host else ""
    if obstacle:
        say(f"\n{version} waits for an approval, but it can no longer be promoted: {obstacle}.")
        say(f"To evaluate it again: {typed.format_evaluation(pending)}")
    else:
        say(f"\n{version} still waits for an approval: {typed.approve(pending['use_case'])}")


def _describe_pending(options: Options, use_case: str, done: list[Finished]) -> dict[str, Any]:
    """Return what the approval is about, so that it can be given later."""
    evaluated = done[-1].result
    return {
        "use_case": use_case,
        "headline": evaluated["headline"],
        "evidence": evaluated["evidence"],
        "evidence_sha256": evaluated.get("evidence_sha256"),
        "version": evaluated["version"],
        "production": evaluated.get("production"),
        "page": next((step.result["url"] for step in reversed(done) if step.result.get("url")), None),
        "registry": options.flags.get("registry"),
        "collection": options.flags.get("collection"),
        "host": options.host,
        "again": options.format_again(use_case),
        "commit": options.flags.get("commit", ""),
    }


def _read_text(path: Path) -> str:
    """Return what a step wrote for people. A container may have written it, so no link is followed."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return file.read(MAX_REPORT_BYTES).decode(errors="replace") if regular else ""
    except OSError:
        return ""


def _ask_and_promote(options: Options, pending: Mapping[str, Any], ready: Ready, done: list[Finished]) -> int:
    """Get the answer; if it is yes, promote. `done` are the steps so far, for the summary."""
    if pending["page"]:
        say(f"\n{shorten_name(pending['version'])} at {_update_links(options, pending['page'])}")
    if changes := commit.describe_changes(pending.get("commit", "")):
        say(changes)
    version, now = shorten_name(pending["version"]), pending["production"]
    later = typed.approve(pending["use_case"])
    headline = pending.get("headline", "pass")  # a question left by an older release has none
    question = f"{headline}\nmake {version} the first version in `production`?"
    if now:
        question = f"{headline}\nmove `production` from {shorten_name(now)} to {version}?"
    name = options.approver
    if name is None and approval.is_on_terminal():
        execute = ready()  # the page must be open while the person decides
        try:
            name = approval.ask(f"\n{question}", options.stop)
        except Interrupted:
            raise Interrupted(f"nothing was promoted; approve later: {later}") from None
        if name is None:
            _print_summary(options, done)
            say(f"\nNot approved: production does not change. To approve it later: {later}")
            return 1
    elif name is None:
        _print_summary(options, done)
        say(f"\n{headline}")
        say(f"{version} waits for an approval: there is no terminal to ask on. Until then, production does not change.")
        say("To approve:")
        if not options.own:
            say("  make serve    (read the report in your browser, and press the button there)")
        say(f"  {later}")
        return 0
    else:
        execute = ready()
    return _promote(options, pending, name, execute, done)


def _promote(options: Options, pending: Mapping[str, Any], name: str, execute: Executor, done: list[Finished]) -> int:
    """Run promote with the pending evidence. If this runs again after a kill, it finishes or changes nothing."""
    say(f"\napproved by {name}")
    use_case = pending["use_case"]
    approved = {key: pending.get(key) for key in ("evidence_sha256", "reason", "registry", "collection")}
    flags: dict[str, str | bool] = {"approver": name} | {key: value for key, value in approved.items() if value}
    if options.in_browser:
        flags["in_browser"] = True
    promote = options._replace(flags=flags)
    try:
        promoted = _run_promotion(promote, use_case, execute, pending["evidence"], len(done) + 1)
    except StepFailed as failure:
        if failure.code == 1 and failure.error and failure.error.get("name") != WRONG_KEY:
            # Refused for good: this evidence is no longer valid.
            refused = {"version": pending["version"], "refused": failure.error.get("message", "")}
            refused |= {"evidence": pending["evidence"], "again": typed.format_evaluation(pending)}
            options.folder.remember(use_case, pending=None, answer=refused)
            failure.hint = f"to evaluate {shorten_name(pending['version'])} again: {refused['again']}"
        raise
    approver = promoted.result["approver"]  # another person, if this finished an interrupted promotion
    answer = {"version": promoted.result["version"], "approver": approver, "time": _format_now()}
    answer["evidence"] = pending["evidence"]
    seen = _describe_production(options, use_case, answer["version"], approver=approver)
    options.folder.remember(use_case, pending=None, answer=answer, **seen)
    _print_summary(options, [*done, promoted])
    say(f"\nproduction of {use_case} is {shorten_name(promoted.result['version'])}, approved by {approver}.")
    return 0


def _run_promotion(options: Options, use_case: str, execute: Executor, evidence: str, number: int) -> Finished:
    """Run promote, the last of `number` steps."""
    step = pipeline.PROMOTE
    command = execute.format_command(step, pipeline.build_flags(step, use_case, options.flags, {"evidence": evidence}))
    say(f"\n[{number}/{number}] promote: {step.purpose}\n  + {command}")
    outputs = {"evidence": evidence}
    steps = pipeline.run((step,), use_case, options.flags, execute=execute, clock=time.monotonic, outputs=outputs)
    try:
        (finished,) = steps
    except Interrupted:
        line = typed.approve(use_case, str(options.flags["approver"]))
        raise Interrupted(f"promote was interrupted. Nothing is lost. To complete the promotion: {line}") from None
    progress.print_finished(finished)
    return finished


def _describe_production(
    options: Options, use_case: str, version: str, *, approver: str | None = None
) -> dict[str, Any]:
    """Return the change of the state that records what was seen in production, in which W&B, and when."""
    seen = options.folder.state().get_known(use_case).get("production") or {}
    if approver is None and (seen.get("version"), seen.get("host")) == (version, options.host):
        return {}
    return {"production": {"version": version, "approver": approver, "time": _format_now(), "host": options.host}}


# --- messages --------------------------------------------------------------------------------------------------------


def _print_summary(options: Options, done: Sequence[Finished]) -> None:
    """Print the table of the steps, and how to open the pages that it names: their server stops with this run."""
    progress.print_summary(done)
    if done and not options.own:
        say("To open these pages: make serve")


def _begin(options: Options) -> Options:
    """Check what can be checked before the plan is printed, and say where everything goes. Return the options with the
    commit.
    """
    if options.docker:
        engine.require()
    _greet(options)
    executors.choose_port(options)
    return commit.add_flag(options)


def _greet(options: Options) -> None:
    """Say where everything goes, before the first step."""
    if options.own:
        say(f"Everything goes to your own W&B, as set in your environment: {options.host}")
        return
    say(f"Everything goes to the embedded server of {options.folder.path}; nothing leaves this machine.")
    for source in environment.find_credentials(options.environ):
        say(f"Found {source}; not used. To use your own W&B: make run WANDB=own")


def _print_plan(options: Options, steps: Sequence[Step], settings: Config, outputs: Mapping[str, str]) -> None:
    """Print the steps and the lines that will run. A NAME in capitals is the output of an earlier step."""
    all_steps = (*steps, pipeline.PROMOTE)
    names = {name: name.upper() for step in all_steps for name in step.outputs} | dict(outputs)
    flags = dict(options.flags) | {"approver": options.approver or "YOU"}
    command = executors.create_command(options, settings)
    commands = [command(step, pipeline.build_flags(step, settings.name, flags, names)) for step in all_steps]
    other = "" if options.use_case or options.approver or steps is pipeline.ROLLBACK else settings.data.fallback
    fallback = f" ({other} if its rows are not available)" if other else ""
    progress.plan(all_steps, f"{settings.name}{fallback}", commands)
    say(
        "  Before promote, you see the report and are asked to approve."
        if not options.approver
        else f"  Before promote, you see the report. {options.approver} has approved in advance."
    )
    if not options.own:
        say("  To run one of these lines yourself, start the server (make serve) and set the variables that it prints.")


def _ask_consent(options: Options, settings: Config) -> None:
    """Before the first write to the user's own W&B, say where it goes, and ask."""
    if not options.own:
        return
    say("This run writes to")
    say(f"  host      {options.host}")
    say(f"  entity    {options.environ.get('WANDB_ENTITY') or 'the default entity of your API key'}")
    say(f"  project   {options.environ.get('WANDB_PROJECT') or settings.project}")
    collection = options.flags.get("collection") or settings.collection
    say(f"  registry  {options.flags.get('registry') or settings.registry}/{collection}")
    if options.yes:
        return
    if not approval.is_on_terminal():
        raise WrongUse(
            "WANDB=own writes to your W&B, and there is no terminal to ask on", "to agree in advance, add ARGS=--yes"
        )
    if not approval.confirm("Continue?", options.stop):
        raise Interrupted("nothing was written")


def choose_use_case(options: Options, *, changes: bool = False) -> Config:
    """
    Return the use case that was asked for, or else that of the last run here, and say so if several have run.

    changes: whether the command changes something; then a person must see which use case it is before they say yes.
    """
    state = options.folder.state()
    if options.use_case is None and len(names := state.list_made()) > 1:
        if changes and (options.approver or options.yes or not approval.is_on_terminal()):
            raise WrongUse(
                f"{options.argv[0]} needs a use case: {', '.join(names)} have run here",
                f"name one: {options.format_again('NAME')}",
            )
        progress.say_aside(f"{state.last} ran last, so this is about {state.last}. For another, add USE_CASE=NAME.")
    return choose(options.use_case or state.last)


def _update_links(options: Options, text: str) -> str:
    port = None if options.own else options.folder.read_last_port()
    return update_port(text, port) if port else text


def _format_now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
