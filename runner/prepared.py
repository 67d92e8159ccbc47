"""
An interpreter that has imported the SDK and waits to be told which step it is.

    python -m runner.prepared     then one JSON line on standard input: {"module", "argv", "environ", "stdout"}

Most of an unchanged step is importing the SDK (1.2 s of CPU). The next step's interpreter does that beside the step
before, so that on two cores an unchanged run takes half the time. What is run is the same as
`python -m <module> <argv>`. Input that ends without a line, because nothing follows or the runner is gone, ends it.
"""

from __future__ import annotations

import json
import os
import runpy
import sys


def main() -> None:
    import wandb.apis.public  # noqa: F401  (what `wandb.Api` would import at its first use)

    line = sys.stdin.readline()
    if not line:
        return
    told = json.loads(line)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(told["stdout"], os.O_WRONLY), 1)
    os.environ.update(told["environ"])
    sys.argv = [told["module"], *told["argv"]]
    runpy.run_module(told["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
