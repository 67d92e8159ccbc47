"""
Which variables a step gets to see: few, and by name. Everything else of the person's environment stays with the
person, above all every WANDB_* variable, which could send what a step does to somebody else's server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# What a process needs to start, to find MNIST, and to download it once through the network's own gate.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "TERM",
    "MNIST_NPZ",
    "KERAS_HOME",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)
_LOOPBACK = ("127.0.0.1", "localhost")


def basis(inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables that every process of ours gets. The embedded server is never looked for behind a proxy."""
    env = {name: value for name, value in inherited.items() if name in PASSED_ON or name.startswith("LC_")}
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join([*filter(None, [inherited.get(name)]), *_LOOPBACK])
    return env


def for_embedded(inherited: Mapping[str, str], *, url: str, api_key: str, folder: Path) -> dict[str, str]:
    """A step's environment with the embedded server; makes the SDK's folders below `folder`."""
    env = basis(inherited) | {
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


def for_own(inherited: Mapping[str, str]) -> dict[str, str]:
    """
    A step's environment with the person's own W&B: every WANDB_* variable unchanged, and the one by which promote
    knows that it is on GitHub, where a name in APPROVE must approve nothing.
    """
    theirs = {name: value for name, value in inherited.items() if name.startswith("WANDB_")}
    return basis(inherited) | theirs | {name: inherited[name] for name in ("GITHUB_ACTIONS",) if name in inherited}


def found_credentials(inherited: Mapping[str, str]) -> list[str]:
    """Where a W&B key of the person's lies (never the key itself): the variable, the netrc file."""
    found = []
    if inherited.get("WANDB_API_KEY"):
        found.append("WANDB_API_KEY in your environment")
    netrc = Path(inherited.get("NETRC") or Path(inherited.get("HOME", "/")) / ".netrc")
    try:
        if "wandb.ai" in netrc.read_text(errors="replace"):
            found.append(f"an entry for wandb.ai in {netrc}")
    except OSError:
        pass
    return found
