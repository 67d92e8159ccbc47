"""When it is interrupted, killed or not alone, the runner ends only what it started, and the next run continues.

python -m pytest tests/runner/test_processes.py
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import DEADLINE_S, free_port, listens, until

from .conftest import Checkout, alive

SLOW = {"sleep_s": 600}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_what_the_runner_started_and_nothing_else(checkout: Checkout, number: signal.Signals) -> None:
    checkout.behave(train=SLOW)
    # No process needs the grace here: one that did would outlast the deadline.
    set_grace(checkout, 600)
    foreign = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        runner = checkout.start("run", "--use-case", "glyphs")
        checkout.wait_for("train")
        runner.send_signal(number)
        output, _ = runner.communicate(timeout=DEADLINE_S)
        assert runner.returncode == 130
        assert output.splitlines()[-1] == (
            "stopped: train was interrupted. Nothing is lost: the finished steps are reused. "
            "To continue: make run USE_CASE=glyphs"
        )
        assert checkout.everything_ended()
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_signal_ends_what_a_step_started_and_a_step_that_will_not_listen(checkout: Checkout) -> None:
    train = checkout.root / "steps" / "train.py"
    deaf = "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    below = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid"
    train.write_text(
        train.read_text()
        .replace("import json\n", f"import json\n{deaf}")
        .replace('"pid": os.getpid()', f'"pid": {below}')
    )
    checkout.behave(train=SLOW)
    set_grace(checkout, 0.5)  # it protects files that are being written; here it only costs time
    runner = checkout.start("run", "--use-case", "glyphs")
    grandchild = checkout.wait_for("train")
    runner.send_signal(signal.SIGINT)
    assert runner.wait(DEADLINE_S) == 130
    until(lambda: not alive(grandchild), "its end")


def test_run_ignores_a_hangup_under_nohup(checkout: Checkout) -> None:
    checkout.behave(train={"until": "heard"})
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runner = checkout.start("run", "--use-case", "glyphs")
    finally:
        signal.signal(signal.SIGHUP, old)
    checkout.wait_for("train")
    runner.send_signal(signal.SIGHUP)
    checkout.say("heard")
    assert runner.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("step", ["build", "evaluate"])
def test_run_completes_after_the_runner_was_killed(checkout: Checkout, step: str) -> None:
    checkout.behave(**{step: SLOW})
    runner = checkout.start("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.wait_for(step)
    runner.kill()
    runner.wait()
    checkout.behave()
    code, _ = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == 0
    assert checkout.everything_ended()


def test_approval_that_was_killed_is_given_again(checkout: Checkout) -> None:
    checkout.behave(promote=SLOW)
    runner = checkout.start("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.wait_for("promote")
    runner.kill()
    runner.wait()
    checkout.behave()
    assert checkout.runner("approve", APPROVE="ada")[0] == 0
    assert checkout.state()["pending"] is None


def test_leftover_of_a_killed_runner_is_ended_by_its_record(checkout: Checkout) -> None:
    """Run as on a system that does not end children with their parent."""
    no_prctl = "from runner import processes; processes._prctl = None\n"
    checkout.changes += no_prctl
    (checkout.root / "wandb/apis/public.py").write_text(no_prctl)  # which the interpreter of the steps imports
    checkout.behave(train=SLOW)
    runner = checkout.start("run", "--use-case", "glyphs", APPROVE="ada")
    step, server = checkout.wait_for("train"), checkout.pids("server")[-1]
    until((checkout.folder / "step.pid").exists, "the record")
    runner.kill()
    runner.wait()
    assert alive(step) and alive(server)
    checkout.behave()
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == 0
    assert "stopped the server that an earlier runner left behind" in output
    assert "ended the step that an earlier runner left behind" in output
    assert not alive(step) and not alive(server)


def test_process_that_took_over_a_recorded_id_is_left_alone(checkout: Checkout) -> None:
    foreign = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        checkout.folder.mkdir()
        for name in ("step.pid", "server.pid"):
            (checkout.folder / name).write_text(f"{foreign.pid} another-start-time\n")
        assert checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")[0] == 0
        assert checkout.runner("clean", "--yes")[0] == 0
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_step_that_was_killed_ends_the_run_with_a_sentence(checkout: Checkout) -> None:
    checkout.behave(train=SLOW)
    runner = checkout.start("run", "--use-case", "glyphs")
    os.kill(checkout.wait_for("train"), signal.SIGKILL)
    output, _ = runner.communicate(timeout=DEADLINE_S)
    assert runner.returncode == 1
    assert "error: train was ended by signal 9" in output


def test_every_step_runs_in_a_fork_of_one_interpreter(checkout: Checkout) -> None:
    checkout.behave(build={"until": "seen"}, train=SLOW)
    runner = checkout.start("run", "--use-case", "glyphs")
    build, interpreter = checkout.wait_for("build"), _interpreter(checkout)
    checkout.say("seen")
    train = checkout.wait_for("train")
    assert _parent(train) == interpreter == _interpreter(checkout)
    assert len({build, train, interpreter}) == 3
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=DEADLINE_S)
    assert not alive(train) and not alive(interpreter) and not list(checkout.folder.glob("*.pid"))


def test_what_a_step_changes_in_its_process_does_not_reach_the_next(checkout: Checkout) -> None:
    build = checkout.root / "steps" / "build.py"
    leaves = '    os.environ["LEFT"] = sys.modules["left"] = "behind"\n    os.chdir("/")\n    sys.exit(step({}))\n'
    build.write_text(build.read_text().replace("    write_down()\n", f"    write_down()\n{leaves}"))
    train = checkout.root / "steps" / "train.py"
    facts = '"pid": os.getpid(), "facts": [os.getcwd(), os.environ.get("LEFT"), "left" in sys.modules]'
    train.write_text(train.read_text().replace('"pid": os.getpid()', facts))
    assert checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")[0] == 0
    (call,) = (call for call in checkout.calls() if call["name"] == "train")
    assert call["facts"] == [str(checkout.root), None, False]


def test_interpreter_that_was_killed_ends_the_run_with_a_sentence_and_its_step(checkout: Checkout) -> None:
    checkout.behave(train=SLOW)
    runner = checkout.start("run", "--use-case", "glyphs")
    train = checkout.wait_for("train")
    os.kill(_interpreter(checkout), signal.SIGKILL)
    output, _ = runner.communicate(timeout=DEADLINE_S)
    assert runner.returncode == 1
    assert "error: train was ended by signal 9" in output
    until(lambda: not alive(train), "the step's end")
    assert checkout.everything_ended()


def test_step_runs_as_python_m_would_run_it(checkout: Checkout) -> None:
    """In the prepared interpreter, name, file, path and standard input equal those of `python -m steps.build`."""
    facts = "{'name': __name__, 'argv': sys.argv[0], 'path': sys.path[0], 'input': os.readlink('/proc/self/fd/0')}"
    build = checkout.root / "steps" / "build.py"
    build.write_text(build.read_text().replace('"pid": os.getpid()', f'"pid": os.getpid(), "facts": {facts}'))
    checkout.runner("run", "--use-case", "glyphs")
    subprocess.run(
        [sys.executable, "-m", "steps.build"],
        cwd=checkout.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    ran, by_hand = (call["facts"] for call in checkout.calls() if call["name"] == "build")
    assert ran == by_hand
    assert ran["name"] == "__main__" and ran["argv"] == str(build) and ran["input"] == "/dev/null"


def test_taken_port_is_given_way_to_and_the_new_one_kept(checkout: Checkout) -> None:
    checkout.folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        used = foreign.getsockname()[1]
        (checkout.folder / "port").write_text(str(used))
        code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
        assert code == 0
        assert output.index(f"port {used} is in use by another program") < output.index("The plan for glyphs")
        assert "what was made" not in output  # nothing was yet
    new_port = checkout.port()
    assert new_port != used
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert checkout.port() == new_port
    assert checkout.call("build")["env"]["WANDB_BASE_URL"] == f"http://127.0.0.1:{new_port}"


def test_a_link_that_was_stored_with_another_port_is_printed_with_that_of_today(checkout: Checkout) -> None:
    checkout.behave(link={"result": {"url": "http://127.0.0.1:9/page"}})
    checkout.runner("run", "--use-case", "glyphs")
    with socket.create_server(("127.0.0.1", checkout.port())) as foreign:
        output = checkout.runner("approve", APPROVE="ada")[1]
        assert checkout.port() != foreign.getsockname()[1]
        assert f"also for what was made at {foreign.getsockname()[1]}" in output
    assert f"glyphs-dev:v3 at http://127.0.0.1:{checkout.port()}/page" in output


def test_port_that_another_server_gets_first_is_given_way_to(checkout: Checkout) -> None:
    """The port was free when the runner looked, but another checkout's server answers on it before ours."""
    port = _another_server(checkout)
    checkout.changes += (
        "looks, is_free = iter([True]), embedded.is_free; "
        "embedded.is_free = lambda port: next(looks, None) or is_free(port)\n"
    )
    (checkout.folder / "port").write_text(str(port))
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == 0
    assert f"port {port} is in use by another program" in output
    assert checkout.call("build")["env"]["WANDB_BASE_URL"] == f"http://127.0.0.1:{checkout.port()}"
    assert checkout.port() != port


