"""The commands of `python -m runner` and their flags: one function per command."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from modelgate import config, hyperparameters
from runner import images, typed
from runner.errors import WrongUse
from runner.model_service import PORT
from runner.use_case import choose

# Flags of the steps that `run` accepts, too. Without one, the use case's own default counts.
STEP_FLAGS: tuple[tuple[str, type, str], ...] = (
    ("--rows", int, "rows to train on"),
    ("--eval-rows", int, "rows to evaluate on"),
    ("--threads", int, "threads to train with; a different number gives different weights"),
    ("--registry", str, "W&B registry to link into"),
    ("--collection", str, "collection in the registry"),
    ("--policy", str, "gate policy: no_worse, better"),
)
# Adds a command, given its name, its purpose and an example, and returns its parser.
AddCommand = Callable[[str, str, str], argparse.ArgumentParser]


def parse_args(argv: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """Return the command and its flags; raise WrongUse for a flag that the command does not have."""
    parser = argparse.ArgumentParser(
        prog="python -m runner",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the pipeline on this machine: build, train, link, evaluate, a person's approval, promote.",
        epilog="exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 a service is not reachable, 130 interrupted\n\n"
        "example: python -m runner run --no-cache",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add_command(name: str, purpose: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=purpose, description=purpose, allow_abbrev=False, epilog=f"example: python -m runner {example}"
        )

    for add in (
        partial(_add_run, argv=argv, environ=environ),
        _add_approve,
        _add_rollback,
        _add_status,
        _add_audit,
        _add_predict,
        _add_serve_model,
        _add_prune,
        _add_serve,
        _add_clean,
        _add_images,
    ):
        add(add_command)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        use_case = getattr(args, "use_case", None) or environ.get("USE_CASE")
        raise _explain_unknown(
            unknown[0], commands.choices[args.command], typed.format_again((args.command,), {}, use_case)
        )
    return args


def read_use_case(argv: Sequence[str], environ: Mapping[str, str]) -> config.Config:
    """Return the use case whose hyperparameters become flags. This is read before the flags."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--use-case")
    return choose(early.parse_known_args(argv)[0].use_case or environ.get("USE_CASE") or None)


def _explain_unknown(flag: str, parser: argparse.ArgumentParser, line: str) -> WrongUse:
    """Return the error about a flag that a command does not have, with the one that may be meant."""
    hint = f"to list the flags: {line} ARGS=--help"
    if not flag.startswith("-"):
        return WrongUse(f"{flag!r} is not a flag, nor the value of one", hint)
    name = flag.partition("=")[0]
    flags = re.findall(r"--[\w-]+", parser.format_usage())
    close = difflib.get_close_matches(name.replace("_", "-"), flags, n=1)
    return WrongUse(
        f"{parser.prog.split()[-1]} has no flag {name}", f"did you mean {close[0]}? {hint}" if close else hint
    )


# --- flags that several commands have --------------------------------------------------------------------------------


def _add_use_case_flag(to: argparse.ArgumentParser, default: str) -> None:
    known = ", ".join(config.list_names())
    text = f"a folder of usecases/: {known} (default: $USE_CASE, or {default})"
    to.add_argument("--use-case", metavar="NAME", help=text)


def _add_approver_flag(to: argparse.ArgumentParser) -> None:
    to.add_argument("--approver", metavar="NAME", help="who approves (default: $APPROVE, or ask on the terminal)")


def _add_wandb_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--wandb",
        choices=("embedded", "own"),
        help="`own`: the W&B that your WANDB_* variables name (default: $WANDB, or embedded)",
    )
    to.add_argument("--yes", action="store_true", help="with `own`: do not ask before the first write")


def _add_docker_flag(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--docker",
        action="store_true",
        help="run the steps and the server in containers (default: if $RUNNER is docker)",
    )


# --- one function per command, in the order of --help ----------------------------------------------------------------


