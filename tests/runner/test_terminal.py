"""The prompt, on a real terminal (a pty).

python -m pytest tests/runner/test_terminal.py
"""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys

from .conftest import ROOT, Checkout, Terminal, alive

QUESTION = "make glyphs-dev:v3 the first version in `production`? [y/N]: "


def at_the_question(checkout: Checkout, *args: str) -> Terminal:
    terminal = Terminal(checkout, *(args or ("run", "--use-case", "glyphs")), LOGNAME="ada")
    terminal.read_until(QUESTION)
    return terminal


def test_yes_and_enter_promote_in_the_name_of_the_user(checkout: Checkout) -> None:
    terminal = at_the_question(checkout)
    assert "The report" in terminal.output and "| --- |" not in terminal.output
    assert (
        "pass: 1.0 point lower than production, within what 497 rows can tell\r\nmake glyphs-dev:v3 the"
        in terminal.output
    )
    terminal.type("y\n")
    terminal.read_until("Your name, for the ledger [ada]: ")
    terminal.type("\n")
    assert terminal.exit_code() == 0
    assert "--approver=ada" in checkout.call("promote")["argv"]


def test_yes_and_a_name_promote_in_that_name(checkout: Checkout) -> None:
    terminal = at_the_question(checkout)
    terminal.type("yes\ngrace hopper\n")
    terminal.read_until("The ledger will say `approved by grace hopper`. Is that you? [y/N]: ")
    assert "promote" not in checkout.steps()
    terminal.type("y\n")
    assert terminal.exit_code() == 0
    assert "--approver=grace hopper" in checkout.call("promote")["argv"]


def test_what_was_meant_for_the_shell_is_not_taken_for_a_name(checkout: Checkout) -> None:
    """The text was pasted, or typed after the question seemed to be over: the runner asks for the name again."""
    terminal = at_the_question(checkout)
    terminal.type("y\n")
    terminal.read_until("Your name, for the ledger [ada]: ")
    terminal.type("clear; time make run\n")
    terminal.read_until("'clear; time make run' is not a person's name, login or e-mail address.")
    terminal.type("make run\n")
    terminal.read_until("The ledger will say `approved by make run`. Is that you? [y/N]: ")
    terminal.type("n\n\n")
    assert terminal.exit_code() == 0
    assert terminal.output.count("Your name, for the ledger [ada]: ") == 3
    assert "--approver=ada" in checkout.call("promote")["argv"]


def test_a_later_promotion_names_both_versions(checkout: Checkout) -> None:
    checkout.behave(evaluate={"result": {"production": "local-org/wandb-registry-model/glyphs-dev:v2"}})
    terminal = Terminal(checkout, "run", "--use-case", "glyphs")
    terminal.read_until("move `production` from glyphs-dev:v2 to glyphs-dev:v3? [y/N]: ")
    terminal.type("n\n")
    assert terminal.exit_code() == 1


def test_enter_alone_is_no_and_leaves_the_question_open(checkout: Checkout) -> None:
    terminal = at_the_question(checkout)
    terminal.type("\n")
    assert terminal.exit_code() == 1
    assert "Not approved" in terminal.output and "make approve" in terminal.output
    assert "promote" not in checkout.steps()
    again = at_the_question(checkout, "approve")
    again.type("y\n\n")
    assert again.exit_code() == 0
    assert checkout.steps()[-1] == "promote"


def test_end_of_input_is_no(checkout: Checkout) -> None:
    terminal = at_the_question(checkout)
    terminal.type("\x04")
    assert terminal.exit_code() == 1
    assert "promote" not in checkout.steps()


def test_ctrl_c_at_the_question_says_how_to_approve_later(checkout: Checkout) -> None:
    terminal = at_the_question(checkout)
    terminal.type("\x03")
    assert terminal.exit_code() == 130
    assert "nothing was promoted; approve later: make approve USE_CASE=glyphs APPROVE=NAME" in terminal.output
    assert checkout.everything_ended()
    assert checkout.runner("approve", APPROVE="ada")[0] == 0


def test_kill_at_the_question_leaves_it_open(checkout: Checkout) -> None:
    terminal = at_the_question(checkout)
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.exit_code() == -9
    assert checkout.runner("approve", APPROVE="ada")[0] == 0
    assert checkout.everything_ended()


def test_ctrl_c_during_a_step_ends_it(checkout: Checkout) -> None:
    checkout.behave(train={"sleep_s": 600})
    terminal = Terminal(checkout, "run", "--use-case", "glyphs")
    terminal.read_until("train says this on standard error")
    terminal.type("\x03")
    assert terminal.exit_code() == 130
    assert checkout.everything_ended()


def test_server_answers_while_the_person_thinks(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    of_the_run = checkout.pids("server")
    terminal = at_the_question(checkout, "approve")
    # There are several if another program took a port between the check and the start.
    *_, answering = checkout.pids("server")
    assert answering not in of_the_run and alive(answering)
    with socket.create_connection(("127.0.0.1", checkout.port()), timeout=60) as connection:
        connection.sendall(b"GET /_internal/healthcheck HTTP/1.0\r\n\r\n")
        assert b"200 OK" in connection.recv(64)
    terminal.type("n\n")
    assert terminal.exit_code() == 1


def test_clean_asks_first(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    terminal = Terminal(checkout, "clean")
    terminal.read_until("Remove them? [y/N]: ")
    terminal.type("n\n")
    assert terminal.exit_code() == 1
    assert (checkout.folder / "state.json").exists()


def test_with_python_alone_a_build_is_shown_in_lines() -> None:
    """-S: without the packages that are installed next to Python."""
    program = (
        "from runner import progress\nwith progress.show_builds(['train']) as report: report('train', 3, 12, 'RUN')"
    )
    shown, terminal = pty.openpty()
    subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, stderr=terminal, check=True)
    assert "  train      3/12  RUN" in os.read(shown, 65536).decode()
