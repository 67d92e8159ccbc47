"""
Choose the variables that a step sees: few, and by name. The rest of your environment is not passed on, above all no
WANDB_* variable: it could send the data of a step to someone else's server.
"""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from runner.errors import WrongUse

# What a process needs to start, and to download rows through a proxy.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "TERM",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)
_LOOPBACK = ("127.0.0.1", "localhost")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_NOT_BY_PROXY = ("NO_PROXY", "no_proxy")
# In a process of its own, because the import takes a second and reads the settings of the user.
_FIND_HOST = "from wandb.sdk import wandb_setup; print(wandb_setup.singleton().settings.base_url)"
# Folders of this machine. An image has its own.
_FOLDERS = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR")


def build_base(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that every process gets. Requests to the embedded server never go through a proxy."""
    env = {name: value for name, value in inherited.items() if name in PASSED_ON or name.startswith("LC_")}
    for name in _NOT_BY_PROXY:
        env[name] = ",".join([*filter(None, [inherited.get(name)]), *_LOOPBACK])
    return env


def build_embedded(inherited: Mapping[str, str], *, url: str, api_key: str, folder: Path) -> dict[str, str]:
    """Return a step's environment with the embedded server, and create the SDK's folders below `folder`."""
    env = build_base(inherited) | {
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": api_key,
        # The SDK reports its own crashes to its vendor. Nothing leaves this machine.
        "WANDB_ERROR_REPORTING": "false",
    }
    for name in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR"):
        path = folder / name.removesuffix("_DIR").lower()
        path.mkdir(parents=True, exist_ok=True)
        env[f"WANDB_{name}"] = str(path)
    return env


def select_declared(inherited: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the variables that the use case declares in `[data] env`. Only its data.py sees them."""
    return {name: inherited[name] for name in names if inherited.get(name)}


def list_undeclared(inherited: Mapping[str, str], names: Iterable[str], data: Path) -> list[str]:
    """
    Return the variables that are set here and named by data.py, but not by `[data] env`. data: the file, which is read
    and not run.
    """
    try:
        tree = ast.parse(data.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return sorted(name for name in texts - {*names, *PASSED_ON} if name.isupper() and inherited.get(name))


class Variables(NamedTuple):
    """
    The variables that a container sees, and how you would type them.

    files: variables whose value is a secret, and the file that has it. inherited: those that the shell already has;
    their values can be secrets, too.
    """

    values: Mapping[str, str]
    files: Mapping[str, Path] = {}
    inherited: frozenset[str] = frozenset()

    def to_flag(self, name: str) -> str:
        """Return a variable as docker's `--env` takes it in a shell, without the value of a secret."""
        if name in self.inherited:
            return name
        if name in self.files:
            return f'{name}="$(cat {shlex.quote(str(self.files[name]))})"'
        return shlex.quote(f"{name}={self.values[name]}")

    def add(self, other: Variables) -> Variables:
        return Variables(
            {**self.values, **other.values}, {**self.files, **other.files}, self.inherited | other.inherited
        )


def build_embedded_in_container(*, host: str, url: str, key: str, key_file: Path) -> Variables:
    """Return a step's variables in a container. The server is at `host` there, and at `url` for a browser."""
    values = {
        "WANDB_BASE_URL": host,
        "WANDB_APP_URL": url,
        "WANDB_API_KEY": key,
        "WANDB_ERROR_REPORTING": "false",
    }
    return Variables(values, {"WANDB_API_KEY": key_file})


def build_own_in_container(inherited: Mapping[str, str]) -> Variables:
    """Return a step's variables in a container with the user's own W&B."""
    wanted = [name for name in inherited if name.startswith("WANDB_") and name not in _FOLDERS]
    wanted += [*_PROXIES, *_NOT_BY_PROXY, "GITHUB_ACTIONS"]
    values = {name: inherited[name] for name in wanted if name in inherited}
    return Variables(values, inherited=frozenset(values) - {"WANDB_BASE_URL"})


def to_download(inherited: Mapping[str, str], *, not_by_proxy: str) -> Variables:
    """Return the proxy variables for a container that downloads. `not_by_proxy` is a host that it reaches directly."""
    values = {name: inherited[name] for name in _PROXIES if name in inherited}
    direct = {name: ",".join(filter(None, [inherited.get(name), not_by_proxy])) for name in _NOT_BY_PROXY}
    return Variables({**values, **direct} if values else {}, inherited=frozenset(values))


def build_own(inherited: Mapping[str, str]) -> dict[str, str]:
    """
    Return a step's environment with the user's own W&B: every WANDB_* variable unchanged, and the one that tells
    promote that it runs on GitHub, where a name in APPROVE does not count as an approval.
    """
    theirs = {name: value for name, value in inherited.items() if name.startswith("WANDB_")}
    return build_base(inherited) | theirs | {name: inherited[name] for name in ("GITHUB_ACTIONS",) if name in inherited}


def find_own_host(inherited: Mapping[str, str]) -> str:
    """
    Return the user's own W&B: WANDB_BASE_URL, or else what the SDK's settings name. Raise WrongUse if the SDK does
    not say it.
    """
    if host := inherited.get("WANDB_BASE_URL"):
        return host
    answer = subprocess.run(
        [sys.executable, "-I", "-c", _FIND_HOST], env=build_own(inherited), capture_output=True, text=True
    )
    if answer.returncode != 0 or not answer.stdout.startswith("http"):
        raise WrongUse(
            f"the wandb SDK does not say which W&B it uses: {answer.stderr.strip().rpartition(chr(10))[2]}",
            "set WANDB_BASE_URL",
        )
    return answer.stdout.strip()


def select_notification(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return where promote sends messages, and with which secrets (docs/how-to/production.md). No other step sees
    these.
    """
    return {name: value for name, value in inherited.items() if name.startswith("PROMOTION_")}


def find_credentials(inherited: Mapping[str, str]) -> list[str]:
    """Return where the user has a W&B key (never the key itself): the variable, or the netrc file."""
    sources = []
    if inherited.get("WANDB_API_KEY"):
        sources.append("WANDB_API_KEY in your environment")
    netrc = Path(inherited.get("NETRC") or Path(inherited.get("HOME", "/")) / ".netrc")
    try:
        if "wandb.ai" in netrc.read_text(errors="replace"):
            sources.append(f"an entry for wandb.ai in {netrc}")
    except OSError:
        pass
    return sources
