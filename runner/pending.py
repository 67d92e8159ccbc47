"""Choose the evaluation that an approval is about, or say why nothing waits for one."""

from __future__ import annotations

from collections.abc import Sequence

from modelgate.text import shorten_name
from runner import typed
from runner.errors import NothingWaits, WrongUse
from runner.options import Options
from runner.state import Known, State, describe_end


def choose_evaluation(options: Options) -> Known | None:
    """
    The evaluation to approve: that of the use case that was named, or the only one that waits. Return None if the
    evidence that was named is promoted already; raise NothingWaits, or WrongUse if several or only others wait.
    """
    state = options.folder.state()
    pending = state.list_pending()
    ours = [known for known in pending if options.use_case in (None, known["use_case"])]
    answer = state.get_known(options.use_case or state.last).get("answer") or {}
    if options.evidence:
        ours = [known for known in ours if known["evidence"] == options.evidence]
        if not ours and options.evidence != answer.get("evidence"):
            raise WrongUse(
                f"{options.evidence} does not wait for an approval",
                "read the report of the one that waits: make approve",
            )
        if not ours and "refused" not in answer:  # an approval may be repeated
            return None
    elif len(ours) > 1:
        raise WrongUse("several versions wait for an approval, and none was approved", _format_waiting(ours))
    elif pending and not ours and not answer:
        raise NothingWaits(
            f"nothing of {options.use_case} waits for an approval; nothing was approved", _format_waiting(pending)
        )
    if not ours:
        raise NothingWaits(*_explain_nothing_waits(state, options.use_case or state.last))
    return ours[0]


def _format_waiting(waiting: Sequence[Known]) -> str:
    """What waits, with the line that approves each."""
    lines = [
        f"\n  {shorten_name(item['version'])} of {item['use_case']}: {typed.approve(item['use_case'])}"
        for item in waiting
    ]
    return "these wait; type the line of the one that you mean:" + "".join(lines)


def _explain_nothing_waits(state: State, use_case: str | None) -> tuple[str, str]:
    """Return why there is nothing to approve, and what to do."""
    known = state.get_known(use_case)
    run, answer = known.get("run"), known.get("answer")
    nothing = "nothing waits for an approval"
    if not run:
        subject = f"nothing of {use_case}" if use_case else "nothing"
        first = f"make run USE_CASE={use_case}" if use_case else "make run"
        return f"{nothing}: {subject} has run here yet", f"begin with: {first}"
    if answer and "refused" in answer:
        refused = f"{shorten_name(answer['version'])} was approved, but promote refused it: {answer['refused']}"
        return (
            f"{nothing}: {refused}",
            f"to evaluate it again: {typed.format_evaluation(answer | {'use_case': use_case})}",
        )
    if answer:
        return f"{nothing}: {describe_promotion(answer)}", "what is in production: make status"
    verdict, version = run.get("verdict"), shorten_name(run.get("version", "the last candidate"))
    if verdict is None:
        end, advice = describe_end(run)
        return f"{nothing}: the last run {end}", advice
    if verdict == "fail":
        return f"{nothing}: {version} did not pass, and production does not change", ""
    if verdict == "unchanged":
        return f"{nothing}: the last run made {version}, which is the model already in production", ""
    return nothing, "what is in production: make status"


def describe_promotion(answer: Known) -> str:
    return f"{shorten_name(answer['version'])} was promoted at {answer['time']}, approved by {answer['approver']}"
