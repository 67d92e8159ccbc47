"""
Handle how a step is called and how it answers: flags in, one JSON object on standard output, messages on standard
error.

Exit codes: 0 done (or nothing to do), 1 it ran and the answer is no, 2 wrong use or configuration,
3 a service or a dataset's source is not reachable.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelgate import config, hyperparameters
from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.text import to_line

# Where the JSON goes. `guarded` keeps the real standard output here and points file descriptor 1 at standard error,
# so that nothing a library prints can end up inside the answer.
_answer_fd: int | None = None


class StepParser(argparse.ArgumentParser):
    """An argument parser with the flags that every step has, and with defaults from the use case's `config.toml`."""

    def __init__(self, doc: str, argv: Sequence[str] | None) -> None:
        title, _, rest = doc.strip().partition("\n")
        super().__init__(
            description=f"{title}\n{rest}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.prog = f"python -m steps.{Path(sys._getframe(1).f_code.co_filename).stem}"
        self.argv = sys.argv[1:] if argv is None else list(argv)
        self.add_argument("-h", "--help", action="help", help="show this help and exit")
        chosen = self._choose_use_case()
        self.add_argument(
            "--use-case",
            default=chosen,
            metavar="NAME",
            help=f"a folder of usecases/: {', '.join(config.list_names())} (default: %(default)s)",
        )
        self.add_argument("--out", type=Path, metavar="DIR", help="also write result.json (and the report) here")
        self.config = config.load(chosen)

    def _choose_use_case(self) -> str:
        """Return the use case whose config has the defaults of the other flags. So this is read before them."""
        early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        early.add_argument("--use-case")
        return early.parse_known_args(self.argv)[0].use_case or config.require_default()

    def add_hyperparameters(self) -> None:
        """Add a flag for each key of `[train]`, with its value as the default."""
        hyperparameters.add_flags(self, self.config.train)
        self.set_defaults(**self.config.train)

    def parse(self) -> argparse.Namespace:
        return self.parse_args(self.argv)


def emit(result: dict[str, Any], out: Path | None, files: Mapping[str, str | None] | None = None) -> None:
    """
    Print the step's answer: `result.json` in `out`, and one JSON object on standard output.

    files: the other files of `out`, from name to text. None: this run has no such file, and an earlier one is removed.
    """
    text = json.dumps(result, indent=2, sort_keys=True, allow_nan=False) + "\n"
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            for name, content in (files or {}).items():
                if content is None:
                    (out / name).unlink(missing_ok=True)
                else:
                    _write_atomically(out / name, content)
            _write_atomically(out / "result.json", text)
        except OSError as error:
            raise StepError(
                "out_not_writable", f"--out {str(out)!r}: {error}", "choose a folder that you may write to", WRONG_USE
            ) from error
    if _answer_fd is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        os.write(_answer_fd, text.encode())


def _write_atomically(path: Path, text: str) -> None:
    """Write a file so that a kill leaves the old file or the new one, never a part of it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).replace(path)


def log(text: str) -> None:
    """Print a line for people."""
    print(text, file=sys.stderr, flush=True)


def run_guarded(main: Callable[[], int]) -> int:
    """
    Run a step as a program. A StepError becomes its message and exit code; a bug keeps its traceback.

    An error of W&B's SDK that no step expects is W&B's answer, not a bug of ours, so it also becomes a sentence.
    """
    global _answer_fd
    sys.stdout.flush()
    _answer_fd = os.dup(1)
    os.dup2(2, 1)
    try:
        try:
            return main()
        except Exception as error:
            if not _is_of_wandb(error):
                raise
            message = to_line(f"W&B could not do what the step asked: {error}")
            raise StepError(
                "wandb_failed", message, "check in W&B whether something was changed, then try again", UNREACHABLE
            ) from error
    except StepError as error:
        log(f"error: {error}")
        if error.hint:
            log(f"hint: {error.hint}")
        emit(error.as_json(), None)
        return error.exit_code
    except KeyboardInterrupt:
        log("stopped; run the same command again to continue from here")
        return 130


# The second is the source of errors that the SDK does not wrap into one of the first.
_OF_WANDB = ("wandb.errors", "wandb.sdk.lib.service")


def _is_of_wandb(error: Exception) -> bool:
    """Compare by name, because a step that does not need the SDK does not import it."""
    return any(kind.__module__.startswith(_OF_WANDB) for kind in type(error).__mro__)