def _add_run(add_command: AddCommand, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Add `run` and `plan`, which have the same flags. The command that is used also gets the hyperparameters."""
    for name, purpose in (
        ("run", "retrain, evaluate and ask for the approval"),
        ("plan", "show what `run` would do"),
    ):
        run = add_command(name, purpose, f"{name} --policy better")
        _add_use_case_flag(run, "the one whose config has `default = true`")
        _add_approver_flag(run)
        _add_wandb_flags(run)
        _add_docker_flag(run)
        for flag, kind, description in STEP_FLAGS:
            run.add_argument(flag, type=kind, help=f"{description} (default: as in usecases/<use case>/config.toml)")
        run.add_argument(
            "--no-cache",
            action="store_true",
            default=None,
            help="run every step, even if its result could be reused",
        )
        if argv[:1] == [name]:
            settings = read_use_case(argv, environ)
            group = run.add_argument_group(f"hyperparameters of {settings.name}")
            hyperparameters.add_flags(group, settings.train)


def _add_approve(add_command: AddCommand) -> None:
    approve = add_command("approve", "approve the version that waits", "approve --approver ada")
    _add_use_case_flag(approve, "the only one of which a version waits")
    _add_approver_flag(approve)
    approve.add_argument("--evidence", metavar="REF", help="approve only this evaluation (default: the one that waits)")
    approve.add_argument(
        "--in-browser", action="store_true", help="record in the ledger that the approval was given on the pages"
    )
    _add_docker_flag(approve)


def _add_rollback(add_command: AddCommand) -> None:
    rollback = add_command("rollback", "go back to an earlier version", "rollback --reason 'wrong labels'")
    rollback.add_argument(
        "--version", default="previous", help="the registry version to return to (default: %(default)s)"
    )
    rollback.add_argument("--reason", default="", metavar="TEXT", help="the reason, for the ledger (default: none)")
    _add_use_case_flag(rollback, "the one of the last run")
    _add_approver_flag(rollback)
    _add_wandb_flags(rollback)
    _add_docker_flag(rollback)


def _add_status(add_command: AddCommand) -> None:
    _add_wandb_flags(add_command("status", "show what is in production and what waits", "status"))


def _add_audit(add_command: AddCommand) -> None:
    audit = add_command("audit", "list what was promoted, when, and who approved it", "audit --verify")
    _add_use_case_flag(audit, "the one of the last run")
    _add_wandb_flags(audit)
    audit.add_argument(
        "--on", metavar="DATE", help="show what was in production at this date: 2026-11-23 or 2026-11-23T14:00:00Z"
    )
    audit.add_argument("--verify", action="store_true", default=None, help="look for changes outside the gate")
    audit.add_argument("--html", metavar="FILE", help="write the audit as one self-contained page")
    audit.add_argument(
        "--deployed",
        action="extend",
        nargs="+",
        metavar="URL",
        help="ask each service which version it runs, and compare",
    )


def _add_predict(add_command: AddCommand) -> None:
    predict = add_command(
        "predict", "answer a file of rows with the version in production", "predict --input rows.csv --output a.parquet"
    )
    _add_use_case_flag(predict, "the one of the last run")
    _add_wandb_flags(predict)
    predict.add_argument("--input", required=True, metavar="FILE", help="rows: .parquet, .csv, or .npz")
    predict.add_argument("--output", required=True, metavar="FILE", help="answers: .parquet")
    predict.add_argument(
        "--version", metavar="REF", help="an earlier version that was in production (default: the current one)"
    )
    predict.add_argument(
        "--unapproved",
        action="store_true",
        default=None,
        help="with --version: accept a version that was never promoted",
    )


def _add_serve_model(add_command: AddCommand) -> None:
    service = add_command("serve-model", "answer over HTTP with the version in production, until Ctrl-C", "serve-model")
    _add_use_case_flag(service, "the one of the last run")
    _add_wandb_flags(service)
    service.add_argument("--port", type=int, default=PORT, help="the port to listen on (default: %(default)s)")


def _add_prune(add_command: AddCommand) -> None:
    pruned = add_command("prune", "delete datasets and models that nothing refers to; asks first", "prune")
    _add_use_case_flag(pruned, "the one of the last run")
    _add_wandb_flags(pruned)
    pruned.add_argument(
        "--older-than", metavar="DAYS", help="keep versions that are newer than this (days, default: 30)"
    )


def _add_serve(add_command: AddCommand) -> None:
    _add_docker_flag(add_command("serve", "open the embedded server's pages until Ctrl-C", "serve"))


def _add_clean(add_command: AddCommand) -> None:
    clean = add_command("clean", "remove what the runner keeps in .modelgate/", "clean --yes")
    clean.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def _add_images(add_command: AddCommand) -> None:
    built = add_command("images", "build the missing images; print NAME=TAG, base images first", "images --list")
    built.add_argument(
        "only", nargs="*", metavar="NAME", help=f"build only these: {', '.join(images.NAMES)} (default: all)"
    )
    _add_use_case_flag(built, "the one whose config has `default = true`")
    built.add_argument(
        "--list", action="store_true", help="only print the names and tags; does not need a Docker engine"
    )
    built.add_argument(
        "--repository",
        default=images.REPOSITORY,
        metavar="PREFIX",
        help="the part before /NAME:HASH (default: %(default)s)",
    )
