"""
An environment with another version of the SDK than the one that this project is locked to.

It lies under `build/`, which git ignores, and is made once for a list of requirements; a half-made one is made again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.serving import ROOT

BUILD = ROOT / "build" / "sdk"


def python(name: str, requirements: list[str], *, over_this_one: bool = False, with_dependencies: bool = False) -> Path:
    """The interpreter of the environment `build/sdk/<name>` with these packages, and nothing else in it.

    over_this_one: what they need is taken from the environment that runs this, behind the packages named here.
    with_dependencies: what they need comes from the package index, in the newest versions that fit.
    """
    folder = BUILD / name
    wanted = hashlib.sha256("\n".join([sys.prefix, sys.version, *requirements]).encode()).hexdigest()
    done = folder / "made-from"
    if not done.is_file() or done.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        listed = folder / "requirements.txt"
        listed.write_text("\n".join(requirements) + "\n")
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "-r", str(listed)]
        command += [] if with_dependencies else ["--no-deps"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run(command, check=True, env=environment)
        if over_this_one:
            # After pip, which would otherwise take away from the other environment what this one is to have instead.
            packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
            (folder / packages / "behind.pth").write_text(f"{Path(sys.prefix) / packages}\n")
        done.write_text(wanted)
    return folder / "bin" / "python"
