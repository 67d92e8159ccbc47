"""Print lines for people: the plan, what a step made, the report, the summary. Readable without colour and in a
pipe.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from runner.pipeline import Finished, Step

# What to show of a step: its first output, or for evaluate, the verdict.
_RESULT = {"build": "dataset", "train": "model", "link": "version", "evaluate": "verdict", "promote": "version"}


def say(text: str = "") -> None:
    """Print one or more whole lines at once, because the watcher's thread prints as well."""
    sys.stdout.write(make_printable(text) + "\n")
    sys.stdout.flush()


def make_printable(text: str) -> str:
    """Return text without control characters: names come from registries, and a terminal obeys escape sequences."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)


def plan(steps: Sequence[Step], use_case: str, commands: Iterable[str]) -> None:
    """Print the steps in order with the command line of each."""
    say(f"The plan for {use_case}:")
    for number, (step, command) in enumerate(zip(steps, commands, strict=True), 1):
        say(f"  {number}. {step.name:<9} {step.purpose}\n       + {command}")


def print_finished(done: Finished) -> None:
    """Print one line when a step ends."""
    parts = " ".join(filter(None, [_describe_how(done), _describe_what(done)]))
    say(f"  {done.step.name}: {parts}, {done.seconds:.1f} s")


# The image's name, the current step of its build, the number of steps, and the step's text.
BuildReport = Callable[[str, int, int, str], None]


@contextmanager
def show_builds(names: Sequence[str]) -> Iterator[BuildReport]:
    """Show the progress of builds on standard error: on a terminal one bar per image, otherwise one line per step."""
    began = time.monotonic()
    say_aside(f"building {', '.join(names)}; the first build takes minutes")
    # Images can be built with only Python, without rich.
    if sys.stderr.isatty() and find_spec("rich"):
        with _show_bars(names) as report:
            yield report
    else:
        yield lambda name, step, steps, text: say_aside(f"  {name:<9} {step:>2}/{steps}  {text[:100]}")
    say_aside(f"built {', '.join(names)} in {time.monotonic() - began:.0f} s")


@contextmanager
def _show_bars(names: Sequence[str]) -> Iterator[BuildReport]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.fields[image]:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True)) as shown:
        tasks = {name: shown.add_task("", image=name, total=None, start=False) for name in names}

        def report(name: str, step: int, steps: int, text: str) -> None:
            shown.start_task(tasks[name])
            shown.update(tasks[name], completed=step, total=steps, description=make_printable(text)[:60])

        yield report


def say_aside(text: str) -> None:
    """Print a line for people when standard output is an answer."""
    sys.stderr.write(make_printable(text) + "\n")
    sys.stderr.flush()


def report(markdown: str) -> None:
    """Print the report: rendered on a terminal, unchanged in a pipe."""
    if not sys.stdout.isatty():
        say(markdown)
        return
    # Importing rich takes longer than everything else in the runner.
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(make_printable(markdown), hyperlinks=False))


def print_summary(steps: Sequence[Finished]) -> None:
    """Print the last table: seconds, reused or not, what was made, and where W&B shows the run."""
    say(f"\n{'step':<10}{'seconds':>8}  {'':<8}result")
    for done in steps:
        say(f"{done.step.name:<10}{done.seconds:>8.1f}  {_describe_how(done):<8}{_describe_what(done)}")
        if done.result.get("run_url"):
            say(f"{'':<28}{done.result['run_url']}")
    say(f"{'total':<10}{sum(done.seconds for done in steps):>8.1f}")


def _describe_how(done: Finished) -> str:
    return "reused" if done.result.get("reused") else ""


def _describe_what(done: Finished) -> str:
    return str(done.result.get(_RESULT[done.step.name], ""))
