"""
Run the pipeline on this machine.

    python -m runner run [--use-case NAME] [flags of the steps]   retrain, evaluate, ask, promote
    python -m runner plan ...                                     show what `run` would do
    python -m runner approve [--approver NAME]                    approve the version that waits
    python -m runner rollback [--version REF] [--reason TEXT]     go back to an earlier version
    python -m runner status                                       show what is in production, what waits, what ran last
    python -m runner audit [--verify] [--on DATE] [--html FILE]   list what was promoted, by whom, on what evidence
    python -m runner predict --input FILE --output FILE           answer rows with the version in production
    python -m runner serve-model [--port N]                       answer over HTTP, with a page, until Ctrl-C
    python -m runner prune [--older-than DAYS]                    delete what nothing refers to any more; asks first
    python -m runner serve | clean
    python -m runner images [--list]                              build the missing images, and print their names

Exits 0 done (or nothing to do), 1 the answer is no, 2 wrong use or configuration, 3 a service is not reachable,
130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelgate import config
from modelgate.errors import StepError
from modelgate.text import shorten_name
from runner import approval, engine, environment, executors, images, loop, pipeline, status, typed
from runner.errors import Busy, Interrupted, RunnerError, StepExplained, WrongUse, format_hint
from runner.flags import STEP_FLAGS, parse_args
from runner.folder import Folder, remove
from runner.model_service import serve_model
from runner.options import Options
from runner.processes import Stop, end_leftover
from runner.progress import say
from runner.prune import prune
from runner.use_case import choose

ROOT = Path(__file__).resolve().parents[1]


def parse_options(args: argparse.Namespace, argv: Sequence[str], environ: Mapping[str, str], stop: Stop) -> Options:
    """Return flags and environment as one set of options. A flag overrides its variable."""

    def read_setting(flag: str, variable: str) -> str | None:
        return getattr(args, flag, None) or environ.get(variable) or None

    wandb = read_setting("wandb", "WANDB") or "embedded"
    if wandb not in ("embedded", "own"):
        raise WrongUse(f"WANDB={wandb!r} is neither `embedded` nor `own`", "leave it out for the embedded server")
    if (runner := environ.get("RUNNER") or "processes") not in ("processes", "docker"):
        raise WrongUse(f"RUNNER={runner!r} is neither `processes` nor `docker`", "leave it out for processes")
    if wandb == "own":
        environ = {**environ, "WANDB_BASE_URL": environment.find_own_host(environ)}
    use_case = read_setting("use_case", "USE_CASE")
    if use_case is not None:
        config.require(use_case)
    approver = read_setting("approver", "APPROVE")
    names = [flag[2:].replace("-", "_") for flag, _, _ in STEP_FLAGS] + ["no_cache"]
    flags = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    if args.command in ("run", "plan"):
        # A hyperparameter that is true needs a value, like all others. True itself would become a bare flag.
        tuned = {name: getattr(args, name) for name in choose(use_case).train if getattr(args, name) is not None}
        flags |= {name: str(value).lower() if isinstance(value, bool) else value for name, value in tuned.items()}
    return Options(
        root=ROOT,
        folder=Folder(ROOT / ".modelgate"),
        stop=stop,
        environ=environ,
        argv=tuple(argv),
        use_case=use_case,
        flags=flags,
        approver=None if approver is None else approval.require_name(approver),
        in_browser=getattr(args, "in_browser", False),
        evidence=getattr(args, "evidence", None),
        own=wandb == "own",
        yes=getattr(args, "yes", False),
        docker=getattr(args, "docker", False) or runner == "docker",
    )


def make_images(args: argparse.Namespace, environ: Mapping[str, str], stop: Stop) -> int:
    """
    Build the missing images, with progress on standard error. Every name and tag goes to standard output, base images
    first.
    """
    if unknown := sorted(set(args.only) - set(images.NAMES)):
        raise WrongUse(f"there is no image {unknown[0]!r}", f"there are: {', '.join(images.NAMES)}")
    requested = args.use_case or environ.get("USE_CASE") or None
    name = None if args.only == [images.SERVER] else choose(requested).name
    available = images.wanted(ROOT, name, base=environ.get("BASE_IMAGE") or None, repository=args.repository)
    wanted = [image for name, image in available.items() if not args.only or name in args.only]
    if not args.list:
        engine.require()
        images.prepare(ROOT, wanted, stop)
    for image in images.add_bases(wanted):
        say(f"{image.name}={image.reference}")
    return 0


def serve(options: Options) -> int:
    """Run the embedded server in the foreground until someone stops it."""
    with executors.open_server(options) as server:
        server.wait()
        if server.is_guest:
            say(f"The server of {options.folder.path} is already running: {server.url}")
            if link := server.link():
                say(f"To sign in: {link}")
                say("  This link works once, within 5 minutes.")
            say("It ends when the command that started it ends.")
            return 0
        say(f"The pages are open at {server.url}")
        if link := server.link():
            say(f"To sign in: {link}")
            say("  This link works once, within 5 minutes. For a new one, run make serve in another terminal.")
        for waits in [] if options.docker else options.folder.state().list_pending():
            page = f"{server.url}/-/approval?use_case={waits['use_case']}"
            say(f"{shorten_name(waits['version'])} waits for your approval: {page}")
        say(f"The API key is in {options.folder.key_file}")
        say(f"For your own client: export WANDB_BASE_URL={server.url} WANDB_API_KEY=$(cat {options.folder.key_file})")
        say("Ctrl-C stops the server. Its data is kept.")
        try:
            while True:
                options.stop.pause()
        except Interrupted:
            say("\nThe server has stopped.")
    return 0


def clean(options: Options) -> int:
    """List what the runner made in its folder, then remove it. End only processes that are on record there."""
    folder = options.folder
    if not folder.path.is_dir():
        say(f"{folder.path} does not exist: nothing to remove.")
        return 0
    with folder.lock("clean"):
        server_lock = folder.try_lock("server.lock")
        if server_lock is None:
            raise Busy(f"the server of {folder.path} is open in another terminal", "stop `serve` there first")
        say(f"This removes from {folder.path}, with every run, model and ledger entry of the embedded server:")
        for path in folder.list_own():
            say(f"  {path.name}{'/' if path.is_dir() else ''}")
        if not options.yes:
            if not approval.is_on_terminal():
                raise WrongUse(
                    "clean removes the record of your runs, and there is no terminal to ask on", "clean --yes"
                )
            if not approval.confirm("Remove them?", options.stop):
                say("Nothing was removed.")
                return 1
        end_leftover(folder.step_record)
        end_leftover(folder.asked_record)
        end_leftover(folder.service_record)
        end_leftover(folder.server_record)
        executors.end_containers(folder)
        for path in folder.list_own():
            remove(path)
        os.close(server_lock)
    if left := sorted(path.name for path in folder.path.iterdir()):
        say(f"Not made by the runner, so not removed: {', '.join(left)}")
    else:
        folder.path.rmdir()
    say("Removed.")
    return 0


def run_command(argv: Sequence[str], stop: Stop) -> int:
    """Do what the command line asks, and return the exit code."""
    typed.refuse_misspelt(os.environ)
    args = parse_args(argv, os.environ)
    if args.command == "images":
        return make_images(args, os.environ, stop)
    options = parse_options(args, argv, os.environ, stop)
    match args.command:
        case "run":
            return loop.run(options)
        case "plan":
            return loop.plan(options)
        case "approve":
            return loop.approve(options)
        case "rollback":
            return loop.roll_back(options, version=args.version, reason=args.reason)
        case "serve":
            return serve(options)
        case "clean":
            return clean(options)
        case "audit" | "predict":
            step = pipeline.AUDIT if args.command == "audit" else pipeline.PREDICT
            flags = {name: value for name in step.flags if (value := getattr(args, name)) is not None}
            return status.answer(options, step, loop.choose_use_case(options).name, flags)
        case "serve-model":
            return serve_model(options, loop.choose_use_case(options).name, args.port)
        case "prune":
            flags = {"older_than": args.older_than} if args.older_than else {}
            return prune(options, loop.choose_use_case(options, changes=True).name, flags)
    return status.tell(options)


def main(argv: Sequence[str] | None = None) -> int:
    stop = Stop()
    stop.listen()
    argv = sys.argv[1:] if argv is None else argv
    try:
        return run_command(argv, stop)
    except Interrupted as interrupted:
        message = str(interrupted) or f"nothing is lost; to continue: {typed.format_again(argv, os.environ, None)}"
        sys.stderr.write(f"\nstopped: {message}\n")
        return 130
    except StepExplained as explained:
        return explained.code
    except RunnerError as error:
        sys.stderr.write(f"\n{error.describe()}\n")
        return error.code
    except StepError as error:  # of a use case's config
        sys.stderr.write(f"\nerror: {error}{format_hint(error.hint)}\n")
        return error.exit_code
    except BrokenPipeError:
        # The reader is gone (`make run | head`). Everything that was started has ended by now.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