def test_lost_key_is_named(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    (checkout.folder / "api-key").unlink()
    code, output = checkout.runner("run", "--use-case", "glyphs")
    assert code == 2
    assert "api-key is missing" in output and "make clean" in output
    assert len(checkout.pids("server")) == 1
    assert checkout.runner("clean", "--yes")[0] == 0


def test_server_that_died_is_started_again_on_the_same_port(checkout: Checkout) -> None:
    checkout.behave(train={"until": "started again"})
    runner = checkout.start("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.wait_for("train")
    first = checkout.call("server")
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: len(checkout.pids("server")) == 2, "another server")
    checkout.say("started again")
    output, _ = runner.communicate(timeout=DEADLINE_S)
    assert runner.returncode == 0
    assert f"the embedded server died (signal 9); starting it again on port {checkout.port()}" in output
    second = checkout.call("server")
    assert second["pid"] != first["pid"] and second["argv"] == first["argv"]
    assert checkout.everything_ended()


def test_server_that_does_not_start_is_quoted(checkout: Checkout) -> None:
    checkout.behave(server={"says": "error: the data folder is on fire", "exit": 2})
    code, output = checkout.runner("run", "--use-case", "glyphs")
    assert code == 3
    assert "ended with exit code 2 before it answered\n  | error: the data folder is on fire" in output
    assert "server.log" in output and "Traceback" not in output
    assert checkout.steps() == []


def test_second_runner_in_the_same_folder_is_refused(checkout: Checkout) -> None:
    checkout.behave(build=SLOW)
    first = checkout.start("run", "--use-case", "glyphs")
    checkout.wait_for("build")
    for args in (["run", "--use-case", "glyphs"], ["approve"], ["rollback"], ["clean", "--yes"]):
        code, output = checkout.runner(*args)
        assert code == 2, args
        assert f"another runner uses {checkout.folder} (process {first.pid}: run)" in output
    assert "is running" in checkout.runner("status")[1]
    assert len(checkout.pids("build")) == 1


def test_serve_opens_the_pages_until_it_is_interrupted(checkout: Checkout) -> None:
    serve = checkout.start("serve")
    server = checkout.wait_for("server")
    assert serve.stdout is not None
    output = ""
    while "Ctrl-C stops the server" not in output:
        line = serve.stdout.readline()
        assert line, output
        output += line
    assert _answers(checkout)
    serve.send_signal(signal.SIGINT)
    serve.communicate(timeout=DEADLINE_S)
    assert serve.returncode == 0
    assert f"http://127.0.0.1:{checkout.port()}" in output and str(checkout.folder / "api-key") in output
    assert (checkout.folder / "api-key").read_text().strip() not in output
    assert not alive(server)


def test_run_uses_the_server_of_an_open_serve_and_leaves_it_open(checkout: Checkout) -> None:
    checkout.start("serve")
    server = checkout.wait_for("server")
    until(lambda: _answers(checkout), "the server to answer")
    assert checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")[0] == 0
    assert checkout.pids("server") == [server] and alive(server)
    code, output = checkout.runner("serve")
    assert (code, f"is already running: http://127.0.0.1:{checkout.port()}\n" in output) == (0, True)
    assert "error" not in output and alive(server)
    assert checkout.runner("clean", "--yes")[0] == 2


def test_run_goes_on_when_serve_ends_in_the_middle(checkout: Checkout) -> None:
    serve = checkout.start("serve")
    checkout.wait_for("server")
    until(lambda: _answers(checkout), "the server to answer")
    checkout.behave(train={"until": "started again"})
    run = checkout.start("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.wait_for("train")
    serve.send_signal(signal.SIGINT)
    until(lambda: len(checkout.pids("server")) == 2, "another server")
    checkout.say("started again")
    output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0
    assert "`serve` ended; starting the embedded server again" in output
    assert len(checkout.pids("server")) == 2
    assert checkout.everything_ended()


def test_folder_and_key_are_for_their_owner_alone(checkout: Checkout) -> None:
    old = os.umask(0)
    try:
        checkout.runner("run", "--use-case", "glyphs")
    finally:
        os.umask(old)
    assert stat.S_IMODE(checkout.folder.stat().st_mode) == 0o700
    files = [path for path in checkout.folder.iterdir() if path.is_file()]
    assert {"api-key", "state.json", "server.log", "port", "lock"} <= {path.name for path in files}
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in files} == {path.name: 0o600 for path in files}


def test_key_is_made_once_and_given_to_server_and_steps(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    key = (checkout.folder / "api-key").read_text().strip()
    assert len(key.partition("-")[2]) >= 40
    checkout.runner("run", "--use-case", "glyphs")
    assert {call["env"]["MODELGATE_SERVER_KEY"] for call in checkout.calls() if call["name"] == "server"} == {key}
    assert {call["env"]["WANDB_API_KEY"] for call in checkout.calls() if call["name"] != "server"} == {key}


def test_state_that_cannot_be_read_is_named(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    (checkout.folder / "state.json").write_text('{"pending": ')
    code, output = checkout.runner("approve", APPROVE="ada")
    assert code == 2
    assert "state.json cannot be read" in output and "Traceback" not in output


def test_clean_removes_what_the_runner_made_and_nothing_else(checkout: Checkout, tmp_path: Path) -> None:
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (checkout.folder / "mine.txt").write_text("x")
    (checkout.folder / "wandb" / "link").symlink_to(elsewhere)
    code, output = checkout.runner("clean")
    assert code == 2 and (checkout.folder / "state.json").exists()
    code, output = checkout.runner("clean", "--yes")
    assert code == 0
    assert "server/" in output and "Not made by the runner, so not removed: mine.txt" in output
    assert [path.name for path in checkout.folder.iterdir()] == ["mine.txt"]
    assert (elsewhere / "precious").exists()
    (checkout.folder / "mine.txt").unlink()
    checkout.runner("run", "--use-case", "glyphs")
    assert checkout.runner("clean", "--yes")[0] == 0
    assert not checkout.folder.exists()
    assert checkout.runner("clean", "--yes")[0] == 0


def test_reader_that_goes_away_ends_the_run_cleanly(checkout: Checkout) -> None:
    runner = checkout.start("run", "--use-case", "glyphs")
    assert runner.stdout is not None
    runner.stdout.readline()
    runner.stdout.close()
    assert runner.wait(DEADLINE_S) == 1
    assert checkout.everything_ended()


def set_grace(checkout: Checkout, seconds: float) -> None:
    """Set how long a process that the runner ends may take before it is killed."""
    checkout.changes += f"from runner import processes; processes.GRACE_S = {seconds}\n"


def _interpreter(checkout: Checkout) -> int:
    return int((checkout.folder / "step.pid").read_text().split()[0])


def _parent(pid: int) -> int:
    return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])


def _another_server(checkout: Checkout) -> int:
    """Start a fake server with another key and return its port; it ends with the checkout's processes."""
    port = free_port()
    checkout.folder.mkdir()
    data = checkout.root / "another"
    command = [sys.executable, "-m", "modelgate_server", "--data", str(data), "--port", str(port)]
    env = checkout.env(MODELGATE_SERVER_KEY="another")
    subprocess.Popen(command, cwd=checkout.root, env=env)
    until(lambda: listens(port), "the other server")
    return port


def _answers(checkout: Checkout) -> bool:
    return (checkout.folder / "port").exists() and listens(checkout.port())
