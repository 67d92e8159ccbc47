"""
Print how pip is set up, by its files and its variables, as uv's variables: lines for a shell.

    .venv/bin/python -I runner/uv_settings.py

Both then ask the same indexes in the same way. Exits 1 if uv has no equal for a setting, and prints its name alone.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping

TRUE = ("1", "true", "yes", "on", "y", "t")
# Setting of pip, and variable of uv. Lists are separated by whitespace for pip, and for uv by what is named here.
VALUES = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
LISTS = {
    "extra-index-url": ("UV_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "find-links": ("UV_FIND_LINKS", ","),
}
SWITCHES = {"no-index": "no_index", "no-cache-dir": "UV_NO_CACHE"}
# These change what pip prints or asks, or choose among versions, of which a lock leaves one.
# `config-file` has been read.
WITHOUT_EFFECT = {
    *("break-system-packages", "compile", "config-file", "constraint", "disable-pip-version-check", "no-color"),
    *("no-compile", "no-input", "no-warn-script-location", "pre", "prefer-binary", "progress-bar", "quiet"),
    *("require-hashes", "require-virtualenv", "root-user-action", "user", "verbose"),
}  # fmt: skip


def parse(lines: Iterable[str]) -> dict[str, str]:
    """
    The settings of `pip install` in the output of `pip config list`.

    `[install]` of a file comes before `[global]`, and a variable before both.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in lines:
        if match := re.fullmatch(r"(global|install|:env:)\.([a-z0-9-]+)=(.*)", line):
            sections[match[1]][match[2]] = str(ast.literal_eval(match[3]))
    merged = sections["global"] | sections["install"] | sections[":env:"]
    return {name: value for name, value in merged.items() if value}


def list_without_equal(settings: Mapping[str, str]) -> list[str]:
    """The settings that uv cannot be given."""
    known = {*VALUES, *LISTS, *SWITCHES, *WITHOUT_EFFECT}
    return [name for name, value in settings.items() if name not in known or ("," in value and name == "find-links")]


def translate(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """uv's variables, and `no_index` for its flag. environ: has what pip's HTTP client reads by itself."""
    translated = {"UV_SYSTEM_CERTS": "1"}  # as newer releases of pip
    if bundle := environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE"):
        translated["SSL_CERT_DIR" if os.path.isdir(bundle) else "SSL_CERT_FILE"] = bundle  # noqa: PTH112
    for name, value in settings.items():
        if name in VALUES:
            translated[VALUES[name]] = value
        elif name in LISTS:
            variable, separator = LISTS[name]
            translated[variable] = separator.join(value.split())
        elif name in SWITCHES and value.lower() in TRUE:
            translated[SWITCHES[name]] = "1"
    return translated


def main() -> int:
    listed = subprocess.run([sys.executable, "-I", "-m", "pip", "config", "list"], stdout=subprocess.PIPE, text=True)
    if listed.returncode != 0:
        print("they cannot be read")
        return 1
    settings = parse(listed.stdout.splitlines())
    if names := list_without_equal(settings):
        print(", ".join(sorted(names)))
        return 1
    for name, value in translate(settings, os.environ).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
